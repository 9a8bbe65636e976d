//! The interfaces that guests see.

mod spin_v1;
mod spin_v2;
mod spin_v3;
mod wasi_config;

use super::Config;
use crate::Host;
use wasmtime::Result;
use wasmtime::component::{HasSelf, Linker};

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of this capability's.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    type Own = HasSelf<Config>;
    fn own(host: &mut Host) -> &mut Config {
        &mut host.config
    }
    match name {
        "wasi:config/store@0.2.0-draft-2024-09-27" => {
            wasi_config::draft::add_to_linker::<_, Own>(linker, own)?;
        }
        "wasi:config/store@0.2.0-rc.1" => wasi_config::rc1::add_to_linker::<_, Own>(linker, own)?,
        "fermyon:spin/config" => spin_v1::add_to_linker::<_, Own>(linker, own)?,
        "fermyon:spin/variables@2.0.0" => spin_v2::add_to_linker::<_, Own>(linker, own)?,
        "spin:variables/variables@3.0.0" => spin_v3::add_to_linker::<_, Own>(linker, own)?,
        _ => return Ok(false),
    }
    Ok(true)
}
