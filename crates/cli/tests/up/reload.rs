//! Loading the manifests anew in a running process.

use crate::{App, component};
use sampan_testing::{allow_many_files, free_port, http_get, http_send};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

fn manifest(text: &str) -> String {
    format!(
        "[app]\nname = \"a\"\n[component.hello]\nsource = \"{}\"\nenv = {{ VERSION = \"{text}\" }}\n\
         [[route]]\npath = \"/hello\"\nto = \"hello\"\n\
         [[route]]\npath = \"/version\"\nto = \"redirect:/{text}\"\n",
        component("serve-hello").display()
    )
}

fn version(up: &crate::Up) -> String {
    up.get("/version").header("location").unwrap_or_default().to_owned()
}

#[test]
fn sighup_swaps_the_new_version_in() {
    let app = App::new(&manifest("one"));
    let mut up = app.up();
    assert_eq!(version(&up), "/one");
    app.write("sampan.toml", manifest("two"));
    up.signal("HUP");
    up.process.wait_for_error("loaded anew");
    assert_eq!(version(&up), "/two");
    assert_eq!(up.get("/hello").status, 200);
}

#[test]
fn a_bad_manifest_or_component_leaves_the_running_one() {
    let app = App::new(&manifest("one"));
    let mut up = app.up();
    app.write("sampan.toml", "[app");
    up.signal("HUP");
    up.process.wait_for_error("the running version goes on");
    assert_eq!(version(&up), "/one");
    app.write("bad.wasm", b"\0asm\x01\0\0\0\xff");
    app.write("sampan.toml", manifest("two") + "[component.bad]\nsource = \"bad.wasm\"\n");
    up.signal("HUP");
    up.process.wait_for_error("component bad");
    up.process.wait_for_error("the running version goes on");
    assert_eq!(version(&up), "/one");
    assert_eq!(up.get("/hello").status, 200);
}

#[test]
fn the_admin_listener_reloads_and_says_what_is_wrong() {
    let admin = format!("127.0.0.1:{}", free_port());
    let app = App::new(&manifest("one"));
    let up = app.up_with(&["--admin", &admin]);
    app.write("sampan.toml", manifest("two"));
    let done = http_send(&*admin, "POST", "/reload", &[("Host", &admin)], b"").unwrap();
    assert_eq!(done.status, 200, "{}", done.text());
    assert_eq!(version(&up), "/two");
    app.write("sampan.toml", "[app]\nnmae = 1");
    let refused = http_send(&*admin, "POST", "/reload", &[("Host", &admin)], b"").unwrap();
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("nmae"), "{}", refused.text());
    assert_eq!(version(&up), "/two");
}

#[test]
fn listeners_come_and_go() {
    let (first, second) = (free_port(), free_port());
    let listens = |ports: &[u16]| {
        let listens: String =
            ports.iter().map(|port| format!("[[listen]]\naddress = \"127.0.0.1:{port}\"\n")).collect();
        listens + &manifest("x")
    };
    let app = App::new(&listens(&[first]));
    let mut command = sampan_testing::sampan();
    command.arg("up").arg("-f").arg(app.path().join("sampan.toml"));
    let mut process = sampan_testing::Running::start(&mut command);
    process.wait_for_line("listening on");
    let get = |port: u16| http_get(("127.0.0.1", port), "/hello").map(|answer| answer.status);
    assert_eq!(get(first).unwrap(), 200);
    app.write("sampan.toml", listens(&[second]));
    let pid = process.child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-s", "HUP", &pid]).status().unwrap().success());
    process.wait_for_error("loaded anew");
    assert_eq!(get(second).unwrap(), 200);
    process.wait_for_error("closed 127.0.0.1");
    assert!(get(first).is_err());
}

/// Many versions, 64 clients: nobody notices.
#[test]
fn no_request_fails_while_versions_change() {
    const CLIENTS: usize = 64;
    const VERSIONS: usize = 40;
    allow_many_files();
    let app = App::new(&manifest("0"));
    let mut up = app.up();
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, answered, address) = (stop.clone(), answered.clone(), up.address.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let answer = http_get(address.as_str(), "/hello").expect("an answer");
                    assert_eq!((answer.status, answer.text().as_str()), (200, "Hello, world!\n"));
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for version in 1..=VERSIONS {
        app.write("sampan.toml", manifest(&version.to_string()));
        up.signal("HUP");
        up.process.wait_for_error("loaded anew");
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("a client without a failed request");
    }
    assert!(answered.load(Ordering::Relaxed) >= CLIENTS);
    assert_eq!(version(&up), format!("/{VERSIONS}"));
}
