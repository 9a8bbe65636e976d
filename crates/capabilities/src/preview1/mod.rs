//! Preview 1 at the edge, and preview 0: the guest's descriptors are ours, so that files and sockets are
//! in one table; files, clocks and random numbers are wasmtime-wasi's.

mod calls;
mod delegate;
mod descriptors;
mod errno;
pub(crate) mod memory;
mod mounted;
mod poll;
mod preview0;
mod wire;

use crate::files::Files;
use crate::link::Definer;
use crate::sockets::{Poller, Socket, Waiter};
use descriptors::{Descriptor, Descriptors};
pub use errno::Errno;
pub(crate) use poll::poll_epoll;
use poll::poll_oneoff;
use wasmtime::{Func, FuncType};
use wasmtime_wasi::p1::WasiP1Ctx;
use wire::Generation;

/// The module names of the two generations.
const PREVIEW1: &str = "wasi_snapshot_preview1";
const PREVIEW0: &str = "wasi_unstable";

/// Preview 1's state of one guest.
pub struct Preview1 {
    pub(crate) wasi: WasiP1Ctx,
    /// Folders that the guest sees; wasmtime-wasi has more, the real ones of mounted files.
    preopens: u32,
    /// Made at the first call: a component never needs them.
    descriptors: Option<Descriptors>,
    waiter: Waiter,
    /// For `poll_oneoff` and `epoll_oneoff`.
    level: Option<Poller>,
    edge: Option<Poller>,
}

impl Preview1 {
    pub fn new(wasi: WasiP1Ctx, files: &Files) -> Self {
        let preopens = files.shown().len() as u32;
        let waiter = Waiter::default();
        Preview1 { wasi, preopens, descriptors: None, waiter, level: None, edge: None }
    }

    fn descriptors(&mut self) -> &mut Descriptors {
        // Standard streams, then the preopened folders, without gaps.
        self.descriptors.get_or_insert_with(|| Descriptors::new(3 + self.preopens))
    }

    /// wasmtime-wasi's number for a descriptor of the guest; `otherwise` where that is a socket.
    fn wasi_descriptor(&mut self, fd: u32, otherwise: Errno) -> Result<u32, Errno> {
        match self.descriptors().get(fd)? {
            Descriptor::Wasi(inner) => Ok(*inner),
            Descriptor::Socket(_) => Err(otherwise),
        }
    }

    /// A socket of the guest, and what its calls wait with.
    pub(crate) fn socket(&mut self, fd: u32) -> Result<(&mut Socket, &mut Waiter), Errno> {
        self.descriptors();
        let Some(descriptors) = &mut self.descriptors else { return Err(Errno::BADF) };
        match descriptors.get_mut(fd)? {
            Descriptor::Socket(socket) => Ok((socket, &mut self.waiter)),
            Descriptor::Wasi(_) => Err(Errno::NOTSOCK),
        }
    }

    pub(crate) fn insert_socket(&mut self, socket: Socket) -> Result<u32, Errno> {
        self.descriptors().insert(Descriptor::Socket(Box::new(socket)))
    }
}

/// The host function for an import of preview 1 or 0, if there is one of that name and type.
pub(crate) fn function(to: &mut Definer<'_>, module: &str, name: &str, ty: &FuncType) -> Option<Func> {
    let func = match module {
        PREVIEW1 => mounted::function(to, Generation::Preview1, name)
            .or_else(|| calls::function(to, name))
            .or_else(|| delegate::function(to, name))
            .or_else(|| crate::sockets::host::preview1::function(to, name, ty.params().len())),
        PREVIEW0 => mounted::function(to, Generation::Preview0, name)
            .or_else(|| preview0::function(to, name))
            .or_else(|| calls::function(to, name))
            .or_else(|| delegate::function(to, name))
            .or_else(|| crate::sockets::host::preview1::standard(to, name)),
        _ => None,
    }?;
    func.ty(&*to.store).matches(ty).then_some(func)
}
