//! Where messages of HTTP/1 begin and end, read as strictly as RFC 9112 allows, beside hyper's own reading.
//!
//! hyper resolves in silence what another server in the path may resolve otherwise: both lengths, a length
//! twice, a line that ends without a carriage return. Such requests are attempts at smuggling or broken, and
//! a handler could not see them. What hyper refuses itself is not looked at here.

/// Name and value of a header that matters fit in; longer lines are not looked into.
const LINE_MAX: usize = 64;

/// Empty lines before a request that are let through (RFC 9112, section 2.2 has one in mind).
const EMPTY_LINES_MAX: u8 = 2;

/// How far a message was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    /// Before or within the head; its lines.
    #[default]
    Head,
    /// So much of the body is to come.
    Body(u64),
    ChunkSize,
    /// So much of a chunk and its line end is to come.
    Chunk(u64),
    Trailers,
}

#[derive(Debug, Default)]
pub(crate) struct Framing {
    at: At,
    /// Lines of the head that have ended.
    lines: u32,
    empty_lines: u8,
    /// The beginning of the line that has not ended, and its last byte.
    line: Vec<u8>,
    /// How long that line is.
    line_len: usize,
    length: Option<u64>,
    chunked: bool,
}

/// Where the offence is.
type Checked = Result<(), usize>;

impl Framing {
    /// Nothing of the next message has come.
    pub fn between_messages(&self) -> bool {
        self.at == At::Head && self.lines == 0 && self.line_len == 0
    }

    /// Reads on. The bytes before an offence are in order.
    pub fn take(&mut self, bytes: &[u8]) -> Checked {
        let mut at = 0;
        while at < bytes.len() {
            at += match self.at {
                At::Body(left) | At::Chunk(left) => self.skip(left, bytes.len() - at),
                At::Head | At::ChunkSize | At::Trailers => {
                    let rest = &bytes[at..];
                    let Some(end) = memchr::memchr(b'\n', rest) else {
                        self.keep(rest);
                        return Ok(());
                    };
                    let line = &rest[..end];
                    let checked = if self.line_len == 0 {
                        self.line(line)
                    } else {
                        self.keep(line);
                        self.kept()
                    };
                    checked.map_err(|()| at + end)?;
                    end + 1
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, left: u64, available: usize) -> usize {
        let count = usize::try_from(left).map_or(available, |left| left.min(available));
        let left = left - count as u64;
        self.at = match self.at {
            At::Chunk(_) if left == 0 => At::ChunkSize,
            At::Chunk(_) => At::Chunk(left),
            _ if left == 0 => At::Head,
            _ => At::Body(left),
        };
        count
    }

    /// Keeps a part of a line; of a long one its beginning and its last byte.
    fn keep(&mut self, part: &[u8]) {
        let Some(last) = part.last() else { return };
        self.line_len += part.len();
        let room = LINE_MAX - self.line.len().min(LINE_MAX);
        self.line.extend_from_slice(&part[..part.len().min(room)]);
        if self.line_len > LINE_MAX {
            self.line.truncate(LINE_MAX);
            self.line.push(*last);
        }
    }

    /// The line that was kept has ended.
    fn kept(&mut self) -> Result<(), ()> {
        let line = std::mem::take(&mut self.line);
        self.line_len = 0;
        self.line(&line)
    }

    /// A line without its line feed. One that was kept may lack its middle, but is longer than [`LINE_MAX`] then.
    fn line(&mut self, line: &[u8]) -> Result<(), ()> {
        // A line feed alone ends no line.
        let Some((b'\r', line)) = line.split_last() else { return Err(()) };
        match self.at {
            At::Head if line.is_empty() => self.end_head()?,
            At::Head => {
                // Most headers are none of those that matter.
                if matches!(line[0], b'c' | b'C' | b't' | b'T') && self.lines > 0 {
                    self.header(line)?;
                }
                self.lines += 1;
            }
            At::ChunkSize => {
                let size = chunk_size(line).ok_or(())?;
                // With the line end after the data.
                self.at = if size == 0 { At::Trailers } else { At::Chunk(size.checked_add(2).ok_or(())?) };
            }
            At::Trailers if line.is_empty() => self.at = At::Head,
            At::Trailers | At::Body(_) | At::Chunk(_) => {}
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), ()> {
        if self.lines == 0 {
            self.empty_lines += 1;
            return if self.empty_lines > EMPTY_LINES_MAX { Err(()) } else { Ok(()) };
        }
        self.at = match self.length {
            _ if self.chunked => At::ChunkSize,
            Some(length) if length > 0 => At::Body(length),
            _ => At::Head,
        };
        self.lines = 0;
        self.empty_lines = 0;
        self.length = None;
        self.chunked = false;
        Ok(())
    }

    /// One of both lengths, and once.
    fn header(&mut self, line: &[u8]) -> Result<(), ()> {
        let Some(colon) = line.iter().take(LINE_MAX).position(|byte| *byte == b':') else { return Ok(()) };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            let again = self.length.is_some() || self.chunked;
            let number = decimal(value).filter(|_| line.len() < LINE_MAX && !again);
            self.length = Some(number.ok_or(())?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            // The one coding that we decode; others would reach the handler undecoded.
            let known = value.eq_ignore_ascii_case(b"chunked") && line.len() < LINE_MAX;
            if self.length.is_some() || self.chunked || !known {
                return Err(());
            }
            self.chunked = true;
        }
        Ok(())
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    // Nothing but digits: `+5` is not a length (RFC 9110, section 8.6).
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    str::from_utf8(digits).ok().filter(|_| plain)?.parse().ok()
}

/// `chunk-size [ chunk-ext ]` (RFC 9112, section 7.1). The line may have been cut within the extension.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    u64::from_str_radix(str::from_utf8(digits).ok().filter(|_| plain)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests, and the offset of the first offence.
    const TABLE: &[(&str, Option<usize>)] = &[
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", None),
        ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na\nbGET / HTTP/1.1\r\n\r\n", None),
        ("POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nGET / HTTP/1.1\r\n\r\n", None),
        (
            "POST / HTTP/1.1\r\ntransfer-encoding:chunked\r\n\r\n2\r\n\n\n\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            None,
        ),
        (
            "POST / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nsum: 1\r\n\r\n",
            None,
        ),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", Some(14)),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", Some(23)),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", Some(25)),
        ("\r\n\r\n\r\nGET", Some(5)),
        ("P / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n", Some(60)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n", Some(60)),
        ("P / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n", Some(51)),
        ("P / HTTP/1.1\r\nContent-Length: +1\r\n", Some(33)),
        ("P / HTTP/1.1\r\nContent-Length: 1, 1\r\n", Some(35)),
        ("P / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n", Some(51)),
        ("P / HTTP/1.1\r\nContent-Length:\r\n", Some(30)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", Some(47)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Some(69)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", Some(48)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", Some(47)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\n", Some(45)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", Some(45)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", Some(61)),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\n", Some(51)),
    ];

    #[test]
    fn offences_are_found_where_they_are() {
        for (text, offence) in TABLE {
            let found = Framing::default().take(text.as_bytes()).err();
            assert_eq!(found, *offence, "{text:?}");
        }
    }

    #[test]
    fn how_the_bytes_are_cut_makes_no_difference() {
        for (text, offence) in TABLE {
            let mut framing = Framing::default();
            let found = text.bytes().position(|byte| framing.take(&[byte]).is_err());
            assert_eq!(found, *offence, "{text:?}");
        }
    }

    #[test]
    fn knows_when_a_message_has_ended() {
        for (text, between) in [
            ("", true),
            ("G", false),
            ("GET / HTTP/1.1\r\n\r", false),
            ("GET / HTTP/1.1\r\n\r\n", true),
            ("P / HTTP/1.1\r\nContent-Length: 2\r\n\r\n1", false),
            ("P / HTTP/1.1\r\nContent-Length: 2\r\n\r\n12", true),
            ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12", false),
            ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n0\r\n", false),
            ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n12\r\n0\r\n\r\n", true),
        ] {
            let mut framing = Framing::default();
            framing.take(text.as_bytes()).unwrap();
            assert_eq!(framing.between_messages(), between, "{text:?}");
        }
    }
}
