//! The interfaces that guests see: what the snapshots had and the release has not.

mod http_november;
mod http_october;
mod http_october_types;
mod io;
mod system;

use super::{NOVEMBER_2023, OCTOBER_2023};
use crate::Host;
use wasmtime::component::{Linker, LinkerInstance, Val};
use wasmtime::{Result, StoreContextMut};

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of this capability's.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    match name {
        "wasi:clocks/timezone@0.2.0-rc-2023-10-18" => system::define_timezone(linker, name)?,
        "wasi:http/types@0.2.0-rc-2023-10-18" => http_october::define_types(linker)?,
        "wasi:http/outgoing-handler@0.2.0-rc-2023-10-18" => http_october::define_outgoing_handler(linker)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Adds to an interface of the release, which is already defined, what a snapshot has besides, and replaces
/// what it has in another form.
pub(crate) fn extend(linker: &mut Linker<Host>, interface: &str, version: &str) -> Result<()> {
    let extend = match (interface, version) {
        ("wasi:io/poll", OCTOBER_2023) => io::extend_poll,
        ("wasi:io/streams", OCTOBER_2023) => io::extend_streams,
        ("wasi:clocks/monotonic-clock", OCTOBER_2023) => io::extend_monotonic_clock,
        ("wasi:filesystem/types", OCTOBER_2023) => system::extend_filesystem,
        ("wasi:sockets/ip-name-lookup", OCTOBER_2023) => system::extend_lookup,
        ("wasi:sockets/tcp", OCTOBER_2023 | NOVEMBER_2023) => system::extend_tcp,
        ("wasi:sockets/udp", OCTOBER_2023 | NOVEMBER_2023) => system::extend_udp,
        ("wasi:http/types", NOVEMBER_2023) => http_november::extend_types,
        _ => return Ok(()),
    };
    linker.allow_shadowing(true);
    let done = extend(linker);
    linker.allow_shadowing(false);
    done
}

/// Functions that answer with one and the same error of their interface, whatever their parameters are.
fn refuse(instance: &mut LinkerInstance<'_, Host>, functions: &[&str], error: &'static str) -> Result<()> {
    for function in functions {
        instance.func_new(function, move |_: StoreContextMut<'_, Host>, _, _, results| {
            results[0] = Val::Result(Err(Some(Box::new(Val::Enum(error.to_owned())))));
            Ok(())
        })?;
    }
    Ok(())
}
