//! From what a tool built to what Wasmtime compiles: a module in the component ABI is wrapped into a
//! component, and interfaces of WASI's snapshots that did not change until the release get its name.

use crate::detect::Kind;
use std::borrow::Cow;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmparser::{Chunk, Parser, Payload};
use wit_component::ComponentEncoder;

/// Exports of the ABI of Spin's SDKs before 1.4, which wit-bindgen 0.2 made (spinframework/spin,
/// `crates/componentize/src/lib.rs`, `EXPORT_INTERFACES`).
const BEFORE_COMPONENTS: &[&str] = &["handle-http-request", "handle-redis-message"];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    #[error("it exports `{0}`, as Spin's SDKs did before version 1.4, in an ABI that nothing describes")]
    BeforeComponents(String),
    #[error("it has no `component-type` section, which says what it imports and exports; was it stripped?")]
    Untyped,
    #[error("it cannot be wrapped into a component: {0}")]
    Encode(String),
}

impl WrapError {
    /// What the user can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            WrapError::BeforeComponents(_) => {
                "build it again with Spin's SDK 2 or later; its spin.toml can stay"
            }
            WrapError::Untyped => "strip it less, or build it for wasm32-wasip2",
            WrapError::Encode(_) => "build it for wasm32-wasip2, or with a newer version of its SDK",
        }
    }
}

/// Makes a component of a module in the component ABI; anything else stays as it is.
pub fn to_component<'a>(kind: &Kind, wasm: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, WrapError> {
    let wasm = match wrapped(kind, &wasm) {
        Some(component) => Cow::Owned(component?),
        None => wasm,
    };
    Ok(if kind.becomes_component() { name_releases(wasm) } else { wasm })
}

/// The component that a module in the component ABI becomes; `None` for anything else.
pub fn wrapped(kind: &Kind, wasm: &[u8]) -> Option<Result<Vec<u8>, WrapError>> {
    match kind {
        Kind::UnwrappedComponent { export } if BEFORE_COMPONENTS.contains(&export.as_str()) => {
            Some(Err(WrapError::BeforeComponents(export.clone())))
        }
        Kind::UnwrappedComponent { .. } => Some(wrap(wasm)),
        _ => None,
    }
}

/// The module says in a custom section which interfaces it imports and exports; what it imports of preview 1
/// besides, the adapter maps to WASI 0.2.
fn wrap(module: &[u8]) -> Result<Vec<u8>, WrapError> {
    // Without it, the encoder makes an empty component.
    if !is_typed(module) {
        return Err(WrapError::Untyped);
    }
    let encode = || {
        ComponentEncoder::default()
            .module(module)?
            .adapter(WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER)?
            .encode()
    };
    encode().map_err(|error| WrapError::Encode(format!("{error:#}")))
}

/// Whether there is the section that wit-bindgen adds, named `component-type` and something unique.
fn is_typed(module: &[u8]) -> bool {
    Parser::new(0).parse_all(module).map_while(Result::ok).any(|payload| {
        matches!(payload, Payload::CustomSection(section) if section.name().starts_with("component-type"))
    })
}

/// A snapshot and the release that has its interfaces: a version that no release will ever have, so that a
/// component may import both, and that is as long, so that it can be written in the same place.
/// What was compared: the WIT in the crates spin-sdk 3.1.1 (2023) and wasip3 0.6.0 and 0.7.1 (2026).
const RELEASES: &[(&str, &str)] = &[
    ("0.2.0-rc-2023-10-18", "0.2.202310180000000"),
    ("0.2.0-rc-2023-11-10", "0.2.202311100000000"),
    ("0.3.0-rc-2026-03-15", "0.3.202603150000000"),
];

/// What differs too much: `capabilities/snapshots` answers it under its own name. Where only single functions
/// differ, it adds or replaces these.
const DIFFERENT: &[&str] = &[
    "wasi:clocks/timezone@0.2.0-rc-2023-10-18",
    "wasi:http/outgoing-handler@0.2.0-rc-2023-10-18",
    "wasi:http/types@0.2.0-rc-2023-10-18",
];

/// Gives imports and exports of snapshots the name under which the release answers them. A damaged component
/// is left as it is: the compiler says what is wrong.
fn name_releases(component: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let found = snapshot_names(&component);
    if found.is_empty() {
        return component;
    }
    let mut component = component.into_owned();
    for (at, version) in found {
        component[at..at + version.len()].copy_from_slice(version.as_bytes());
    }
    Cow::Owned(component)
}

/// Where the names of the component's own imports and exports have the version of a snapshot, and what to
/// write there.
fn snapshot_names(component: &[u8]) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let mut note = |name: &str| {
        let version = RELEASES.iter().find(|(snapshot, _)| {
            name.starts_with("wasi:") && name.ends_with(snapshot) && !DIFFERENT.contains(&name)
        });
        if let Some((snapshot, release)) = version {
            // The parser's names lie in the bytes that it was given.
            let at = name.as_ptr() as usize - component.as_ptr() as usize;
            found.push((at + name.len() - snapshot.len(), *release));
        }
    };
    let mut parser = Parser::new(0);
    let mut rest = component;
    while let Ok(Chunk::Parsed { consumed, payload }) = parser.parse(rest, true) {
        rest = &rest[consumed..];
        let skip = match payload {
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => unchecked_range.len(),
            Payload::ComponentImportSection(imports) => {
                imports.into_iter().flatten().for_each(|import| note(import.name.name));
                0
            }
            Payload::ComponentExportSection(exports) => {
                exports.into_iter().flatten().for_each(|export| note(export.name.name));
                0
            }
            Payload::End(_) => break,
            _ => 0,
        };
        let Some(after) = rest.get(skip..) else { break };
        rest = after;
    }
    found
}

#[cfg(test)]
mod tests;
