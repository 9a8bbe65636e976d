//! `proxy_call_foreign_function`: functions that are no part of the specification, as Envoy has them
//! (envoyproxy/envoy, source/extensions/common/wasm/foreign.cc). None of these calls the guest back, so
//! `proxy_on_foreign_function` is never called.

pub mod expressions;
mod key;
mod signature;
mod zlib;

use super::host::properties;
use super::protobuf::{bytes_of, fields, number_of};
use super::state::State;
use super::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, OK, Status};

/// Longer arguments are refused: a function works on them while the guest's clock stands still.
const ARGUMENTS_MAX: usize = 1 << 20;
/// Properties that a plug-in may declare.
const DECLARED_MAX: usize = 256;
const DECLARED_BYTES_MAX: usize = 1024;

pub fn call(state: &mut State, name: &[u8], arguments: &[u8]) -> Result<Vec<u8>, Status> {
    type Function = fn(&mut State, &[u8]) -> Result<Vec<u8>, Status>;
    let function: Function = match name {
        b"compress" => |_, bytes| zlib::compress(bytes),
        b"uncompress" => |_, bytes| zlib::uncompress(bytes),
        b"sign" => |_, arguments| signature::sign(arguments),
        b"verify_signature" => |_, arguments| signature::verify(arguments),
        b"expr_create" => expressions::create,
        b"expr_evaluate" => expressions::evaluate,
        b"expr_delete" => expressions::delete,
        b"set_envoy_filter_state" => set_filter_state,
        b"declare_property" => declare_property,
        // The route has been chosen by then and is not chosen again.
        b"clear_route_cache" => |_, _| Ok(Vec::new()),
        _ => return Err(NOT_FOUND),
    };
    if arguments.len() > ARGUMENTS_MAX {
        return Err(INTERNAL);
    }
    function(state, arguments)
}

/// Field 1: the name, 2: the value. A filter's own properties are there under `wasm.`.
fn set_filter_state(state: &mut State, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = fields(arguments).ok_or(BAD_ARGUMENT)?;
    let (name, value) = (bytes_of(&arguments, 1), bytes_of(&arguments, 2));
    let path = match name.strip_prefix(b"wasm.") {
        Some(own) => own.to_vec(),
        None => [b"filter_state\0", name].concat(),
    };
    match properties::set(state, &path, value) {
        OK => Ok(Vec::new()),
        status => Err(status),
    }
}

/// Field 1: the name, 2: whether it is set only once. Types and schemas are not looked at (a property is bytes, in
/// expressions too), and all last as long as the exchange.
fn declare_property(state: &mut State, arguments: &[u8]) -> Result<Vec<u8>, Status> {
    let arguments = fields(arguments).ok_or(BAD_ARGUMENT)?;
    let (name, read_only) = (bytes_of(&arguments, 1), number_of(&arguments, 2) != 0);
    let root = state.effective_root();
    let declared = &mut state.roots.get_mut(&root).ok_or(NOT_FOUND)?.declared;
    if declared.contains_key(name) {
        return Err(BAD_ARGUMENT);
    }
    if declared.len() >= DECLARED_MAX || name.len() > DECLARED_BYTES_MAX {
        return Err(INTERNAL);
    }
    declared.insert(name.to_vec(), read_only);
    Ok(Vec::new())
}
