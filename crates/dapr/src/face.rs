//! Where requests come in: over a socket, or from a guest of this process.

use crate::grpc;
use crate::http;
use crate::runtime::{Caller, Dapr};
use ::http::Request;
use sampan_service::{Answer, Body, Granted, Handler};
use std::sync::Arc;

/// Answers both APIs; a request of a guest carries the guest's grants.
pub struct Face(pub Arc<Dapr>);

impl Handler for Face {
    fn handle(&self, mut request: Request<Body>) -> Answer<'_> {
        let caller = match request.extensions_mut().remove::<Granted>() {
            Some(Granted(names)) => Caller::Guest(names),
            None => Caller::Port,
        };
        Box::pin(async move {
            if grpc::is_grpc(request.headers()) {
                grpc::handle(&self.0, &caller, request).await
            } else {
                http::handle(&self.0, &caller, request).await
            }
        })
    }
}
