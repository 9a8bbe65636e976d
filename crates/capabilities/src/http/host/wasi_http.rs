//! wasi:http 0.2 and 0.3, outgoing: the types and bodies are the crate's, every request goes to the door.

use crate::Host;
use crate::http::{self as own, Body, Door, Timeouts};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body as _, Frame, SizeHint};
use sampan_service::Depth;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::sync::oneshot;
use wasmtime::Result;
use wasmtime::component::Linker;
use wasmtime_wasi::WasiView;
use wasmtime_wasi_http::{
    Error as WasiError, RequestOptions, WasiBody, WasiHttp, WasiHttpCtxView, WasiHttpHooks, WasiHttpView,
};

/// Defines an interface of wasi:http 0.2 by its name without version; `false` where there is none such.
/// The types build on `wasi:io`, which must be linked as well.
pub fn define_0_2(linker: &mut Linker<Host>, interface: &str) -> Result<bool> {
    use wasmtime_wasi_http::p2::bindings::{LinkOptions, http};
    match interface {
        "wasi:http/types" => {
            http::types::add_to_linker::<_, WasiHttp>(linker, &LinkOptions::default().into(), Host::http)?;
        }
        "wasi:http/outgoing-handler" => {
            http::outgoing_handler::add_to_linker::<_, WasiHttp>(linker, Host::http)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The same for wasi:http 0.3.
pub fn define_0_3(linker: &mut Linker<Host>, interface: &str) -> Result<bool> {
    use wasmtime_wasi_http::p3::bindings::http;
    match interface {
        "wasi:http/types" => http::types::add_to_linker::<_, WasiHttp>(linker, Host::http)?,
        "wasi:http/client" => http::client::add_to_linker::<_, WasiHttp>(linker, Host::http)?,
        _ => return Ok(false),
    }
    Ok(true)
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let guest = &mut self.http.guest;
        WasiHttpCtxView {
            hooks: &mut guest.hooks,
            table: self.preview1.wasi.ctx().table,
            ctx: &mut guest.wasi,
        }
    }
}

/// The way from wasi:http to the door.
pub(crate) struct Hooks {
    door: Arc<Door>,
    pub(crate) depth: Depth,
}

impl Hooks {
    pub fn new(door: Arc<Door>) -> Self {
        Hooks { door, depth: Depth::default() }
    }
}

/// What tells the guest how sending its request's body ended.
type Transmission = Box<dyn Future<Output = Result<(), WasiError>> + Send>;

impl WasiHttpHooks for Hooks {
    // The door sets it from the checked origin.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        mut request: Request<WasiBody>,
        options: Option<RequestOptions>,
        // Resolves when the guest is done with the response; nothing here waits for that.
        _response_done: Box<dyn Future<Output = Result<(), WasiError>> + Send>,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Transmission), WasiError>> + Send> {
        let door = Arc::clone(&self.door);
        request.extensions_mut().insert(self.depth);
        Box::new(async move {
            let failure = Arc::default();
            let (request, transmission) = watch_body(request, &failure);
            match door.send(request, timeouts(options.unwrap_or_default())).await {
                Ok(response) => Ok((response.map(|body| body.map_err(to_wasi).boxed_unsync()), transmission)),
                Err(own::Error::RequestBody) => Err(take(&failure).unwrap_or(WasiError::HttpProtocolError)),
                Err(error) => Err(to_wasi(error)),
            }
        })
    }
}

fn timeouts(options: RequestOptions) -> Timeouts {
    let default = Timeouts::default();
    Timeouts {
        connect: options.connect_timeout.unwrap_or(default.connect),
        first_byte: options.first_byte_timeout.unwrap_or(default.first_byte),
        between_bytes: options.between_bytes_timeout.unwrap_or(default.between_bytes),
    }
}

/// Why the guest's body failed. The crate's errors cannot be cloned, so the first to ask gets it.
type Failure = Arc<Mutex<Option<WasiError>>>;

fn take(failure: &Failure) -> Option<WasiError> {
    failure.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// The guest's body on its way out.
struct RequestBody {
    body: WasiBody,
    failure: Failure,
    /// Dropped with the body, which ends the transmission.
    _done: oneshot::Sender<()>,
}

fn watch_body(request: Request<WasiBody>, failure: &Failure) -> (Request<Body>, Transmission) {
    if request.body().is_end_stream() {
        let request = request.map(|body| body.map_err(|_| own::Error::RequestBody).boxed_unsync());
        return (request, Box::new(std::future::ready(Ok(()))));
    }
    let (done, ended) = oneshot::channel();
    let watched =
        request.map(|body| RequestBody { body, failure: Arc::clone(failure), _done: done }.boxed_unsync());
    let failure = Arc::clone(failure);
    let transmission = async move {
        let _ = ended.await;
        take(&failure).map_or(Ok(()), Err)
    };
    (watched, Box::new(transmission))
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = own::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, own::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            frame.map_err(|error| {
                *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                own::Error::RequestBody
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The error codes of wasi:http, which are those of the Proxy-Status header (RFC 9209 §2.3).
fn to_wasi(error: own::Error) -> WasiError {
    use own::Error as Own;
    match error {
        Own::Denied => WasiError::HttpRequestDenied,
        Own::AddressProhibited => WasiError::DestinationIpProhibited,
        Own::BadUri => WasiError::HttpRequestUriInvalid,
        Own::BadMethod => WasiError::HttpRequestMethodInvalid,
        Own::Dns(why) => WasiError::DnsError { rcode: Some(why), info_code: None },
        Own::DnsTimeout => WasiError::DnsTimeout,
        Own::ConnectionRefused => WasiError::ConnectionRefused,
        Own::ConnectTimeout => WasiError::ConnectionTimeout,
        Own::Unroutable => WasiError::DestinationIpUnroutable,
        Own::Unavailable(_) => WasiError::DestinationUnavailable,
        Own::LimitReached => WasiError::ConnectionLimitReached,
        Own::TlsCertificate(_) => WasiError::TlsCertificateError,
        Own::TlsAlert { id, message } => {
            WasiError::TlsAlertReceived { alert_id: Some(id), alert_message: Some(message) }
        }
        Own::TlsProtocol(_) => WasiError::TlsProtocolError,
        Own::ReadTimeout => WasiError::ConnectionReadTimeout,
        Own::Terminated => WasiError::ConnectionTerminated,
        Own::ResponseIncomplete => WasiError::HttpResponseIncomplete,
        Own::ResponseHeadTooLarge => {
            WasiError::HttpResponseHeaderSectionSize(Some(own::MAX_RESPONSE_HEAD_BYTES as u32))
        }
        Own::UpgradeRefused => WasiError::HttpUpgradeFailed,
        // The guest follows redirects itself.
        Own::TooManyRedirects => WasiError::LoopDetected,
        Own::Protocol(_) | Own::RequestBody => WasiError::HttpProtocolError,
        Own::Configuration(why) => WasiError::InternalError(Some(why)),
    }
}
