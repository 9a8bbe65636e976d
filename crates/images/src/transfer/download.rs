//! A blob, from a registry into the folder of images. What has come of it stays when the connection breaks, and the
//! rest is asked for (RFC 9110, 14.2), in this process or in one that comes later.

use super::{Step, Transfer};
use crate::blob::Hasher;
use crate::client::{unreachable, within};
use crate::document::Descriptor;
use crate::layout::Layout;
use crate::registry::Registry;
use crate::{ImageError, PullError};
use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use http::{Method, StatusCode};
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Is told of progress not more often than after so many bytes.
const REPORTED_BYTES: u64 = 256 << 10;

/// What has come so far.
struct Partial {
    file: File,
    path: PathBuf,
    hasher: Hasher,
    bytes: u64,
}

/// Brings a blob here. The caller holds [`Layout::adding`].
pub async fn blob(
    layout: &Layout,
    registry: &Registry<'_>,
    of: &Descriptor,
    transfer: &Transfer,
) -> Result<(), ImageError> {
    if layout.has(&of.digest) {
        (transfer.progress)(&of.digest, Step::Exists);
        return Ok(());
    }
    (transfer.progress)(&of.digest, Step::Begins { bytes: of.size });
    let path = layout.folder("partial")?.join(&of.digest.hex);
    let mut partial = open(path, of).await?;
    // Another process has brought it while we waited for the file.
    if layout.has(&of.digest) {
        let _ = fs::remove_file(&partial.path);
        (transfer.progress)(&of.digest, Step::Ends);
        return Ok(());
    }
    let mut pause = transfer.pause;
    let mut left = transfer.retries;
    while partial.bytes < of.size {
        let before = partial.bytes;
        let Err(error) = rest(&mut partial, registry, of, transfer).await else { break };
        if partial.bytes > before {
            // It does go on.
            (pause, left) = (transfer.pause, transfer.retries);
        }
        if left == 0 || !error.is_passing() {
            // What is of no use to a later try.
            if matches!(error, PullError::Size { .. } | PullError::Store { .. }) || partial.bytes == 0 {
                let _ = fs::remove_file(&partial.path);
            }
            return Err(error.into());
        }
        left -= 1;
        transfer.wait(Some(&of.digest), &error, pause).await;
        pause *= 2;
    }
    keep(layout, partial, of).await?;
    (transfer.progress)(&of.digest, Step::Ends);
    Ok(())
}

/// The file with what has come before. Only one process has it at a time.
async fn open(path: PathBuf, of: &Descriptor) -> Result<Partial, ImageError> {
    let of = of.clone();
    let opening = tokio::task::spawn_blocking(move || {
        let failed = |error| ImageError::io(&path, error);
        loop {
            let mut options = OpenOptions::new();
            options.read(true).append(true).create(true).mode(0o600);
            let mut file = options.open(&path).map_err(failed)?;
            flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
            // Whoever had it may have removed it or given it another name.
            if !is_still(&file, &path) {
                continue;
            }
            let mut hasher = Hasher::new(of.digest.algorithm);
            let mut bytes = digest_rest(&mut file, &mut hasher).map_err(failed)?;
            if bytes > of.size {
                file.set_len(0).map_err(failed)?;
                (hasher, bytes) = (Hasher::new(of.digest.algorithm), 0);
            }
            return Ok(Partial { file, path: path.clone(), hasher, bytes });
        }
    });
    opening.await.map_err(|error| ImageError::Malformed(error.to_string()))?
}

fn is_still(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let (Ok(here), Ok(there)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (here.dev(), here.ino()) == (there.dev(), there.ino())
}

fn digest_rest(file: &mut File, hasher: &mut Hasher) -> io::Result<u64> {
    file.rewind()?;
    let mut buffer = vec![0; 64 << 10];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(bytes);
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}

/// Asks for what is missing, and takes what comes of it.
async fn rest(
    partial: &mut Partial,
    registry: &Registry<'_>,
    of: &Descriptor,
    transfer: &Transfer,
) -> Result<(), PullError> {
    let url = registry.url("blobs", &of.digest.to_string())?;
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    if partial.bytes > 0
        && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", partial.bytes))
    {
        headers.insert(RANGE, range);
    }
    let response = registry.send(Method::GET, &url, headers, Bytes::new()).await?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        partial.restart(of)?;
        return Err(unreachable(&url, "it has less than what came before"));
    }
    let wanted = [StatusCode::OK, StatusCode::PARTIAL_CONTENT];
    let response = registry.good(&url, response, &wanted).await?;
    let goes_on = response.status() == StatusCode::PARTIAL_CONTENT
        && response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok()).is_none_or(|range| {
            range.trim_start_matches("bytes ").split('-').next() == Some(partial.bytes.to_string().as_str())
        });
    if !goes_on {
        partial.restart(of)?;
    }
    let client = registry.client;
    let mut body = response.into_body();
    let reading = async {
        let mut reported = partial.bytes;
        while let Some(piece) = client.piece(&url, &mut body).await? {
            if partial.bytes + piece.len() as u64 > of.size {
                return Err(PullError::Size { expected: of.size, found: "more".to_owned() });
            }
            partial.write(&piece)?;
            if partial.bytes - reported >= REPORTED_BYTES || partial.bytes == of.size {
                reported = partial.bytes;
                (transfer.progress)(&of.digest, Step::Moved { bytes: partial.bytes });
            }
        }
        Ok(())
    };
    within(&url, client.timeouts.blob, reading).await??;
    if partial.bytes < of.size {
        return Err(PullError::Size { expected: of.size, found: partial.bytes.to_string() });
    }
    Ok(())
}

impl Partial {
    fn restart(&mut self, of: &Descriptor) -> Result<(), PullError> {
        self.file.set_len(0).map_err(|error| self.failed(error))?;
        self.hasher = Hasher::new(of.digest.algorithm);
        self.bytes = 0;
        Ok(())
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), PullError> {
        self.file.write_all(piece).map_err(|error| self.failed(error))?;
        self.hasher.update(piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn failed(&self, error: io::Error) -> PullError {
        PullError::Store { path: self.path.clone(), error }
    }
}

/// Gives it its name, if it is what it was to be.
async fn keep(layout: &Layout, partial: Partial, of: &Descriptor) -> Result<(), ImageError> {
    let found = partial.hasher.finish();
    let path = partial.path;
    if found != of.digest {
        let _ = fs::remove_file(&path);
        let (expected, found) = (of.digest.to_string(), found.to_string());
        return Err(PullError::Digest { what: "the layer", expected, found }.into());
    }
    layout.folder(&format!("blobs/{}", of.digest.algorithm.name()))?;
    let to = layout.path(&of.digest);
    let file = partial.file;
    let keeping = tokio::task::spawn_blocking(move || {
        file.sync_all()?;
        fs::rename(&path, &to)
    });
    let kept = keeping.await.map_err(io::Error::other).and_then(|kept| kept);
    kept.map_err(|error| ImageError::io(&layout.path(&of.digest), error))
}
