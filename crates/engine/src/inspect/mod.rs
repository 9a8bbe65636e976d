//! What is in a WebAssembly file: `sampan inspect` shows a [`Report`] as text ([`render_text`]) or as JSON.
//!
//! A report is plain data without references into the file. Everything that a file can make long is bounded,
//! and what was left out is counted.

mod custom;
mod grants;
mod known;
mod signature;
mod text;
mod walk;

pub use text::render_text;

use crate::artifact::{self, PublicKey, hex};
use crate::detect::{self, DetectError};
use crate::wrap;
use serde::Serialize;

/// Everything that is known about one file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One word for scripts, as [`detect::Kind::id`] has it.
    pub kind: &'static str,
    /// The same for people, to be read after "it is".
    pub description: String,
    pub size_bytes: u64,
    /// SHA-256 of the file without Sampan's native sections, hexadecimal: the file's identity in the cache.
    pub wasm_sha256: String,
    /// By module (core) or interface (component), in the order of the file.
    pub imports: Vec<Item>,
    pub exports: Vec<Item>,
    pub memories: Vec<Memory>,
    pub start_section: bool,
    /// Languages, tools and versions that the file names, of nested modules too.
    pub producers: Vec<Producer>,
    /// A language that the file does not name but looks like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language_guess: Option<&'static str>,
    /// WebAssembly features that the compiler was allowed to use.
    pub target_features: Vec<String>,
    pub debug: Debug,
    /// Of the file itself; those of nested modules are in [`Report::nested`].
    pub sections: Vec<Section>,
    /// Modules and components inside a component, in the order of the file.
    pub nested: Vec<Nested>,
    pub native: Vec<Native>,
    /// What the guest may ask for, guessed from its imports.
    pub grants: Vec<Grant>,
    /// What a person should know besides.
    pub notes: Vec<String>,
    /// How many imports, exports, sections and so on were left out of this report.
    pub left_out: u64,
}

/// Something imported or exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Item {
    pub name: String,
    /// `func`, `memory`, `table`, `global`, `tag`, `module`, `instance`, `type`, `component` or `value`.
    pub kind: &'static str,
    /// In the style of WIT; `None` where it could not be read.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub ty: Option<String>,
    /// What a module or an instance holds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<Item>,
}

/// A memory that the file defines or imports; sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    pub minimum_bytes: u64,
    pub maximum_bytes: Option<u64>,
    pub shared: bool,
    pub memory64: bool,
}

/// One entry of a `producers` section.
/// <https://github.com/WebAssembly/tool-conventions/blob/main/ProducersSection.md>
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Producer {
    /// `language`, `sdk` or `processed-by`.
    pub role: String,
    pub name: String,
    pub version: String,
}

/// What helps to make a backtrace readable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Debug {
    /// Bytes of DWARF sections (`.debug_*`); 0 without.
    pub dwarf_bytes: u64,
    pub function_names: bool,
    pub source_map: bool,
}

/// All sections of one name, added up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    pub name: String,
    pub custom: bool,
    /// Of the contents.
    pub bytes: u64,
    /// How many functions, data segments and so on there are, where the section says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// A module or component inside a component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Nested {
    /// `module` or `component`.
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// 1 for what lies in the file's own component.
    pub depth: u32,
    pub bytes: u64,
    pub sections: Vec<Section>,
}

/// Native code that lies in the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Native {
    /// `sampan` or `wasmedge`.
    pub maker: &'static str,
    pub target: String,
    pub bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<Signed>,
    /// Whether the signature, the code and the wasm belong together, and a trusted key vouches for them.
    pub trusted: bool,
    /// Why it is not trusted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// What a native section of Sampan says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Signed {
    pub profile: String,
    pub settings: String,
    pub engine: String,
    pub key_id: String,
    pub wasm_sha256: String,
}

/// A grant that the guest may need.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// The flag of `sampan run`, with placeholders in capitals; what only apps have, by its key in a manifest.
    pub flag: &'static str,
    pub needs: Need,
    pub reason: &'static str,
    /// The imports that this was guessed from, at most three.
    pub imports: Vec<String>,
}

/// The kind of a grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    Files,
    Env,
    Ports,
    Tcp,
    Udp,
    Http,
    Keyvalue,
    Messaging,
    Sql,
    Postgres,
    Mysql,
    Redis,
    Mqtt,
    Variables,
}

/// Looks into a file: WebAssembly in binary form. `trusted` are the keys that count for native code.
///
/// # Errors
/// [`DetectError`] if this is no WebAssembly, or is damaged.
pub fn inspect(bytes: &[u8], trusted: &[PublicKey]) -> Result<Report, DetectError> {
    let kind = detect::detect(bytes)?;
    let wasm_digest = artifact::wasm_digest(bytes);
    let mut report = Report {
        kind: kind.id(),
        description: kind.describe(),
        size_bytes: bytes.len() as u64,
        wasm_sha256: hex(&wasm_digest),
        ..Report::default()
    };
    walk::walk(bytes, &mut report)?;
    match wrap::wrapped(&kind, bytes) {
        Some(Ok(component)) => show_wrapped(&component, &mut report)?,
        Some(Err(error)) => {
            report.notes.push(format!("It cannot be loaded: {error}. Help: {}.", error.help()))
        }
        None => {}
    }
    let beside = kind == detect::Kind::Artifact;
    for found in artifact::find(bytes) {
        // A file that holds native code alone cannot show which wasm it belongs to; loading checks that.
        let wasm_digest = if beside { &found.meta.wasm_digest } else { &wasm_digest };
        let verified = artifact::verify(&found, bytes, wasm_digest, trusted);
        report.native.push(native(&found, verified.err()));
    }
    report.grants = grants::guess(&report.imports);
    if walk::imports_threads(&report.imports) {
        report.notes.push("It starts threads in the way of wasi-threads, which Sampan does not run.".into());
    }
    Ok(report)
}

/// The interfaces of a module that is wrapped into a component when it is loaded: the component's.
fn show_wrapped(component: &[u8], report: &mut Report) -> Result<(), DetectError> {
    let mut wrapped = Report::default();
    walk::walk(component, &mut wrapped)?;
    report.imports = wrapped.imports;
    report.exports = wrapped.exports;
    report.notes.push("Imports and exports are those of the component that it is wrapped into.".into());
    Ok(())
}

fn native(found: &artifact::Found, problem: Option<artifact::VerifyError>) -> Native {
    let meta = &found.meta;
    Native {
        maker: "sampan",
        target: meta.target.clone(),
        bytes: found.payload.len() as u64,
        signed: Some(Signed {
            profile: meta.profile.clone(),
            settings: meta.settings.clone(),
            engine: meta.engine.clone(),
            key_id: meta.key_id.to_string(),
            wasm_sha256: hex(&meta.wasm_digest),
        }),
        trusted: problem.is_none(),
        problem: problem.map(|problem| problem.to_string()),
    }
}

/// Imports of a report that Sampan does not answer, in the order of the file.
pub fn unknown_imports(report: &Report) -> Vec<&str> {
    report
        .imports
        .iter()
        .filter(|import| !known::is_known(import))
        .map(|import| import.name.as_str())
        .collect()
}

/// `[method]descriptor.open-at` → `descriptor.open-at`.
fn short_function(name: &str) -> &str {
    match name.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => rest,
        None => name,
    }
}

#[cfg(test)]
mod tests;
