//! Metrics of guests' own.

use super::memory::{Guest, bytes, split, status, write_u32, write_u64};
use crate::proxy_wasm::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, Status};
use sampan_capabilities::Definer;
use sampan_telemetry::own::{self, Kind, Metric};
use wasmtime::Func;

pub fn function(to: &mut Definer<'_>, name: &str) -> Option<Func> {
    Some(match name {
        "define_metric" => to.wrap(|mut guest: Guest<'_>, kind: u32, name: u32, len: u32, out: u32| {
            status(split(&mut guest).and_then(|(memory, state)| {
                let kind = kind_of(kind).ok_or(BAD_ARGUMENT)?;
                let name = str::from_utf8(bytes(memory, name, len)?).map_err(|_| BAD_ARGUMENT)?;
                let number = own::define(&state.calling().code.app, name, kind).ok_or(INTERNAL)?;
                // As cpp-host does, and some guests know: the kind is in the two lowest bits.
                write_u32(memory, out, number << 2 | kind as u32)
            }))
        }),
        "increment_metric" => to.wrap(|_: Guest<'_>, id: u32, by: i64| {
            status(find(id).and_then(|metric| {
                let allowed = match metric.kind {
                    Kind::Counter => by > 0,
                    Kind::Gauge => true,
                    Kind::Histogram => false,
                };
                allowed.then(|| metric.add(by)).ok_or(BAD_ARGUMENT)
            }))
        }),
        "record_metric" => to.wrap(|_: Guest<'_>, id: u32, value: i64| {
            status(find(id).map(|metric| match metric.kind {
                Kind::Counter => metric.add(value.max(0)),
                Kind::Gauge => metric.set(value),
                Kind::Histogram => metric.observe(value as u64),
            }))
        }),
        "get_metric" => to.wrap(|mut guest: Guest<'_>, id: u32, out: u32| {
            status(find(id).and_then(|metric| match metric.kind {
                Kind::Histogram => Err(BAD_ARGUMENT),
                Kind::Counter | Kind::Gauge => {
                    let (memory, _) = split(&mut guest)?;
                    write_u64(memory, out, metric.value() as u64)
                }
            }))
        }),
        _ => return None,
    })
}

fn kind_of(number: u32) -> Option<Kind> {
    Some(match number {
        0 => Kind::Counter,
        1 => Kind::Gauge,
        2 => Kind::Histogram,
        _ => return None,
    })
}

fn find(id: u32) -> Result<std::sync::Arc<Metric>, Status> {
    own::find(id >> 2).filter(|metric| metric.kind as u32 == id & 3).ok_or(NOT_FOUND)
}
