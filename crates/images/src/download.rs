//! A file of the web: fetched once, and known by its digest from then on.

use crate::blob::Blob;
use crate::client::{Ask, Client, Plain, authority, is_this_machine, within};
use crate::{Progress, PullError, Settings};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use sampan_app::Download;
use std::path::PathBuf;
use url::Url;

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("{host} does not answer: {why}")]
    Unreachable { host: String, why: String },
    #[error("{host} answers with {status}")]
    Status { host: String, status: StatusCode },
    #[error("it has more than {max} bytes, the most that are taken")]
    TooLarge { max: u64 },
    #[error("it is not what its digest says: {expected} was named, {found} came")]
    Digest { expected: String, found: String },
    /// It cannot be kept.
    #[error(transparent)]
    Store(PullError),
}

impl From<PullError> for DownloadError {
    fn from(error: PullError) -> Self {
        match error {
            PullError::Unreachable { host, why } => DownloadError::Unreachable { host, why },
            other => DownloadError::Store(other),
        }
    }
}

impl DownloadError {
    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            DownloadError::Unreachable { .. } => {
                "check the URL and the network; a file that was fetched before needs neither"
            }
            DownloadError::Status { status: StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, .. } => {
                "check the URL; where a login is asked for, write https://USER:PASSWORD@HOST/…"
            }
            DownloadError::Status { .. } => "check the URL; or try again later",
            DownloadError::TooLarge { .. } => {
                "check the URL; a module is smaller without debug information, and optimised"
            }
            DownloadError::Digest { .. } => {
                "check who made the file; if it was meant to change, write its new digest"
            }
            DownloadError::Store(error) => error.help(),
        }
    }
}

/// The file, fetched or kept from before. What is kept is not asked for again: its digest says that it is the same.
pub(crate) async fn download(of: &Download, settings: &Settings) -> Result<PathBuf, DownloadError> {
    // 1. Is it here?
    let store = &settings.store;
    if let Some(path) = store.blob(&of.digest).await? {
        store.note_use(&of.digest)?;
        return Ok(path);
    }

    // 2. Whoever has it may send us elsewhere, and needs no TLS: the digest says whether it is what was meant.
    let here = of.url.host_str().is_some_and(is_this_machine);
    let client = Client::new(settings.timeouts.clone(), Plain::Everybody { here });
    let headers = credentials(&of.url);
    let ask = Ask { method: Method::GET, url: of.url.clone(), headers: &headers, body: Bytes::new() };
    let response = client.send(ask).await?;
    if response.status() != StatusCode::OK {
        return Err(DownloadError::Status { host: authority(&of.url), status: response.status() });
    }

    // 3. It gets its name last of all, so that what is known is whole.
    let name = of.to_string();
    (settings.progress)(&name, Progress::FetchBegins { bytes: length(&response) });
    let blob = within(&of.url, client.timeouts.blob, receive(of, response, &client, settings)).await??;
    let path = blob.keep().await?;
    (settings.progress)(&name, Progress::FetchEnds);
    store.note_use(&of.digest)?;
    store.shrink(&path);
    Ok(path)
}

/// The body, if it is what its digest says.
async fn receive(
    of: &Download,
    response: Response<Incoming>,
    client: &Client,
    settings: &Settings,
) -> Result<Blob, DownloadError> {
    let max = settings.module_max_bytes;
    let mut left = max;
    if length(&response).is_some_and(|bytes| bytes > max) {
        return Err(DownloadError::TooLarge { max });
    }
    let mut writer = settings.store.writer(of.digest.algorithm)?;
    let mut body = response.into_body();
    while let Some(piece) = client.piece(&of.url, &mut body).await? {
        left = left.checked_sub(piece.len() as u64).ok_or(DownloadError::TooLarge { max })?;
        writer.write(&piece)?;
    }
    let blob = writer.done();
    if blob.digest() != of.digest {
        let (expected, found) = (of.digest.to_string(), blob.digest().to_string());
        return Err(DownloadError::Digest { expected, found });
    }
    Ok(blob)
}

/// What the response says of its body.
fn length(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// `Authorization` of `https://USER:PASSWORD@HOST/` (RFC 7617).
fn credentials(url: &Url) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let (user, password) = (url.username(), url.password().unwrap_or_default());
    if !user.is_empty() || !password.is_empty() {
        let mut pair: Vec<u8> = percent_decode_str(user).collect();
        pair.push(b':');
        pair.extend(percent_decode_str(password));
        if let Ok(value) = HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(pair))) {
            headers.insert(AUTHORIZATION, value);
        }
    }
    headers
}
