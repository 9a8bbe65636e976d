//! HTTP/1.1 small enough to be trusted in tests: a server that answers by a function and remembers what it
//! was asked, and a client that sends one request on a connection of its own.

use crate::{PATIENCE, TcpServer};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};

#[derive(Clone, Debug, Default)]
pub struct Request {
    pub method: String,
    /// Path and query as sent.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }
}

impl Response {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Response {
        Response { status, headers: Vec::new(), body: body.into() }
    }

    pub fn with(mut self, name: &str, value: &str) -> Response {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(one, _)| one.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A server on 127.0.0.1 that closes each connection after its answer.
pub struct HttpServer {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl HttpServer {
    pub fn start(answer: impl Fn(&Request) -> Response + Send + Sync + 'static) -> HttpServer {
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = requests.clone();
        let server = TcpServer::start(move |stream| {
            let request = read_request(&mut BufReader::new(&stream))?;
            let response = answer(&request);
            seen.lock().expect("the list of requests").push(request);
            write_response(&stream, &response)
        });
        HttpServer { address: server.address, requests }
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("the list of requests").clone()
    }
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Request> {
    let start = line(stream)?;
    let mut words = start.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let headers = headers(stream)?;
    let body = body(stream, &headers, Some(0))?;
    Ok(Request { method, target, headers, body })
}

fn write_response(mut stream: &TcpStream, response: &Response) -> io::Result<()> {
    let mut head = format!("HTTP/1.1 {} Status\r\nConnection: close\r\n", response.status);
    for (name, value) in &response.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if response.header("content-length").is_none() {
        head += &format!("Content-Length: {}\r\n", response.body.len());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    stream.write_all(&response.body)
}

/// `GET` of a path; fails as the connection does.
pub fn http_get(address: impl ToSocketAddrs, path: &str) -> io::Result<Response> {
    http_send(address, "GET", path, &[], b"")
}

/// One request, one response, one connection.
pub fn http_send(
    address: impl ToSocketAddrs,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    content: &[u8],
) -> io::Result<Response> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        head += "Host: test\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", content.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(content)?;
    read_response(&mut BufReader::new(stream), method)
}

fn read_response(stream: &mut impl BufRead, method: &str) -> io::Result<Response> {
    let start = line(stream)?;
    let status = start.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.ok_or_else(|| invalid(format!("`{start}` is no status line")))?;
    let headers = self::headers(stream)?;
    let empty = method == "HEAD" || status == 204 || status == 304;
    let body = if empty { Vec::new() } else { body(stream, &headers, None)? };
    Ok(Response { status, headers, body })
}

fn line(stream: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn headers(stream: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(stream)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid(format!("`{line}` is no header")))?;
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
}

/// Reads a body by its length, by chunks, or (a response without either) to the end of the stream.
fn body(
    stream: &mut impl BufRead,
    headers: &[(String, String)],
    default_length: Option<usize>,
) -> io::Result<Vec<u8>> {
    if header(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        return chunks(stream);
    }
    let length = match header(headers, "content-length") {
        Some(text) => Some(text.parse().map_err(|_| invalid(format!("`{text}` is no length")))?),
        None => default_length,
    };
    let mut body = vec![0; length.unwrap_or(0)];
    match length {
        Some(_) => stream.read_exact(&mut body)?,
        None => drop(stream.read_to_end(&mut body)?),
    }
    Ok(body)
}

fn chunks(stream: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let size = line(stream)?;
        let size = size.split(';').next().and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let size = size.ok_or_else(|| invalid("a chunk without size".to_owned()))?;
        let start = body.len();
        body.resize(start + size, 0);
        stream.read_exact(&mut body[start..])?;
        // The line end of a chunk, or of the trailer after the last one.
        while !line(stream)?.is_empty() {}
        if size == 0 {
            return Ok(body);
        }
    }
}

fn invalid(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_and_server_understand_each_other() {
        let server = HttpServer::start(|request| {
            Response::new(201, [b"got ", &*request.body].concat()).with("X-Kind", "test")
        });
        let headers = [("X-One", "1")];
        let response = http_send(server.address, "POST", "/a?b", &headers, b"body").unwrap();
        assert_eq!((response.status, response.text()), (201, "got body".to_owned()));
        assert_eq!(response.header("x-kind"), Some("test"));
        let [request] = server.requests().try_into().unwrap();
        assert_eq!((&*request.method, &*request.target), ("POST", "/a?b"));
        assert_eq!(request.header("x-one"), Some("1"));
    }

    #[test]
    fn chunked_bodies() {
        let text =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(read_response(&mut text.as_bytes(), "GET").unwrap().text(), "abcde");
        let cut = &text.as_bytes()[..text.len() - 8];
        assert!(read_response(&mut &cut[..], "GET").is_err());
    }
}
