//! A part of a body as a list of pieces: what passes unchanged is never copied.

use bytes::Bytes;

#[derive(Debug, Default)]
pub struct Chunks(Vec<Bytes>);

impl Chunks {
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.0.push(piece);
        }
    }

    pub fn append(&mut self, mut other: Chunks) {
        self.0.append(&mut other.0);
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    /// The bytes from `start` on, at most `max` of them: beyond the end there are none.
    pub fn copy(&self, start: usize, max: usize) -> Vec<u8> {
        let len = self.len().saturating_sub(start).min(max);
        let mut copy = Vec::with_capacity(len);
        let mut skip = start;
        for piece in &self.0 {
            let rest = piece.get(skip..).unwrap_or_default();
            skip = skip.saturating_sub(piece.len());
            copy.extend_from_slice(&rest[..rest.len().min(len - copy.len())]);
        }
        copy
    }

    /// Puts bytes in front (an empty range at the start), behind (a start at the end or beyond), or in the place of
    /// the first bytes or of everything. Other ranges are refused, as in Envoy.
    pub fn set(&mut self, start: usize, len: usize, bytes: &[u8]) -> bool {
        let piece = Bytes::copy_from_slice(bytes);
        let whole = self.len();
        if start == 0 && len < whole {
            self.remove_first(len);
            self.0.insert(0, piece);
        } else if start == 0 {
            self.0 = vec![piece];
        } else if start >= whole {
            self.0.push(piece);
        } else {
            return false;
        }
        self.0.retain(|piece| !piece.is_empty());
        true
    }

    fn remove_first(&mut self, mut len: usize) {
        for piece in &mut self.0 {
            let cut = len.min(piece.len());
            // Cheap: the piece goes on in the same memory.
            *piece = piece.slice(cut..);
            len -= cut;
        }
    }

    pub fn into_pieces(self) -> impl Iterator<Item = Bytes> {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(pieces: &[&'static str]) -> Chunks {
        Chunks(pieces.iter().map(|piece| Bytes::from_static(piece.as_bytes())).collect())
    }

    #[test]
    fn copies_are_cut_at_the_end() {
        for (start, max, copy) in
            [(0, 9, "abcdef"), (1, 3, "bcd"), (2, 2, "cd"), (5, 9, "f"), (6, 9, ""), (99, 9, ""), (0, 0, "")]
        {
            assert_eq!(chunks(&["ab", "c", "def"]).copy(start, max), copy.as_bytes(), "{start} {max}");
        }
    }

    #[test]
    fn what_may_be_replaced() {
        for (start, len, becomes) in [
            (0, 0, Some("Xabcd")),
            (0, 4, Some("X")),
            (0, 99, Some("X")),
            (4, 0, Some("abcdX")),
            (99, 1, Some("abcdX")),
            (0, 1, Some("Xbcd")),
            (0, 3, Some("Xd")),
            (1, 3, None),
        ] {
            let mut body = chunks(&["ab", "cd"]);
            assert_eq!(body.set(start, len, b"X"), becomes.is_some(), "{start} {len}");
            assert_eq!(body.copy(0, 99), becomes.unwrap_or("abcd").as_bytes(), "{start} {len}");
        }
    }
}
