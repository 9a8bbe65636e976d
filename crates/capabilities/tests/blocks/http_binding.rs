//! The binding of HTTP: what the server gets, what comes back, and where it does not go.

use crate::with::{invoke, output, run};
use sampan_capabilities::bindings::{BindingError, Output};
use sampan_testing::{HttpServer, Response, TcpServer};
use std::io::Read;

async fn to(server: &HttpServer, more: &[(&str, &str)]) -> Output {
    let url = format!("http://{}/base/", server.address);
    output("bindings.http", &[&[("url", &*url)], more].concat()).await
}

#[test]
fn operations_are_methods_and_metadata_are_headers() {
    run(async {
        let server = HttpServer::start(|request| {
            let body = if request.method == "HEAD" { Vec::new() } else { request.body.clone() };
            Response::new(201, body).with("X-Many", "1").with("X-Many", "2").with("content-type", "text/x")
        });
        let binding = to(&server, &[("securityToken", "hunter2"), ("securityTokenHeader", "X-Token")]).await;
        let operations = ["create", "get", "head", "post", "put", "patch", "delete", "options", "trace"];
        assert_eq!(binding.operations(), operations);
        let methods = ["POST", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"];
        for (operation, method) in operations.into_iter().zip(methods) {
            let with_body = matches!(method, "POST" | "PUT" | "PATCH");
            let done = invoke(&binding, operation, b"{}", &[]).await.expect(operation);
            let request = server.requests().pop().expect("a request");
            assert_eq!((&*request.method, &*request.target), (method, "/base/"));
            assert_eq!(request.body, if with_body { &b"{}"[..] } else { b"" }, "{operation}");
            assert_eq!(done.data.as_deref(), Some(&*request.body), "{operation}");
            let json = "application/json; charset=utf-8";
            assert_eq!(request.header("content-type"), with_body.then_some(json), "{operation}");
            assert_eq!((request.header("accept"), request.header("x-token")), (Some(json), Some("hunter2")));
            assert_eq!((&*done.metadata["statusCode"], &*done.metadata["status"]), ("201", "201 Created"));
            assert_eq!((&*done.metadata["X-Many"], &*done.metadata["Content-Type"]), ("1, 2", "text/x"));
        }
        let metadata = [
            ("path", "/orders/7?full=1"),
            ("Content-Type", "text/plain"),
            ("X-Mine", "yes"),
            ("small", "no header"),
            ("traceparent", "00-trace"),
            ("Traceparent", "forged"),
        ];
        invoke(&binding, "POST", b"text", &metadata).await.expect("capitals are allowed");
        let request = server.requests().pop().expect("a request");
        assert_eq!(request.target, "/base/orders/7?full=1");
        let wanted = [("content-type", "text/plain"), ("x-mine", "yes"), ("traceparent", "00-trace")];
        for (name, value) in wanted {
            assert_eq!(request.header(name), Some(value), "{name}");
        }
        assert_eq!((request.header("small"), request.header("path")), (None, None));
    });
}

#[test]
fn a_status_without_success_is_an_error_unless_it_is_not() {
    run(async {
        let server = HttpServer::start(|_| Response::new(404, "nothing here").with("X-Why", "gone"));
        let strict = to(&server, &[]).await;
        let error = invoke(&strict, "get", b"", &[]).await.expect_err("404");
        assert_eq!(error.to_string(), "received status code 404");
        let BindingError::Status { code: 404, invoked } = error else { panic!("{error:?}") };
        assert_eq!(invoked.data.as_deref(), Some(&b"nothing here"[..]));
        assert_eq!(invoked.metadata["X-Why"], "gone");
        let relaxed = [("errorIfNot2XX", "false")];
        assert_eq!(
            invoke(&strict, "get", b"", &relaxed).await.expect("an answer").metadata["statusCode"],
            "404"
        );
        let lenient = to(&server, &relaxed).await;
        invoke(&lenient, "get", b"", &[]).await.expect("an answer");
        assert!(invoke(&lenient, "get", b"", &[("errorIfNot2XX", "true")]).await.is_err());
    });
}

#[test]
fn nothing_leads_to_another_origin() {
    run(async {
        let other = HttpServer::start(|_| Response::new(200, "hunter2"));
        let elsewhere = format!("http://{}/", other.address);
        let server = HttpServer::start(move |request| match &*request.target {
            "/base/away" => Response::new(302, "").with("Location", &elsewhere),
            "/base/here" => Response::new(302, "").with("Location", "/there"),
            _ => Response::new(200, request.target.clone()),
        });
        let binding = to(&server, &[]).await;
        let error = invoke(&binding, "get", b"", &[("path", "away")]).await.expect_err("another origin");
        assert!(error.to_string().contains("redirects to another origin"), "{error}");
        let done = invoke(&binding, "get", b"", &[("path", "here")]).await.expect("the same origin");
        assert_eq!(done.data.as_deref(), Some(&b"/there"[..]));
        let port = other.address.port();
        let paths = [format!("//127.0.0.1:{port}/"), format!("@127.0.0.1:{port}/"), "../../x".to_owned()];
        for path in paths {
            // Whatever the path says, it is a path.
            invoke(&binding, "get", b"", &[("path", &path)]).await.expect("an answer of the same server");
        }
        // A url without a path has no slash that would end the host.
        let bare = output("bindings.http", &[("url", &format!("http://{}", server.address))]).await;
        invoke(&bare, "get", b"", &[("path", &format!("@127.0.0.1:{port}/"))]).await.expect("a path");
        assert!(other.requests().is_empty(), "{:?}", other.requests());
    });
}

#[test]
fn what_goes_wrong_is_said() {
    run(async {
        let server = HttpServer::start(|_| Response::new(200, vec![b'x'; 2000]));
        let binding = to(&server, &[("maxResponseBodySize", "1Ki")]).await;
        let error = invoke(&binding, "get", b"", &[]).await.expect_err("too much");
        assert_eq!(error, BindingError::TooLarge { what: "the response", max: 1024 });
        for (operation, metadata, expected) in [
            ("connect", ("a", "b"), "invalid operation: connect; this binding has create, get"),
            ("", ("a", "b"), "invalid operation: ;"),
            ("get", ("X-Bad", "a\nb"), "the metadata's `X-Bad` is no header"),
            ("get", ("X Bad", "a"), "the metadata's `X Bad` is no header"),
        ] {
            let error = invoke(&binding, operation, b"", &[metadata]).await.expect_err(expected);
            assert!(error.to_string().contains(expected), "{error}");
        }
        let nobody = format!("http://127.0.0.1:{}/", sampan_testing::free_port());
        let binding = output("bindings.http", &[("url", &nobody)]).await;
        let error = invoke(&binding, "get", b"", &[]).await.expect_err("nobody listens");
        assert_eq!(error.to_string(), "the connection was refused");

        let silent = TcpServer::start(|mut stream| stream.read_to_end(&mut Vec::new()).map(drop));
        let url = format!("http://{}/", silent.address);
        let binding = output("bindings.http", &[("url", &url), ("responseTimeout", "100ms")]).await;
        let error = invoke(&binding, "get", b"", &[]).await.expect_err("no answer");
        assert!(error.to_string().contains("no response within 100ms"), "{error}");
    });
}
