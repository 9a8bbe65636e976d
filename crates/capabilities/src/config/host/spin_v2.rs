//! fermyon:spin/variables@2.0.0, of spin-sdk 2 to 5.

use crate::config::{Config, Missing};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/fermyon-spin-2.0.0",
        inline: "package sampan:host; world imports { import fermyon:spin/variables@2.0.0; }",
        world: "sampan:host/imports",
    });
}

pub use generated::fermyon::spin::variables::add_to_linker;
use generated::fermyon::spin::variables::{Error, Host};

impl Host for Config {
    fn get(&mut self, name: String) -> Result<String, Error> {
        Config::get(self, &name).map_err(|missing| match missing {
            Missing::InvalidName(_) => Error::InvalidName(missing.to_string()),
            Missing::Undefined(_) => Error::Undefined(missing.to_string()),
        })
    }
}
