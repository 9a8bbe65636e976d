//! The format zlib (RFC 1950).

use crate::proxy_wasm::values::{INTERNAL, SERIALIZATION, Status};
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use std::io::Read;

/// What a few bytes may grow to.
const OUTPUT_MAX: u64 = 8 << 20;

pub fn compress(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let mut compressed = Vec::new();
    let read = ZlibEncoder::new(bytes, Compression::default()).read_to_end(&mut compressed);
    read.map(|_| compressed).map_err(|_| SERIALIZATION)
}

pub fn uncompress(bytes: &[u8]) -> Result<Vec<u8>, Status> {
    let mut uncompressed = Vec::new();
    let read = ZlibDecoder::new(bytes).take(OUTPUT_MAX + 1).read_to_end(&mut uncompressed);
    match read.map_err(|_| SERIALIZATION)? as u64 {
        ..=OUTPUT_MAX => Ok(uncompressed),
        _ => Err(INTERNAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_zlibs() {
        // Python: zlib.compress(b"hello hello hello")
        let bytes = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\x57\xc8\x40\x90\x00\x3a\x2e\x06\x7d";
        assert_eq!(uncompress(bytes).unwrap(), b"hello hello hello");
        for text in [&b""[..], b"hello", &[7; 100_000]] {
            let compressed = compress(text).unwrap();
            assert_eq!(compressed[..2], b"\x78\x9c"[..]);
            assert_eq!(uncompress(&compressed).unwrap(), text);
        }
    }

    #[test]
    fn what_is_cut_or_wrong_is_refused_and_bombs_are() {
        let good = compress(b"hello hello hello").unwrap();
        let mut wrong = good.clone();
        *wrong.last_mut().unwrap() ^= 1;
        for bad in [&b""[..], b"no zlib", &good[..good.len() - 5], &wrong] {
            assert_eq!(uncompress(bad), Err(SERIALIZATION), "{bad:x?}");
        }
        let bomb = compress(&vec![0; OUTPUT_MAX as usize + 1]).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(uncompress(&bomb), Err(INTERNAL));
    }
}
