//! Whole guests, by the libraries that people use: wasi:http 0.2 by `wstd`, 0.3 by `wasip3`, and
//! `wasi_experimental_http` by its own crate.

use super::server::{Server, describe, reply};
use crate::{Host, link_component, resolve_module_imports};
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sampan_app::{Grants, Program};
use sampan_testing::guest_for;
use wasmtime::component::Component;
use wasmtime::{Engine, Instance, Module, Store, StoreLimits};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;

const EXPERIMENTAL: &str = "http-experimental";
const P2: &str = "http-p2";
const P3: &str = "http-p3";

/// Runs a guest to its end; what it printed. A guest that fails has printed its error.
async fn run_guest(name: &str, grants: &[&str], args: &[&str]) -> String {
    let engine = Engine::default();
    let http = super::origins(grants);
    let args = [name].iter().chain(args).map(|arg| arg.to_string()).collect();
    let program = Program { args, grants: Grants { http, ..Grants::default() }, ..Program::default() };
    let output = MemoryOutputPipe::new(1 << 20);
    let mut wasi = WasiCtxBuilder::new();
    wasi.stdout(output.clone()).inherit_stderr();
    let host = Host::new(&program, wasi, Box::new(StoreLimits::default())).unwrap();
    let mut store = Store::new(&engine, host);
    match name {
        EXPERIMENTAL => run_module(&mut store, name).await,
        P2 => {
            let component = Component::from_file(&engine, guest_for("wasm32-wasip2", name)).unwrap();
            let linker = link_component(&engine, &component).unwrap();
            let command =
                wasmtime_wasi::p2::bindings::Command::instantiate_async(&mut store, &component, &linker);
            let _ = command.await.unwrap().wasi_cli_run().call_run(&mut store).await.unwrap();
        }
        _ => {
            let component = Component::from_file(&engine, guest_for("wasm32-wasip2", name)).unwrap();
            let linker = link_component(&engine, &component).unwrap();
            let command =
                wasmtime_wasi::p3::bindings::Command::instantiate_async(&mut store, &component, &linker);
            let command = command.await.unwrap();
            let run = store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await);
            let _ = run.await.unwrap().unwrap();
        }
    }
    String::from_utf8(output.contents().to_vec()).unwrap()
}

async fn run_module(store: &mut Store<Host>, name: &str) {
    let module = Module::from_file(store.engine(), guest_for("wasm32-wasip1", name)).unwrap();
    let imports = resolve_module_imports(store, &module).unwrap();
    let instance = Instance::new_async(&mut *store, &module, &imports).await.unwrap();
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start").unwrap();
    // An exit code is an error to Wasmtime; the output tells what happened.
    if let Err(error) = start.call_async(&mut *store, ()).await {
        assert!(error.is::<wasmtime_wasi::I32Exit>(), "{error:?}");
    }
}

/// Sends back what comes, while it comes.
async fn echo(request: Request<Incoming>) -> Response<crate::http::Body> {
    Response::new(request.into_body().map_err(|_| crate::http::Error::Terminated).boxed_unsync())
}

#[test]
fn a_request_by_each_library() {
    super::run(async {
        let server = Server::http(describe).await;
        let url = format!("{}/path?q=1", server.origin());
        let line = format!("/path?q=1 host=127.0.0.1:{} HTTP/1.1", server.port);
        for name in [P2, P3] {
            let output = run_guest(name, &[&server.origin()], &["GET", &url]).await;
            assert_eq!(output, format!("status 200\nGET {line} body=0\n"), "{name}");
            let output = run_guest(name, &[&server.origin()], &["PATCH", &url]).await;
            assert_eq!(output, format!("status 200\nPATCH {line} body=0\n"), "{name}");
        }
        let output = run_guest(EXPERIMENTAL, &[&server.origin()], &["PUT", &url, "a body"]).await;
        assert!(output.starts_with("status 200\ncontent-length: "), "{output}");
        assert!(output.ends_with(&format!("\nPUT {line} body=6\n")), "{output}");
    });
}

#[test]
fn refusals_by_each_library() {
    super::run(async {
        let server = Server::http(describe).await;
        let other = Server::http(describe).await;
        let url = format!("{}/", other.origin());
        for (grants, code) in
            [(server.origin(), "HttpRequestDenied"), ("*".to_owned(), "DestinationIpProhibited")]
        {
            for name in [P2, P3] {
                let output = run_guest(name, &[&grants], &["GET", &url]).await;
                assert_eq!(output, format!("error: ErrorCode::{code}\n"), "{name}");
            }
            let output = run_guest(EXPERIMENTAL, &[&grants], &["GET", &url]).await;
            assert_eq!(output, "error: Wasi error 7\n");
        }
        assert_eq!(other.connections(), 0);
    });
}

/// Sends back what came, when all of it has.
async fn echo_later(request: Request<Incoming>) -> Response<crate::http::Body> {
    reply(200, &[], request.into_body().collect().await.unwrap().to_bytes())
}

#[test]
fn large_bodies_in_both_directions() {
    super::run(async {
        // 16 MiB: far more than everything between could hold, so that 0.3 really moves both ways at once;
        // `wstd` sends all of a body before it looks at the answer.
        let (at_once, later) = (Server::http(echo).await, Server::http(echo_later).await);
        for (name, server) in [(P2, later), (P3, at_once)] {
            let url = format!("{}/", server.origin());
            let output = run_guest(name, &[&server.origin()], &["echo", &url, "256"]).await;
            assert_eq!(output, format!("echoed {}\n", 256 * 65536), "{name}");
        }
    });
}

#[test]
fn options_of_0_2() {
    super::run(async {
        let server = Server::http(|_| std::future::pending()).await;
        let output = run_guest(P2, &[&server.origin()], &["slow", &server.origin(), "30"]).await;
        assert!(output.contains("ConnectionReadTimeout"), "{output}");
    });
}

#[test]
fn many_requests_of_one_guest() {
    super::run(async {
        let server = Server::http(describe).await;
        let output = run_guest(P2, &[&server.origin()], &["many", &server.origin(), "200"]).await;
        assert_eq!(output, "200 answers\n");
    });
}

#[test]
fn redirects_are_followed_for_the_experimental_interface_alone() {
    super::run(async {
        let server = Server::http(|request| async {
            if request.uri().path() == "/to" {
                return describe(request).await;
            }
            reply(302, &[("location", "/to")], "")
        })
        .await;
        let url = format!("{}/from", server.origin());
        for name in [P2, P3] {
            let output = run_guest(name, &[&server.origin()], &["GET", &url]).await;
            assert_eq!(output, "status 302\n\n", "{name}");
        }
        let output = run_guest(EXPERIMENTAL, &[&server.origin()], &["GET", &url]).await;
        assert!(output.contains("\nGET /to "), "{output}");
    });
}
