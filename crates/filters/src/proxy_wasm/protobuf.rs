//! As much of Protocol Buffers as Envoy's own arguments need (protobuf.dev, "Encoding"): flat messages.

/// A field's value. Numbers of a fixed width are none that these messages have; they are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// The fields of a message as they come; `None` where the bytes are no message.
pub fn fields(mut bytes: &[u8]) -> Option<Vec<(u32, Value<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number > 0)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => taken(&mut bytes, 8).map(|_| Value::Other)?,
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).ok()?;
                Value::Bytes(taken(&mut bytes, len)?)
            }
            5 => taken(&mut bytes, 4).map(|_| Value::Other)?,
            _ => return None,
        };
        fields.push((number, value));
    }
    Some(fields)
}

/// Bytes of a field; the last one counts, and without any they are empty.
pub fn bytes_of<'a>(fields: &[(u32, Value<'a>)], number: u32) -> &'a [u8] {
    let found = fields.iter().rev().find_map(|(one, value)| match value {
        Value::Bytes(bytes) if *one == number => Some(*bytes),
        _ => None,
    });
    found.unwrap_or_default()
}

pub fn number_of(fields: &[(u32, Value<'_>)], number: u32) -> u64 {
    let found = fields.iter().rev().find_map(|(one, value)| match value {
        Value::Number(value) if *one == number => Some(*value),
        _ => None,
    });
    found.unwrap_or_default()
}

/// Writes a field, unless it is empty, which is what a missing one says.
pub fn put_bytes(message: &mut Vec<u8>, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_varint(message, u64::from(number) << 3 | 2);
        put_varint(message, bytes.len() as u64);
        message.extend_from_slice(bytes);
    }
}

pub fn put_bool(message: &mut Vec<u8>, number: u32, value: bool) {
    if value {
        put_varint(message, u64::from(number) << 3);
        message.push(1);
    }
}

fn put_varint(message: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

fn taken<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let long = vec![7; 300];
        let mut message = Vec::new();
        put_bytes(&mut message, 1, b"text");
        put_bytes(&mut message, 2, b"");
        put_bool(&mut message, 3, true);
        put_bool(&mut message, 4, false);
        put_bytes(&mut message, 200, &long);
        let fields = fields(&message).unwrap();
        assert_eq!(fields, [(1, Value::Bytes(b"text")), (3, Value::Number(1)), (200, Value::Bytes(&long))]);
        assert_eq!(
            (bytes_of(&fields, 1), bytes_of(&fields, 2), number_of(&fields, 3)),
            (&b"text"[..], &b""[..], 1)
        );
        // A field of the wrong type is a missing one.
        assert_eq!((bytes_of(&fields, 3), number_of(&fields, 1)), (&b""[..], 0));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            &b"\x0a"[..],
            b"\x0a\x05abc",
            b"\x00\x00",
            b"\x0b",
            b"\x09abc",
            b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert_eq!(fields(bad), None, "{bad:x?}");
        }
        assert_eq!(fields(b"\x0dabcd\x08\x01"), Some(vec![(1, Value::Other), (1, Value::Number(1))]));
    }
}
