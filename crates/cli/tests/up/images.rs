//! Code by reference: filters and components that lie in a registry.

use crate::{App, Up};
use sampan_testing::servers::{Nginx, REGISTRY_PASSWORD, REGISTRY_USER, Registry};
use sampan_testing::{Running, finish, free_port, http_send, sampan, skip, temp_dir};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// A filter that adds `hello: TEXT` to responses, in the text format; TEXT has three letters.
fn filter(text: &str) -> Vec<u8> {
    format!(
        r#"(module
        (import "env" "proxy_add_header_map_value"
            (func $add (param i32 i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "hello")
        (data (i32.const 16) "{text}")
        (func (export "proxy_abi_version_0_2_1"))
        (func (export "proxy_on_memory_allocate") (param i32) (result i32) i32.const 1024)
        (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
            (drop (call $add (i32.const 2) (i32.const 0) (i32.const 5) (i32.const 16) (i32.const 3)))
            i32.const 0))"#
    )
    .into_bytes()
}

/// A CGI program that answers with a text of three letters.
fn program(text: &str) -> Vec<u8> {
    format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 0) "\10\00\00\00\1f\00\00\00")
        (data (i32.const 16) "Content-Type: text/plain\0d\0a\0d\0a{text}")
        (func (export "_start")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#
    )
    .into_bytes()
}

fn manifest(image: &str) -> String {
    format!(
        "[app]\nname = \"a\"\n[filter.hello]\nimage = \"{image}\"\n\
         [[route]]\npath = \"/...\"\nto = \"static:public\"\nfilters = [\"hello\"]\n"
    )
}

fn app(manifest: &str) -> App {
    let app = App::new(manifest);
    app.write("public/index.html", "page");
    app
}

/// `sampan up` with a cache and a home of the app's own, so that nothing is kept from before.
fn command(app: &App) -> Command {
    let mut command = sampan();
    command.arg("up").arg("-f").arg(app.path().join("sampan.toml")).args(["--listen", "127.0.0.1:0"]);
    command.env("SAMPAN_CACHE_DIR", app.path().join("cache")).env("DOCKER_CONFIG", app.path().join("docker"));
    command
}

fn up(command: &mut Command) -> Up {
    let mut process = Running::start(command);
    let line = process.wait_for_line("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
    Up { process, address }
}

fn hello(up: &Up) -> String {
    let answer = up.get("/");
    assert_eq!(answer.status, 200);
    answer.header("hello").unwrap_or_default().to_owned()
}

#[test]
fn a_filter_is_updated_by_moving_its_tag() {
    let Some(mut registry) = Registry::start() else { return };
    let first = registry.push_wasm("f", "1", &filter("one"));
    let app = app(&manifest(&registry.reference("f:1")));
    let mut up = up(&mut command(&app));
    up.process.wait_for_error("pulling 127.0.0.1:");
    assert_eq!(hello(&up), "one");
    registry.push_wasm("f", "1", &filter("two"));
    assert_eq!(hello(&up), "one", "nobody has asked yet");
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(hello(&up), "two");

    // A version that cannot serve, and a registry that is gone, leave what serves.
    registry.push_wasm("f", "1", b"no wasm");
    up.signal("HUP");
    up.process.wait_for_error("filter hello");
    up.process.wait_for_error("the running version goes on");
    assert_eq!(hello(&up), "two");
    app.write("sampan.toml", manifest(&registry.reference(&format!("f@{first}"))));
    registry.kill();
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(hello(&up), "one", "a digest that is here needs no registry");
}

#[test]
fn a_start_without_the_registry_uses_what_the_tag_meant() {
    let Some(mut registry) = Registry::start() else { return };
    registry.push_wasm("f", "1", &filter("one"));
    let app = app(&manifest(&registry.reference("f:1")));
    assert_eq!(hello(&up(&mut command(&app))), "one");
    registry.kill();
    let mut up = up(&mut command(&app));
    up.process.wait_for_error("what the tag meant before is used: sha256:");
    assert_eq!(hello(&up), "one");
}

#[test]
fn the_admin_listener_takes_a_reference() {
    let Some(registry) = Registry::start() else { return };
    registry.push_wasm("f", "1", &filter("one"));
    registry.push_wasm("f", "2", &filter("two"));
    let app = app(&manifest(&registry.reference("f:1")));
    let admin = format!("127.0.0.1:{}", free_port());
    let up = up(command(&app).args(["--admin", &admin]));
    let put = |path: &str| http_send(&*admin, "PUT", path, &[("Host", &admin)], b"").unwrap();
    let two = registry.reference("f:2");
    let done = put(&format!("/filters/a/hello?image={two}"));
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(hello(&up), "two");
    let encoded = registry.reference("f:1").replace(':', "%3A").replace('/', "%2F");
    let done = put(&format!("/filters/a/hello/canary?share=50%25&image={encoded}"));
    assert_eq!(done.status, 200, "{}", done.text());
    let count = (0..10).filter(|_| hello(&up) == "one").count();
    assert_eq!(count, 5);

    let missing = put(&format!("/filters/a/hello?image={}", registry.reference("f:3")));
    assert_eq!(missing.status, 409, "{}", missing.text());
    assert!(
        missing.text().contains("no such image") && missing.text().contains("goes on"),
        "{}",
        missing.text()
    );
    let wrong = put("/filters/a/hello?image=F");
    assert_eq!(wrong.status, 400, "{}", wrong.text());
}

#[test]
fn a_component_by_image_with_credentials_of_a_helper() {
    let Some(registry) = Registry::start_closed() else { return };
    registry.push_wasm("api", "1", &program("yes"));
    let app = App::new(&format!(
        "[component.api]\nimage = \"{}\"\nkind = \"cgi\"\n[[route]]\npath = \"/\"\nto = \"api\"\n",
        registry.reference("api:1")
    ));
    let refused = finish(&mut command(&app), "");
    assert_eq!(refused.code, 1);
    for part in
        ["error: component api: image 127.0.0.1:", "401", "sampan.toml:2:9", "help: store credentials"]
    {
        assert!(refused.stderr.contains(part), "expected `{part}` in:\n{}", refused.stderr);
    }

    let helper = format!(
        "#!/bin/sh\n[ \"$1\" = get ] && [ \"$(cat)\" = 127.0.0.1:{} ] || exit 1\n\
         echo '{{\"ServerURL\":\"x\",\"Username\":\"{REGISTRY_USER}\",\"Secret\":\"{REGISTRY_PASSWORD}\"}}'\n",
        registry.port
    );
    app.write("bin/docker-credential-test", helper);
    let program = app.path().join("bin/docker-credential-test");
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
    app.write("docker/config.json", "{\"credsStore\": \"test\"}");
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", app.path().join("bin").display());
    let up = up(command(&app).env("PATH", path));
    assert_eq!(up.get("/").text(), "yes");
}

#[test]
fn all_that_cannot_be_had_is_said_at_once() {
    let closed = free_port();
    let app = app(&format!(
        "[component.api]\nimage = \"127.0.0.1:{closed}/a\"\n\
         [filter.f]\nimage = \"127.0.0.1:{closed}/f\"\ncanary = {{ image = \"127.0.0.1:{closed}/g\", share = \"5%\" }}\n\
         [[route]]\npath = \"/\"\nto = \"api\"\nfilters = [\"f\"]\n"
    ));
    let finished = finish(&mut command(&app), "");
    assert_eq!(finished.code, 1);
    for part in
        ["component api: image", "filter f: image", "the canary of filter f: image", "sampan.toml:5:20"]
    {
        assert!(finished.stderr.contains(part), "expected `{part}` in:\n{}", finished.stderr);
    }
}

#[test]
fn check_asks_no_registry() {
    let app = app(&manifest("registry.invalid/f:1"));
    let finished = finish(sampan().arg("check").current_dir(app.path()), "");
    assert_eq!((finished.code, finished.stderr.as_str()), (0, ""));
    app.write("sampan.toml", manifest("registry.invalid/F:1"));
    let finished = finish(sampan().arg("check").current_dir(app.path()), "");
    assert_eq!(finished.code, 1);
    assert!(finished.stderr.contains("upper-case") && finished.stderr.contains("^^^"), "{}", finished.stderr);
}

/// A certificate for 127.0.0.1 that is its own authority, and its key; `None` (after saying so) without openssl.
#[track_caller]
pub fn certificate() -> Option<[String; 2]> {
    let folder = temp_dir();
    let at = |name: &str| folder.path().join(name);
    // By default openssl makes an authority, which may not be a server too.
    let config = "[req]\ndistinguished_name = dn\nx509_extensions = v\nprompt = no\n[dn]\nCN = registry\n\
         [v]\nbasicConstraints = CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
    std::fs::write(at("config"), config).unwrap();
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-config"]);
    let made = openssl.arg(at("config")).arg("-keyout").arg(at("key")).arg("-out").arg(at("cert")).output();
    if !made.is_ok_and(|output| output.status.success()) {
        return skip("openssl is not installed");
    }
    Some(["cert", "key"].map(|name| std::fs::read_to_string(at(name)).unwrap()))
}

#[test]
fn a_registry_with_tls() {
    let (Some(registry), Some([cert, key])) = (Registry::start(), certificate()) else { return };
    registry.push_wasm("f", "1", &filter("one"));
    let http = format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate FOLDER/cert; ssl_certificate_key FOLDER/key;\n\
         location / {{ proxy_pass http://127.0.0.1:{}; }} }}",
        registry.port
    );
    let Some(front) = Nginx::start(&http, &[("cert", &cert), ("key", &key)]) else { return };
    // Another way to write this machine's address, for which TLS is asked for as for any other.
    let app = app(&manifest(&format!("127.1:{}/f:1", front.port)));
    let refused = finish(&mut command(&app), "");
    assert!(refused.stderr.contains("certificate"), "{}", refused.stderr);
    app.write("ca.pem", cert);
    let up = up(command(&app).env("SSL_CERT_FILE", app.path().join("ca.pem")));
    assert_eq!(hello(&up), "one");
}
