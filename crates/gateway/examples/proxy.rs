//! The gateway alone in front of one server, to be measured without an engine. Takes the address to listen on and
//! the server's.

use sampan_app::{Route, Target, Upstream as Spec, UpstreamServer};
use sampan_gateway::{Handlers, Router, Upstream};
use sampan_service::{Handler, Listen, Listener, Options, serve};
use std::net::SocketAddr;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let mut address = || arguments.next().ok_or("name two addresses, such as 127.0.0.1:8080 127.0.0.1:8081");
    let (listen, server): (SocketAddr, SocketAddr) = (address()?.parse()?, address()?.parse()?);
    let server = UpstreamServer { host: server.ip().to_string(), port: server.port(), tls: false, weight: 1 };
    let spec = Spec { name: "back".to_owned(), servers: vec![server], ..Spec::default() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let upstream = runtime.block_on(Upstream::start("example", &spec, runtime.handle()))?;
    let mut handlers = Handlers::default();
    handlers.upstreams.insert(spec.name.clone(), Arc::new(upstream) as Arc<dyn Handler>);
    let routes = [Route::new("/...", Target::Upstream(spec.name))];
    let router = Router::new("example", &routes, &handlers)?;
    let listener = Listener::bind(&Listen { address: listen, tls: None })?;
    let server = serve(vec![listener], Arc::new(router), Options::default())?;
    println!("listening on http://{}/", server.addresses()[0]);
    // Until somebody ends the process.
    loop {
        std::thread::park();
    }
}
