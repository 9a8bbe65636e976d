//! The head of a CGI program's output (RFC 3875 §6): where it ends, and the response that it means.

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// A head may have so many bytes: more than any server sends on to clients.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// And so many headers.
const HEADERS_MAX: usize = 256;

/// What the program wrote before its output's body.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The body's length, where the program says it.
    pub length: Option<u64>,
}

/// Why the output is no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    #[error("it wrote nothing")]
    Nothing,
    #[error("its output ended within the headers")]
    Cut,
    #[error("its headers are longer than {} KiB", HEAD_BYTES_MAX >> 10)]
    TooLong,
    #[error("it wrote more than {HEADERS_MAX} headers")]
    TooMany,
    #[error("its line `{0}` is no header")]
    Line(String),
    #[error("its status `{0}` is none of HTTP's final ones")]
    Status(String),
    #[error("its Content-Length `{0}` is no length, or there is another one")]
    Length(String),
    #[error("its output has none of the headers Content-Type, Status and Location")]
    Insufficient,
}

impl HeadError {
    pub fn help(&self) -> &'static str {
        match self {
            HeadError::Nothing | HeadError::Cut => {
                "a CGI program writes headers, an empty line and the content to its standard output"
            }
            HeadError::Insufficient => "begin the output with `Content-Type: text/html` and an empty line",
            _ => "a line is `Name: value`; an empty line ends the headers",
        }
    }
}

/// The length of the head in `output`, the empty line included; `None` where it is not complete. Line ends
/// are LF or CRLF (§6.2 leaves it to the system; programs write both). `from` is how far an earlier call saw.
pub fn end(output: &[u8], from: usize) -> Option<usize> {
    // A line end may have begun before.
    let mut at = from.saturating_sub(2);
    while let Some(next) = output.get(at..)?.iter().position(|byte| *byte == b'\n') {
        let line_end = at + next;
        let before = &output[..line_end];
        let before = before.strip_suffix(b"\r").unwrap_or(before);
        if before.is_empty() || before.ends_with(b"\n") {
            return Some(line_end + 1);
        }
        at = line_end + 1;
    }
    None
}

/// Reads a complete head.
pub fn parse(head: &[u8]) -> Result<Head, HeadError> {
    let mut all = HeaderMap::new();
    let mut status = None;
    let mut length = None;
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let wrong = || HeadError::Line(shown(line));
        let colon = line.iter().position(|byte| *byte == b':').ok_or_else(wrong)?;
        let value = line[colon + 1..].trim_ascii();
        let name = HeaderName::from_bytes(line[..colon].trim_ascii_end()).map_err(|_| wrong())?;
        let value = HeaderValue::from_bytes(value).map_err(|_| wrong())?;
        if name == "status" {
            status = Some(parse_status(&value)?);
        } else if name == CONTENT_LENGTH {
            length = Some(parse_length(&value, length)?);
        } else if all.len() >= HEADERS_MAX {
            return Err(HeadError::TooMany);
        } else if !of_the_connection(&name) {
            all.append(name, value);
        }
    }
    // Spin's rule for WAGI. The RFC asks for a Content-Type with a body, but programs that answer with an
    // error leave it out (spinframework/spin, `crates/http/src/wagi/mod.rs`).
    if status.is_none() && !all.contains_key(CONTENT_TYPE) && !all.contains_key(LOCATION) {
        return Err(HeadError::Insufficient);
    }
    let usual = if all.contains_key(LOCATION) { StatusCode::FOUND } else { StatusCode::OK };
    Ok(Head { status: status.unwrap_or(usual), headers: all, length })
}

/// `404 Not Found`: the number counts. What is not final (100) or changes the protocol (101) is the server's.
fn parse_status(value: &HeaderValue) -> Result<StatusCode, HeadError> {
    let wrong = || HeadError::Status(shown(value.as_bytes()));
    let number = value.as_bytes().split(|byte| *byte == b' ').next().unwrap_or_default();
    let status = StatusCode::from_bytes(number).map_err(|_| wrong())?;
    if status.is_informational() { Err(wrong()) } else { Ok(status) }
}

fn parse_length(value: &HeaderValue, earlier: Option<u64>) -> Result<u64, HeadError> {
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length: Option<u64> = digits.and_then(|digits| digits.parse().ok());
    match (length, earlier) {
        (Some(length), None) => Ok(length),
        (Some(length), Some(earlier)) if length == earlier => Ok(length),
        _ => Err(HeadError::Length(shown(value.as_bytes()))),
    }
}

/// Headers that say how a message is sent: the server's own affair (RFC 9110 §7.6.1).
fn of_the_connection(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE].contains(name)
        || ["keep-alive", "proxy-connection"].contains(&name.as_str())
}

/// A line for a message: short, and on one line of the log.
fn shown(line: &[u8]) -> String {
    const SHOWN: usize = 80;
    let text = String::from_utf8_lossy(&line[..line.len().min(SHOWN)]);
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends() {
        for (output, head) in [
            ("A: b\n\nbody", Some("A: b\n\n")),
            ("A: b\r\n\r\nbody", Some("A: b\r\n\r\n")),
            ("A: b\r\n\nbody", Some("A: b\r\n\n")),
            ("\nbody", Some("\n")),
            ("\r\nbody", Some("\r\n")),
            ("A: b\nB: c\n", None),
            ("A: b\r\n\r", None),
            ("", None),
        ] {
            let expected = head.map(str::len);
            assert_eq!(end(output.as_bytes(), 0), expected, "{output:?}");
            // However the output comes in pieces.
            let mut seen = 0;
            let found = (0..=output.len()).find_map(|len| {
                let found = end(&output.as_bytes()[..len], seen);
                seen = len;
                found
            });
            assert_eq!(found, expected, "{output:?} byte by byte");
        }
    }

    #[test]
    fn responses() {
        let html = ("content-type", "text/html");
        for (head, status, headers, length) in [
            ("Content-Type: text/html\n\n", 200, &[html][..], None),
            ("content-type:text/html\r\nSTATUS: 404 Not Found\r\n\r\n", 404, &[html], None),
            ("Status: 204\n\n", 204, &[], None),
            ("Location: /there\n\n", 302, &[("location", "/there")], None),
            ("Status: 301\nLocation: http://x/\n\n", 301, &[("location", "http://x/")], None),
            ("Content-Type: text/html\nContent-Length: 12\n\n", 200, &[html], Some(12)),
            (
                "Content-Type: text/html\nTransfer-Encoding: chunked\nConnection: close\n\n",
                200,
                &[html],
                None,
            ),
            (
                "Content-Type: text/html\nSet-Cookie: a\nSet-Cookie: b\n\n",
                200,
                &[html, ("set-cookie", "a"), ("set-cookie", "b")],
                None,
            ),
        ] {
            let parsed = parse(head.as_bytes()).unwrap();
            let found: Vec<_> =
                parsed.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
            assert_eq!((parsed.status.as_u16(), &*found, parsed.length), (status, headers, length), "{head}");
        }
    }

    #[test]
    fn what_is_no_response() {
        let line = |text: &str| HeadError::Line(text.to_owned());
        for (head, error) in [
            ("\n", HeadError::Insufficient),
            ("X-Only: this\n\n", HeadError::Insufficient),
            ("<html>\n\n", line("<html>")),
            ("Bad Name: x\nContent-Type: a\n\n", line("Bad Name: x")),
            (": x\n\n", line(": x")),
            ("A: b\0c\n\n", line("A: b.c")),
            ("A: b\rc\n\n", line("A: b.c")),
            ("Status: 99\n\n", HeadError::Status("99".to_owned())),
            ("Status: 101 Switching\n\n", HeadError::Status("101 Switching".to_owned())),
            ("Status: ok\n\n", HeadError::Status("ok".to_owned())),
            ("Content-Length: -1\n\n", HeadError::Length("-1".to_owned())),
            ("Content-Length: 1\nContent-Length: 2\n\n", HeadError::Length("2".to_owned())),
        ] {
            assert_eq!(parse(head.as_bytes()), Err(error), "{head:?}");
        }
        let many = "X: y\n".repeat(HEADERS_MAX + 1);
        assert_eq!(parse(many.as_bytes()), Err(HeadError::TooMany));
    }
}
