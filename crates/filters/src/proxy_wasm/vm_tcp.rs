//! Callbacks about TCP connections.

use super::facts::Facts;
use super::values::Side;
use super::vm::{CONTINUE, Vm, call};
use std::sync::Arc;
use wasmtime::Result;

impl Vm {
    pub async fn connect(&mut self, stream: u32, facts: &Arc<Facts>) -> Result<u32> {
        self.context(stream, facts).await?;
        match &self.exports.on_new_connection {
            Some(function) => call(&mut self.store, stream, function, stream).await,
            None => Ok(CONTINUE),
        }
    }

    pub async fn data(&mut self, side: Side, stream: u32, len: u32, end: bool) -> Result<u32> {
        let has_stream = self.has_stream(stream);
        let function = match side {
            Side::Request => &self.exports.on_downstream_data,
            Side::Response => &self.exports.on_upstream_data,
        };
        match function.as_ref().filter(|_| has_stream) {
            Some(function) => call(&mut self.store, stream, function, (stream, len, u32::from(end))).await,
            None => Ok(CONTINUE),
        }
    }

    pub async fn closed(&mut self, side: Side, stream: u32, peer: u32) -> Result<()> {
        let has_stream = self.has_stream(stream);
        let function = match side {
            Side::Request => &self.exports.on_downstream_connection_close,
            Side::Response => &self.exports.on_upstream_connection_close,
        };
        match function.as_ref().filter(|_| has_stream) {
            Some(function) => call(&mut self.store, stream, function, (stream, peer)).await,
            None => Ok(()),
        }
    }
}
