//! A request, and what it asks for: its query, Docker's filters, its body.

use super::Api;
use super::answer::{Answered, Failure};
use crate::Container;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Of a body that is read whole.
const BODY_MAX_BYTES: usize = 4 << 20;
/// Pieces of a body that wait for whoever reads it.
const WAITING_MAX: usize = 16;

pub struct Call {
    pub api: Arc<Api>,
    /// Of the version that the client speaks: 47 of 1.47.
    pub minor: u32,
    pub query: Query,
    pub request: Request<Incoming>,
}

/// A request whose body is read.
pub struct Asked {
    pub api: Arc<Api>,
    pub minor: u32,
    pub query: Query,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Call {
    pub fn is(&self, method: &Method) -> bool {
        self.request.method() == method
    }

    /// HEAD is GET without a body.
    pub fn is_get(&self) -> bool {
        self.is(&Method::GET) || self.is(&Method::HEAD)
    }

    /// With its body, if that is small.
    pub async fn read(self) -> Result<Asked, Failure> {
        let (head, body) = self.request.into_parts();
        let body = read(body).await?;
        Ok(Asked { api: self.api, minor: self.minor, query: self.query, headers: head.headers, body })
    }

    /// Answers outside of tasks: what is asked of the disk may take a while.
    pub async fn blocking(self, answer: impl FnOnce(&Asked) -> Answered + Send + 'static) -> Answered {
        let asked = self.read().await?;
        outside(move || answer(&asked)).await
    }

    /// The same of one container.
    pub async fn of(
        self,
        name: &str,
        answer: impl FnOnce(&Asked, &Container) -> Answered + Send + 'static,
    ) -> Answered {
        let name = name.to_owned();
        self.blocking(move |asked| answer(asked, &asked.api.containers.find(&name)?)).await
    }
}

/// Calls what may take a while.
pub async fn outside<T: Send + 'static>(
    what: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let called = tokio::task::spawn_blocking(what).await;
    called.unwrap_or_else(|error| Err(Failure::internal(error.to_string())))
}

pub async fn read(body: Incoming) -> Result<Bytes, Failure> {
    let read = Limited::new(body, BODY_MAX_BYTES).collect().await;
    read.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            let what = format!("the body has more than {BODY_MAX_BYTES} bytes");
            Failure::new(StatusCode::PAYLOAD_TOO_LARGE, what)
        } else {
            Failure::bad(format!("the body breaks off: {error}"))
        }
    })
}

impl Asked {
    /// The body's JSON; what is `null` there is as if it were not there.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        json(&self.body)
    }
}

pub fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    let wrong = |error: serde_json::Error| Failure::bad(format!("invalid JSON: {error}"));
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    let mut value: Value = serde_json::from_slice(body).map_err(wrong)?;
    remove_nulls(&mut value);
    serde_json::from_value(value).map_err(wrong)
}

/// Text of JSON is nested 128 deep at most.
fn remove_nulls(value: &mut Value) {
    match value {
        Value::Object(all) => {
            all.retain(|_, value| !value.is_null());
            all.values_mut().for_each(remove_nulls);
        }
        Value::Array(all) => all.iter_mut().for_each(remove_nulls),
        _ => {}
    }
}

/// The words behind the question mark.
#[derive(Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    pub fn parse(text: &str) -> Self {
        Query(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// What was given, and is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).find(|value| !value.is_empty())
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// As Docker reads them (moby, `api/server/httputils/form.go`).
    pub fn flag(&self, name: &str) -> bool {
        let value = self.get(name).unwrap_or_default().trim().to_ascii_lowercase();
        !matches!(value.as_str(), "" | "0" | "no" | "false" | "none")
    }

    pub fn flag_or(&self, name: &str, default: bool) -> bool {
        if self.get(name).is_some() { self.flag(name) } else { default }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, Failure> {
        let number = |text: &str| text.parse().map_err(|_| wrong(name, text));
        self.get(name).map(number).transpose()
    }

    /// A time in seconds since 1970, with a fraction, or as RFC 3339 has it; 0 and less is none.
    pub fn time(&self, name: &str) -> Result<Option<chrono::DateTime<chrono::Utc>>, Failure> {
        let Some(text) = self.get(name) else { return Ok(None) };
        time(text).ok_or_else(|| wrong(name, text))
    }

    pub fn filters(&self, known: &[&str]) -> Result<Filters, Failure> {
        Filters::parse(self.get("filters").unwrap_or("{}"), known)
    }
}

fn wrong(name: &str, text: &str) -> Failure {
    Failure::bad(format!("invalid value for '{name}': {text:?}"))
}

/// `None`: it is no time. `Some(None)`: it is none.
fn time(text: &str) -> Option<Option<chrono::DateTime<chrono::Utc>>> {
    if let Ok(time) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(Some(time.to_utc()));
    }
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let seconds: i64 = seconds.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    if seconds <= 0 {
        return Some(None);
    }
    chrono::DateTime::from_timestamp(seconds, nanoseconds).map(Some)
}

/// What of a list is wanted. Values of one name are alternatives, and all names must fit.
#[derive(Debug, Default)]
pub struct Filters(BTreeMap<String, Vec<String>>);

impl Filters {
    /// Of `{"label":["a=b"]}`, or as it was before: `{"label":{"a=b":true}}`.
    fn parse(text: &str, known: &[&str]) -> Result<Self, Failure> {
        let value: Value =
            serde_json::from_str(text).map_err(|error| Failure::bad(format!("invalid filters: {error}")))?;
        let Value::Object(all) = value else { return Err(Failure::bad("invalid filters: no object")) };
        let mut filters = BTreeMap::new();
        for (name, values) in all {
            if !known.contains(&name.as_str()) {
                return Err(Failure::bad(format!("invalid filter '{name}'")));
            }
            let text = |value: &Value| match value {
                Value::String(text) => Some(text.clone()),
                _ => None,
            };
            let values: Option<Vec<String>> = match &values {
                Value::Array(list) => list.iter().map(text).collect(),
                Value::Object(map) => {
                    Some(map.iter().filter(|(_, on)| **on == true).map(|(key, _)| key.clone()).collect())
                }
                _ => None,
            };
            let values = values.ok_or_else(|| Failure::bad(format!("invalid filter '{name}'")))?;
            filters.insert(name, values);
        }
        Ok(Filters(filters))
    }

    pub fn values(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether there is no such filter, or one value that fits.
    pub fn any(&self, name: &str, fits: impl Fn(&str) -> bool) -> bool {
        let values = self.values(name);
        values.is_empty() || values.iter().any(|value| fits(value))
    }

    /// A filter that is on or off.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.values(name).first().map(|value| matches!(value.as_str(), "1" | "true" | "True" | "t"))
    }

    /// Labels must fit all together, those with `!` not at all.
    pub fn labels(&self, labels: &BTreeMap<String, String>) -> bool {
        let has = |wanted: &String| match wanted.split_once('=') {
            Some((key, value)) => labels.get(key).is_some_and(|found| found == value),
            None => labels.contains_key(wanted),
        };
        self.values("label").iter().all(has) && !self.values("label!").iter().any(has)
    }
}

/// A body that is read outside of tasks, while it comes.
pub struct Upload {
    pieces: Receiver<io::Result<Bytes>>,
    piece: Bytes,
    ended: bool,
}

impl Upload {
    pub fn of(body: Incoming) -> Self {
        let (sender, pieces) = channel(WAITING_MAX);
        tokio::spawn(feed(body, sender));
        Upload { pieces, piece: Bytes::new(), ended: false }
    }
}

/// Its end is an empty piece: one that does not come means that the client has left.
async fn feed(mut body: Incoming, to: Sender<io::Result<Bytes>>) {
    while let Some(frame) = body.frame().await {
        let piece = match frame {
            Ok(frame) => frame.into_data().unwrap_or_default(),
            Err(error) => return drop(to.send(Err(io::Error::other(error))).await),
        };
        if !piece.is_empty() && to.send(Ok(piece)).await.is_err() {
            return;
        }
    }
    // Who reads may have had enough.
    let _ = to.send(Ok(Bytes::new())).await;
}

impl Read for Upload {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() && !self.ended {
            let broken = || io::Error::new(io::ErrorKind::UnexpectedEof, "the client has left");
            self.piece = self.pieces.blocking_recv().ok_or_else(broken)??;
            self.ended = self.piece.is_empty();
        }
        let count = self.piece.len().min(to.len());
        to[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_in_both_forms() {
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        for (text, fits) in [
            (r#"{"label":["a=b"]}"#, true),
            (r#"{"label":{"a=b":true}}"#, true),
            (r#"{"label":["a"]}"#, true),
            (r#"{"label":["a","c"]}"#, false),
            (r#"{"label!":["a"]}"#, false),
            (r#"{"label":{"c":false}}"#, true),
            ("{}", true),
        ] {
            let filters = Filters::parse(text, &["label", "label!"]).unwrap();
            assert_eq!(filters.labels(&labels), fits, "{text}");
        }
        for text in ["", "[]", "1", r#"{"label":1}"#, r#"{"label":[1]}"#, r#"{"other":["x"]}"#] {
            assert!(Filters::parse(text, &["label"]).is_err(), "{text}");
        }
    }

    #[test]
    fn times() {
        let at = |text: &str| time(text).map(|time| time.map(|time| time.timestamp_nanos_opt().unwrap()));
        for (text, nanoseconds) in [
            ("1700000000", Some(Some(1_700_000_000_000_000_000))),
            ("1700000000.5", Some(Some(1_700_000_000_500_000_000))),
            ("1700000000.000000001", Some(Some(1_700_000_000_000_000_001))),
            ("2023-11-14T22:13:20Z", Some(Some(1_700_000_000_000_000_000))),
            ("0", Some(None)),
            ("-62135596800", Some(None)),
            ("soon", None),
            ("1.x", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(at(text), nanoseconds, "{text}");
        }
    }

    #[test]
    fn flags() {
        let query = Query::parse("a=1&b=false&c=&d=True&e=none");
        let flags = ["a", "b", "c", "d", "e", "f"].map(|name| query.flag(name));
        assert_eq!(flags, [true, false, false, true, false, false]);
    }
}
