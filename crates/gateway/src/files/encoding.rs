//! Content codings: which one a client takes (RFC 9110, section 12.5.3), and compressing as a file is read.

use async_compression::Level;
use async_compression::tokio::write::{BrotliEncoder, GzipEncoder};
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use tokio::io::AsyncWriteExt;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Brotli,
    Gzip,
}

impl Coding {
    /// As the header says it.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// How the name of a file ends that was compressed beforehand.
    pub fn ending(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gz",
        }
    }
}

/// The codings that a client takes, the one it likes most first; among equals Brotli, which is smaller.
pub fn accepted<'a>(headers: impl Iterator<Item = &'a str>) -> impl Iterator<Item = Coding> {
    let (mut brotli, mut gzip, mut others) = (None, None, None);
    for item in headers.flat_map(|value| value.split(',')) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let quality = quality(parameters);
        let name = name.trim();
        let slot = match () {
            () if name.eq_ignore_ascii_case("br") => &mut brotli,
            () if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") => &mut gzip,
            () if name == "*" => &mut others,
            () => continue,
        };
        *slot = Some(quality);
    }
    let brotli = (brotli.or(others).unwrap_or(0), Coding::Brotli);
    let gzip = (gzip.or(others).unwrap_or(0), Coding::Gzip);
    let order = if gzip.0 > brotli.0 { [gzip, brotli] } else { [brotli, gzip] };
    order.into_iter().filter(|(quality, _)| *quality > 0).map(|(_, coding)| coding)
}

/// In thousandths; what cannot be read is as good as absent.
fn quality(parameters: &str) -> u32 {
    let value = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim().parse::<f32>())
    });
    match value {
        Some(Ok(value)) if (0.0..=1.0).contains(&value) => (value * 1000.0) as u32,
        Some(_) => 0,
        None => 1000,
    }
}

/// Compresses piece by piece. It writes to memory, so it never waits; it is for threads that may compute.
pub enum Compressor {
    Brotli(Box<BrotliEncoder<Vec<u8>>>),
    Gzip(GzipEncoder<Vec<u8>>),
}

impl Compressor {
    pub fn new(coding: Coding) -> Self {
        match coding {
            // Brotli's default is for files that are compressed once: four times slower for some percent.
            Coding::Brotli => {
                Compressor::Brotli(Box::new(BrotliEncoder::with_quality(Vec::new(), Level::Precise(4))))
            }
            Coding::Gzip => Compressor::Gzip(GzipEncoder::new(Vec::new())),
        }
    }

    /// Takes in some bytes and returns what has come out so far, which may be nothing.
    pub fn push(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Compressor::Brotli(encoder) => {
                now(encoder.write_all(bytes))?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Compressor::Gzip(encoder) => {
                now(encoder.write_all(bytes))?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    /// The end.
    pub fn finish(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Compressor::Brotli(encoder) => {
                now(encoder.shutdown())?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Compressor::Gzip(encoder) => {
                now(encoder.shutdown())?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }
}

/// The result of a future that waits for nothing.
fn now<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Coding::*;

    #[test]
    fn what_a_client_takes() {
        let table: &[(&[&str], &[Coding])] = &[
            (&[], &[]),
            (&["gzip"], &[Gzip]),
            (&["gzip, deflate, br"], &[Brotli, Gzip]),
            (&["gzip", "BR"], &[Brotli, Gzip]),
            (&["br;q=0.5, gzip"], &[Gzip, Brotli]),
            (&["br;q=0, gzip;q=0.001"], &[Gzip]),
            (&["*"], &[Brotli, Gzip]),
            (&["*;q=0.1, br;q=0"], &[Gzip]),
            (&["identity", "deflate"], &[]),
            (&["x-gzip; q=1"], &[Gzip]),
            (&["gzip;q=2"], &[]),
            (&["gzip;q=x"], &[]),
            (&[",,;;=,"], &[]),
        ];
        for (headers, expected) in table {
            assert_eq!(accepted(headers.iter().copied()).collect::<Vec<_>>(), *expected, "{headers:?}");
        }
    }
}
