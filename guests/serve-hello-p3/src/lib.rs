//! Answers every request with a line of text.

use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let (mut sender, body) = wit_stream::new();
        let (trailers, no_trailers) = wit_future::new(|| Ok(None));
        drop(trailers);
        let (response, _sent) = Response::new(Fields::new(), Some(body), no_trailers);
        wasip3::spawn_local(async move {
            sender.write_all(b"Hello, world!\n".to_vec()).await;
        });
        Ok(response)
    }
}
