//! An HTTP component for WASI 0.2.0-rc-2023-11-10: `/hello`; `/timeouts` prints what it set; `/trailers` prints
//! those of the request; `/fetch` sends a request to the origin in the header `x-origin`.

wit_bindgen::generate!({
    path: [
        "../../wit/wasi-io-0.2.0-rc-2023-11-10",
        "../../wit/wasi-clocks-0.2.0-rc-2023-11-10",
        "../../wit/wasi-http-0.2.0-rc-2023-11-10",
    ],
    inline: "
        package sampan:guest;
        world november {
            import wasi:http/outgoing-handler@0.2.0-rc-2023-11-10;
            export wasi:http/incoming-handler@0.2.0-rc-2023-11-10;
        }
    ",
    world: "sampan:guest/november",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::outgoing_handler;
use wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest, OutgoingResponse,
    RequestOptions, ResponseOutparam, Scheme,
};

struct November;

impl Guest for November {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let text = match path.as_str() {
            "/hello" => "hello from November 2023\n".to_owned(),
            "/timeouts" => timeouts(),
            "/trailers" => trailers(request),
            "/fetch" => fetch(&request).unwrap_or_else(|error| error),
            _ => "not here".to_owned(),
        };
        let response = OutgoingResponse::new(Fields::new());
        let body = response.body().expect("its body is not taken");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("its stream is not taken");
        stream.blocking_write_and_flush(text.as_bytes()).expect("somebody reads");
        drop(stream);
        OutgoingBody::finish(body, None).expect("nothing is missing");
    }
}

fn timeouts() -> String {
    let options = RequestOptions::new();
    let before = options.connect_timeout_ms();
    options.set_connect_timeout_ms(Some(1500)).expect("a timeout");
    options.set_first_byte_timeout_ms(Some(2500)).expect("a timeout");
    options.set_between_bytes_timeout_ms(None).expect("a timeout");
    let after =
        (options.connect_timeout_ms(), options.first_byte_timeout_ms(), options.between_bytes_timeout_ms());
    format!("{before:?} {after:?}")
}

fn trailers(request: IncomingRequest) -> String {
    let body = request.consume().expect("its body is not taken");
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    match trailers.get() {
        Some(Ok(Some(fields))) => format!("{:?}", fields.entries()),
        Some(Ok(None)) => "none".to_owned(),
        other => format!("{other:?}"),
    }
}

fn fetch(request: &IncomingRequest) -> Result<String, String> {
    let headers = request.headers();
    let origin = headers.get(&"x-origin".to_owned()).pop().unwrap_or_default();
    let origin = String::from_utf8_lossy(&origin).into_owned();
    let authority = origin.strip_prefix("http://").ok_or("no origin")?;
    let outgoing = OutgoingRequest::new(Fields::new());
    outgoing.set_scheme(Some(&Scheme::Http)).map_err(|()| "scheme")?;
    outgoing.set_authority(Some(authority)).map_err(|()| "authority")?;
    outgoing.set_path_with_query(Some("/outbound?x=1")).map_err(|()| "path")?;
    let options = RequestOptions::new();
    options.set_connect_timeout_ms(Some(5000)).map_err(|()| "timeout")?;
    let future = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| format!("{code:?}"))?;
    future.subscribe().block();
    let response = future.get().ok_or("not ready")?.map_err(|()| "taken")?;
    let response = response.map_err(|code| format!("{code:?}"))?;
    Ok(format!("{} {}", response.status(), read(&response)))
}

fn read(response: &IncomingResponse) -> String {
    let body = response.consume().expect("its body is not taken");
    let stream = body.stream().expect("its stream is not taken");
    let mut bytes = Vec::new();
    while let Ok(piece) = stream.blocking_read(1 << 16) {
        bytes.extend(piece);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

export!(November);
