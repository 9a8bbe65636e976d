//! One version of a filter: its code, and a plug-in for each configuration that routes give it.

use crate::abi::Abi;
use crate::code::Code;
use crate::plugin::Plugin;
use std::sync::Arc;

pub struct Version {
    pub code: Arc<Code>,
    /// The filter's own configuration, then those of routes.
    pub configs: Vec<String>,
    /// One for each configuration.
    plugins: Vec<Plugin>,
}

impl Version {
    /// Proves the code with each of the configurations.
    ///
    /// # Errors
    ///
    /// Why it cannot serve, for a person.
    pub async fn prove(code: Arc<Code>, configs: Vec<String>) -> Result<Arc<Version>, String> {
        let mut plugins = Vec::with_capacity(configs.len());
        for config in &configs {
            plugins.push(Plugin::prove(&code, config).await?);
        }
        Ok(Arc::new(Version { code, configs, plugins }))
    }

    /// The ABI, as people call it.
    pub fn abi(&self) -> &'static str {
        Abi::of(&self.code.code).map_or("none", Abi::name)
    }

    /// The plug-in of the configuration at an index of `configs`.
    pub fn plugin(&self, config: usize) -> &Plugin {
        &self.plugins[config]
    }
}
