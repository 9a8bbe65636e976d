//! Callbacks about TCP connections.

use super::facts::Facts;
use super::values::Side;
use super::vm::{CONTINUE, Vm};
use std::sync::Arc;
use wasmtime::Result;

impl Vm {
    pub async fn connect(&mut self, stream: u32, facts: &Arc<Facts>) -> Result<u32> {
        self.context(stream, facts).await?;
        match self.exports.on_new_connection.clone() {
            Some(on_new_connection) => {
                self.enter(stream);
                self.call(&on_new_connection, stream).await
            }
            None => Ok(CONTINUE),
        }
    }

    pub async fn data(&mut self, side: Side, stream: u32, len: u32, end: bool) -> Result<u32> {
        let function = match side {
            Side::Request => self.exports.on_downstream_data.clone(),
            Side::Response => self.exports.on_upstream_data.clone(),
        };
        match function.filter(|_| self.has_stream(stream)) {
            Some(function) => {
                self.enter(stream);
                self.call(&function, (stream, len, u32::from(end))).await
            }
            None => Ok(CONTINUE),
        }
    }

    pub async fn closed(&mut self, side: Side, stream: u32, peer: u32) -> Result<()> {
        let function = match side {
            Side::Request => self.exports.on_downstream_connection_close.clone(),
            Side::Response => self.exports.on_upstream_connection_close.clone(),
        };
        match function.filter(|_| self.has_stream(stream)) {
            Some(function) => {
                self.enter(stream);
                self.call(&function, (stream, peer)).await
            }
            None => Ok(()),
        }
    }
}
