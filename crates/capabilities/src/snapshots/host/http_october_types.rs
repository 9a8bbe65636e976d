//! `wasi:http/types` of 0.2.0-rc-2023-10-18, each function by those of 0.2.
//!
//! Its functions cannot say that a header or a status is invalid. A guest that gives one is ended: the request
//! fails, and the record of it says why.

use super::http_october::october::types::{self, Error, Method, Scheme};
use super::http_october::{October, to_error, to_guest};
use wasmtime::component::Resource;
use wasmtime::{Result, format_err};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::FieldMap;
use wasmtime_wasi_http::p2::HeaderError;
use wasmtime_wasi_http::p2::bindings::http::types as new;
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest,
    HostOutgoingResponse, HostResponseOutparam,
};

impl types::Host for October<'_> {}

/// A header that is invalid, forbidden or too much.
fn header<T>(outcome: Result<T, HeaderError>) -> Result<T> {
    outcome.map_err(|error| format_err!("the guest made headers that cannot be: {error}"))
}

impl types::HostFields for October<'_> {
    fn new(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<Resource<FieldMap>> {
        header(new::HostFields::from_list(&mut self.0, entries))
    }

    fn get(&mut self, this: Resource<FieldMap>, name: String) -> Result<Vec<Vec<u8>>> {
        new::HostFields::get(&mut self.0, this, name)
    }

    fn set(&mut self, this: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> Result<()> {
        header(new::HostFields::set(&mut self.0, this, name, values))
    }

    fn delete(&mut self, this: Resource<FieldMap>, name: String) -> Result<()> {
        header(new::HostFields::delete(&mut self.0, this, name))
    }

    fn append(&mut self, this: Resource<FieldMap>, name: String, value: Vec<u8>) -> Result<()> {
        header(new::HostFields::append(&mut self.0, this, name, value))
    }

    fn entries(&mut self, this: Resource<FieldMap>) -> Result<Vec<(String, Vec<u8>)>> {
        new::HostFields::entries(&mut self.0, this)
    }

    fn clone(&mut self, this: Resource<FieldMap>) -> Result<Resource<FieldMap>> {
        new::HostFields::clone(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<FieldMap>) -> Result<()> {
        new::HostFields::drop(&mut self.0, this)
    }
}

impl types::HostIncomingRequest for October<'_> {
    fn method(&mut self, this: Resource<HostIncomingRequest>) -> Result<Method> {
        new::HostIncomingRequest::method(&mut self.0, this).map(from_new_method)
    }

    fn path_with_query(&mut self, this: Resource<HostIncomingRequest>) -> Result<Option<String>> {
        new::HostIncomingRequest::path_with_query(&mut self.0, this)
    }

    fn scheme(&mut self, this: Resource<HostIncomingRequest>) -> Result<Option<Scheme>> {
        let scheme = new::HostIncomingRequest::scheme(&mut self.0, this)?;
        Ok(scheme.map(|scheme| match scheme {
            new::Scheme::Http => Scheme::Http,
            new::Scheme::Https => Scheme::Https,
            new::Scheme::Other(other) => Scheme::Other(other),
        }))
    }

    fn authority(&mut self, this: Resource<HostIncomingRequest>) -> Result<Option<String>> {
        new::HostIncomingRequest::authority(&mut self.0, this)
    }

    fn headers(&mut self, this: Resource<HostIncomingRequest>) -> Result<Resource<FieldMap>> {
        new::HostIncomingRequest::headers(&mut self.0, this)
    }

    fn consume(
        &mut self,
        this: Resource<HostIncomingRequest>,
    ) -> Result<Result<Resource<HostIncomingBody>, ()>> {
        new::HostIncomingRequest::consume(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<HostIncomingRequest>) -> Result<()> {
        new::HostIncomingRequest::drop(&mut self.0, this)
    }
}

impl types::HostOutgoingRequest for October<'_> {
    /// What is invalid here is an error of `handle`, which can tell.
    fn new(
        &mut self,
        method: Method,
        path_with_query: Option<String>,
        scheme: Option<Scheme>,
        authority: Option<String>,
        headers: Resource<FieldMap>,
    ) -> Result<Resource<HostOutgoingRequest>> {
        let headers = new::HostFields::clone(&mut self.0, headers)?;
        let request = new::HostOutgoingRequest::new(&mut self.0, headers)?;
        let made = self.0.table.get_mut(&request)?;
        made.method = to_new_method(method);
        made.path_with_query = path_with_query;
        made.authority = authority;
        made.scheme = scheme.map(|scheme| match scheme {
            Scheme::Http => new::Scheme::Http,
            Scheme::Https => new::Scheme::Https,
            Scheme::Other(other) => new::Scheme::Other(other),
        });
        Ok(request)
    }

    fn write(
        &mut self,
        this: Resource<HostOutgoingRequest>,
    ) -> Result<Result<Resource<HostOutgoingBody>, ()>> {
        new::HostOutgoingRequest::body(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<HostOutgoingRequest>) -> Result<()> {
        new::HostOutgoingRequest::drop(&mut self.0, this)
    }
}

impl types::HostResponseOutparam for October<'_> {
    fn set(
        &mut self,
        param: Resource<HostResponseOutparam>,
        response: Result<Resource<HostOutgoingResponse>, Error>,
    ) -> Result<()> {
        let response = response.map_err(|error| new::ErrorCode::InternalError(Some(text(error))));
        new::HostResponseOutparam::set(&mut self.0, param, response)
    }

    fn drop(&mut self, this: Resource<HostResponseOutparam>) -> Result<()> {
        new::HostResponseOutparam::drop(&mut self.0, this)
    }
}

impl types::HostIncomingResponse for October<'_> {
    fn status(&mut self, this: Resource<HostIncomingResponse>) -> Result<u16> {
        new::HostIncomingResponse::status(&mut self.0, this)
    }

    fn headers(&mut self, this: Resource<HostIncomingResponse>) -> Result<Resource<FieldMap>> {
        new::HostIncomingResponse::headers(&mut self.0, this)
    }

    fn consume(
        &mut self,
        this: Resource<HostIncomingResponse>,
    ) -> Result<Result<Resource<HostIncomingBody>, ()>> {
        new::HostIncomingResponse::consume(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<HostIncomingResponse>) -> Result<()> {
        new::HostIncomingResponse::drop(&mut self.0, this)
    }
}

impl types::HostIncomingBody for October<'_> {
    fn stream(&mut self, this: Resource<HostIncomingBody>) -> Result<Result<Resource<DynInputStream>, ()>> {
        new::HostIncomingBody::stream(&mut self.0, this)
    }

    fn finish(&mut self, this: Resource<HostIncomingBody>) -> Result<Resource<HostFutureTrailers>> {
        new::HostIncomingBody::finish(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<HostIncomingBody>) -> Result<()> {
        new::HostIncomingBody::drop(&mut self.0, this)
    }
}

impl types::HostFutureTrailers for October<'_> {
    fn subscribe(&mut self, this: Resource<HostFutureTrailers>) -> Result<Resource<DynPollable>> {
        new::HostFutureTrailers::subscribe(&mut self.0, this)
    }

    /// No trailers, and trailers that were taken before, are empty ones.
    fn get(
        &mut self,
        this: Resource<HostFutureTrailers>,
    ) -> Result<Option<Result<Resource<FieldMap>, Error>>> {
        Ok(match new::HostFutureTrailers::get(&mut self.0, this)? {
            None => None,
            Some(Ok(Err(code))) => Some(Err(to_error(code))),
            Some(Ok(Ok(Some(trailers)))) => Some(Ok(trailers)),
            Some(Ok(Ok(None)) | Err(())) => Some(Ok(new::HostFields::new(&mut self.0)?)),
        })
    }

    fn drop(&mut self, this: Resource<HostFutureTrailers>) -> Result<()> {
        new::HostFutureTrailers::drop(&mut self.0, this)
    }
}

impl types::HostOutgoingResponse for October<'_> {
    fn new(&mut self, status: u16, headers: Resource<FieldMap>) -> Result<Resource<HostOutgoingResponse>> {
        let headers = new::HostFields::clone(&mut self.0, headers)?;
        let response = new::HostOutgoingResponse::new(&mut self.0, headers)?;
        let borrowed = Resource::new_borrow(response.rep());
        new::HostOutgoingResponse::set_status_code(&mut self.0, borrowed, status)?
            .map_err(|()| format_err!("the guest answered with the status {status}, which cannot be"))?;
        Ok(response)
    }

    fn write(
        &mut self,
        this: Resource<HostOutgoingResponse>,
    ) -> Result<Result<Resource<HostOutgoingBody>, ()>> {
        new::HostOutgoingResponse::body(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<HostOutgoingResponse>) -> Result<()> {
        new::HostOutgoingResponse::drop(&mut self.0, this)
    }
}

impl types::HostOutgoingBody for October<'_> {
    fn write(&mut self, this: Resource<HostOutgoingBody>) -> Result<Result<Resource<DynOutputStream>, ()>> {
        new::HostOutgoingBody::write(&mut self.0, this)
    }

    /// The guest cannot be told that its body has another length than it said; the receiver sees it.
    fn finish(
        &mut self,
        this: Resource<HostOutgoingBody>,
        trailers: Option<Resource<FieldMap>>,
    ) -> Result<()> {
        to_guest(new::HostOutgoingBody::finish(&mut self.0, this, trailers)).map(|_| ())
    }

    fn drop(&mut self, this: Resource<HostOutgoingBody>) -> Result<()> {
        new::HostOutgoingBody::drop(&mut self.0, this)
    }
}

impl types::HostFutureIncomingResponse for October<'_> {
    fn get(
        &mut self,
        this: Resource<HostFutureIncomingResponse>,
    ) -> Result<Option<Result<Result<Resource<HostIncomingResponse>, Error>, ()>>> {
        let got = new::HostFutureIncomingResponse::get(&mut self.0, this)?;
        Ok(got.map(|got| got.map(|response| response.map_err(to_error))))
    }

    fn subscribe(&mut self, this: Resource<HostFutureIncomingResponse>) -> Result<Resource<DynPollable>> {
        new::HostFutureIncomingResponse::subscribe(&mut self.0, this)
    }

    fn drop(&mut self, this: Resource<HostFutureIncomingResponse>) -> Result<()> {
        new::HostFutureIncomingResponse::drop(&mut self.0, this)
    }
}

fn text(error: Error) -> String {
    match error {
        Error::InvalidUrl(text)
        | Error::TimeoutError(text)
        | Error::ProtocolError(text)
        | Error::UnexpectedError(text) => text,
    }
}

fn from_new_method(method: new::Method) -> Method {
    match method {
        new::Method::Get => Method::Get,
        new::Method::Head => Method::Head,
        new::Method::Post => Method::Post,
        new::Method::Put => Method::Put,
        new::Method::Delete => Method::Delete,
        new::Method::Connect => Method::Connect,
        new::Method::Options => Method::Options,
        new::Method::Trace => Method::Trace,
        new::Method::Patch => Method::Patch,
        new::Method::Other(other) => Method::Other(other),
    }
}

fn to_new_method(method: Method) -> new::Method {
    match method {
        Method::Get => new::Method::Get,
        Method::Head => new::Method::Head,
        Method::Post => new::Method::Post,
        Method::Put => new::Method::Put,
        Method::Delete => new::Method::Delete,
        Method::Connect => new::Method::Connect,
        Method::Options => new::Method::Options,
        Method::Trace => new::Method::Trace,
        Method::Patch => new::Method::Patch,
        Method::Other(other) => new::Method::Other(other),
    }
}
