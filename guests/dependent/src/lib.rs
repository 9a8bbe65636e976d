//! Answers HTTP by what a component says that it depends on: the path without its slash, with spaces for `+`. `/own NAME`
//! is its own environment.

wit_bindgen::generate!({ path: "wit", world: "test:dependent/dependent", generate_all });

use test::probe::tries::attempt;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wasip2::http::proxy::export!(Dependent);

struct Dependent;

impl wasip2::exports::http::incoming_handler::Guest for Dependent {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let what = path.trim_start_matches('/').replace('+', " ");
        let text = match what.strip_prefix("own ") {
            Some(name) => std::env::var(name).unwrap_or_default(),
            None => attempt(&what),
        };
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("the body of a new response");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream of a new body");
        stream.blocking_write_and_flush(text.as_bytes()).expect("somebody who reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("the end of the body");
    }
}
