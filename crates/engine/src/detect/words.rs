//! The words in which a person is told what a file is, and guesses at files that are not WebAssembly.

use super::{DetectError, Guess, Kind, Preview, ProxyAbi, Release, World};
use std::fmt;

impl Kind {
    /// What the file is, to be read after "it is".
    pub fn describe(&self) -> String {
        match self {
            Kind::Command(preview) => format!("a command {}", preview.words()),
            Kind::StartOnly(preview) => {
                format!("a command {}, run by its start section", preview.words())
            }
            Kind::Reactor(preview) => format!("a reactor {} (its exports can be called)", preview.words()),
            Kind::Module(preview) => format!("a module {} (its exports can be called)", preview.words()),
            Kind::ProxyWasm(abi) => abi.words(),
            Kind::HttpWasm => "an http-wasm filter".to_owned(),
            Kind::Easegress => "an Easegress filter".to_owned(),
            // Without `#`: before there were interfaces (wit-bindgen 0.2).
            Kind::UnwrappedComponent { export } if !export.contains('#') => {
                format!("a module for Spin's SDK before 1.4, which is not run (exports {export})")
            }
            Kind::UnwrappedComponent { export } => {
                format!("a module in the component ABI, wrapped when it is loaded (exports {export})")
            }
            Kind::CliComponent(world) => world.words("a command component"),
            Kind::HttpComponent(world) => world.words("an HTTP component"),
            Kind::HttpMiddleware(world) => world.words("an HTTP middleware component"),
            Kind::PreReleaseComponent { export } if export.starts_with("fermyon:") => {
                format!("an HTTP component for Spin 1 (exports {export})")
            }
            Kind::PreReleaseComponent { export } => {
                format!("a component for a version of WASI that is no release (exports {export})")
            }
            Kind::Component { exports, .. } if exports.is_empty() => "a component without exports".to_owned(),
            Kind::Component { exports, more, .. } => {
                let more = if *more { ", …" } else { "" };
                format!("a component (exports {}{more})", exports.join(", "))
            }
            Kind::WitPackage => "a package of WIT interfaces, without code".to_owned(),
            Kind::Artifact => "native code compiled by Sampan, without its wasm".to_owned(),
        }
    }

    /// One word for scripts; it stays the same when [`Kind::describe`] is reworded.
    pub fn id(&self) -> &'static str {
        match self {
            Kind::Command(_) => "command",
            Kind::StartOnly(_) => "start-only",
            Kind::Reactor(_) => "reactor",
            Kind::Module(_) => "module",
            Kind::ProxyWasm(_) => "proxy-wasm",
            Kind::HttpWasm => "http-wasm",
            Kind::Easegress => "easegress",
            Kind::UnwrappedComponent { .. } => "unwrapped-component",
            Kind::CliComponent(_) => "cli-component",
            Kind::HttpComponent(_) => "http-component",
            Kind::HttpMiddleware(_) => "http-middleware",
            Kind::PreReleaseComponent { .. } => "pre-release-component",
            Kind::Component { .. } => "component",
            Kind::WitPackage => "wit-package",
            Kind::Artifact => "artifact",
        }
    }

    /// Whether the file is compiled as a component: it is one, or is wrapped into one first.
    pub fn becomes_component(&self) -> bool {
        self.is_component() || matches!(self, Kind::UnwrappedComponent { .. })
    }

    /// Whether the file is a component. An [`Kind::Artifact`] is neither.
    pub fn is_component(&self) -> bool {
        match self {
            Kind::CliComponent(_)
            | Kind::HttpComponent(_)
            | Kind::HttpMiddleware(_)
            | Kind::PreReleaseComponent { .. }
            | Kind::Component { .. }
            | Kind::WitPackage => true,
            Kind::Command(_)
            | Kind::StartOnly(_)
            | Kind::Reactor(_)
            | Kind::Module(_)
            | Kind::ProxyWasm(_)
            | Kind::HttpWasm
            | Kind::Easegress
            | Kind::UnwrappedComponent { .. }
            | Kind::Artifact => false,
        }
    }
}

impl Preview {
    fn words(self) -> &'static str {
        match self {
            Preview::None => "that uses no WASI",
            Preview::Zero => "for WASI preview 0",
            Preview::One => "for WASI preview 1",
            Preview::Both => "for WASI previews 0 and 1",
        }
    }
}

impl ProxyAbi {
    fn words(&self) -> String {
        match self {
            ProxyAbi::V0_1_0 => "a proxy-wasm 0.1.0 filter".to_owned(),
            ProxyAbi::V0_2_0 => "a proxy-wasm 0.2.0 filter".to_owned(),
            ProxyAbi::V0_2_1 => "a proxy-wasm 0.2.1 filter".to_owned(),
            ProxyAbi::Unknown(version) => format!("a proxy-wasm filter of an unknown version ({version})"),
            ProxyAbi::Unmarked => "a proxy-wasm filter that does not say which version".to_owned(),
        }
    }
}

impl World {
    fn words(&self, what: &str) -> String {
        format!("{what} for WASI {} (exports {})", self.release, self.export)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Release::V0_2 => "0.2",
            Release::V0_3 => "0.3",
        })
    }
}

impl std::error::Error for DetectError {}

impl fmt::Display for DetectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DetectError::Empty => f.write_str("the file is empty"),
            DetectError::NotWasm(guess) => write!(f, "{guess}"),
            DetectError::TextFormat => f.write_str("this is WebAssembly's text format, not the binary one"),
            DetectError::Version { version, layer } => write!(
                f,
                "this is WebAssembly of an unknown version ({version}, layer {layer}); modules of version 1 \
                 and components of version 13 are known: build it again with current tools"
            ),
            DetectError::Truncated { offset } => {
                write!(
                    f,
                    "the file ends at byte {offset} in the middle of a section; copy or download it again"
                )
            }
            DetectError::Malformed { offset, message } => {
                write!(f, "the WebAssembly is damaged at byte {offset}: {message}")
            }
        }
    }
}

impl fmt::Display for Guess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Guess::Elf | Guess::MachO | Guess::WindowsProgram => {
                "this is a native program, not WebAssembly; build its source for wasm32-wasip1 or wasm32-wasip2"
            }
            Guess::WasmtimeArtifact => {
                "this is native code that Wasmtime compiled (.cwasm); nothing says who made it, so give the \
                 .wasm file instead"
            }
            Guess::JavaClass => "this is a Java class file, not WebAssembly",
            Guess::LlvmBitcode => "this is LLVM bitcode, not WebAssembly; link it for wasm32 first",
            Guess::Archive => "this is an archive of object files, not WebAssembly; link it first",
            Guess::Gzip | Guess::Zstd | Guess::Zip => {
                "this is a compressed file, not WebAssembly; unpack it first"
            }
            Guess::Tar => "this is a tar archive, not WebAssembly; unpack it first",
            Guess::Pdf => "this is a PDF document, not WebAssembly",
            Guess::Image => "this is an image, not WebAssembly",
            Guess::Html => "this is a web page, not WebAssembly; was the download refused?",
            Guess::Json => "this is JSON, not WebAssembly",
            Guess::Script => "this is a script, not WebAssembly",
            Guess::GitLfsPointer => "this is a pointer of Git LFS, not WebAssembly; run `git lfs pull`",
            Guess::Text => "this is text, not WebAssembly",
            Guess::Binary => "this is not WebAssembly (it does not begin with \\0asm)",
        })
    }
}

/// First bytes of common files, the longer ones before those that they begin with.
const SIGNATURES: &[(&[u8], Guess)] = &[
    (b"\x7fELF", Guess::Elf),
    (b"\xcf\xfa\xed\xfe", Guess::MachO),
    (b"\xce\xfa\xed\xfe", Guess::MachO),
    (b"MZ", Guess::WindowsProgram),
    (b"BC\xc0\xde", Guess::LlvmBitcode),
    (b"!<arch>\n", Guess::Archive),
    (b"\x1f\x8b", Guess::Gzip),
    (b"\x28\xb5\x2f\xfd", Guess::Zstd),
    (b"PK\x03\x04", Guess::Zip),
    (b"%PDF-", Guess::Pdf),
    (b"\x89PNG", Guess::Image),
    (b"\xff\xd8\xff", Guess::Image),
    (b"GIF8", Guess::Image),
    (b"#!", Guess::Script),
    (b"version https://git-lfs", Guess::GitLfsPointer),
];
/// `EI_OSABI` of the ELF files that Wasmtime writes (`ELFOSABI_WASMTIME`, wasmtime-environ `obj.rs`).
const ELF_OSABI_WASMTIME: u8 = 200;
/// More than this is not looked at.
pub(super) const TEXT_PREFIX_BYTES: usize = 4096;
/// A fat Mach-O file and a Java class begin alike; then come a few architectures, or a version above 44.
const CAFEBABE: &[u8] = b"\xca\xfe\xba\xbe";

/// What bytes that are not WebAssembly seem to be.
pub(super) fn guess(bytes: &[u8]) -> Guess {
    if let Some((_, guess)) = SIGNATURES.iter().find(|(magic, _)| bytes.starts_with(magic)) {
        let wasmtime = *guess == Guess::Elf && bytes.get(7) == Some(&ELF_OSABI_WASMTIME);
        return if wasmtime { Guess::WasmtimeArtifact } else { *guess };
    }
    if bytes.starts_with(CAFEBABE) {
        return if bytes.get(7).is_some_and(|&low| low < 40) { Guess::MachO } else { Guess::JavaClass };
    }
    if bytes.get(257..262) == Some(b"ustar") {
        return Guess::Tar;
    }
    match text_prefix(bytes) {
        Some(text) => guess_text(text),
        None => Guess::Binary,
    }
}

/// The beginning of the file if it is text in UTF-8.
fn text_prefix(bytes: &[u8]) -> Option<&str> {
    let prefix = &bytes[..bytes.len().min(TEXT_PREFIX_BYTES)];
    let text = match std::str::from_utf8(prefix) {
        Ok(text) => text,
        // The cut may have gone through a character.
        Err(error) if prefix.len() - error.valid_up_to() < 4 => {
            std::str::from_utf8(&prefix[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let control = |c: char| c.is_control() && !c.is_whitespace();
    (!text.is_empty() && !text.contains(control)).then_some(text)
}

fn guess_text(text: &str) -> Guess {
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let begins = |word: &str| text.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    if begins("<!doctype html") || begins("<html") || begins("<head") {
        Guess::Html
    } else if text.starts_with(['{', '[']) {
        Guess::Json
    } else {
        Guess::Text
    }
}

/// Whether this is WebAssembly's text format: white space and comments, then a parenthesis.
/// <https://webassembly.github.io/spec/core/text/lexical.html>
pub(super) fn is_text_format(bytes: &[u8]) -> bool {
    let mut rest = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    loop {
        rest = rest.trim_ascii_start();
        if let Some(comment) = rest.strip_prefix(b";;") {
            let Some(end) = comment.iter().position(|&byte| byte == b'\n') else { return false };
            rest = &comment[end..];
        } else if rest.starts_with(b"(;") {
            let Some(after) = after_block_comment(rest) else { return false };
            rest = after;
        } else {
            return rest.starts_with(b"(");
        }
    }
}

/// `(; … ;)` may be nested.
fn after_block_comment(bytes: &[u8]) -> Option<&[u8]> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        match bytes.get(at..at + 2)? {
            b"(;" => (at, depth) = (at + 2, depth + 1),
            b";)" => (at, depth) = (at + 2, depth.checked_sub(1)?),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(&bytes[at..]);
        }
    }
}
