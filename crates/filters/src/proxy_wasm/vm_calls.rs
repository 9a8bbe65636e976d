//! Callbacks about gRPC.

use super::grpc::{Delivery, Event};
use super::vm::{Vm, call, state_of};
use wasmtime::Result;

impl Vm {
    /// Of a call that the guest cancelled meanwhile it is told nothing.
    pub async fn grpc(&mut self, delivery: Delivery) -> Result<()> {
        let Delivery { root, id, event } = delivery;
        if !self.state().grpc.is_open(id) || !self.has_root(root) {
            return Ok(());
        }
        let exports = &self.exports;
        let callback = match &event {
            Event::Initial(_) => &exports.on_grpc_receive_initial_metadata,
            Event::Message(_) | Event::Answer(_) => &exports.on_grpc_receive,
            Event::Trailing(_) => &exports.on_grpc_receive_trailing_metadata,
            Event::Close(_) => &exports.on_grpc_close,
        };
        let number = event.number();
        let state = state_of(self.store.data_mut());
        state.status = match &event {
            Event::Close(closed) => (closed.code, closed.message.clone()),
            _ => (0, Vec::new()),
        };
        state.grpc.tell(id, event);
        if let Some(callback) = callback {
            call(&mut self.store, root, callback, (root, id, number)).await?;
        }
        self.state().grpc.told();
        Ok(())
    }
}
