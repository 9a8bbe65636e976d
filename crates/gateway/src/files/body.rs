//! A file's bytes as a body: read on threads that may block, one piece at a time, when the client took the last.

use super::encoding::Compressor;
use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use sampan_service::{Body, BodyError, full};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// What is read at once. Files up to this size need one reading, which happens with opening them.
pub const PIECE: u64 = 64 << 10;

/// What is left to send.
struct Source {
    file: File,
    at: u64,
    end: u64,
    compressor: Option<Compressor>,
}

/// The body of `file` from `at` up to `end`. Called where blocking is allowed: the first piece is read now,
/// so that a file that cannot be read is an error before the response has begun.
pub fn body(file: File, at: u64, end: u64, compressor: Option<Compressor>) -> io::Result<Body> {
    let mut source = Source { file, at, end, compressor };
    let first = source.next_piece()?;
    if source.is_done() {
        return Ok(full(first));
    }
    // The state is `None` after an error: nothing follows it.
    let pieces = stream::unfold((Some(first), Some(source)), |(ready, source)| async move {
        if let Some(piece) = ready {
            return Some((Ok(Frame::data(piece)), (None, source)));
        }
        let mut source = source.filter(|source| !source.is_done())?;
        let read =
            tokio::task::spawn_blocking(move || source.next_piece().map(|piece| (piece, source))).await;
        Some(match read.map_err(io::Error::other).flatten() {
            Ok((piece, source)) => (Ok(Frame::data(piece)), (None, Some(source))),
            Err(error) => (Err(BodyError::from(error)), (None, None)),
        })
    });
    Ok(StreamBody::new(pieces).boxed_unsync())
}

impl Source {
    fn is_done(&self) -> bool {
        self.at >= self.end && self.compressor.is_none()
    }

    /// Never empty, unless everything is.
    fn next_piece(&mut self) -> io::Result<Bytes> {
        loop {
            let mut piece = vec![0; (self.end - self.at).min(PIECE) as usize];
            // A file that became shorter cannot fill the length that was promised.
            self.file.read_exact_at(&mut piece, self.at)?;
            self.at += piece.len() as u64;
            let Some(compressor) = &mut self.compressor else { return Ok(piece.into()) };
            let mut compressed = compressor.push(&piece)?;
            if self.at >= self.end {
                compressed.extend(compressor.finish()?);
                self.compressor = None;
                return Ok(compressed.into());
            }
            if !compressed.is_empty() {
                return Ok(compressed.into());
            }
        }
    }
}
