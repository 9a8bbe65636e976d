//! The streams of a connection of wasi:sockets 0.2 with a count of their bytes, for guests that are asked for it.

use crate::Host;
use bytes::Bytes;
use sampan_service::Traffic;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamResult};

struct Counted<S> {
    stream: S,
    traffic: Arc<Traffic>,
}

/// Puts counting streams in the place of those of a new connection.
pub fn streams(
    host: &mut Host,
    input: &Resource<DynInputStream>,
    output: &Resource<DynOutputStream>,
) -> Result<()> {
    let Some(traffic) = host.sockets.traffic().cloned() else { return Ok(()) };
    let table = host.ctx().table;
    let stream = table.get_mut(input)?;
    let plain = std::mem::replace(stream, Box::new(wasmtime_wasi::p2::pipe::ClosedInputStream));
    *stream = Box::new(Counted { stream: plain, traffic: Arc::clone(&traffic) });
    let stream = table.get_mut(output)?;
    let plain = std::mem::replace(stream, Box::new(wasmtime_wasi::p2::pipe::SinkOutputStream));
    *stream = Box::new(Counted { stream: plain, traffic });
    Ok(())
}

#[wasmtime_wasi::async_trait]
impl Pollable for Counted<DynInputStream> {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl InputStream for Counted<DynInputStream> {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let bytes = self.stream.read(size)?;
        self.traffic.received(bytes.len());
        Ok(bytes)
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Counted<DynOutputStream> {
    async fn ready(&mut self) {
        self.stream.ready().await;
    }
}

#[wasmtime_wasi::async_trait]
impl OutputStream for Counted<DynOutputStream> {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let count = bytes.len();
        self.stream.write(bytes)?;
        self.traffic.sent(count);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.stream.flush()
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        self.stream.check_write()
    }

    async fn cancel(&mut self) {
        self.stream.cancel().await;
    }
}
