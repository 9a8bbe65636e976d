//! How Easegress lays data out in a guest's memory (megaease/easegress, pkg/filters/wasmhost/hostfunc.go): numbers are
//! little-endian; bytes have their length before them; a string has a NUL behind it, which its length counts; a list
//! has its number before it.
//!
//! What is laid out has exactly the size that is allocated for it: the AssemblyScript SDK takes a string's end from
//! its own allocation.

use crate::common::memory;
use wasmtime::{Result, bail};

pub fn string(text: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(text.len() + 5);
    push_string(&mut all, text);
    all
}

pub fn bytes(data: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(data.len() + 4);
    all.extend((data.len() as u32).to_le_bytes());
    all.extend(data);
    all
}

pub fn list<T: AsRef<[u8]>>(texts: &[T]) -> Vec<u8> {
    let mut all = Vec::new();
    all.extend((texts.len() as u32).to_le_bytes());
    for text in texts {
        push_string(&mut all, text.as_ref());
    }
    all
}

fn push_string(all: &mut Vec<u8>, text: &[u8]) {
    all.extend((text.len() as u32 + 1).to_le_bytes());
    all.extend(text);
    all.push(0);
}

pub fn read_string(memory: &[u8], at: u32) -> Result<&[u8]> {
    match read_bytes(memory, at)?.split_last() {
        Some((_, text)) => Ok(text),
        None => bail!("it handed over a string at {at:#x} that has no end"),
    }
}

pub fn read_bytes(memory: &[u8], at: u32) -> Result<&[u8]> {
    let length = memory::read_u32(memory, at)?;
    let Some(start) = at.checked_add(4) else {
        bail!("it handed over data at {at:#x}, at the end of memory")
    };
    memory::read(memory, start, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts() {
        assert_eq!(string(b"ab"), b"\x03\0\0\0ab\0");
        assert_eq!(string(b""), b"\x01\0\0\0\0");
        assert_eq!(bytes(b"ab"), b"\x02\0\0\0ab");
        assert_eq!(list(&["a", ""]), b"\x02\0\0\0\x02\0\0\0a\0\x01\0\0\0\0");
        assert_eq!(read_string(&string(b"ab"), 0).unwrap(), b"ab");
        assert_eq!(read_bytes(&bytes(b"ab"), 0).unwrap(), b"ab");
        for (memory, at) in [(&b"\0\0\0\0"[..], 0), (b"\x05\0\0\0ab\0", 0), (b"\0\0\0", 0), (b"", u32::MAX)] {
            assert!(read_string(memory, at).is_err(), "{memory:?}");
        }
    }
}
