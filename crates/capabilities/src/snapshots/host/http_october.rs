//! wasi:http of 0.2.0-rc-2023-10-18, which spin-sdk 2 uses: other functions on the resources of 0.2, so that
//! requests, responses and bodies are the same things, and whoever serves 0.2 serves this too.

use crate::Host;
use std::time::Duration;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi_http::p2::HttpError;
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as Handler;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttpCtxView, WasiHttpView};

mod generated {
    wasmtime::component::bindgen!({
        path: ["../../wit/wasi-io-0.2.0-rc-2023-10-18", "../../wit/wasi-http-0.2.0-rc-2023-10-18"],
        inline: "
            package sampan:snapshot;
            world october {
                import wasi:http/types@0.2.0-rc-2023-10-18;
                import wasi:http/outgoing-handler@0.2.0-rc-2023-10-18;
            }
        ",
        world: "sampan:snapshot/october",
        imports: { default: trappable },
        require_store_data_send: true,
        with: {
            "wasi:io/poll@0.2.0-rc-2023-10-18": wasmtime_wasi_io::bindings::wasi::io::poll,
            "wasi:io/streams@0.2.0-rc-2023-10-18": wasmtime_wasi_io::bindings::wasi::io::streams,
            "wasi:http/types@0.2.0-rc-2023-10-18.fields": wasmtime_wasi_http::FieldMap,
            "wasi:http/types@0.2.0-rc-2023-10-18.incoming-request":
                wasmtime_wasi_http::p2::types::HostIncomingRequest,
            "wasi:http/types@0.2.0-rc-2023-10-18.outgoing-request":
                wasmtime_wasi_http::p2::types::HostOutgoingRequest,
            "wasi:http/types@0.2.0-rc-2023-10-18.response-outparam":
                wasmtime_wasi_http::p2::types::HostResponseOutparam,
            "wasi:http/types@0.2.0-rc-2023-10-18.incoming-response":
                wasmtime_wasi_http::p2::types::HostIncomingResponse,
            "wasi:http/types@0.2.0-rc-2023-10-18.outgoing-response":
                wasmtime_wasi_http::p2::types::HostOutgoingResponse,
            "wasi:http/types@0.2.0-rc-2023-10-18.incoming-body":
                wasmtime_wasi_http::p2::body::HostIncomingBody,
            "wasi:http/types@0.2.0-rc-2023-10-18.outgoing-body":
                wasmtime_wasi_http::p2::body::HostOutgoingBody,
            "wasi:http/types@0.2.0-rc-2023-10-18.future-trailers":
                wasmtime_wasi_http::p2::body::HostFutureTrailers,
            "wasi:http/types@0.2.0-rc-2023-10-18.future-incoming-response":
                wasmtime_wasi_http::p2::types::HostFutureIncomingResponse,
        },
    });
}

pub(super) use generated::wasi::http as october;

use october::types::Error;

/// The snapshot's functions on the crate's view of HTTP.
pub(super) struct October<'a>(pub WasiHttpCtxView<'a>);

struct HasOctober;

impl HasData for HasOctober {
    type Data<'a> = October<'a>;
}

fn view(host: &mut Host) -> October<'_> {
    October(host.http())
}

pub(super) fn define_types(linker: &mut Linker<Host>) -> Result<()> {
    october::types::add_to_linker::<_, HasOctober>(linker, view)
}

pub(super) fn define_outgoing_handler(linker: &mut Linker<Host>) -> Result<()> {
    october::outgoing_handler::add_to_linker::<_, HasOctober>(linker, view)
}

impl october::outgoing_handler::Host for October<'_> {
    fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<october::types::RequestOptions>,
    ) -> Result<Result<Resource<HostFutureIncomingResponse>, Error>> {
        let milliseconds = |timeout: Option<u32>| timeout.map(|ms| Duration::from_millis(ms.into()));
        let options = match options {
            None => None,
            Some(options) => Some(self.0.table.push(RequestOptions {
                connect_timeout: milliseconds(options.connect_timeout_ms),
                first_byte_timeout: milliseconds(options.first_byte_timeout_ms),
                between_bytes_timeout: milliseconds(options.between_bytes_timeout_ms),
            })?),
        };
        let borrowed = options.as_ref().map(|options| Resource::new_borrow(options.rep()));
        let sent = Handler::handle(&mut self.0, request, borrowed);
        if let Some(options) = options {
            self.0.table.delete(options)?;
        }
        to_guest(sent)
    }
}

/// An error code becomes the guest's error; anything else is the guest's mistake and ends it.
pub(super) fn to_guest<T>(outcome: Result<T, HttpError>) -> Result<Result<T, Error>> {
    Ok(match outcome {
        Ok(value) => Ok(value),
        Err(error) => Err(to_error(error.downcast()?)),
    })
}

/// The snapshot had four errors, each with a text.
pub(super) fn to_error(code: ErrorCode) -> Error {
    // The names of the codes are those of the standard, in Rust's spelling.
    let text = format!("{code:?}");
    match code {
        ErrorCode::HttpRequestUriInvalid | ErrorCode::HttpRequestUriTooLong => Error::InvalidUrl(text),
        ErrorCode::DnsTimeout
        | ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => Error::TimeoutError(text),
        ErrorCode::HttpProtocolError
        | ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpResponseIncomplete
        | ErrorCode::HttpResponseHeaderSectionSize(_)
        | ErrorCode::TlsProtocolError => Error::ProtocolError(text),
        _ => Error::UnexpectedError(text),
    }
}
