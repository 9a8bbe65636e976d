//! The smallest server, to measure what serving costs: `hello` through this crate, `hello plain` on hyper alone
//! (one current-thread runtime for each core, as here).

use http::{Request, Response};
use sampan_service::{Answer, Body, Handler, Listen, Listener, Options, empty, full, serve};
use std::sync::Arc;

struct Hello;

impl Handler for Hello {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            let body = if request.method() == http::Method::HEAD { empty() } else { full("hello, sampan\n") };
            Response::new(body)
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    if arguments.next().as_deref() == Some("plain") {
        return plain(address);
    }
    let listener = Listener::bind(&Listen { address, tls: None })?;
    println!("http://{}", listener.address());
    let _server = serve(vec![listener], Arc::new(Hello), Options::default())?;
    loop {
        std::thread::park();
    }
}

/// The reference: as many threads, and nothing of ours.
fn plain(address: std::net::SocketAddr) -> Result<(), Box<dyn std::error::Error>> {
    let cores = std::thread::available_parallelism()?.get();
    let runtimes = (0..cores).map(|_| tokio::runtime::Builder::new_current_thread().enable_all().build());
    let runtimes = runtimes.collect::<Result<Vec<_>, _>>()?;
    let handles: Vec<_> = runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
    for runtime in runtimes {
        std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    }
    let listener = std::net::TcpListener::bind(address)?;
    println!("http://{}", listener.local_addr()?);
    for (index, stream) in listener.incoming().enumerate() {
        let stream = stream?;
        handles[index % handles.len()].spawn(async move {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let stream = hyper_util::rt::TokioIo::new(tokio::net::TcpStream::from_std(stream)?);
            let service = hyper::service::service_fn(|_request| async {
                let body = http_body_util::Full::new(bytes::Bytes::from_static(b"hello, sampan\n"));
                Ok::<_, std::convert::Infallible>(Response::new(body))
            });
            let mut http = hyper::server::conn::http1::Builder::new();
            let _ = http.header_read_timeout(None).serve_connection(stream, service).await;
            Ok::<_, std::io::Error>(())
        });
    }
    Ok(())
}
