//! What is known of a plug-in: one code with one configuration.

use super::space::Space;
use crate::abi::ProxyAbi;
use crate::code::Code;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

pub struct Facts {
    /// Unique in the process.
    pub number: u64,
    pub code: Arc<Code>,
    pub abi: ProxyAbi,
    pub config: String,
    /// Data and queues, which outlive a version.
    pub space: Arc<Space>,
}

impl Facts {
    pub fn new(code: &Arc<Code>, abi: ProxyAbi, config: &str) -> Arc<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        Arc::new(Facts {
            number: NUMBER.fetch_add(1, Relaxed),
            code: Arc::clone(code),
            abi,
            config: config.to_owned(),
            space: Space::of(&code.app, vm_id(code)),
        })
    }
}

/// Filters of one id share data and queues, and a VM where their code agrees.
pub fn vm_id(code: &Code) -> &str {
    code.spec.vm_id.as_deref().unwrap_or(&code.spec.name)
}
