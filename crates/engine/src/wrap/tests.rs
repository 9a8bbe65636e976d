//! Modules that are wrapped, or say why not; names of snapshots.

use super::{RELEASES, to_component};
use crate::detect::{SNAPSHOTS, detect};
use std::borrow::Cow;

fn loaded(text: &str) -> Result<Vec<u8>, String> {
    let wasm = wat::parse_str(text).expect("the test's text");
    let kind = detect(&wasm).expect("a kind");
    to_component(&kind, Cow::Owned(wasm)).map(Cow::into_owned).map_err(|error| error.to_string())
}

/// The component's own names, in order.
fn names(component: &[u8]) -> Vec<String> {
    let mut depth = 0;
    let mut names = Vec::new();
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.expect("a component") {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ComponentImportSection(section) if depth == 1 => {
                names.extend(section.into_iter().map(|import| import.unwrap().name.name.to_owned()));
            }
            wasmparser::Payload::ComponentExportSection(section) if depth == 1 => {
                names.extend(section.into_iter().map(|export| export.unwrap().name.name.to_owned()));
            }
            _ => {}
        }
    }
    names
}

#[test]
fn names_of_snapshots_become_those_of_the_release() {
    let text = r#"(component
        (import "wasi:cli/stdout@0.2.0-rc-2023-10-18" (instance))
        (import "wasi:http/types@0.2.0-rc-2023-10-18" (instance))
        (import "wasi:http/types@0.2.0-rc-2023-11-10" (instance))
        (import "wasi:cli/stdout@0.2.0" (instance))
        (import "wasi:clocks/types@0.3.0-rc-2026-03-15" (instance))
        (import "wasi:clocks/types@0.3.0-rc-2026-01-06" (instance))
        (import "acme:cli/stdout@0.2.0-rc-2023-10-18" (instance))
        (component (import "wasi:cli/stdout@0.2.0-rc-2023-10-18" (instance)))
        (instance $i)
        (export "wasi:http/incoming-handler@0.2.0-rc-2023-10-18" (instance $i)))"#;
    let component = loaded(text).expect("a component");
    let expected = [
        "wasi:cli/stdout@0.2.202310180000000",
        "wasi:http/types@0.2.0-rc-2023-10-18",
        "wasi:http/types@0.2.202311100000000",
        "wasi:cli/stdout@0.2.0",
        "wasi:clocks/types@0.3.202603150000000",
        "wasi:clocks/types@0.3.0-rc-2026-01-06",
        "acme:cli/stdout@0.2.0-rc-2023-10-18",
        "wasi:http/incoming-handler@0.2.202310180000000",
    ];
    assert_eq!(names(&component), expected);
    wasmparser::Validator::new_with_features(wasmparser::WasmFeatures::all())
        .validate_all(&component)
        .expect("still valid");
}

#[test]
fn every_known_snapshot_has_a_release_of_the_same_length() {
    let known: Vec<_> = SNAPSHOTS.iter().map(|(snapshot, _)| *snapshot).collect();
    let named: Vec<_> = RELEASES.iter().map(|(snapshot, _)| *snapshot).collect();
    assert_eq!(known, named);
    for (snapshot, release) in RELEASES {
        assert_eq!(snapshot.len(), release.len(), "{snapshot}");
        let patch = release.rsplit('.').next().expect("a patch");
        assert!(patch.parse::<u64>().is_ok(), "{release}");
    }
}

#[test]
fn other_files_stay_as_they_are() {
    for text in ["(module)", r#"(module (func (export "_start")))"#, "(component)"] {
        assert_eq!(loaded(text).unwrap(), wat::parse_str(text).unwrap(), "{text}");
    }
}

#[test]
fn modules_that_cannot_be_wrapped_say_why() {
    for export in ["handle-http-request", "handle-redis-message"] {
        // TinyGo exports `_start` as well.
        let text = format!(r#"(module (func (export "{export}")) (func (export "_start")))"#);
        let error = loaded(&text).unwrap_err();
        assert!(error.contains(export) && error.contains("before version 1.4"), "{error}");
    }
    let error = loaded(r#"(module (func (export "wasi:http/incoming-handler@0.2.0#handle")))"#).unwrap_err();
    assert!(error.contains("stripped"), "{error}");
    let damaged = r#"(module (@custom "component-type:x" "\00") (func (export "a:b/c#d")))"#;
    let error = loaded(damaged).unwrap_err();
    assert!(error.starts_with("it cannot be wrapped into a component: "), "{error}");
}
