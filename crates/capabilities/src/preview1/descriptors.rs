//! The guest's descriptors: its numbers, and what they stand for.

use super::Errno;
use crate::sockets::Socket;

/// Sockets that one guest may have open.
const MAX_SOCKETS: usize = 4096;
/// Descriptors of all kinds that one guest may have open.
const MAX_DESCRIPTORS: usize = 8192;

pub enum Descriptor {
    /// A descriptor of wasmtime-wasi's own table: standard streams, folders, files.
    Wasi(u32),
    Socket(Box<Socket>),
}

#[derive(Default)]
pub struct Descriptors {
    entries: Vec<Option<Descriptor>>,
    /// No number below it is free.
    lowest_free: usize,
    sockets: usize,
}

impl Descriptors {
    /// `count` descriptors that wasmtime-wasi has from the start, under the same numbers.
    pub fn new(count: u32) -> Self {
        let entries = (0..count).map(|fd| Some(Descriptor::Wasi(fd))).collect();
        Descriptors { entries, lowest_free: count as usize, sockets: 0 }
    }

    /// Gives `descriptor` the lowest free number, as POSIX wants it.
    pub fn insert(&mut self, descriptor: Descriptor) -> Result<u32, Errno> {
        let is_socket = matches!(descriptor, Descriptor::Socket(_));
        let free = (self.lowest_free..self.entries.len()).find(|fd| self.entries[*fd].is_none());
        let fd = free.unwrap_or(self.entries.len());
        if fd >= MAX_DESCRIPTORS || (is_socket && self.sockets >= MAX_SOCKETS) {
            return Err(Errno::NFILE);
        }
        if fd == self.entries.len() {
            self.entries.push(None);
        }
        self.entries[fd] = Some(descriptor);
        self.lowest_free = fd + 1;
        self.sockets += usize::from(is_socket);
        u32::try_from(fd).map_err(|_| Errno::NFILE)
    }

    pub fn get(&self, fd: u32) -> Result<&Descriptor, Errno> {
        self.entries.get(fd as usize).and_then(Option::as_ref).ok_or(Errno::BADF)
    }

    pub fn get_mut(&mut self, fd: u32) -> Result<&mut Descriptor, Errno> {
        self.entries.get_mut(fd as usize).and_then(Option::as_mut).ok_or(Errno::BADF)
    }

    pub fn remove(&mut self, fd: u32) -> Result<Descriptor, Errno> {
        let removed = self.entries.get_mut(fd as usize).and_then(Option::take).ok_or(Errno::BADF)?;
        self.lowest_free = self.lowest_free.min(fd as usize);
        self.sockets -= usize::from(matches!(removed, Descriptor::Socket(_)));
        Ok(removed)
    }

    /// Moves `from` to the number `to`, and gives back what was there. The number must have been open once:
    /// programs put standard output aside and back, as with `dup2`, so that it is closed meanwhile.
    pub fn renumber(&mut self, from: u32, to: u32) -> Result<Option<Descriptor>, Errno> {
        self.get(from)?;
        if from == to {
            return Ok(None);
        }
        if to as usize >= self.entries.len() {
            return Err(Errno::BADF);
        }
        let replaced = self.remove(to).ok();
        let moved = self.remove(from)?;
        self.sockets += usize::from(matches!(moved, Descriptor::Socket(_)));
        self.entries[to as usize] = Some(moved);
        Ok(replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_app::Protocol;

    fn socket() -> Descriptor {
        Descriptor::Socket(Box::new(Socket::new(Protocol::Tcp, false)))
    }

    #[test]
    fn numbers_are_the_lowest_free() {
        let mut table = Descriptors::new(4);
        assert_eq!(table.insert(Descriptor::Wasi(9)), Ok(4));
        assert_eq!(table.insert(socket()), Ok(5));
        table.remove(1).unwrap();
        table.remove(4).unwrap();
        assert_eq!(table.insert(socket()), Ok(1));
        assert_eq!(table.insert(socket()), Ok(4));
        assert_eq!(table.insert(socket()), Ok(6));
        assert!(matches!(table.get(7), Err(Errno::BADF)));
        assert!(matches!(table.get_mut(u32::MAX), Err(Errno::BADF)));
        assert!(matches!(table.remove(7), Err(Errno::BADF)));
    }

    #[test]
    fn renumbering_closes_the_target() {
        let mut table = Descriptors::new(3);
        let fd = table.insert(socket()).unwrap();
        assert!(matches!(table.renumber(fd, 0), Ok(Some(Descriptor::Wasi(0)))));
        assert!(matches!(table.get(0), Ok(Descriptor::Socket(_))));
        assert!(matches!(table.get(fd), Err(Errno::BADF)));
        assert_eq!(table.sockets, 1);
        assert!(matches!(table.renumber(0, 0), Ok(None)));
        assert!(matches!(table.renumber(fd, 0), Err(Errno::BADF)));
        assert!(matches!(table.renumber(0, fd + 1), Err(Errno::BADF)), "a number that never was open");
        assert_eq!(table.insert(socket()), Ok(3), "the number of what was moved is free");
        table.remove(0).unwrap();
        assert_eq!(table.sockets, 1);
    }

    #[test]
    fn a_standard_stream_is_put_aside_and_back() {
        let mut table = Descriptors::new(3);
        let (aside, file) =
            (table.insert(Descriptor::Wasi(3)).unwrap(), table.insert(Descriptor::Wasi(4)).unwrap());
        assert!(matches!(table.renumber(1, aside), Ok(Some(Descriptor::Wasi(3)))));
        assert!(matches!(table.renumber(file, 1), Ok(None)));
        assert!(matches!(table.get(1), Ok(Descriptor::Wasi(4))));
        assert!(matches!(table.renumber(aside, 1), Ok(Some(Descriptor::Wasi(4)))));
        assert!(matches!(table.get(1), Ok(Descriptor::Wasi(1))));
        assert_eq!(table.insert(socket()), Ok(aside), "both numbers are free again");
        assert_eq!(table.insert(socket()), Ok(file));
    }

    #[test]
    fn sockets_are_bounded() {
        let mut table = Descriptors::new(3);
        for _ in 0..MAX_SOCKETS {
            table.insert(socket()).unwrap();
        }
        assert_eq!(table.insert(socket()), Err(Errno::NFILE));
        assert!(table.insert(Descriptor::Wasi(3)).is_ok());
        table.remove(3).unwrap();
        assert_eq!(table.insert(socket()), Ok(3));
    }
}
