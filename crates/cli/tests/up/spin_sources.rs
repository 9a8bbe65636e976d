//! Apps of Spin whose code does not lie beside the manifest: files of the web, and packages of registries.

use crate::{Up, component};
use sampan_testing::servers::{Nginx, Registry, sha256};
use sampan_testing::{HttpServer, Response, Running, finish, free_port, guest, sampan, temp_dir};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A CGI program that says yes.
const PROGRAM: &str = "(module
    (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export \"memory\") 1)
    (data (i32.const 0) \"\\10\\00\\00\\00\\1f\\00\\00\\00\")
    (data (i32.const 16) \"Content-Type: text/plain\\0d\\0a\\0d\\0ayes\")
    (func (export \"_start\")
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))";

/// A folder with an app of one component that answers every request.
pub struct App(TempDir);

impl App {
    pub fn new(source: &str) -> App {
        let app = App(temp_dir());
        app.write("spin.toml", manifest(source, ""));
        app
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// `sampan VERB` with a cache and a configuration of the app's own, so that nothing is known from before.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = sampan();
        command.arg(verb).arg("-f").arg(self.path().join("spin.toml"));
        command.env("SAMPAN_CACHE_DIR", self.path().join("cache"));
        command.env("XDG_CONFIG_HOME", self.path().join("config"));
        command
    }

    pub fn up(&self, flags: &[&str]) -> Up {
        start(self.command("up").args(flags))
    }

    /// The errors of an `up` that does not come to serve.
    #[track_caller]
    pub fn refused(&self) -> String {
        let finished = finish(self.command("up").args(["--listen", "127.0.0.1:0"]), "");
        assert_eq!(finished.code, 1, "{}", finished.stderr);
        finished.stderr
    }
}

fn start(command: &mut Command) -> Up {
    let mut process = Running::start(command.args(["--listen", "127.0.0.1:0"]));
    let line = process.wait_for_line("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
    Up { process, address }
}

pub fn manifest(source: &str, more: &str) -> String {
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"a\"\n[[trigger.http]]\nroute = \"/...\"\n\
         component = \"ui\"\n[component.ui]\nsource = {source}\n{more}"
    )
}

/// The same manifest, but for a program of CGI.
fn wagi(manifest: &str) -> String {
    manifest.replace("\"/...\"\n", "\"/...\"\nexecutor = { type = \"wagi\" }\n")
}

pub fn by_url(url: &str, wasm: &[u8]) -> String {
    format!("{{ url = \"{url}\", digest = \"{}\" }}", sha256(wasm))
}

#[test]
fn a_component_by_url_serves() {
    let wasm = std::fs::read(component("serve-hello")).unwrap();
    // As GitHub has releases: the first host sends on to another one.
    let content = wasm.clone();
    let files = HttpServer::start(move |_| Response::new(200, content.clone()));
    let to = format!("http://{}/storage/ui", files.address);
    let releases = HttpServer::start(move |_| Response::new(302, "").with("Location", &to));
    let url = format!("http://{}/releases/v1/ui.wasm", releases.address);
    let app = App::new(&by_url(&url, &wasm));
    let mut up = app.up(&[]);
    up.process.wait_for_error(&format!("fetching {url} ("));
    assert_eq!(up.get("/").text(), "Hello, world!\n");

    // A new version is fetched when the manifest names it; one that cannot be had leaves what serves.
    let second = std::fs::read(component("serve-p2")).unwrap();
    app.write("spin.toml", manifest(&by_url(&url, &second), ""));
    up.signal("HUP");
    up.process.wait_for_error("component ui: http://");
    up.process.wait_for_error("the running version goes on");
    assert_eq!(up.get("/").text(), "Hello, world!\n");
    let files = HttpServer::start(move |_| Response::new(200, second.clone()));
    let url = format!("http://{}/ui.wasm", files.address);
    let second = std::fs::read(component("serve-p2")).unwrap();
    app.write("spin.toml", manifest(&by_url(&url, &second), ""));
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(up.get("/count").text(), "1");
}

#[test]
fn what_was_fetched_needs_no_server() {
    let server = "server { listen 127.0.0.1:PORT; root FOLDER; }";
    let Some(mut nginx) = Nginx::start(server, &[("ui.wasm", PROGRAM)]) else { return };
    let source = by_url(&format!("http://127.0.0.1:{}/ui.wasm", nginx.port), PROGRAM.as_bytes());
    // The first version of the manifest knows such sources too.
    let app = App::new("");
    app.write(
        "spin.toml",
        format!(
            "spin_manifest_version = \"1\"\nname = \"a\"\ntrigger = {{ type = \"http\" }}\n[[component]]\nid = \"ui\"\n\
             source = {source}\n[component.trigger]\nroute = \"/...\"\nexecutor = {{ type = \"wagi\" }}\n"
        ),
    );
    assert_eq!(app.up(&[]).get("/").text(), "yes");
    nginx.kill();
    assert_eq!(app.up(&[]).get("/").text(), "yes");
    // Another cache has nothing.
    std::fs::remove_dir_all(app.path().join("cache")).unwrap();
    let refused = app.refused();
    assert!(refused.contains("does not answer") && refused.contains("spin.toml:6:10"), "{refused}");
}

#[test]
fn tls_is_spoken_with_whom_this_machine_trusts() {
    let Some([cert, key]) = crate::images::certificate() else { return };
    let server = "server { listen 127.0.0.1:PORT ssl; ssl_certificate FOLDER/cert; ssl_certificate_key FOLDER/key; \
        root FOLDER; }";
    let files = [("cert", &*cert), ("key", &*key), ("ui.wasm", PROGRAM)];
    let Some(nginx) = Nginx::start(server, &files) else { return };
    let source = by_url(&format!("https://127.0.0.1:{}/ui.wasm", nginx.port), PROGRAM.as_bytes());
    let app = App::new("");
    app.write("spin.toml", wagi(&manifest(&source, "")));
    assert!(app.refused().contains("certificate"), "{}", app.refused());
    app.write("ca.pem", cert);
    let up = start(app.command("up").env("SSL_CERT_FILE", app.path().join("ca.pem")));
    assert_eq!(up.get("/").text(), "yes");
}

#[test]
fn what_is_not_what_the_manifest_names_is_refused() {
    let server = HttpServer::start(|request| match &*request.target {
        "/ui.wasm" => Response::new(200, "(component)"),
        _ => Response::new(404, ""),
    });
    let at = |path: &str| format!("http://{}{path}", server.address);
    let app = App::new(&by_url(&at("/ui.wasm"), b"(module)"));
    let refused = app.refused();
    for part in [
        &format!("error: component ui: {}: it is not what its digest says: sha256:", at("/ui.wasm")),
        "spin.toml:8:10",
        "^^^",
        "help: check who made the file",
    ] {
        assert!(refused.contains(part), "expected `{part}` in:\n{refused}");
    }
    app.write("spin.toml", manifest(&by_url(&at("/other.wasm"), b"(module)"), ""));
    assert!(app.refused().contains("answers with 404"), "{}", app.refused());
}

#[test]
fn check_asks_nobody() {
    for source in [
        by_url("https://nowhere.invalid/ui.wasm", b"(module)"),
        "{ registry = \"nowhere.invalid\", package = \"acme:ui\", version = \"1.0.0\" }".to_owned(),
    ] {
        let finished = finish(&mut App::new(&source).command("check"), "");
        assert_eq!((finished.code, finished.stderr.as_str()), (0, ""), "{source}");
    }
    let finished =
        finish(&mut App::new("{ url = \"https://nowhere.invalid/ui.wasm\" }").command("check"), "");
    assert!(finished.code == 1 && finished.stderr.contains("has no `digest`"), "{}", finished.stderr);
}

#[test]
fn a_package_of_a_registry_serves() {
    let Some(registry) = Registry::start() else { return };
    let metadata = format!(
        "{{\"oci\": {{\"registry\": \"127.0.0.1:{}\", \"namespacePrefix\": \"wasm/\"}}}}",
        registry.port
    );
    let server = "server { listen 127.0.0.1:PORT; location /.well-known/wasm-pkg/ { alias FOLDER/; } }";
    let Some(front) = Nginx::start(server, &[("registry.json", &metadata)]) else { return };
    registry.push_wasm("wasm/acme/ui", "1.2.0", &std::fs::read(component("serve-hello")).unwrap());
    let host = format!("127.0.0.1:{}", front.port);
    let source = format!("{{ registry = \"{host}\", package = \"acme:ui\", version = \"1.2.0\" }}");
    let app = App::new(&source);
    let mut up = app.up(&[]);
    up.process.wait_for_error(&format!("pulling 127.0.0.1:{}/wasm/acme/ui:1.2.0 (", registry.port));
    assert_eq!(up.get("/").text(), "Hello, world!\n");

    // Where the manifest names no registry, wkg's configuration does.
    app.write("spin.toml", manifest("{ package = \"acme:ui\", version = \"1.2.0\" }", ""));
    let refused = app.refused();
    assert!(refused.contains("component ui: package acme:ui@1.2.0: no registry is known"), "{refused}");
    app.write("config/wasm-pkg/config.toml", format!("default_registry = \"{host}\""));
    assert_eq!(app.up(&[]).get("/").text(), "Hello, world!\n");

    app.write("spin.toml", manifest("{ package = \"acme:ui\", version = \"1.3.0\" }", ""));
    let refused = app.refused();
    for part in ["/wasm/acme/ui:1.3.0: ", "no such image", "spin.toml:8:10"] {
        assert!(refused.contains(part), "expected `{part}` in:\n{refused}");
    }
    let nobody = format!("127.0.0.1:{}", free_port());
    let source = format!("{{ registry = \"{nobody}\", package = \"acme:ui\", version = \"1.2.0\" }}");
    app.write("spin.toml", manifest(&source, ""));
    assert!(app.refused().contains(&format!("{nobody} does not answer")), "{}", app.refused());
}

#[test]
fn a_build_makes_the_files_of_code_from_elsewhere() {
    let wasm = std::fs::read(guest("cgi")).unwrap();
    let content = wasm.clone();
    let server = HttpServer::start(move |_| Response::new(200, content.clone()));
    let source = by_url(&format!("http://{}/cgi.wasm", server.address), &wasm);
    let more = "files = [{ source = \"dist\", destination = \"/data\" }]\n\
        [component.ui.build]\ncommand = \"mkdir -p dist && touch dist/$(cat name.txt)\"\nwatch = [\"name.txt\"]\n";
    let app = App::new(&source);
    app.write("spin.toml", wagi(&manifest(&source, more)));
    app.write("name.txt", "one");
    app.write("dist/zero", "");
    let built = finish(&mut app.command("build"), "");
    assert!(built.code == 0 && built.stderr.contains("built 1 component"), "{}", built.stderr);
    let mut up = app.up(&["--watch"]);
    let files = |up: &Up| {
        let mut names: Vec<String> = up.get("/files").text().lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(files(&up), ["one", "zero"]);
    app.write("name.txt", "two");
    up.process.wait_for_error("building ui");
    up.process.wait_for_error("loaded anew");
    assert_eq!(files(&up), ["one", "two", "zero"]);
    assert_eq!(server.requests().len(), 1);
}
