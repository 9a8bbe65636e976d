//! A guest's memory: every pointer and length comes from the guest, and one that points outside ends it.

use sampan_capabilities::Host;
use std::ops::Range;
use wasmtime::{Caller, Extern, Memory, Result, bail, format_err};

/// The memory by its name: while the start section runs, nobody has looked it up yet.
pub fn exported(caller: &mut Caller<'_, Host>) -> Result<Memory> {
    let export = caller.get_export("memory").and_then(Extern::into_memory);
    export.ok_or_else(|| format_err!("it exports no memory named `memory`"))
}

fn range(memory: &[u8], at: u32, length: u32) -> Result<Range<usize>> {
    let (start, end) = (at as usize, at as usize + length as usize);
    if end > memory.len() {
        bail!("it handed over {length} bytes at {at:#x}, outside of its memory of {} bytes", memory.len());
    }
    Ok(start..end)
}

/// What the guest hands over.
pub fn read(memory: &[u8], at: u32, length: u32) -> Result<&[u8]> {
    range(memory, at, length).map(|range| &memory[range])
}

/// A place that the guest wants to have filled.
pub fn place(memory: &mut [u8], at: u32, length: u32) -> Result<&mut [u8]> {
    range(memory, at, length).map(|range| &mut memory[range])
}

/// A number of four bytes, little-endian.
pub fn read_u32(memory: &[u8], at: u32) -> Result<u32> {
    let bytes = read(memory, at, 4)?;
    Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_is_reached() {
        let mut memory = vec![1, 0, 0, 0, 5];
        assert_eq!(read_u32(&memory, 0).unwrap(), 1);
        assert!(read_u32(&memory, 2).is_err());
        assert_eq!(read(&memory, 5, 0).unwrap(), b"");
        for (at, length) in [(5, 1), (6, 0), (0, 6), (u32::MAX, 1), (u32::MAX, u32::MAX), (4, u32::MAX)] {
            assert!(read(&memory, at, length).is_err(), "{at} {length}");
            assert!(place(&mut memory, at, length).is_err(), "{at} {length}");
        }
    }
}
