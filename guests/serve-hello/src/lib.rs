//! Answers every request with a line of text.

use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wasip2::http::proxy::export!(Hello);

struct Hello;

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(_request: IncomingRequest, out: ResponseOutparam) {
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body of a new response");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream of a new body");
        stream.blocking_write_and_flush(b"Hello, world!\n").expect("somebody who reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("the end of the body");
    }
}
