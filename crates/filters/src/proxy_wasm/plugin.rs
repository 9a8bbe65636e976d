//! A plug-in: one code with one configuration, proven, in front of handlers.

use super::facts::Facts;
use super::vm::Step;
use super::vms::Vms;
use crate::abi::ProxyAbi;
use crate::code::Code;
use std::sync::Arc;

pub struct ProxyWasm {
    pub facts: Arc<Facts>,
    pub vms: Arc<Vms>,
}

impl ProxyWasm {
    /// # Errors
    ///
    /// Why it cannot serve, for a person.
    pub async fn prove(code: &Arc<Code>, abi: ProxyAbi, config: &str) -> Result<Arc<Self>, String> {
        let facts = Facts::new(code, abi, config);
        let vms = Vms::of(&facts)?;
        vms.try_out(&facts).await?;
        vms.add(&facts);
        Ok(Arc::new(ProxyWasm { facts, vms }))
    }
}

impl Drop for ProxyWasm {
    /// Nobody uses it any more. Others may use its VMs further.
    fn drop(&mut self) {
        self.vms.each_slot(|slot| {
            slot.background_at_home(Step::EndRoot { facts: Some(Arc::clone(&self.facts)) })
        });
    }
}
