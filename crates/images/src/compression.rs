//! Layers are plain, or compressed by gzip (RFC 1952) or zstd (RFC 8878). Which it is, their first bytes say.

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use std::io::{self, BufRead, BufReader, Read};

const GZIP: &[u8] = &[0x1f, 0x8b];
/// Also its frames that are to be skipped, `0x184D2A50` to `0x184D2A5F`.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
const ZSTD_SKIPPED: &[u8] = &[0x2a, 0x4d, 0x18];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

/// By the first four bytes.
pub fn detect(first: &[u8]) -> Compression {
    if first.starts_with(GZIP) {
        Compression::Gzip
    } else if first.starts_with(ZSTD)
        || first.get(1..).is_some_and(|rest| rest.starts_with(ZSTD_SKIPPED)) && first[0] & 0xf0 == 0x50
    {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// The plain bytes of a stream.
pub fn plain<'a>(from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut from = BufReader::with_capacity(64 << 10, from);
    Ok(match detect(from.fill_buf()?) {
        Compression::None => Box::new(from),
        Compression::Gzip => Box::new(MultiGzDecoder::new(from)),
        Compression::Zstd => Box::new(Zstd { from, decoder: FrameDecoder::new(), is_inside: false }),
    })
}

/// All frames of a stream, which the library's decoder reads one at a time.
struct Zstd<R> {
    from: R,
    decoder: FrameDecoder,
    is_inside: bool,
}

impl<R: BufRead> Zstd<R> {
    /// Goes on to the next frame; `false` at the end.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.from.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.from) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut self.from.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(invalid(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Zstd<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_inside {
                if !self.next_frame()? {
                    return Ok(0);
                }
                self.is_inside = true;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let decoded =
                    self.decoder.decode_blocks(&mut self.from, BlockDecodingStrategy::UptoBlocks(1));
                decoded.map_err(invalid)?;
            }
            let count = self.decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.is_inside = false;
        }
    }
}

fn invalid(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// A frame with one block that is not compressed (RFC 8878, 3.1.1).
    fn zstd(bytes: &[u8]) -> Vec<u8> {
        let size = u32::try_from(bytes.len()).unwrap();
        let block = (size << 3 | 1).to_le_bytes();
        [ZSTD, &[0x20, u8::try_from(size).unwrap()], &block[..3], bytes].concat()
    }

    #[test]
    fn streams_of_all_kinds() {
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        for (bytes, expected) in [
            (Vec::new(), &b""[..]),
            (b"plain".to_vec(), b"plain"),
            (b"x".to_vec(), b"x"),
            (gzip(b"zipped"), b"zipped"),
            ([gzip(b"zip"), gzip(b"ped")].concat(), b"zipped"),
            (zstd(b"one"), b"one"),
            ([zstd(b"one"), skipped.clone(), zstd(b"two"), zstd(b"")].concat(), b"onetwo"),
            ([skipped.clone(), zstd(b"one")].concat(), b"one"),
        ] {
            let mut found = Vec::new();
            plain(&bytes[..]).unwrap().read_to_end(&mut found).unwrap();
            assert_eq!(found, expected, "{bytes:?}");
        }
        for bytes in
            [&gzip(b"zipped")[..9], &zstd(b"one")[..8], &skipped[..9], &[zstd(b"a"), b"x".to_vec()].concat()]
        {
            assert!(plain(bytes).unwrap().read_to_end(&mut Vec::new()).is_err(), "{bytes:?}");
        }
    }
}
