//! Maps as bytes: a count, the lengths of each name and value, then each name and value with a NUL behind it, all
//! numbers 32 bits in little-endian order (proxy-wasm/proxy-wasm-cpp-host, src/pairs_util.cc; the example in the
//! specification's text is wrong).

/// As cpp-host has it: what a guest may hand over at once.
pub const BYTES_MAX: usize = 1 << 20;
pub const PAIRS_MAX: usize = 1024;

pub fn encode<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: &[(N, V)]) -> Vec<u8> {
    let text: usize = pairs.iter().map(|(name, value)| name.as_ref().len() + value.as_ref().len() + 2).sum();
    let mut bytes = Vec::with_capacity(4 + 8 * pairs.len() + text);
    bytes.extend_from_slice(&(pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        bytes.extend_from_slice(&(name.as_ref().len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(value.as_ref().len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        for text in [name.as_ref(), value.as_ref()] {
            bytes.extend_from_slice(text);
            bytes.push(0);
        }
    }
    bytes
}

/// `None` where the bytes are no map. No bytes are an empty map.
pub fn decode(bytes: &[u8]) -> Option<Vec<(&[u8], &[u8])>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    if bytes.len() > BYTES_MAX {
        return None;
    }
    let (count, rest) = number(bytes)?;
    if count > PAIRS_MAX || rest.len() < 8 * count {
        return None;
    }
    let (mut lengths, mut text) = rest.split_at(8 * count);
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let (name_len, rest) = number(lengths)?;
        let (value_len, rest) = number(rest)?;
        lengths = rest;
        let name = terminated(&mut text, name_len)?;
        pairs.push((name, terminated(&mut text, value_len)?));
    }
    text.is_empty().then_some(pairs)
}

fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((u32::from_le_bytes(*number) as usize, rest))
}

fn terminated<'a>(text: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (found, rest) = text.split_at_checked(len)?;
    let (end, rest) = rest.split_first()?;
    *text = rest;
    (*end == 0).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_read_as_it_was_written() {
        for pairs in [
            vec![],
            vec![(&b"a"[..], &b"b"[..])],
            vec![(b"", b""), (b":path", b"/"), (b"n", b"with\0nul"), (b"n", b"again")],
        ] {
            assert_eq!(decode(&encode(&pairs)), Some(pairs));
        }
    }

    #[test]
    fn the_bytes_are_those_of_cpp_host() {
        let bytes = encode(&[("k", "val")]);
        assert_eq!(bytes, b"\x01\0\0\0\x01\0\0\0\x03\0\0\0k\0val\0");
    }

    #[test]
    fn what_is_no_map_is_refused() {
        let good = encode(&[("k", "val")]);
        let longer = [&good[..], b"x"].concat();
        let unterminated = [&good[..good.len() - 1], b"x"].concat();
        let many = (PAIRS_MAX as u32 + 1).to_le_bytes();
        let huge = [&many[..], &[0; 10 * (PAIRS_MAX + 1)]].concat();
        for bad in [&good[..good.len() - 1], &good[..5], &longer, &unterminated, b"\xff\xff\xff\xff", &huge] {
            assert_eq!(decode(bad), None, "{:?}", &bad[..bad.len().min(24)]);
        }
        assert_eq!(decode(b""), Some(vec![]));
    }
}
