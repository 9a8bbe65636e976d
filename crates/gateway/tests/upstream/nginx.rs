//! A real web server behind the proxy.

use crate::{Proxy, parts, spec};
use sampan_testing::servers::Nginx;
use std::net::SocketAddr;

#[test]
fn nginx_behind_the_proxy() {
    let config =
        "server { listen 127.0.0.1:PORT; root FOLDER; gzip on; gzip_types text/plain; gzip_min_length 1;
        location /echo { return 200 '$request_method $http_x_forwarded_for $http_host $args'; }
        location /moved { return 302 /echo; }
        location /none { return 204; } }";
    let text = "0123456789".repeat(100_000);
    let files = [("big.txt", text.as_str()), ("small.txt", "hello")];
    let Some(mut nginx) = Nginx::start(config, &files) else { return };
    let proxy = Proxy::start(spec(&[SocketAddr::from(([127, 0, 0, 1], nginx.port))]));
    assert_eq!(parts(&proxy.get("/small.txt")), ("200", "hello"));
    let echo = proxy.get("/echo?a=b");
    assert_eq!(parts(&echo), ("200", "GET 127.0.0.1 shop.example a=b"), "{echo}");
    assert!(echo.contains("server: nginx"), "{echo}");
    assert_eq!(parts(&proxy.get("/big.txt")), ("200", text.as_str()));
    assert_eq!(parts(&proxy.get("/missing")).0, "404");
    assert_eq!(parts(&proxy.get("/none")), ("204", ""));
    assert!(proxy.get("/moved").contains("location: http"));
    let ask = |more: &str, path: &str| {
        proxy.ask(&format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n{more}\r\n"))
    };
    assert_eq!(parts(&ask("range: bytes=10-14\r\n", "/big.txt")), ("206", "01234"));
    let chunked = ask("accept-encoding: gzip\r\n", "/big.txt");
    assert!(chunked.contains("content-encoding: gzip") && chunked.contains("transfer-encoding: chunked"));
    // It crashes with connections open, and comes back.
    nginx.kill();
    assert_eq!(parts(&proxy.get("/small.txt")).0, "502");
    nginx.restart();
    assert_eq!(parts(&proxy.get("/small.txt")), ("200", "hello"));
}
