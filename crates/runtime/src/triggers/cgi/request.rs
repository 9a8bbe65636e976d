//! A request's body for a CGI program, whose length must be known before the program starts.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body as _, Frame};
use sampan_service::{Body, BodyError, full};
use std::fs::File;
use std::io::{self, Read, Seek, Write};

/// A body of unknown length is kept in memory up to this size, and in a temporary file beyond.
const IN_MEMORY_BYTES: usize = 256 << 10;
/// What is read from the file at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A body and its length. `None`: the request has none.
pub struct Sized {
    pub body: Body,
    pub length: Option<u64>,
}

/// Why a body was not taken, and the answer to it.
#[derive(Debug, thiserror::Error)]
pub enum BodyRefused {
    #[error("the request's body is larger than {0} bytes (limits.body)")]
    TooLarge(u64),
    #[error("the request's body ended early: {0}")]
    Broken(BodyError),
    #[error("the request's body cannot be kept: {0}")]
    Disk(io::Error),
}

impl BodyRefused {
    pub fn status(&self) -> StatusCode {
        match self {
            BodyRefused::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyRefused::Broken(_) => StatusCode::BAD_REQUEST,
            BodyRefused::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
        }
    }
}

/// Learns the length of a body, by reading it where nobody says it (chunks, HTTP/2).
pub async fn sized(body: Body, max_bytes: u64) -> Result<Sized, BodyRefused> {
    let known = body.size_hint().exact();
    match known {
        _ if body.is_end_stream() => Ok(Sized { body, length: None }),
        Some(length) if length > max_bytes => Err(BodyRefused::TooLarge(max_bytes)),
        Some(length) => Ok(Sized { body, length: Some(length) }),
        None => spool(body, max_bytes).await,
    }
}

async fn spool(mut body: Body, max_bytes: u64) -> Result<Sized, BodyRefused> {
    let mut memory: Vec<u8> = Vec::new();
    let mut file: Option<File> = None;
    let mut length = 0u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(BodyRefused::Broken)?.into_data() else { continue };
        length += data.len() as u64;
        if length > max_bytes {
            return Err(BodyRefused::TooLarge(max_bytes));
        }
        memory.extend_from_slice(&data);
        if memory.len() > IN_MEMORY_BYTES {
            let bytes = std::mem::take(&mut memory);
            file = Some(on_disk(move || write(file, &bytes)).await?);
        }
    }
    let Some(file) = file else {
        return Ok(Sized { body: full(memory), length: Some(length) });
    };
    let file = on_disk(move || {
        let mut file = write(Some(file), &memory)?;
        file.rewind()?;
        Ok(file)
    })
    .await?;
    Ok(Sized { body: from_file(file), length: Some(length) })
}

/// Appends to the file, which is made with the first bytes and has no name.
fn write(file: Option<File>, bytes: &[u8]) -> io::Result<File> {
    let mut file = match file {
        Some(file) => file,
        None => tempfile::tempfile()?,
    };
    file.write_all(bytes)?;
    Ok(file)
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, BodyRefused> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(BodyRefused::Disk)
}

fn from_file(file: File) -> Body {
    let chunks = futures::stream::unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK_BYTES];
            let len = file.read(&mut chunk)?;
            chunk.truncate(len);
            Ok::<_, io::Error>((file, chunk))
        });
        match read.await.map_err(io::Error::other).flatten() {
            Ok((_, chunk)) if chunk.is_empty() => None,
            Ok((file, chunk)) => Some((Ok(Frame::data(Bytes::from(chunk))), file)),
            Err(error) => {
                // An error ends the body; the file that follows it is never read.
                let nothing = File::open("/dev/null").ok()?;
                Some((Err(BodyError::from(error)), nothing))
            }
        }
    });
    StreamBody::new(chunks).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunked(chunks: Vec<Vec<u8>>) -> Body {
        let frames = chunks.into_iter().map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
    }

    fn block_on<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test)
    }

    #[test]
    fn a_body_of_unknown_length_is_read_first() {
        block_on(async {
            for sizes in
                [vec![], vec![3], vec![IN_MEMORY_BYTES], vec![IN_MEMORY_BYTES, 1, IN_MEMORY_BYTES, 7]]
            {
                let chunks: Vec<Vec<u8>> = sizes.iter().map(|size| vec![*size as u8; *size]).collect();
                let all = chunks.concat();
                let sized = sized(chunked(chunks), 1 << 30).await.unwrap();
                assert_eq!(sized.length, Some(all.len() as u64));
                let read = sized.body.collect().await.unwrap().to_bytes();
                assert!(read == all, "{sizes:?}");
            }
        });
    }

    #[test]
    fn a_known_length_is_taken_and_bounded() {
        block_on(async {
            assert_eq!(sized(full("abc"), 3).await.unwrap().length, Some(3));
            assert_eq!(sized(sampan_service::empty(), 3).await.unwrap().length, None);
            for body in [full("abcd"), chunked(vec![vec![0; 2], vec![0; 2]])] {
                assert!(matches!(sized(body, 3).await, Err(BodyRefused::TooLarge(3))));
            }
        });
    }
}
