//! Error numbers of preview 1, and of WasmEdge's extension of it.

use std::io;

/// An error number as a guest sees it. Zero, success, is not one: see [`Errno::code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub u16);

/// Names are those of the standard; the numbers are the same in preview 0.
impl Errno {
    pub const ACCES: Errno = Errno(2);
    pub const ADDRNOTAVAIL: Errno = Errno(4);
    pub const BADF: Errno = Errno(8);
    pub const BUSY: Errno = Errno(10);
    pub const FAULT: Errno = Errno(21);
    pub const INVAL: Errno = Errno(28);
    pub const IO: Errno = Errno(29);
    pub const ISDIR: Errno = Errno(31);
    pub const MSGSIZE: Errno = Errno(35);
    pub const NFILE: Errno = Errno(41);
    pub const NOSYS: Errno = Errno(52);
    pub const NOTDIR: Errno = Errno(54);
    pub const NOTSOCK: Errno = Errno(57);
    pub const NOTSUP: Errno = Errno(58);
    pub const PERM: Errno = Errno(63);
    pub const ROFS: Errno = Errno(69);
    pub const SPIPE: Errno = Errno(70);
    // WasmEdge's, after the standard's last.
    pub const AI_BADFLAGS: Errno = Errno(79);
    pub const AI_NONAME: Errno = Errno(84);
    pub const AI_SERVICE: Errno = Errno(85);

    /// What the host call returns.
    pub fn code(result: Result<(), Errno>) -> i32 {
        result.map_or_else(|errno| errno.0.into(), |()| 0)
    }

    /// The same for an error number of Linux.
    pub fn from_linux(code: i32) -> Self {
        TABLE.iter().find(|(linux, _)| *linux == code).map_or(Errno::IO, |(_, wasi)| Errno(*wasi))
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        match (error.raw_os_error(), error.kind()) {
            (Some(code), _) => Errno::from_linux(code),
            (None, io::ErrorKind::WouldBlock) => Errno::from_linux(libc::EAGAIN),
            (None, io::ErrorKind::InvalidInput) => Errno::INVAL,
            (None, io::ErrorKind::PermissionDenied) => Errno::ACCES,
            _ => Errno::IO,
        }
    }
}

/// Linux's numbers and the standard's, for what sockets can give.
const TABLE: &[(i32, u16)] = &[
    (libc::EACCES, 2),
    (libc::EADDRINUSE, 3),
    (libc::EADDRNOTAVAIL, 4),
    (libc::EAFNOSUPPORT, 5),
    (libc::EAGAIN, 6),
    (libc::EALREADY, 7),
    (libc::EBADF, 8),
    (libc::EBUSY, 10),
    (libc::ECONNABORTED, 13),
    (libc::ECONNREFUSED, 14),
    (libc::ECONNRESET, 15),
    (libc::EDESTADDRREQ, 17),
    (libc::EDOM, 18),
    (libc::EFAULT, 21),
    (libc::EHOSTUNREACH, 23),
    (libc::EHOSTDOWN, 23),
    (libc::EINPROGRESS, 26),
    (libc::EINTR, 27),
    (libc::EINVAL, 28),
    (libc::EIO, 29),
    (libc::EISCONN, 30),
    (libc::EMFILE, 33),
    (libc::EMSGSIZE, 35),
    (libc::ENETDOWN, 38),
    (libc::ENETRESET, 39),
    (libc::ENETUNREACH, 40),
    (libc::ENFILE, 41),
    (libc::ENOBUFS, 42),
    (libc::ENODEV, 43),
    (libc::ENOENT, 44),
    (libc::ENOMEM, 48),
    (libc::ENOPROTOOPT, 50),
    (libc::ENOTCONN, 53),
    (libc::ENOTSOCK, 57),
    (libc::EOPNOTSUPP, 58),
    (libc::ENXIO, 60),
    (libc::EPERM, 63),
    (libc::EPIPE, 64),
    (libc::EPROTO, 65),
    (libc::EPROTONOSUPPORT, 66),
    (libc::EPROTOTYPE, 67),
    (libc::ERANGE, 68),
    (libc::ETIMEDOUT, 73),
];
