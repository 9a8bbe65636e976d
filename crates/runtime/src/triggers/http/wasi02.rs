//! `wasi:http/incoming-handler` 0.2: one request at a time, by default each in an instance of its own.

use super::{Export, Head, Instances, http_entry};
use crate::serve::{Place, Ready, Unit, begin_call};
use http::Request;
use http::uri::Scheme;
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
    let mut instance = match idle.take() {
        Some(mut instance) => {
            unit.metrics.reused.inc();
            begin_call(&mut instance.store);
            instance
        }
        None => {
            let mut store = unit.store(&ready.engine, unit.wasi())?;
            let exports = pre.instantiate_async(&mut store).await?;
            super::idle::Instance::new(&unit, store, exports)
        }
    };
    instance.served += 1;

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
