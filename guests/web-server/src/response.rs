//! From a request to a response: which file it names, of which type, or why there is none.

use crate::request::Request;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

pub struct Response {
    pub status: u16,
    content_type: &'static str,
    /// `Location` or `Allow`.
    header: Option<(&'static str, String)>,
    pub body: Vec<u8>,
    /// A file to be sent after `body`, and its length in bytes.
    pub file: Option<(File, u64)>,
    /// What `Content-Length` says: a response to `HEAD` has a length and no body.
    pub length: u64,
    pub close: bool,
}

impl Response {
    fn text(status: u16, text: &str) -> Response {
        let body = format!("{status} {}: {text}\n", reason(status)).into_bytes();
        let length = body.len() as u64;
        let content_type = "text/plain; charset=utf-8";
        Response { status, content_type, header: None, body, file: None, length, close: false }
    }

    /// An answer after which the connection makes no sense any more.
    pub fn error(status: u16, text: &str) -> Response {
        Response { close: true, ..Response::text(status, text) }
    }

    pub fn head(&self, close: bool) -> Vec<u8> {
        let Response { status, content_type, length, .. } = self;
        let mut head = format!("HTTP/1.1 {status} {}\r\n", reason(*status));
        head += &format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n");
        head += "X-Content-Type-Options: nosniff\r\n";
        if let Some((name, value)) = &self.header {
            head += &format!("{name}: {value}\r\n");
        }
        if close {
            head += "Connection: close\r\n";
        }
        (head + "\r\n").into_bytes()
    }
}

pub fn answer(folder: &Path, request: &Request) -> Response {
    let mut response = match request.method.as_str() {
        "GET" | "HEAD" => find(folder, request),
        _ => {
            let refused = Response::text(405, "this server only shows files");
            Response { header: Some(("Allow", "GET, HEAD".to_owned())), ..refused }
        }
    };
    if request.method == "HEAD" {
        response.body.clear();
        response.file = None;
    }
    response
}

fn find(folder: &Path, request: &Request) -> Response {
    let Some(parts) = request.path() else { return Response::text(400, "the path is malformed") };
    let mut path: PathBuf = folder.to_path_buf();
    path.extend(&parts);
    if fs::metadata(&path).is_ok_and(|data| data.is_dir()) {
        let (target, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        if !target.ends_with('/') {
            return redirect(target, query);
        }
        path.push("index.html");
    } else if request.target.split('?').next().is_some_and(|target| target.ends_with('/')) {
        return Response::text(404, "there is no such folder");
    }
    let opened = File::open(&path).and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((data, file)) if data.is_file() => {
            let length = data.len();
            let file = (length > 0).then_some((file, length));
            let content_type = content_type(&path);
            Response { status: 200, content_type, header: None, body: Vec::new(), file, length, close: false }
        }
        _ => Response::text(404, "there is no such file"),
    }
}

/// To the same path with a `/`, so that relative links in the page lead into the folder. Leading slashes
/// are made one: `//host/` would be another server.
fn redirect(target: &str, query: &str) -> Response {
    let question = if query.is_empty() { "" } else { "?" };
    let location = format!("/{}/{question}{query}", target.trim_matches('/'));
    Response { header: Some(("Location", location)), ..Response::text(301, "this is a folder") }
}

fn content_type(path: &Path) -> &'static str {
    let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
    match extension.as_ref().and_then(|extension| extension.to_str()).unwrap_or_default() {
        "css" => "text/css; charset=utf-8",
        "gif" => "image/gif",
        "html" | "htm" => "text/html; charset=utf-8",
        "ico" => "image/x-icon",
        "jpeg" | "jpg" => "image/jpeg",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "md" | "txt" => "text/plain; charset=utf-8",
        "png" => "image/png",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        "webp" => "image/webp",
        "woff2" => "font/woff2",
        "xml" => "application/xml",
        _ => "application/octet-stream",
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        431 => "Request Header Fields Too Large",
        _ => "Error",
    }
}
