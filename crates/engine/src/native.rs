//! Native code that comes with a wasm file: chosen, verified, or ignored with a notice.
//!
//! It lies in the file itself (`sampan.native`, see [`crate::artifact`]) or in `FILE.native` beside it.

use crate::artifact::{self, Found, PublicKey};
use crate::settings::{ENGINE_VERSION, Settings};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Code for another machine, beside its wasm, is not larger than this; other files of that name are not ours.
const MAX_BESIDE_BYTES: u64 = 2 << 30;
/// The custom section in which WasmEdge's compiler leaves native code.
const WASMEDGE_SECTION: &str = "wasmedge";

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Accompanying {
    /// Verified native code for this engine and these settings.
    pub payload: Option<Vec<u8>>,
    /// Native code that is ignored, and why, in sentences for the user.
    pub ignored: Vec<String>,
}

/// The target triple of code for this machine.
pub fn host_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Where `sampan compile` puts native code beside a file, and loading looks for it.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".native");
    name.into()
}

/// The texts by which an artifact is found: profile, and what else must be equal for it to be of use.
/// The optimisation level is left out: whoever compiled chose it.
pub(crate) fn labels(settings: &Settings) -> (&'static str, &'static str) {
    let checks = match (settings.fuel, settings.small_address_space) {
        (false, false) => "plain",
        (true, false) => "fuel",
        (false, true) => "small",
        (true, true) => "fuel-small",
    };
    (settings.profile.name(), checks)
}

/// Looks for native code for `settings` in the file, whose digest this is, and beside it. `trusted` is asked only if there is some.
pub(crate) fn find(
    wasm: &[u8],
    digest: &artifact::Digest,
    path: Option<&Path>,
    settings: &Settings,
    trusted: &dyn Fn() -> Vec<PublicKey>,
) -> Accompanying {
    let mut out = Accompanying::default();
    if has_section(wasm, WASMEDGE_SECTION) {
        out.ignored.push("native code that WasmEdge's compiler left in the file is ignored".to_owned());
    }
    look(wasm, digest, settings, trusted, "in the file", &mut out);
    if let (None, Some(path)) = (&out.payload, path) {
        let beside = beside(path);
        if let Some(bytes) = read_beside(&beside) {
            look(&bytes, digest, settings, trusted, &format!("in {}", beside.display()), &mut out);
        }
    }
    out
}

fn look(
    bytes: &[u8],
    wasm_digest: &artifact::Digest,
    settings: &Settings,
    trusted: &dyn Fn() -> Vec<PublicKey>,
    place: &str,
    out: &mut Accompanying,
) {
    for found in artifact::find(bytes).into_iter().filter(|found| is_for(found, settings)) {
        match artifact::verify(&found, bytes, wasm_digest, &trusted()) {
            Ok(()) => {
                out.payload = Some(bytes[found.payload].to_vec());
                return;
            }
            Err(why) => out.ignored.push(format!("native code {place} is ignored: {why}")),
        }
    }
}

/// Code for other engines, targets or profiles is no reason for a notice: the file serves several.
fn is_for(found: &Found, settings: &Settings) -> bool {
    let (profile, checks) = labels(settings);
    let meta = &found.meta;
    meta.engine == ENGINE_VERSION
        && meta.target == host_target()
        && meta.profile == profile
        && meta.settings == checks
}

fn read_beside(path: &Path) -> Option<Vec<u8>> {
    let file = std::fs::File::open(path).ok()?;
    let mut bytes = Vec::new();
    file.take(MAX_BESIDE_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn has_section(wasm: &[u8], name: &str) -> bool {
    wasmparser::Parser::new(0).parse_all(wasm).map_while(Result::ok).any(
        |payload| matches!(payload, wasmparser::Payload::CustomSection(section) if section.name() == name),
    )
}
