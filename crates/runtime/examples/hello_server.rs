//! A server for measuring: `hello_server ADDRESS native|fresh|reused|p3 [GUEST.wasm]` answers every request with
//! hello, by hyper alone or by a guest behind it. Compare two of them in turns with the same client.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use sampan_app::{App, Component, Serving};
use sampan_capabilities::Backends;
use sampan_runtime::serve::{Machine, Progress, Setup, load};
use sampan_service::{Body, Handler, full};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;

struct Native;

impl Handler for Native {
    fn handle(&self, _: Request<Body>) -> sampan_service::Answer<'_> {
        Box::pin(async { Response::new(full("Hello, world!\n")) })
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (address, mode) = (arguments[0].clone(), arguments[1].as_str());
    let handler: Option<Arc<dyn Handler>> = match mode {
        "hyper" => None,
        "native" => Some(Arc::new(Native)),
        _ => Some(guest(&arguments[2], mode)),
    };
    let listener = std::net::TcpListener::bind(address).expect("the address is free");
    listener.set_nonblocking(true).expect("a socket");
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let threads: Vec<_> = (0..workers)
        .map(|_| {
            let (listener, handler) = (listener.try_clone().expect("a descriptor"), handler.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, accept(listener, handler));
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

fn guest(path: &str, mode: &str) -> Arc<dyn Handler> {
    let serving = Serving { reuse: (mode == "reused").then_some(1_000_000), ..Serving::default() };
    let component = Component { name: "hello".into(), source: path.into(), serving, ..Component::default() };
    let app = App { name: "bench".into(), components: vec![component], ..App::default() };
    let machine = Machine::new(Setup::default()).unwrap_or_else(|failure| panic!("{failure:?}"));
    let (backends, progress) = (Backends::default(), Progress::none());
    let loading = load(&machine, &app, &backends, &progress);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut handlers = runtime.block_on(loading).unwrap_or_else(|failures| panic!("{failures:?}"));
    handlers.remove("hello").expect("the component")
}

async fn accept(listener: std::net::TcpListener, handler: Option<Arc<dyn Handler>>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let handler = handler.clone();
        tokio::task::spawn_local(async move {
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new());
            let io = TokioIo::new(stream);
            let _ = match handler {
                None => builder.serve_connection(io, service_fn(hyper_alone)).await,
                Some(handler) => {
                    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let handler = Arc::clone(&handler);
                        async move {
                            let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                            Ok::<_, Infallible>(handler.handle(request).await)
                        }
                    });
                    builder.serve_connection(io, service).await
                }
            };
        });
    }
}

async fn hyper_alone(_: Request<hyper::body::Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    Ok(Response::new(Full::new(Bytes::from_static(b"Hello, world!\n"))))
}
