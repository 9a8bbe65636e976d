//! A headless Chromium, driven by Debian's ChromeDriver over the protocol of W3C's WebDriver.

use crate::{PATIENCE, Running, http_send, skip, temp_dir};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// How long a look-up of an element waits for it to appear.
const IMPLICIT_WAIT_MS: u64 = 30_000;
/// The key under which WebDriver returns an element (WebDriver §12.1).
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One window. Chromium ends when it is dropped.
pub struct Browser {
    address: String,
    session: String,
    _driver: Running,
    _profile: TempDir,
}

/// An element of the page that is shown.
pub struct Element(String);

/// Clicks the first, unless the second is there; whether the second is there within five seconds.
const CLICK: &str = "const [selector, effect] = arguments; \
     const there = () => document.querySelector(effect) !== null; \
     if (!there()) document.querySelector(selector)?.click(); \
     return new Promise(done => { \
         let left = 50; \
         const look = () => there() || --left === 0 ? done(there()) : setTimeout(look, 100); \
         look(); \
     });";

impl Browser {
    /// `None` where Chromium or its driver is not installed.
    #[track_caller]
    pub fn start() -> Option<Browser> {
        for program in ["/usr/bin/chromium", "/usr/bin/chromedriver"] {
            if !std::path::Path::new(program).exists() {
                return skip(&format!("{program} is not installed (Debian's chromium and chromium-driver)"));
            }
        }
        let profile = temp_dir();
        let mut driver = Running::start(Command::new("/usr/bin/chromedriver").arg("--port=0"));
        let line = driver.wait_for_line("started successfully on port");
        let digits = |c: char| !c.is_ascii_digit();
        let port = line.rsplit(digits).find(|part| !part.is_empty()).expect("a port in ChromeDriver's line");
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--window-size=1280,1024",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "timeouts": {"implicit": IMPLICIT_WAIT_MS, "pageLoad": 120_000, "script": 120_000},
            "unhandledPromptBehavior": "accept",
            "goog:chromeOptions": {"binary": "/usr/bin/chromium", "args": arguments},
        }}});
        let address = format!("127.0.0.1:{port}");
        let mut browser = Browser { address, session: String::new(), _driver: driver, _profile: profile };
        let session = browser.command("POST", "/session", &wanted);
        browser.session = text(&session["sessionId"]);
        Some(browser)
    }

    /// Loads a page and waits until it is loaded.
    #[track_caller]
    pub fn go(&self, url: &str) {
        self.call("POST", "/url", &json!({"url": url}));
    }

    pub fn title(&self) -> String {
        text(&self.call("GET", "/title", &Value::Null))
    }

    pub fn url(&self) -> String {
        text(&self.call("GET", "/url", &Value::Null))
    }

    /// The first element that the CSS selector finds; waits for it to appear.
    #[track_caller]
    pub fn find(&self, selector: &str) -> Element {
        let found = self.call("POST", "/element", &json!({"using": "css selector", "value": selector}));
        Element(text(&found[ELEMENT]))
    }

    #[track_caller]
    pub fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.call("POST", &format!("/element/{}/click", element.0), &json!({}));
    }

    /// Clicks an element, and again while that shows no effect, as a person does: until `effect` is there. While a
    /// page saves or loads, its buttons do nothing.
    #[track_caller]
    pub fn click_until(&self, selector: &str, effect: &str) {
        let deadline = Instant::now() + 2 * PATIENCE;
        let click = json!({"script": CLICK, "args": [selector, effect]});
        while Instant::now() < deadline {
            if self.call("POST", "/execute/sync", &click) == true {
                return;
            }
        }
        panic!("clicking {selector} does not show {effect}");
    }

    /// Types into an element, as a person does.
    #[track_caller]
    pub fn type_into(&self, selector: &str, keys: &str) {
        let element = self.find(selector);
        self.call("POST", &format!("/element/{}/value", element.0), &json!({"text": keys}));
    }

    /// The text that a person sees of an element.
    #[track_caller]
    pub fn text(&self, selector: &str) -> String {
        let element = self.find(selector);
        text(&self.call("GET", &format!("/element/{}/text", element.0), &Value::Null))
    }

    /// Waits until an element shows this text, and returns all that it shows: after a click, the page before may
    /// still be there for a moment.
    #[track_caller]
    pub fn wait_for(&self, selector: &str, part: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let find = json!({"using": "css selector", "value": selector});
        let mut last = "nothing yet".to_owned();
        while Instant::now() < deadline {
            // The page may change between the two commands.
            let shown = self.try_call("POST", "/element", &find).and_then(|found| {
                let path = format!("/element/{}/text", text(&found[ELEMENT]));
                self.try_call("GET", &path, &Value::Null)
            });
            match shown {
                Ok(shown) if text(&shown).contains(part) => return text(&shown),
                Ok(shown) => last = text(&shown),
                Err(error) => last = error,
            }
        }
        panic!("{selector} does not show `{part}`; last seen: {last}");
    }

    /// Runs JavaScript in the page and returns what it returns; a promise is awaited.
    #[track_caller]
    pub fn run(&self, script: &str) -> Value {
        self.call("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// What follows concerns a frame of the page; `None` returns to the page itself.
    #[track_caller]
    pub fn frame(&self, selector: Option<&str>) {
        let id = match selector {
            Some(selector) => json!({ELEMENT: self.find(selector).0}),
            None => Value::Null,
        };
        self.call("POST", "/frame", &json!({"id": id}));
    }

    #[track_caller]
    fn call(&self, method: &str, path: &str, body: &Value) -> Value {
        self.command(method, &format!("/session/{}{path}", self.session), body)
    }

    fn try_call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        self.try_command(method, &format!("/session/{}{path}", self.session), body)
    }

    #[track_caller]
    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        self.try_command(method, path, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    fn try_command(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let headers = [("Host", self.address.as_str()), ("Content-Type", "application/json")];
        let response = http_send(self.address.as_str(), method, path, &headers, &body);
        let response = response.map_err(|error| format!("ChromeDriver: {error}"))?;
        let mut answer: Value =
            serde_json::from_slice(&response.body).map_err(|error| format!("ChromeDriver: {error}"))?;
        match response.status {
            200 => Ok(answer["value"].take()),
            _ => Err(answer["value"]["message"].to_string()),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends Chromium itself; ChromeDriver is killed afterwards.
        let path = format!("/session/{}", self.session);
        let _ = http_send(self.address.as_str(), "DELETE", &path, &[("Host", &self.address)], b"");
    }
}

#[track_caller]
fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("not a text: {value}")).to_owned()
}
