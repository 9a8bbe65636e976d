//! `wasi:http/handler` 0.3: instances are reused, one request at a time in each. [`super::shared`] is for several.

use super::body::Leaving;
use super::idle::{Instance, check_out};
use super::{Export, Head, Instances, http_entry};
use crate::serve::{Place, Ready, Unit};
use http::Request;
use sampan_service::Depth;
use std::future::poll_fn;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::Result;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

/// Calls the handler and drives the instance until all that the guest has begun is done: it writes the body of
/// its response after it has returned it.
pub(super) async fn call(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<WasiBody>,
    head: oneshot::Sender<Head>,
    place: Place,
) -> Result<()> {
    let _place = place;
    let Instances { export: Export::Wasi03(pre), idle_03: idle, .. } = http_entry(&ready) else {
        return Err(wasmtime::format_err!("the component's code is of another kind"));
    };
    let mut instance = check_out(&unit, &ready, idle, pre).await?;
    let leaving = Leaving::default();
    let _leaves = leaving.on_drop();
    let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
    instance.store.data_mut().http.set_depth(depth);

    let Instance { store, exports, .. } = &mut instance;
    let (request, _transmitted) = p3::Request::from_http(store.data_mut().http().hooks, request);
    let concurrent = store.run_concurrent(async |accessor| {
        let answer = match exports.handle(accessor, request).await? {
            Ok(response) => {
                let mut response = accessor.with(|store| response.into_http(store, async { Ok(()) }))?;
                response.extensions_mut().insert(leaving.clone());
                Ok(response)
            }
            Err(code) => Err(format!("{code:?}")),
        };
        let _ = head.send(answer);
        poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
        wasmtime::error::Ok(())
    });
    concurrent.await??;

    if instance.is_fit(&unit, true) {
        idle.put(instance);
    }
    Ok(())
}
