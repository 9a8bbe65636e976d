//! Files that are served without a guest.
//!
//! A request is answered on a thread that may block, in one visit: find, open, compare, read the first piece.
//! Names that are hidden, or that lead out of the folder, do not exist for clients.

mod body;
mod conditions;
mod encoding;
mod media;
mod open;
mod ranges;

use crate::respond::{self, text};
use conditions::{Validators, Verdict};
use encoding::{Coding, Compressor};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use open::Opened;
use ranges::Part;
use rustix::fs::Stat;
use rustix::io::Errno;
use sampan_app::StaticFolder;
use sampan_service::{Body, empty};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Files beyond this size are not compressed for each request: whoever serves them puts a `.br` or `.gz` beside.
const COMPRESS_MAX: u64 = 1 << 20;
/// Below this size, compressing saves no packet.
const COMPRESS_MIN: u64 = 512;

/// A folder and how it is served.
#[derive(Debug)]
pub struct Folder {
    folder: PathBuf,
    index: PathBuf,
    fallback: Option<PathBuf>,
    hide: GlobSet,
    cache_control: Option<HeaderValue>,
}

pub enum Reply {
    Response(Response<Body>),
    /// No file is there: the request, for whoever is next.
    Missing(Request<Body>),
}

/// What a path leads to.
enum Looked {
    File(Found),
    /// The same path with a slash behind it.
    Redirect,
    Missing,
}

struct Found {
    file: File,
    stat: Stat,
    /// Relative to the folder.
    path: PathBuf,
}

impl Folder {
    pub fn new(from: &StaticFolder) -> Result<Folder, String> {
        let say = |errno: Errno| format!("cannot open the folder {}: {errno}", from.folder.display());
        open::folder(&from.folder).map_err(say)?;
        let relative = |path: &str| {
            let path = PathBuf::from(path.trim_start_matches('/'));
            let inside = path.components().all(|one| matches!(one, std::path::Component::Normal(_)));
            inside
                .then_some(path)
                .ok_or_else(|| "the index and the fallback are files in the folder".to_owned())
        };
        let mut hide = GlobSetBuilder::new();
        for glob in &from.hide {
            let glob = GlobBuilder::new(glob).literal_separator(true).build();
            hide.add(glob.map_err(|error| format!("hide: {error}"))?);
        }
        let cache_control = from.cache_control.as_deref().map(HeaderValue::from_str).transpose();
        Ok(Folder {
            folder: from.folder.clone(),
            index: relative(&from.index)?,
            fallback: from.fallback.as_deref().map(relative).transpose()?,
            hide: hide.build().map_err(|error| format!("hide: {error}"))?,
            cache_control: cache_control.map_err(|_| "cache_control holds control characters")?,
        })
    }

    /// Answers for `path` beneath the folder. `or` says that somebody else answers where no file is, and
    /// whatever asks for more than a file.
    pub async fn serve(self: Arc<Self>, path: String, request: Request<Body>, or: bool) -> Reply {
        let method = request.method();
        if !matches!(*method, Method::GET | Method::HEAD) {
            return match or {
                true => Reply::Missing(request),
                false => Reply::Response(respond::other_methods(method, vec![Method::GET])),
            };
        }
        let answered = tokio::task::spawn_blocking(move || self.answer(&path, request, or)).await;
        answered.unwrap_or_else(|_| Reply::Response(failed()))
    }

    fn answer(&self, path: &str, request: Request<Body>, or: bool) -> Reply {
        let response = match self.look(path, or) {
            Ok((_, Looked::Missing)) => return Reply::Missing(request),
            Ok((_, Looked::Redirect)) => redirect(request.uri()),
            Ok((base, Looked::File(found))) => {
                self.send(&base, found, request.method(), request.headers()).unwrap_or_else(|_| failed())
            }
            // The folder itself is gone, perhaps for a moment.
            Err(errno) if open::is_missing(errno) => return Reply::Missing(request),
            Err(Errno::ACCESS) => text(StatusCode::FORBIDDEN, "forbidden\n"),
            Err(_) => failed(),
        };
        Reply::Response(response)
    }

    fn look(&self, path: &str, or: bool) -> Result<(OwnedFd, Looked), Errno> {
        let base = open::folder(&self.folder)?;
        let mut looked = match self.name(path) {
            Some(name) => self.look_for(&base, name, path.is_empty() || path.ends_with('/'), or)?,
            None => Looked::Missing,
        };
        if let (Looked::Missing, Some(fallback), false) = (&looked, &self.fallback, or)
            && let Some(Opened::File(file, stat)) = open::beneath(base.as_fd(), fallback)?
        {
            looked = Looked::File(Found { file, stat, path: fallback.clone() });
        }
        Ok((base, looked))
    }

    /// `slash`: the path names a folder.
    fn look_for(&self, base: &OwnedFd, name: PathBuf, slash: bool, or: bool) -> Result<Looked, Errno> {
        Ok(match open::beneath(base.as_fd(), &name)? {
            Some(Opened::File(file, stat)) if !slash => Looked::File(Found { file, stat, path: name }),
            Some(Opened::Folder) => {
                let path = name.join(&self.index);
                match open::beneath(base.as_fd(), &path)? {
                    Some(Opened::File(file, stat)) if slash => Looked::File(Found { file, stat, path }),
                    // Relative links on the page would lead elsewhere without the slash; also on the page
                    // that somebody else makes for the folder.
                    Some(Opened::File(..)) => Looked::Redirect,
                    _ if or && !slash => Looked::Redirect,
                    _ => Looked::Missing,
                }
            }
            _ => Looked::Missing,
        })
    }

    /// The path on disk, relative to the folder; `None` if no client may know whether it exists.
    fn name(&self, path: &str) -> Option<PathBuf> {
        let inner = path.strip_prefix('/').unwrap_or(path);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let mut name = PathBuf::new();
        for raw in inner.split('/').filter(|_| !inner.is_empty()) {
            let bytes = crate::path::decode(raw);
            let hidden = bytes.starts_with(b".") && &*bytes != b".well-known";
            if bytes.is_empty() || hidden || bytes.contains(&b'/') || bytes.contains(&0) {
                return None;
            }
            let segment = PathBuf::from(std::ffi::OsString::from_vec(bytes.into_owned()));
            name.push(&segment);
            if self.hide.is_match(&segment) || self.hide.is_match(&name) {
                return None;
            }
        }
        Some(name)
    }

    fn send(
        &self,
        base: &OwnedFd,
        found: Found,
        method: &Method,
        headers: &HeaderMap,
    ) -> io::Result<Response<Body>> {
        let name = found.path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let mut out = HeaderMap::new();
        let content_type = media::content_type(name);
        let compressible = media::is_compressible(&content_type);
        out.insert(header::CONTENT_TYPE, content_type);
        out.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        out.extend(self.cache_control.clone().map(|value| (header::CACHE_CONTROL, value)));
        if compressible {
            out.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        }
        // A range is one of the file itself.
        let wants_range = *method == Method::GET && headers.contains_key(header::RANGE);
        let form = match compressible && !wants_range {
            true => encode(base, found, headers)?,
            false => Form::plain(found),
        };
        let length = form.stat.st_size as u64;
        let (variant, weak) = match form.coding {
            None => ("", false),
            Some((coding, beforehand)) => (coding.ending(), !beforehand),
        };
        let stat = &form.stat;
        let (seconds, nanoseconds) = (stat.st_mtime as i64, stat.st_mtime_nsec as u64);
        let validators = Validators::new(length, seconds, nanoseconds, variant, weak, SystemTime::now());
        put(&mut out, header::ETAG, &validators.etag);
        put(&mut out, header::LAST_MODIFIED, &httpdate::fmt_http_date(validators.modified));
        out.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));

        match validators.judge(headers) {
            Verdict::Send => {}
            Verdict::NotModified => {
                out.remove(header::CONTENT_TYPE);
                return Ok(response(StatusCode::NOT_MODIFIED, out, empty()));
            }
            Verdict::Failed => return Ok(text(StatusCode::PRECONDITION_FAILED, "precondition failed\n")),
        }
        let part = match headers.get(header::RANGE) {
            Some(range) if wants_range && validators.range_counts(headers) => {
                ranges::part(range.as_bytes(), length)
            }
            _ => Part::Whole,
        };
        form.send(part, method, out)
    }
}

/// The form of a file that is sent.
struct Form {
    file: File,
    stat: Stat,
    /// The coding, and whether the file was compressed beforehand.
    coding: Option<(Coding, bool)>,
}

impl Form {
    fn plain(found: Found) -> Form {
        Form { file: found.file, stat: found.stat, coding: None }
    }

    fn send(self, part: Part, method: &Method, mut out: HeaderMap) -> io::Result<Response<Body>> {
        let length = self.stat.st_size as u64;
        let (status, from, end) = match part {
            Part::Whole => (StatusCode::OK, 0, length),
            Part::Bytes { from, to } => {
                put(&mut out, header::CONTENT_RANGE, &format!("bytes {from}-{to}/{length}"));
                (StatusCode::PARTIAL_CONTENT, from, to + 1)
            }
            Part::None => {
                let mut none = text(StatusCode::RANGE_NOT_SATISFIABLE, "no such range\n");
                put(none.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{length}"));
                return Ok(none);
            }
        };
        let mut compressor = None;
        if let Some((coding, beforehand)) = self.coding {
            out.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
            compressor = (!beforehand).then(|| Compressor::new(coding));
        }
        if compressor.is_none() {
            out.insert(header::CONTENT_LENGTH, HeaderValue::from(end - from));
        }
        let body = match *method {
            Method::HEAD => empty(),
            _ => body::body(self.file, from, end, compressor)?,
        };
        Ok(response(status, out, body))
    }
}

/// Chooses the form that the client takes: compressed beforehand, else now, else as it is.
fn encode(base: &OwnedFd, found: Found, headers: &HeaderMap) -> io::Result<Form> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut now = None;
    for coding in encoding::accepted(values) {
        let beside = found.path.with_added_extension(coding.ending());
        if let Some(Opened::File(file, stat)) = open_beside(base, &beside)
            && (stat.st_mtime, stat.st_mtime_nsec) >= (found.stat.st_mtime, found.stat.st_mtime_nsec)
        {
            return Ok(Form { file, stat, coding: Some((coding, true)) });
        }
        now.get_or_insert((coding, false));
    }
    let worth_it = (COMPRESS_MIN..=COMPRESS_MAX).contains(&(found.stat.st_size as u64));
    Ok(Form { coding: now.filter(|_| worth_it), ..Form::plain(found) })
}

/// A neighbour that cannot be opened is as good as none.
fn open_beside(base: &OwnedFd, path: &Path) -> Option<Opened> {
    open::beneath(base.as_fd(), path).ok().flatten()
}

fn redirect(uri: &http::Uri) -> Response<Body> {
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    // A second slash or a backslash at the start would name another host to a browser.
    let path = uri.path().trim_start_matches(['/', '\\']);
    let mut out = HeaderMap::new();
    put(&mut out, header::LOCATION, &format!("/{path}/{query}"));
    response(StatusCode::PERMANENT_REDIRECT, out, empty())
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    // Our own texts, and URIs that the parser let pass, are valid values.
    headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
}

fn response(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn failed() -> Response<Body> {
    text(StatusCode::INTERNAL_SERVER_ERROR, "the file cannot be read\n")
}
