//! The path of a request, before anything is matched: what is refused, and how a segment is read.
//!
//! Paths are compared segment by segment, each decoded on its own: an encoded slash is a character of its
//! segment and never splits it (RFC 3986, section 2.2).

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// Why a path is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// `*`, or the authority of CONNECT.
    NotAbsolute,
    /// A `%` without two hexadecimal digits.
    Encoding,
    /// `.` or `..`, also encoded. Clients resolve them before they send (RFC 3986, section 5.2.4). One that
    /// did not wants to be taken for a path that it is not, and a guest that resolves it behind a route would
    /// answer for another route's path: so they are refused, not resolved.
    DotSegment,
    /// `%00`, which ends a name for many who read it.
    Nul,
}

impl BadPath {
    pub fn explain(self) -> &'static str {
        match self {
            BadPath::NotAbsolute => "the request's target is no path\n",
            BadPath::Encoding => "the path has a % without two hexadecimal digits\n",
            BadPath::DotSegment => "the path has a segment . or ..\n",
            BadPath::Nul => "the path has a zero byte\n",
        }
    }
}

/// Refuses what no route may see. Most paths need a glance only.
pub fn check(path: &str) -> Result<(), BadPath> {
    let segments = path.strip_prefix('/').ok_or(BadPath::NotAbsolute)?;
    let encoded = path.contains('%');
    if !encoded && !path.contains("/.") {
        return Ok(());
    }
    for raw in segments.split('/') {
        if encoded {
            check_encoding(raw.as_bytes())?;
        }
        if matches!(&*decode(raw), b"." | b"..") {
            return Err(BadPath::DotSegment);
        }
    }
    Ok(())
}

fn check_encoding(raw: &[u8]) -> Result<(), BadPath> {
    for (at, _) in raw.iter().enumerate().filter(|(_, byte)| **byte == b'%') {
        match raw.get(at + 1..at + 3) {
            Some(b"00") => return Err(BadPath::Nul),
            Some(digits) if digits.iter().all(u8::is_ascii_hexdigit) => {}
            _ => return Err(BadPath::Encoding),
        }
    }
    Ok(())
}

/// The bytes that a segment stands for.
pub fn decode(raw: &str) -> Cow<'_, [u8]> {
    if raw.contains('%') { percent_decode_str(raw).into() } else { Cow::Borrowed(raw.as_bytes()) }
}

/// The text that a segment stands for. One whose bytes are not UTF-8 stays as it was sent: it can still be
/// the value of a name or below a wildcard.
pub fn segment(raw: &str) -> Cow<'_, str> {
    if !raw.contains('%') {
        return Cow::Borrowed(raw);
    }
    percent_decode_str(raw).decode_utf8().unwrap_or(Cow::Borrowed(raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_no_route_may_see() {
        let table = [
            ("/", Ok(())),
            ("/a//b/", Ok(())),
            ("/a.b/.c/..d/e..", Ok(())),
            ("/a%2Fb/%C3%A9/%ff", Ok(())),
            ("*", Err(BadPath::NotAbsolute)),
            ("", Err(BadPath::NotAbsolute)),
            ("/..", Err(BadPath::DotSegment)),
            ("/a/../b", Err(BadPath::DotSegment)),
            ("/a/./b", Err(BadPath::DotSegment)),
            ("/a/%2e%2e/b", Err(BadPath::DotSegment)),
            ("/a/%2E./b", Err(BadPath::DotSegment)),
            ("/a/.%2e", Err(BadPath::DotSegment)),
            ("/%00", Err(BadPath::Nul)),
            ("/a.txt%00.png", Err(BadPath::Nul)),
            ("/%", Err(BadPath::Encoding)),
            ("/%4", Err(BadPath::Encoding)),
            ("/%4/1", Err(BadPath::Encoding)),
            ("/%zz", Err(BadPath::Encoding)),
            ("/%u0041", Err(BadPath::Encoding)),
        ];
        for (path, expected) in table {
            assert_eq!(check(path), expected, "{path}");
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        let table =
            [("a", "a"), ("%61", "a"), ("a%2Fb", "a/b"), ("%2561", "%61"), ("%C3%A9", "é"), ("%ff", "%ff")];
        for (raw, text) in table {
            assert_eq!(segment(raw), text, "{raw}");
        }
    }
}
