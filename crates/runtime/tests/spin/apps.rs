//! Apps of `examples/spin`: published SDKs, unmodified manifests, real servers.

use crate::serve::Served;
use sampan_testing::servers::{MariaDb, Postgres, Redis};
use sampan_testing::{HttpServer, Response, spin_app, spin_javascript_app, spin_python_app};
use std::path::PathBuf;

/// Each app and what it calls itself.
struct App {
    name: &'static str,
    says: &'static str,
    folder: fn(&str) -> Option<PathBuf>,
}

const RUST: [App; 5] = [
    App { name: "sdk-2", says: "spin-sdk 2.2", folder: spin_app },
    App { name: "sdk-3", says: "spin-sdk 3.1", folder: spin_app },
    App { name: "sdk-5", says: "spin-sdk 5.2", folder: spin_app },
    App { name: "sdk-6", says: "spin-sdk 6.0", folder: spin_app },
    App { name: "sdk-7", says: "spin-sdk 7.0", folder: spin_app },
];
const PYTHON: App = App { name: "python", says: "Python", folder: |_| spin_python_app() };
const JAVASCRIPT: App = App { name: "javascript", says: "JavaScript", folder: |_| spin_javascript_app() };

impl App {
    fn serve(&self, variables: &[(&str, String)]) -> Option<Served> {
        let manifest = (self.folder)(self.name)?.join("spin.toml");
        Some(Served::app(&manifest, variables).unwrap_or_else(|error| panic!("{}: {error}", self.name)))
    }

    /// Whether it is made with bindings of the component model's functions that are `async`.
    fn is_python(&self) -> bool {
        self.name == "python"
    }
}

/// What every app does, whatever its language.
fn answers(app: &App) {
    let server = HttpServer::start(|_| Response::new(202, "the answer"));
    let origin = format!("http://{}", server.address);
    let variables = [("greeting", "good day".to_owned()), ("origin", origin)];
    let Some(served) = app.serve(&variables) else { return };
    let name = app.name;

    let answer = served.get("/hello");
    assert_eq!((answer.status, answer.body), (200, format!("hello from {}\n", app.says)), "{name}");
    assert_eq!(answer.headers["content-type"], "text/plain", "{name}");
    let answer = served.get("/headers");
    assert_eq!(
        answer.body,
        "spin-base-path: /\nspin-client-addr: 192.0.2.7:5000\nspin-component-route: \n\
         spin-full-url: http://shop.example/headers\nspin-matched-route: /...\nspin-path-info: /headers\n\
         spin-raw-component-route: /...\n",
        "{name}"
    );
    let long = "0123456789".repeat(50_000);
    let answer = served.post("/echo", &long);
    assert_eq!((answer.status, answer.headers["x-method"].to_str().unwrap()), (201, "POST"), "{name}");
    assert!(answer.body == long, "{name}: {} bytes", answer.body.len());
    assert_eq!(served.get("/variable").body, "good day", "{name}");
    assert_eq!(served.get("/elsewhere").status, 404, "{name}");

    let answer = served.get("/outbound");
    assert!(answer.body.starts_with("202 the answer"), "{name}: {answer:?}");
    let request = &server.requests()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/outbound?x=1"), "{name}");
    assert_eq!(request.header("x-from"), Some("guest"), "{name}");
    assert_eq!(request.body, b"from the guest", "{name}");

    // The store keeps what one instance wrote for the next.
    for count in ["1", "2", "3"] {
        assert_eq!(served.get("/count").body, count, "{name}");
    }
}

#[test]
fn apps_of_all_sdks_answer() {
    for app in &RUST {
        answers(app);
    }
}

#[test]
fn an_app_in_python_answers() {
    answers(&PYTHON);
}

#[test]
fn an_app_in_javascript_answers() {
    answers(&JAVASCRIPT);
}

#[test]
fn a_manifest_of_version_1_serves() {
    let Some(folder) = spin_app("sdk-2") else { return };
    let variables = [("greeting", "good day".to_owned())];
    let served =
        Served::app(&folder.join("spin-1.toml"), &variables).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(served.get("/hello").body, "hello from spin-sdk 2.2\n");
    assert_eq!(served.get("/variable").body, "good day");
    assert_eq!(served.get("/count").body, "1");
}

#[test]
fn a_failing_handler_fails_its_request_alone() {
    for app in RUST.iter().chain([&PYTHON]) {
        let Some(served) = app.serve(&[]) else { return };
        // Where the SDK has no answer of its own, it returns an error code to the host.
        let expected = if matches!(app.name, "sdk-6" | "sdk-7") { 502 } else { 500 };
        assert_eq!(served.get("/fail").status, expected, "{}", app.name);
        assert_eq!(served.get("/hello").status, 200, "{}", app.name);
    }
}

#[test]
fn key_value_stores_are_reached_and_others_refused() {
    for app in RUST.iter().chain([&PYTHON]) {
        let Some(served) = app.serve(&[]) else { return };
        let expected = match app.is_python() {
            true => "b'one' True False Error_AccessDenied",
            false => "Some(\"one\") true false Some(Error::AccessDenied)",
        };
        assert_eq!(served.get("/key-value").body, expected, "{}", app.name);
    }
}

#[test]
fn what_is_absent_is_an_error_of_its_interface() {
    for app in RUST.iter().filter(|app| matches!(app.name, "sdk-5" | "sdk-7")) {
        let Some(served) = app.serve(&[]) else { return };
        let expected = "Some(Error::ModelNotSupported) Some(Error::ConnectionFailed(\"Sampan has no MQTT\"))";
        assert_eq!(served.get("/absent").body, expected, "{}", app.name);
    }
}

#[test]
fn sqlite_is_reached() {
    for app in RUST.iter().chain([&PYTHON]) {
        let Some(served) = app.serve(&[]) else { return };
        let expected = match app.name {
            "python" => "['name', 'age'] [['Splodge', 7]]",
            // These report what the last statement changed, too.
            "sdk-6" | "sdk-7" => "[\"name\", \"age\"] [(Some(\"Splodge\"), Some(7))] true 1 1",
            _ => "[\"name\", \"age\"] [(Some(\"Splodge\"), Some(7))] true",
        };
        assert_eq!(served.get("/sqlite").body, expected, "{}", app.name);
    }
}

#[test]
fn redis_is_reached_and_other_servers_are_refused() {
    let Some(redis) = Redis::start() else { return };
    for app in RUST.iter().chain([&PYTHON]) {
        let Some(served) = app.serve(&[("redis", redis.url())]) else { return };
        let expected = match app.is_python() {
            true => "b'one' 1",
            false => "Some(\"one\") 1 2 [\"x\", \"y\"] [RedisResult::Binary([104, 105])] true",
        };
        assert_eq!(served.get("/redis").body, expected, "{}", app.name);
    }
}

#[test]
fn mysql_is_reached_and_other_servers_are_refused() {
    let Some(mariadb) = MariaDb::start() else { return };
    for app in RUST.iter().chain([&PYTHON]) {
        let Some(served) = app.serve(&[("mysql", mariadb.url())]) else { return };
        let expected = match app.name {
            "python" => "[['Splodge', 7]]",
            "sdk-7" => "[(Some(\"Splodge\"), Some(7))] true true",
            _ => "[(\"Splodge\", 7)] true true",
        };
        assert_eq!(served.get("/mysql").body, expected, "{}", app.name);
    }
}

#[test]
fn postgres_is_reached_and_other_servers_are_refused() {
    let Some(postgres) = Postgres::start() else { return };
    for app in RUST.iter().chain([&PYTHON]) {
        let Some(served) = app.serve(&[("postgres", postgres.url())]) else { return };
        let expected = match app.name {
            "python" => "[['Splodge', 7]]",
            "sdk-6" | "sdk-7" => "1 [(Some(\"Splodge\"), Some(7))] true true",
            _ => "1 [(\"Splodge\", 7)] true true",
        };
        assert_eq!(served.get("/postgres").body, expected, "{}", app.name);
    }
}
