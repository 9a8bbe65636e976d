//! `wasi:http/incoming-handler` 0.2: one request at a time, by default each in an instance of its own.

use super::idle::check_out;
use super::{Export, Head, Instances, http_entry};
use crate::serve::{Place, Ready, Unit};
use http::Request;
use http::uri::Scheme;
use sampan_service::Depth;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::Result;
use wasmtime_wasi_http::p2::bindings::http::types as wasi;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

/// Calls the handler. The answer comes through `head`, usually before this returns.
pub(super) async fn call(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<WasiBody>,
    head: oneshot::Sender<Head>,
    place: Place,
) -> Result<()> {
    // Let the next request in when the instance is gone or idle, not before.
    let _place = place;
    let Instances { export: Export::Wasi02(pre), idle_02: idle, .. } = http_entry(&ready) else {
        return Err(wasmtime::format_err!("the component's code is of another kind"));
    };
    let mut instance = check_out(&unit, &ready, idle, pre).await?;
    let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
    instance.store.data_mut().http.set_depth(depth);

    let scheme =
        if request.uri().scheme() == Some(&Scheme::HTTPS) { wasi::Scheme::Https } else { wasi::Scheme::Http };
    let mut http = instance.store.data_mut().http();
    let request = http.new_incoming_request(scheme, request)?;
    let outparam = http.new_response_outparam_from_callback(move |answer| {
        // Nobody waits any more where the client went away.
        let _ = head.send(answer.map_err(|code| format!("{code:?}")));
    })?;
    let handler = instance.exports.wasi_http_incoming_handler();
    handler.call_handle(&mut instance.store, request, outparam).await?;

    if instance.is_fit(&unit, false) {
        idle.put(instance);
    }
    Ok(())
}
