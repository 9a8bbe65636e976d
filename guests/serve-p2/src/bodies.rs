//! Bodies of wasi:http 0.2: waiting for both sides is up to the guest.

use wasip2::http::types::{Fields, IncomingBody, OutgoingBody};
use wasip2::io::streams::StreamError;

/// Writes pieces of at most 4 KiB, waiting where the client reads slowly.
pub fn write_all<P: AsRef<[u8]>>(body: &OutgoingBody, pieces: impl IntoIterator<Item = P>) {
    let stream = body.write().unwrap();
    for piece in pieces {
        stream.blocking_write_and_flush(piece.as_ref()).unwrap();
    }
}

pub fn finish(body: OutgoingBody, trailers: Option<Fields>) {
    OutgoingBody::finish(body, trailers).unwrap();
}

/// Copies one body to another, and says why that ended early.
pub fn copy(from: &IncomingBody, to: &OutgoingBody) -> Result<(), String> {
    let input = from.stream().unwrap();
    let output = to.write().unwrap();
    loop {
        match input.blocking_read(4096) {
            Ok(bytes) => {
                output.blocking_write_and_flush(&bytes).map_err(|error| format!("write: {error}"))?
            }
            Err(StreamError::Closed) => return Ok(()),
            Err(StreamError::LastOperationFailed(error)) => return Err(error.to_debug_string()),
        }
    }
}
