//! Apps of Spin from a registry, as `spin registry push` puts them there.

use crate::Place;
use crate::served::get;
use sampan_testing::oci::Artifact;
use sampan_testing::servers::Registry;
use sampan_testing::{Running, guest_for, http_send, spin_app};
use std::fs;

/// Runs an image in the background, and says at which port it is.
fn run(place: &Place, name: &str, image: &str, flags: &[&str]) -> u16 {
    place.ok(&[&["run", "-d", "--name", name, "-p", "127.0.0.1:0:80"], flags, &[image]].concat());
    let port = place.ok(&["port", name, "80"]);
    port.rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn files_and_code_are_where_the_app_says() {
    let Some(registry) = Registry::start() else { return };
    let wasm = fs::read(guest_for("wasm32-wasip2", "serve-p2")).unwrap();
    let large = "large ".repeat(100);
    let files = [("small.txt", b"small".as_slice()), ("folder/large.txt", large.as_bytes())];
    Artifact::spin(&wasm, &files).push(&registry, "spin/files", "1");
    let place = Place::new();
    let port = run(&place, "app", &registry.reference("spin/files:1"), &[]);
    assert_eq!(get(port, "/hello"), (200, "Hello, world!\n".to_owned()));
    assert_eq!(get(port, "/file?small.txt"), (200, "small".to_owned()));
    assert_eq!(get(port, "/file?folder/large.txt"), (200, large));
    assert_eq!(get(port, "/.well-known/spin/health"), (200, "OK".to_owned()));
    // What is not of the component's files is not there for it.
    assert_eq!(get(port, "/file?spin.toml").0, 404);
}

#[test]
fn variables_come_from_the_containers_environment_and_stores_are_there() {
    let (Some(registry), Some(app)) = (Registry::start(), spin_app("sdk-7")) else { return };
    let wasm = fs::read(app.join("target/wasm32-wasip2/release/sdk_7.wasm")).unwrap();
    Artifact::spin(&wasm, &[]).push(&registry, "spin/app", "1");
    let image = registry.reference("spin/app:1");
    let place = Place::new();
    for (name, flags, greeting) in [
        ("plain", &[][..], "hello"),
        ("bare", &["-e", "GREETING=good day"], "good day"),
        ("prefixed", &["-e", "SPIN_VARIABLE_GREETING=good night", "-e", "GREETING=x"], "good night"),
    ] {
        let port = run(&place, name, &image, flags);
        assert_eq!(get(port, "/variable"), (200, greeting.to_owned()), "{name}");
        assert_eq!(
            (get(port, "/count").1, get(port, "/count").1),
            ("1".to_owned(), "2".to_owned()),
            "{name}"
        );
    }

    // The same image by `sampan up`, with its stores in the folder where the user is.
    let folder = sampan_testing::temp_dir();
    let mut up = place.command(["up", "--listen", "127.0.0.1:0", "--admin", "off", &image]);
    let mut up = Running::start(up.current_dir(folder.path()));
    let line = up.wait_for_line("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/');
    let answer = http_send(address, "GET", "/variable", &[], b"").unwrap();
    assert_eq!((answer.status, answer.text()), (200, "hello".to_owned()));
}
