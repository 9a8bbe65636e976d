//! wasi:config/store, in the two versions that guests have. Their functions are the same.

use crate::config::Config;

mod of_2024_09_27 {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-config-0.2.0-draft-2024-09-27",
        world: "wasi:config/imports",
    });
}

mod of_rc1 {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-config-0.2.0-rc.1",
        world: "wasi:config/imports",
    });
}

pub use of_2024_09_27::wasi::config::store as draft;
pub use of_rc1::wasi::config::store as rc1;

impl draft::Host for Config {
    fn get(&mut self, key: String) -> Result<Option<String>, draft::Error> {
        Ok(self.find(&key))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, draft::Error> {
        Ok(self.all())
    }
}

impl rc1::Host for Config {
    fn get(&mut self, key: String) -> Result<Option<String>, rc1::Error> {
        Ok(self.find(&key))
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, rc1::Error> {
        Ok(self.all())
    }
}
