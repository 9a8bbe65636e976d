//! Why a guest ended, from the error that its call returned.

use crate::limits::MemoryExceeded;
use wasmtime::{Error, Trap, WasmBacktrace};

/// A guest's call stack is cut here: the ends of a deep recursion tell nothing more.
const MAX_FRAMES: usize = 16;

/// Why a guest ended without returning.
#[derive(Debug)]
pub enum Ended {
    Memory {
        wanted_bytes: u64,
        limit_bytes: u64,
    },
    Fuel,
    StackOverflow {
        backtrace: Vec<String>,
    },
    Trap {
        reason: String,
        backtrace: Vec<String>,
    },
    /// Not the guest's fault, or of a host call: the error's own words.
    Error(String),
}

/// Tells why a call failed. The exit of a guest (`proc_exit`) is for the caller to recognise before.
pub fn explain(error: &Error) -> Ended {
    if let Some(exceeded) = error.downcast_ref::<MemoryExceeded>() {
        return Ended::Memory { wanted_bytes: exceeded.wanted_bytes, limit_bytes: exceeded.limit_bytes };
    }
    let backtrace = error.downcast_ref::<WasmBacktrace>().map(frames).unwrap_or_default();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Ended::Fuel,
        Some(Trap::StackOverflow) => Ended::StackOverflow { backtrace },
        Some(trap) => Ended::Trap { reason: reason(*trap), backtrace },
        None if error.is::<WasmBacktrace>() => {
            Ended::Trap { reason: error.root_cause().to_string(), backtrace }
        }
        None => Ended::Error(format!("{error:#}")),
    }
}

/// A trap in the words of someone who did not read the specification.
fn reason(trap: Trap) -> String {
    match trap {
        Trap::UnreachableCodeReached => {
            "it reached code that it says is unreachable (often: it aborted)".into()
        }
        Trap::MemoryOutOfBounds => "it accessed memory out of bounds".into(),
        Trap::TableOutOfBounds => "it accessed a table out of bounds".into(),
        Trap::IntegerDivisionByZero => "it divided by zero".into(),
        Trap::IntegerOverflow => "an integer operation overflowed".into(),
        Trap::BadConversionToInteger => "it converted a number that fits no integer".into(),
        Trap::IndirectCallToNull => "it called a function pointer that is null".into(),
        Trap::BadSignature => "it called a function pointer of another type".into(),
        other => {
            let text = other.to_string();
            text.strip_prefix("wasm trap: ").map(str::to_owned).unwrap_or(text)
        }
    }
}

/// One line a frame: the function's demangled name, and file and line where DWARF tells them.
fn frames(backtrace: &WasmBacktrace) -> Vec<String> {
    let all = backtrace.frames();
    let mut lines = Vec::new();
    for (index, frame) in all.iter().take(MAX_FRAMES).enumerate() {
        let name = match frame.func_name() {
            Some(name) => {
                rustc_demangle::try_demangle(name).map_or(name.to_owned(), |name| format!("{name:#}"))
            }
            None => format!("function {}", frame.func_index()),
        };
        let place = frame.symbols().iter().rev().find_map(|symbol| {
            let file = symbol.file()?;
            Some(symbol.line().map_or(format!(" at {file}"), |line| format!(" at {file}:{line}")))
        });
        let offset =
            || frame.module_offset().map_or(String::new(), |offset| format!(" at offset {offset:#x}"));
        lines.push(format!("{index:>3}: {name}{}", place.unwrap_or_else(offset)));
    }
    if all.len() > MAX_FRAMES {
        lines.push(format!("     … {} more", all.len() - MAX_FRAMES));
    }
    lines
}
