//! The clock, and ticks.

use super::memory::{Guest, split, state, status, write_u64};
use crate::proxy_wasm::values::OK;
use sampan_capabilities::Definer;
use std::time::{Duration, SystemTime};
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "get_current_time_nanoseconds" => to.wrap(|mut guest: Guest<'_>, out: u32| {
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            status(split(&mut guest).and_then(|(memory, _)| write_u64(memory, out, now.as_nanos() as u64)))
        }),
        "set_tick_period_milliseconds" => to.wrap(|mut guest: Guest<'_>, period_ms: u32| {
            let state = state(&mut guest);
            let root = state.effective_root();
            let period = (period_ms > 0).then(|| Duration::from_millis(period_ms.into()));
            // The last word counts.
            state.after.ticks.retain(|(other, _)| *other != root);
            state.after.ticks.push((root, period));
            OK
        }),
        _ => return None,
    })
}
