//! The `Range` header (RFC 9110, section 14): which bytes of a file a client wants.

/// What to send of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything, because nothing less was asked for, or in a form that is to be ignored.
    Whole,
    /// `from..=to`, never empty.
    Bytes { from: u64, to: u64 },
    /// No byte of the file: 416.
    None,
}

/// Reads a header's value for a file of this length. Several ranges at once are answered with the whole file,
/// which section 14.2 leaves to the server: what asks for many small pieces is mostly an attack.
pub fn part(header: &[u8], length: u64) -> Part {
    let text = std::str::from_utf8(header).unwrap_or_default();
    let Some((unit, spec)) = text.split_once('=') else { return Part::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || spec.contains(',') {
        return Part::Whole;
    }
    let Some((first, last)) = spec.trim().split_once('-') else { return Part::Whole };
    match (number(first), number(last)) {
        // The last bytes.
        (Some(None), Some(Some(0))) => Part::None,
        (Some(None), Some(Some(count))) if length > 0 => {
            Part::Bytes { from: length.saturating_sub(count), to: length - 1 }
        }
        (Some(None), Some(Some(_))) => Part::None,
        (Some(Some(from)), Some(to)) => match to {
            Some(to) if to < from => Part::Whole,
            _ if from >= length => Part::None,
            to => Part::Bytes { from, to: to.unwrap_or(u64::MAX).min(length - 1) },
        },
        _ => Part::Whole,
    }
}

/// `Some(None)`: nothing stands there; `None`: no number. Numbers beyond 64 bits are as good as the largest.
fn number(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        _ if !text.bytes().all(|byte| byte.is_ascii_digit()) => None,
        _ => Some(Some(text.parse().unwrap_or(u64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_of_a_hundred_bytes() {
        let bytes = |from, to| Part::Bytes { from, to };
        let table = [
            ("bytes=0-9", bytes(0, 9)),
            ("bytes=0-0", bytes(0, 0)),
            ("Bytes=90-", bytes(90, 99)),
            ("bytes= 5-6", bytes(5, 6)),
            ("bytes=90-1000", bytes(90, 99)),
            ("bytes=0-99999999999999999999999", bytes(0, 99)),
            ("bytes=-1", bytes(99, 99)),
            ("bytes=-1000", bytes(0, 99)),
            ("bytes=-0", Part::None),
            ("bytes=100-", Part::None),
            ("bytes=100-200", Part::None),
            ("bytes=99999999999999999999999-", Part::None),
            ("bytes=9-0", Part::Whole),
            ("bytes=-", Part::Whole),
            ("bytes=", Part::Whole),
            ("bytes", Part::Whole),
            ("lines=0-9", Part::Whole),
            ("bytes=a-b", Part::Whole),
            ("bytes=+1-2", Part::Whole),
            ("bytes=--1", Part::Whole),
            ("bytes=0-1,5-6", Part::Whole),
        ];
        for (header, expected) in table {
            assert_eq!(part(header.as_bytes(), 100), expected, "{header}");
        }
        assert_eq!(part(b"bytes=\xff-1", 100), Part::Whole);
    }

    #[test]
    fn an_empty_file_has_no_range() {
        for header in ["bytes=0-", "bytes=-5", "bytes=0-0"] {
            assert_eq!(part(header.as_bytes(), 0), Part::None, "{header}");
        }
    }
}
