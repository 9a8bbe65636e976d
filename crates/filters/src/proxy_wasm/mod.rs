//! proxy-wasm, versions 0.1.0, 0.2.0 and 0.2.1 (proxy-wasm/spec): what Envoy's filters speak.
//!
//! A [`ProxyWasm`] is a plug-in: one code with one configuration. Its VMs ([`vms`]) are each worker's own ([`group`]);
//! a VM is in a [`slot`] between calls. [`exchange`] is the life of an exchange, [`body`] that of its bodies. What a
//! guest sees of both is [`state`], on which the functions in [`host`] work.

mod attributes;
mod body;
mod calls;
mod chunks;
mod driver;
mod exchange;
mod exports;
mod facts;
mod foreign;
mod group;
mod grpc;
mod head;
mod host;
mod ids;
mod local;
mod map;
mod plugin;
mod protobuf;
mod slot;
mod space;
mod state;
mod stream;
mod tcp;
mod tick;
mod values;
mod vm;
mod vm_calls;
mod vm_tcp;
mod vms;

pub use plugin::ProxyWasm;
