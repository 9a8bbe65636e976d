//! `fermyon:spin/inbound-http` of Spin 1: one function from a whole request to a whole response, each time in an
//! instance of its own.
//!
//! What differs from wasi:http is Spin's own behaviour (spinframework/spin, crates/trigger-http/src/spin.rs): a
//! method that the interface has no name for is answered with 405, and headers are text.

use super::{Export, Head, http_entry};
use crate::serve::{Place, Ready, Unit};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use sampan_capabilities::http::host::spin;
use sampan_capabilities::{Host, link_component};
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime::component::{Component, ComponentExportIndex, InstancePre};
use wasmtime::{Engine, Result};
use wasmtime_wasi_http::{Error as WasiError, WasiBody};

/// The interface that the component exports.
const INTERFACE: &str = "fermyon:spin/inbound-http";

/// A request is one piece of the guest's memory: more than this does not come in.
const REQUEST_BYTES_MAX: usize = 128 << 20;

/// The handler of a component that is linked.
pub struct Inbound {
    pre: InstancePre<Host>,
    handle_request: ComponentExportIndex,
}

impl Inbound {
    /// `None` where the component does not export the interface.
    pub(super) fn of(engine: &Engine, component: &Component) -> Result<Option<Self>> {
        let Some(interface) = component.get_export_index(None, INTERFACE) else { return Ok(None) };
        let handle_request = component.get_export_index(Some(&interface), "handle-request");
        let handle_request = handle_request
            .ok_or_else(|| wasmtime::format_err!("its {INTERFACE} has no function handle-request"))?;
        let pre = link_component(engine, component)?.instantiate_pre(component)?;
        Ok(Some(Inbound { pre, handle_request }))
    }
}

/// Calls the handler; the answer comes through `head`.
pub(super) async fn call(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<WasiBody>,
    head: oneshot::Sender<Head>,
    place: Place,
) -> Result<()> {
    let _place = place;
    let Export::Spin(Inbound { pre, handle_request }) = &http_entry(&ready).export else {
        return Err(wasmtime::format_err!("the component's code is of another kind"));
    };
    let request = match from_http(request).await {
        Ok(request) => request,
        Err(status) => {
            let _ = head.send(Ok(status_alone(status)));
            return Ok(());
        }
    };

    let mut store = unit.store(&ready.engine, unit.wasi())?;
    unit.metrics.created.inc();
    let instance = pre.instantiate_async(&mut store).await?;
    let function =
        instance.get_typed_func::<(spin::Request,), (spin::Response,)>(&mut store, handle_request)?;
    let (response,) = function.call_async(&mut store, (request,)).await?;

    // Nobody waits any more where the client went away.
    let _ = head.send(to_http(response));
    Ok(())
}

/// # Errors
///
/// The status to answer with.
async fn from_http(request: Request<WasiBody>) -> Result<spin::Request, StatusCode> {
    let (parts, body) = request.into_parts();
    let method = spin::Method::try_from(&parts.method).map_err(|()| StatusCode::METHOD_NOT_ALLOWED)?;
    let text = |value: &HeaderValue| String::from_utf8(value.as_bytes().to_vec());
    let headers = parts.headers.iter().map(|(name, value)| Ok((name.to_string(), text(value)?)));
    let headers: Result<_, std::string::FromUtf8Error> = headers.collect();
    Ok(spin::Request {
        method,
        uri: parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        headers: headers.map_err(|_| StatusCode::BAD_REQUEST)?,
        // Spin stopped filling it before it had a release.
        params: Vec::new(),
        body: Some(whole(body).await?),
    })
}

async fn whole(mut body: WasiBody) -> Result<Vec<u8>, StatusCode> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| match error {
            WasiError::HttpRequestBodySize(_) => StatusCode::PAYLOAD_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        })?;
        // Trailers have no place in this interface.
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > REQUEST_BYTES_MAX {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}

/// # Errors
///
/// What is wrong with the response, for the log.
fn to_http(response: spin::Response) -> Head {
    let status = StatusCode::from_u16(response.status)
        .map_err(|_| format!("that {} is no status", response.status))?;
    let body = Full::new(response.body.unwrap_or_default().into());
    let mut made = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *made.status_mut() = status;
    for (name, value) in response.headers.unwrap_or_default() {
        let header = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(&value).ok());
        let (name, value) = header.ok_or_else(|| format!("that its header {name:?} is none"))?;
        made.headers_mut()
            .try_append(name, value)
            .map_err(|error| format!("that it has too many headers: {error}"))?;
    }
    Ok(made)
}

fn status_alone(status: StatusCode) -> Response<WasiBody> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
