//! Structs of preview 1 and 0 that we read or write ourselves, as bytes in a guest's memory.
//!
//! Source of the layouts: the `.witx` files of both generations. Everything is little-endian.

/// Size of an event, in both generations.
pub const EVENT_SIZE: u32 = 32;
pub const FDSTAT_SIZE: usize = 24;

const CLOCK: u8 = 0;
const FD_READ: u8 = 1;
const FD_WRITE: u8 = 2;

pub const FILETYPE_SOCKET_DGRAM: u8 = 5;
pub const FILETYPE_SOCKET_STREAM: u8 = 6;

pub const FDFLAGS_NONBLOCK: u16 = 1 << 2;

/// What a socket's descriptor may do: read, write, set flags, file status, poll, shutdown, accept.
pub const SOCKET_RIGHTS: u64 = 1 << 1 | 1 << 3 | 1 << 6 | 1 << 21 | 1 << 27 | 1 << 28 | 1 << 29;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    Preview0,
    Preview1,
}

impl Generation {
    /// Size of a subscription.
    pub fn subscription_size(self) -> u32 {
        match self {
            Generation::Preview0 => 56,
            Generation::Preview1 => 48,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockId {
    Realtime,
    Monotonic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Clock { id: ClockId, timeout_ns: u64, absolute: bool },
    Read { fd: u32 },
    Write { fd: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub userdata: u64,
    pub interest: Interest,
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// `None` where a tag, clock or flag is not of the standard.
pub fn subscription(bytes: &[u8], generation: Generation) -> Option<Subscription> {
    let userdata = u64::from_le_bytes(field(bytes, 0)?);
    let fd = || field(bytes, 16).map(u32::from_le_bytes);
    let interest = match *bytes.get(8)? {
        FD_READ => Interest::Read { fd: fd()? },
        FD_WRITE => Interest::Write { fd: fd()? },
        CLOCK => {
            // Preview 0 has another userdata in front of the clock.
            let start = match generation {
                Generation::Preview0 => 24,
                Generation::Preview1 => 16,
            };
            let id = match u32::from_le_bytes(field(bytes, start)?) {
                0 => ClockId::Realtime,
                1 => ClockId::Monotonic,
                _ => return None,
            };
            let absolute = match u16::from_le_bytes(field(bytes, start + 24)?) {
                0 => false,
                1 => true,
                _ => return None,
            };
            Interest::Clock { id, timeout_ns: u64::from_le_bytes(field(bytes, start + 8)?), absolute }
        }
        _ => return None,
    };
    Some(Subscription { userdata, interest })
}

/// A subscription to a descriptor, in preview 1's layout.
pub fn descriptor_subscription(userdata: u64, fd: u32, write: bool) -> [u8; 48] {
    let mut bytes = [0; 48];
    bytes[..8].copy_from_slice(&userdata.to_le_bytes());
    bytes[8] = if write { FD_WRITE } else { FD_READ };
    bytes[16..20].copy_from_slice(&fd.to_le_bytes());
    bytes
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    pub userdata: u64,
    pub error: u16,
    /// The subscription's tag.
    pub kind: u8,
    pub len: u64,
    pub hangup: bool,
}

impl Event {
    /// An event that says nothing more than that it happened.
    pub fn new(subscription: &Subscription, error: u16) -> Self {
        let kind = match subscription.interest {
            Interest::Clock { .. } => CLOCK,
            Interest::Read { .. } => FD_READ,
            Interest::Write { .. } => FD_WRITE,
        };
        Event { userdata: subscription.userdata, error, kind, len: 0, hangup: false }
    }

    pub fn to_bytes(self) -> [u8; EVENT_SIZE as usize] {
        let mut bytes = [0; EVENT_SIZE as usize];
        bytes[..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[8..10].copy_from_slice(&self.error.to_le_bytes());
        bytes[10] = self.kind;
        bytes[16..24].copy_from_slice(&self.len.to_le_bytes());
        bytes[24] = self.hangup.into();
        bytes
    }

    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Some(Event {
            userdata: u64::from_le_bytes(field(bytes, 0)?),
            error: u16::from_le_bytes(field(bytes, 8)?),
            kind: *bytes.get(10)?,
            len: u64::from_le_bytes(field(bytes, 16)?),
            hangup: *bytes.get(24)? & 1 != 0,
        })
    }
}

/// The fdstat of a socket.
pub fn socket_fdstat(filetype: u8, nonblocking: bool) -> [u8; FDSTAT_SIZE] {
    let mut bytes = [0; FDSTAT_SIZE];
    bytes[0] = filetype;
    let flags = if nonblocking { FDFLAGS_NONBLOCK } else { 0 };
    bytes[2..4].copy_from_slice(&flags.to_le_bytes());
    bytes[8..16].copy_from_slice(&SOCKET_RIGHTS.to_le_bytes());
    bytes
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filestat {
    pub device: u64,
    pub inode: u64,
    pub filetype: u8,
    pub links: u64,
    pub size: u64,
    pub accessed_ns: u64,
    pub modified_ns: u64,
    pub changed_ns: u64,
}

impl Filestat {
    /// Preview 0 has links of 32 bits, and is 56 bytes long instead of 64.
    pub fn to_bytes(self, generation: Generation) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend(self.device.to_le_bytes());
        bytes.extend(self.inode.to_le_bytes());
        bytes.push(self.filetype);
        match generation {
            Generation::Preview0 => {
                bytes.resize(20, 0);
                bytes.extend(u32::try_from(self.links).unwrap_or(u32::MAX).to_le_bytes());
            }
            Generation::Preview1 => {
                bytes.resize(24, 0);
                bytes.extend(self.links.to_le_bytes());
            }
        }
        for value in [self.size, self.accessed_ns, self.modified_ns, self.changed_ns] {
            bytes.extend(value.to_le_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(generation: Generation, id: u32, timeout_ns: u64, flags: u16) -> Vec<u8> {
        let mut bytes = vec![0xee; generation.subscription_size() as usize];
        bytes[..8].copy_from_slice(&7u64.to_le_bytes());
        bytes[8] = CLOCK;
        let start = bytes.len() - 32;
        bytes[start..start + 4].copy_from_slice(&id.to_le_bytes());
        bytes[start + 8..start + 16].copy_from_slice(&timeout_ns.to_le_bytes());
        bytes[start + 24..start + 26].copy_from_slice(&flags.to_le_bytes());
        bytes
    }

    #[test]
    fn subscriptions_of_both_generations() {
        for generation in [Generation::Preview0, Generation::Preview1] {
            let bytes = clock(generation, 1, 5, 1);
            let interest = Interest::Clock { id: ClockId::Monotonic, timeout_ns: 5, absolute: true };
            assert_eq!(subscription(&bytes, generation), Some(Subscription { userdata: 7, interest }));
            for (id, flags) in [(2, 0), (3, 0), (0, 2), (0, 0x101)] {
                assert_eq!(subscription(&clock(generation, id, 5, flags), generation), None);
            }
            for write in [false, true] {
                let bytes = descriptor_subscription(8, 9, write);
                let interest = if write { Interest::Write { fd: 9 } } else { Interest::Read { fd: 9 } };
                assert_eq!(subscription(&bytes, generation), Some(Subscription { userdata: 8, interest }));
            }
            let mut unknown = descriptor_subscription(8, 9, false);
            unknown[8] = 3;
            assert_eq!(subscription(&unknown, generation), None);
            assert_eq!(subscription(&bytes[..40], generation), None);
        }
    }

    #[test]
    fn events_go_and_come() {
        let event = Event { userdata: 1, error: 2, kind: FD_WRITE, len: 3, hangup: true };
        assert_eq!(Event::from_bytes(&event.to_bytes()), Some(event));
        assert_eq!(Event::from_bytes(&event.to_bytes()[..24]), None);
    }

    #[test]
    fn filestats_of_both_generations() {
        let stat = Filestat { links: 1 << 40, size: 6, changed_ns: 9, filetype: 4, ..Filestat::default() };
        let new = stat.to_bytes(Generation::Preview1);
        assert_eq!((new.len(), new[16], new[29], new[32], new[56]), (64, 4, 1, 6, 9));
        let old = stat.to_bytes(Generation::Preview0);
        assert_eq!((old.len(), old[16], old[24], old[48]), (56, 4, 6, 9));
        assert_eq!(old[20..24], [0xff; 4]);
    }
}
