//! Sending and receiving of wasi:sockets 0.3 with a count of the bytes, for guests that are asked for it.
//!
//! wasmtime-wasi makes the streams of a connection, and does not show what they carry. So a piece of pipe is put
//! between them and the guest, and what passes it is counted.

use crate::Host;
use crate::sockets::Sockets;
use bytes::{Buf, BytesMut};
use sampan_service::Traffic;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use wasmtime::component::{
    Access, Accessor, Destination, LinkerInstance, Resource, Source, StreamConsumer, StreamProducer,
    StreamReader, StreamResult,
};
use wasmtime::{AsContextMut, Result, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::{
    ErrorCode, HostTcpSocketWithStore, HostUdpSocketWithStore, IpSocketAddress,
};
use wasmtime_wasi::p3::sockets::SocketResult;
use wasmtime_wasi::sockets::{TcpSocket, UdpSocket, WasiSockets, WasiSocketsView};

/// What lies in a pipe between two looks of its reader.
const PIPE_MAX_BYTES: usize = 64 << 10;

/// Replaces calls of `wasi:sockets/types`, which is already defined.
pub fn replace_transfer(types: &mut LinkerInstance<'_, Host>) -> Result<()> {
    types.func_wrap(
        "[method]tcp-socket.send",
        |mut store: StoreContextMut<'_, Host>, (socket, data): (Resource<TcpSocket>, StreamReader<u8>)| {
            let data = counted(&mut store, data, Traffic::sent)?;
            let store = Access::<Host, WasiSockets>::new(store, WasiSocketsView::sockets);
            Ok((HostTcpSocketWithStore::send(store, socket, data)?,))
        },
    )?;
    types.func_wrap(
        "[method]tcp-socket.receive",
        |mut store: StoreContextMut<'_, Host>, (socket,): (Resource<TcpSocket>,)| {
            let access = Access::<Host, WasiSockets>::new(store.as_context_mut(), WasiSocketsView::sockets);
            let (data, end) = HostTcpSocketWithStore::receive(access, socket)?;
            Ok(((counted(&mut store, data, Traffic::received)?, end),))
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.send",
        |store: &Accessor<Host>,
         (socket, data, to): (Resource<UdpSocket>, Vec<u8>, Option<IpSocketAddress>)| {
            Box::pin(async move {
                let (sockets, count) = (of(store), data.len());
                let store = store.with_getter::<WasiSockets>(WasiSocketsView::sockets);
                let sent = HostUdpSocketWithStore::send(&store, socket, data, to).await;
                if let (Ok(()), Some(traffic)) = (&sent, sockets.traffic()) {
                    traffic.sent(count);
                }
                to_guest(sent)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]udp-socket.receive",
        |store: &Accessor<Host>, (socket,): (Resource<UdpSocket>,)| {
            Box::pin(async move {
                let sockets = of(store);
                let store = store.with_getter::<WasiSockets>(WasiSocketsView::sockets);
                let received = HostUdpSocketWithStore::receive(&store, socket).await;
                if let (Ok((data, _)), Some(traffic)) = (&received, sockets.traffic()) {
                    traffic.received(data.len());
                }
                to_guest(received)
            })
        },
    )
}

fn of(store: &Accessor<Host>) -> Sockets {
    store.with(|mut store| store.get().sockets.clone())
}

fn to_guest<T>(result: SocketResult<T>) -> Result<(Result<T, ErrorCode>,)> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(error.downcast()?),
    },))
}

/// The same stream, or one behind a pipe that counts.
fn counted(
    store: &mut StoreContextMut<'_, Host>,
    data: StreamReader<u8>,
    count: fn(&Traffic, usize),
) -> Result<StreamReader<u8>> {
    let Some(traffic) = store.data().sockets.traffic().cloned() else { return Ok(data) };
    let pipe = Arc::<Pipe>::default();
    data.pipe(store.as_context_mut(), In(Arc::clone(&pipe)))?;
    StreamReader::new(
        store.as_context_mut(),
        Out { pipe, count: Box::new(move |bytes| count(&traffic, bytes)) },
    )
}

#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    bytes: BytesMut,
    /// One of the two ends is gone.
    ended: bool,
    /// Whoever waits for the other end; there is never more than one.
    waiting: Option<Waker>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.wake();
    }
}

impl State {
    fn wake(&mut self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    /// Waits for the other end, unless the guest wants an answer now.
    fn wait(&mut self, cx: &mut Context<'_>, finish: bool) -> Poll<Result<StreamResult>> {
        if finish {
            return Poll::Ready(Ok(StreamResult::Cancelled));
        }
        self.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// Where the bytes come from.
struct In(Arc<Pipe>);

impl Drop for In {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl<D> StreamConsumer<D> for In {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut state = self.0.lock();
        if state.ended {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        let room = PIPE_MAX_BYTES.saturating_sub(state.bytes.len());
        if room == 0 {
            return state.wait(cx, finish);
        }
        let mut source = source.as_direct(store);
        let bytes = source.remaining();
        let count = bytes.len().min(room);
        // Without any it was asked only whether there is room.
        state.bytes.extend_from_slice(&bytes[..count]);
        source.mark_read(count);
        state.wake();
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Where they go.
struct Out {
    pipe: Arc<Pipe>,
    count: Box<dyn Fn(usize) + Send>,
}

impl Drop for Out {
    fn drop(&mut self) {
        self.pipe.end();
    }
}

impl<D> StreamProducer<D> for Out {
    type Item = u8;
    type Buffer = BytesMut;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, BytesMut>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let mut state = self.pipe.lock();
        if state.bytes.is_empty() {
            return match state.ended {
                true => Poll::Ready(Ok(StreamResult::Dropped)),
                false => state.wait(cx, finish),
            };
        }
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let mut destination = destination.as_direct(store, state.bytes.len());
        let room = destination.remaining();
        let count = room.len().min(state.bytes.len());
        room[..count].copy_from_slice(&state.bytes[..count]);
        state.bytes.advance(count);
        destination.mark_written(count);
        state.wake();
        drop(state);
        (self.count)(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
