//! One component with two handlers: a request's path has the words of a call of `messaging::calls`, with `+` between
//! them, and the answer is the line that it says, or 404. Run as a program it makes the call
//! that its arguments are. The handler of messages is that of the library `messaging`.

use messaging::{Message, calls};
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wasip2::http::proxy::export!(Serve);

wasip2::cli::command::export!(Serve);

struct Serve;

impl wasip2::exports::cli::run::Guest for Serve {
    fn run() -> Result<(), ()> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let said = calls::call(&words, &Message::new(b"")).ok_or(())?;
        println!("{said}");
        Ok(())
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Serve {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let words: Vec<_> = path.trim_start_matches('/').split('+').collect();
        let said = calls::call(&words, &Message::new(b""));
        let response = OutgoingResponse::new(Fields::new());
        response.set_status_code(if said.is_some() { 200 } else { 404 }).expect("a status");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        // Whoever asked may be gone.
        let _ = stream.blocking_write_and_flush(said.unwrap_or_default().as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
