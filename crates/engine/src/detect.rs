//! What a WebAssembly file is, from its imports and exports alone. Knows wasmparser and nothing of ours,
//! so that it can be fuzzed by itself.
//!
//! [`detect`] reads section headers, imports, exports and the start section; it steps over function bodies, data
//! and nested modules and keeps a few names: microseconds for files of any size. The compiler validates.

use wasmparser::{Chunk, ComponentExternalKind, Encoding, ExternalKind, Parser, Payload};

// With its path, so that this file finds it also when a fuzz target includes this file by path.
#[path = "detect/versions.rs"]
mod versions;
#[path = "detect/words.rs"]
mod words;

use versions::{is_of_0_3, release, split_version};

/// The custom section in which Sampan keeps native code; `artifact.rs` has its format.
pub const NATIVE_SECTION: &str = "sampan.native";
/// How many exports of a plain component [`Kind::describe`] names.
const NAMED_EXPORTS: usize = 4;
/// How much of a name is kept.
const MAX_SHOWN_CHARS: usize = 200;

/// Versions of WASI that never became a release and are answered all the same: guests with them are around.
pub const SNAPSHOTS: &[(&str, Release)] = &[
    ("0.2.0-rc-2023-10-18", Release::V0_2),
    ("0.2.0-rc-2023-11-10", Release::V0_2),
    ("0.3.0-rc-2026-03-15", Release::V0_3),
];

/// What a file is, and so how it is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A module that starts at its export `_start`.
    Command(Preview),
    /// A module without `_start` that does all its work in the start section, as AssemblyScript makes them.
    StartOnly(Preview),
    /// A module to be initialised by `_initialize` once; then its exports are called.
    Reactor(Preview),
    /// A module that is none of the others: its exports can be called.
    Module(Preview),
    ProxyWasm(ProxyAbi),
    HttpWasm,
    Easegress,
    /// A module whose exports follow the component model's ABI, to be wrapped into a component when it is
    /// loaded: what Spin's SDKs 1 to 5 build. `export` is one of its functions.
    UnwrappedComponent {
        export: String,
    },
    /// A component that exports `wasi:cli/run`.
    CliComponent(World),
    /// A component that exports `wasi:http/incoming-handler` (0.2) or `wasi:http/handler` (0.3).
    HttpComponent(World),
    /// A component that exports `wasi:http/handler` and imports it too: it stands before another one.
    HttpMiddleware(World),
    /// A component that exports one of the above in another version, or Spin 1's `fermyon:spin/inbound-http`.
    PreReleaseComponent {
        export: String,
    },
    /// Any other component. `exports` holds the first few names, `more` says that there are others.
    Component {
        exports: Vec<String>,
        more: bool,
        needs_0_3: bool,
    },
    /// A component that exports types alone: interfaces written in WIT, in binary form, without code.
    WitPackage,
    /// Native code that Sampan compiled, in a file of its own, without the wasm.
    Artifact,
}

/// The generation of WASI that a core module imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preview {
    /// No WASI at all.
    None,
    /// `wasi_unstable`.
    Zero,
    /// `wasi_snapshot_preview1`.
    One,
    /// Both names.
    Both,
}

/// The proxy-wasm ABI that a filter asks for by its marker export `proxy_abi_version_X_Y_Z`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyAbi {
    V0_1_0,
    V0_2_0,
    V0_2_1,
    /// A marker that no specification defines, as `X.Y.Z`.
    Unknown(String),
    /// The callbacks without a marker.
    Unmarked,
}

/// A release of WASI for components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    V0_2,
    V0_3,
}

/// The interface by which a component is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    pub release: Release,
    /// As the component spells it, for example `wasi:cli/run@0.2.6`.
    pub export: String,
    /// It exports or imports something of WASI 0.3, so it needs an engine with concurrency support.
    pub needs_0_3: bool,
}

/// Why a file has no [`Kind`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DetectError {
    Empty,
    /// Not WebAssembly, and what it seems to be.
    NotWasm(Guess),
    /// WebAssembly's text format: to be converted first.
    TextFormat,
    /// WebAssembly of a version that is neither module 1 nor component 13.
    Version {
        version: u16,
        layer: u16,
    },
    /// The file ends in the middle; `offset` (bytes) is where.
    Truncated {
        offset: u64,
    },
    Malformed {
        offset: u64,
        message: String,
    },
}

/// What a file that is not WebAssembly seems to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guess {
    Elf,
    WasmtimeArtifact,
    MachO,
    WindowsProgram,
    JavaClass,
    LlvmBitcode,
    Archive,
    Gzip,
    Zip,
    Tar,
    Zstd,
    Pdf,
    Image,
    Html,
    Json,
    Script,
    GitLfsPointer,
    Text,
    Binary,
}

/// Says what a file is. Never panics, whatever the bytes.
///
/// # Errors
/// [`DetectError`] if the bytes are no WebAssembly, or if the outline of the file is damaged.
pub fn detect(bytes: &[u8]) -> Result<Kind, DetectError> {
    check_header(bytes)?;
    let mut facts = Facts::default();
    let mut parser = Parser::new(0);
    let mut rest = bytes;
    loop {
        let truncated = DetectError::Truncated { offset: bytes.len() as u64 };
        let (consumed, payload) = match parser.parse(rest, false).map_err(malformed)? {
            Chunk::NeedMoreData(_) => return Err(truncated),
            Chunk::Parsed { consumed, payload } => (consumed, payload),
        };
        rest = &rest[consumed..];
        let skip = match &payload {
            Payload::CodeSectionStart { size, .. } => {
                parser.skip_section();
                *size as usize
            }
            Payload::ModuleSection { unchecked_range, .. }
            | Payload::ComponentSection { unchecked_range, .. } => unchecked_range.len(),
            _ => 0,
        };
        facts.note(payload)?;
        rest = rest.get(skip..).ok_or(truncated)?;
        if rest.is_empty() {
            return Ok(facts.kind());
        }
    }
}

fn malformed(error: wasmparser::Error) -> DetectError {
    DetectError::Malformed { offset: error.offset() as u64, message: shown(error.message()) }
}

/// A name from the file as a message may show it: bounded, and nothing in it steers a terminal.
fn shown(name: &str) -> String {
    let steers = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}')
    };
    name.chars()
        .take(MAX_SHOWN_CHARS)
        .map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

const MAGIC: &[u8] = b"\0asm";

fn check_header(bytes: &[u8]) -> Result<(), DetectError> {
    if bytes.is_empty() {
        return Err(DetectError::Empty);
    }
    if bytes.len() < 8 && (MAGIC.starts_with(bytes) || bytes.starts_with(MAGIC)) {
        return Err(DetectError::Truncated { offset: bytes.len() as u64 });
    }
    if !bytes.starts_with(MAGIC) {
        return Err(if words::is_text_format(bytes) {
            DetectError::TextFormat
        } else {
            DetectError::NotWasm(words::guess(bytes))
        });
    }
    let version = u16::from_le_bytes([bytes[4], bytes[5]]);
    let layer = u16::from_le_bytes([bytes[6], bytes[7]]);
    match (version, layer) {
        (1, 0) | (13, 1) => Ok(()),
        _ => Err(DetectError::Version { version, layer }),
    }
}

/// What the sections said so far: constant in size.
#[derive(Default)]
struct Facts {
    component: bool,
    native: bool,
    other_sections: bool,
    start_section: bool,
    exports: Exports,
    preview0: bool,
    preview1: bool,
    http_handler: bool,
    easegress: bool,
    /// It imports or exports something of WASI 0.3.
    names_0_3: bool,
    imports_http_handler: bool,
}

/// What the exports said so far.
#[derive(Default)]
struct Exports {
    start: bool,
    initialize: bool,
    beyond_memory: bool,
    proxy_abi: Option<ProxyAbi>,
    proxy_callback: bool,
    handle_request: bool,
    handle_response: bool,
    wasm_run: bool,
    wasm_alloc: bool,
    unwrapped: Option<String>,
    cli: Option<(Release, String)>,
    http: Option<(Release, String)>,
    pre_release: Option<String>,
    beyond_types: bool,
    others: Vec<String>,
    more: bool,
}

impl Facts {
    fn note(&mut self, payload: Payload<'_>) -> Result<(), DetectError> {
        match payload {
            Payload::Version { encoding, .. } => {
                self.component = encoding == Encoding::Component;
                return Ok(());
            }
            Payload::CustomSection(section) => {
                self.native |= section.name() == NATIVE_SECTION;
                self.other_sections |= section.name() != NATIVE_SECTION;
                return Ok(());
            }
            Payload::UnknownSection { id, range, .. } => {
                let message = format!("unknown section {id}");
                return Err(DetectError::Malformed { offset: range.start as u64, message });
            }
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    self.note_import(import.map_err(malformed)?.module);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    self.exports.note(export.name, export.kind);
                }
            }
            Payload::StartSection { .. } => self.start_section = true,
            Payload::ComponentImportSection(imports) => {
                for import in imports {
                    let name = import.map_err(malformed)?.name;
                    self.note_component_import(name.implements.unwrap_or(name.name));
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports {
                    let export = export.map_err(malformed)?;
                    let name = export.name.implements.unwrap_or(export.name.name);
                    self.names_0_3 |= is_of_0_3(name);
                    self.exports.note_component(name, export.kind);
                }
            }
            _ => {}
        }
        self.other_sections = true;
        Ok(())
    }

    fn note_import(&mut self, module: &str) {
        match module {
            "wasi_unstable" => self.preview0 = true,
            "wasi_snapshot_preview1" => self.preview1 = true,
            "http_handler" => self.http_handler = true,
            "easegress" => self.easegress = true,
            _ => {}
        }
    }

    fn note_component_import(&mut self, name: &str) {
        self.imports_http_handler |= split_version(name).0 == "wasi:http/handler";
        self.names_0_3 |= is_of_0_3(name);
    }

    fn preview(&self) -> Preview {
        match (self.preview0, self.preview1) {
            (false, false) => Preview::None,
            (true, false) => Preview::Zero,
            (false, true) => Preview::One,
            (true, true) => Preview::Both,
        }
    }

    fn kind(self) -> Kind {
        if self.native && !self.other_sections {
            Kind::Artifact
        } else if self.component {
            self.component_kind()
        } else {
            self.module_kind()
        }
    }

    /// Plug-in and component ABIs first: their guests often export `_start` or `_initialize` too.
    fn module_kind(self) -> Kind {
        let preview = self.preview();
        let exports = self.exports;
        if let Some(abi) = exports.proxy_abi {
            Kind::ProxyWasm(abi)
        } else if exports.proxy_callback {
            Kind::ProxyWasm(ProxyAbi::Unmarked)
        } else if self.easegress || (exports.wasm_run && exports.wasm_alloc) {
            Kind::Easegress
        } else if (self.http_handler || exports.handle_response) && exports.handle_request {
            Kind::HttpWasm
        } else if let Some(export) = exports.unwrapped {
            Kind::UnwrappedComponent { export }
        } else if exports.start {
            Kind::Command(preview)
        } else if exports.initialize {
            Kind::Reactor(preview)
        } else if self.start_section && (preview != Preview::None || !exports.beyond_memory) {
            Kind::StartOnly(preview)
        } else {
            Kind::Module(preview)
        }
    }

    fn component_kind(self) -> Kind {
        let exports = self.exports;
        let needs_0_3 = self.names_0_3;
        let world =
            |(release, export)| World { needs_0_3: needs_0_3 || release == Release::V0_3, release, export };
        if let Some(cli) = exports.cli {
            Kind::CliComponent(world(cli))
        } else if let Some(http) = exports.http {
            let middleware = self.imports_http_handler && http.0 == Release::V0_3;
            let world = world(http);
            if middleware { Kind::HttpMiddleware(world) } else { Kind::HttpComponent(world) }
        } else if let Some(export) = exports.pre_release {
            Kind::PreReleaseComponent { export }
        } else if !exports.others.is_empty() && !exports.beyond_types {
            Kind::WitPackage
        } else {
            Kind::Component { exports: exports.others, more: exports.more, needs_0_3 }
        }
    }
}

impl Exports {
    fn note(&mut self, name: &str, kind: ExternalKind) {
        self.beyond_memory |= name != "memory";
        if kind != ExternalKind::Func {
            return;
        }
        match name {
            "_start" => self.start = true,
            "_initialize" => self.initialize = true,
            "handle_request" => self.handle_request = true,
            "handle_response" => self.handle_response = true,
            "wasm_run" => self.wasm_run = true,
            "wasm_alloc" => self.wasm_alloc = true,
            _ if name.starts_with("proxy_on_") => self.proxy_callback = true,
            _ => self.note_other(name),
        }
    }

    fn note_other(&mut self, name: &str) {
        if let Some(version) = name.strip_prefix("proxy_abi_version_") {
            let abi = match version {
                "0_1_0" => ProxyAbi::V0_1_0,
                "0_2_0" => ProxyAbi::V0_2_0,
                "0_2_1" => ProxyAbi::V0_2_1,
                other => ProxyAbi::Unknown(shown(other).replace('_', ".")),
            };
            // A guest that names several versions gets the newest that is known.
            if self.proxy_abi.as_ref().is_none_or(|one| abi.rank() > one.rank()) {
                self.proxy_abi = Some(abi);
            }
        } else if self.unwrapped.is_none()
            && (name.split_once('#').is_some_and(|(interface, _)| interface.contains(':'))
                || matches!(name, "handle-http-request" | "handle-redis-message"))
        {
            self.unwrapped = Some(shown(name));
        }
    }

    fn note_component(&mut self, name: &str, kind: ComponentExternalKind) {
        self.beyond_types |= kind != ComponentExternalKind::Type;
        if kind != ComponentExternalKind::Instance {
            return self.note_plain(name);
        }
        let (interface, version) = split_version(name);
        let start = match interface {
            "wasi:cli/run" => &mut self.cli,
            "wasi:http/incoming-handler" | "wasi:http/handler" => &mut self.http,
            "fermyon:spin/inbound-http" => {
                self.pre_release = Some(shown(name));
                return;
            }
            _ => return self.note_plain(name),
        };
        let Some(release) = release(version) else {
            self.pre_release = Some(shown(name));
            return;
        };
        // Of two releases the older one: it runs on the faster engine.
        if start.as_ref().is_none_or(|(other, _)| (*other, release) == (Release::V0_3, Release::V0_2)) {
            *start = Some((release, name.to_owned()));
        }
    }

    fn note_plain(&mut self, name: &str) {
        if self.others.len() < NAMED_EXPORTS {
            self.others.push(shown(name));
        } else {
            self.more = true;
        }
    }
}

impl ProxyAbi {
    fn rank(&self) -> u8 {
        match self {
            ProxyAbi::Unmarked | ProxyAbi::Unknown(_) => 0,
            ProxyAbi::V0_1_0 => 1,
            ProxyAbi::V0_2_0 => 2,
            ProxyAbi::V0_2_1 => 3,
        }
    }
}

#[cfg(test)]
#[path = "detect/tests.rs"]
mod tests;
