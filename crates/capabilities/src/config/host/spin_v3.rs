//! spin:variables@3.0.0, of spin-sdk 6 and 7.

use crate::config::{Config, Missing};
use wasmtime::component::{Accessor, HasSelf};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/spin-variables-3.0.0",
        inline: "package sampan:host; world imports { import spin:variables/variables@3.0.0; }",
        world: "sampan:host/imports",
    });
}

pub use generated::spin::variables::variables::add_to_linker;
use generated::spin::variables::variables::{Error, Host, HostWithStore};

impl Host for Config {}

impl<T: Send> HostWithStore<T> for HasSelf<Config> {
    async fn get(accessor: &Accessor<T, Self>, name: String) -> Result<String, Error> {
        let found = accessor.with(|mut access| access.get().get(&name));
        found.map_err(|missing| match missing {
            Missing::InvalidName(_) => Error::InvalidName(missing.to_string()),
            Missing::Undefined(_) => Error::Undefined(missing.to_string()),
        })
    }
}
