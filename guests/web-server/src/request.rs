//! The head of an HTTP/1 request, as far as a server of files needs it.

pub struct Request {
    pub method: String,
    /// As sent, with the query.
    pub target: String,
    pub keep_alive: bool,
    /// Of the head, in bytes.
    pub length: usize,
}

pub enum Parsed {
    Partial,
    Wrong,
    Complete(Request),
}

impl Request {
    pub fn line(&self) -> String {
        format!("{} {}", self.method.escape_debug(), self.target.escape_debug())
    }

    /// The names on the way to the file, decoded; `None` if the path is malformed, or leads up.
    pub fn path(&self) -> Option<Vec<String>> {
        let path = self.target.split(['?', '#']).next()?.strip_prefix('/')?;
        let parts = path.split('/').filter(|part| !part.is_empty()).map(decode);
        let parts: Vec<String> = parts.collect::<Option<_>>()?;
        // A decoded part may hold a separator of its own.
        let plain = |part: &String| *part != ".." && *part != "." && !part.contains(['/', '\\', '\0']);
        parts.iter().all(plain).then_some(parts)
    }
}

pub fn parse(input: &[u8]) -> Parsed {
    let Some(end) = input.windows(4).position(|four| four == b"\r\n\r\n") else { return Parsed::Partial };
    let Ok(head) = std::str::from_utf8(&input[..end]) else { return Parsed::Wrong };
    let mut lines = head.split("\r\n");
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, target, version] = words[..] else { return Parsed::Wrong };
    // A control character could end a header of the answer.
    let plain = target.starts_with('/') && !target.contains(char::is_control);
    if !plain || !version.starts_with("HTTP/1.") {
        return Parsed::Wrong;
    }
    let mut keep_alive = version != "HTTP/1.0";
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { return Parsed::Wrong };
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "connection" => keep_alive = value == "keep-alive" || keep_alive && value != "close",
            // A body is not read, so what follows it cannot be understood.
            "content-length" if value != "0" => keep_alive = false,
            "transfer-encoding" => keep_alive = false,
            _ => {}
        }
    }
    Parsed::Complete(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        keep_alive,
        length: end + 4,
    })
}

fn decode(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digits = [bytes.next()?, bytes.next()?];
            let digits = std::str::from_utf8(&digits).ok().filter(|text| !text.starts_with('+'))?;
            decoded.push(u8::from_str_radix(digits, 16).ok()?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok()
}
