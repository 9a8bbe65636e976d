//! A guestbook: a page with a form, and what people wrote in it, newest first. The entries lie in the
//! key-value store that the manifest grants, and this program reaches nothing else.

use std::time::{SystemTime, UNIX_EPOCH};
use self::wasi::keyvalue::store::{self, Bucket};
use wstd::http::{Body, Error, Method, Request, Response, StatusCode};

wit_bindgen::generate!({ path: "wit", world: "guestbook", generate_all });

const MAX_CHARS: usize = 500;
const SHOWN: usize = 50;

#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>, Error> {
    let store = store::open("default").map_err(|error| Error::msg(format!("{error:?}")))?;
    match request.method() {
        &Method::GET => page(&store),
        &Method::POST => {
            let form = request.body_mut().str_contents().await?.to_owned();
            sign(&store, form.as_bytes())
        }
        _ => respond(StatusCode::METHOD_NOT_ALLOWED, "only GET and POST\n".to_owned()),
    }
}

/// Keeps what the form says, and sends the browser back to the page.
fn sign(store: &Bucket, form: &[u8]) -> Result<Response<Body>, Error> {
    let field = |wanted: &str| {
        let found = form_urlencoded::parse(form).find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.trim().chars().take(MAX_CHARS).collect::<String>()).unwrap_or_default()
    };
    let (name, text) = (field("name"), field("text"));
    if text.is_empty() {
        return respond(StatusCode::BAD_REQUEST, "the field `text` is empty\n".to_owned());
    }
    let name = if name.is_empty() { "somebody".to_owned() } else { name };
    // Keys that sort by time; the newest is the last.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    store
        .set(&format!("guestbook/{now:032}"), format!("{name}\n{text}").as_bytes())
        .map_err(|error| Error::msg(format!("{error:?}")))?;
    let response = Response::builder().status(StatusCode::SEE_OTHER).header("location", "/guestbook");
    Ok(response.body(Body::empty())?)
}

fn page(store: &Bucket) -> Result<Response<Body>, Error> {
    let keys = keys(store)?;
    let mut entries = String::new();
    for key in keys.iter().rev().take(SHOWN) {
        let value = store.get(key).map_err(|error| Error::msg(format!("{error:?}")))?;
        let value = String::from_utf8(value.unwrap_or_default())?;
        let (name, text) = value.split_once('\n').unwrap_or(("", &value));
        entries.push_str(&format!("<li><b>{}</b> {}</li>\n", escaped(name), escaped(text)));
    }
    let html = include_str!("page.html")
        .replace("{count}", &keys.len().to_string())
        .replace("{entries}", &entries);
    let response = Response::builder().header("content-type", "text/html; charset=utf-8");
    Ok(response.body(Body::from(html))?)
}

/// The guestbook's keys in order.
fn keys(store: &Bucket) -> Result<Vec<String>, Error> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let some = store.list_keys(cursor.as_deref()).map_err(|error| Error::msg(format!("{error:?}")))?;
        keys.extend(some.keys.into_iter().filter(|key| key.starts_with("guestbook/")));
        cursor = some.cursor;
        if cursor.is_none() {
            keys.sort();
            return Ok(keys);
        }
    }
}

fn respond(status: StatusCode, text: String) -> Result<Response<Body>, Error> {
    Ok(Response::builder().status(status).body(Body::from(text))?)
}

/// Text that may stand in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
