//! fermyon:spin/config without version, of spin-sdk 1.

use crate::config::{Config, Missing};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-unversioned",
        inline: "package sampan:host; world imports { import fermyon:spin/config; }",
        world: "sampan:host/imports",
    });
}

pub use generated::fermyon::spin::config::add_to_linker;
use generated::fermyon::spin::config::{Error, Host};

impl Host for Config {
    fn get_config(&mut self, key: String) -> Result<String, Error> {
        self.get(&key).map_err(|missing| match missing {
            Missing::InvalidName(_) => Error::InvalidKey(missing.to_string()),
            // What Spin says of a variable that no provider has.
            Missing::Undefined(_) => Error::Provider(missing.to_string()),
        })
    }
}
