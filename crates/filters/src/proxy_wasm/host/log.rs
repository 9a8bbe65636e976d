//! Logging.

use super::memory::{Guest, bytes, split, status, write_u32};
use crate::proxy_wasm::values::BAD_ARGUMENT;
use sampan_capabilities::Definer;
use wasmtime::Func;

const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "critical"];
/// Less important messages are not kept, as Envoy does unless told otherwise.
const LEVEL: u32 = 2;
/// Longer messages are cut.
const MESSAGE_MAX: u32 = 8 << 10;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "log" => to.wrap(|mut guest: Guest<'_>, level: u32, message: u32, len: u32| {
            let Some(name) = LEVELS.get(level as usize) else { return BAD_ARGUMENT };
            status(split(&mut guest).and_then(|(memory, state)| {
                bytes(memory, message, len)?;
                let text = bytes(memory, message, len.min(MESSAGE_MAX))?;
                if level >= LEVEL {
                    let text = String::from_utf8_lossy(text);
                    state.calling().code.log(&format!("{name}: {}", text.trim_end()));
                }
                Ok(())
            }))
        }),
        "get_log_level" => to.wrap(|mut guest: Guest<'_>, out: u32| {
            status(split(&mut guest).and_then(|(memory, _)| write_u32(memory, out, LEVEL)))
        }),
        _ => return None,
    })
}
