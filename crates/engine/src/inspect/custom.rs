//! What sections are called, what they count, and custom sections that wasmparser does not read.

use super::walk::cut;
use super::{Native, Report};
use wasmparser::{BinaryReader, CustomSectionReader, Payload};

const MAX_FEATURES: usize = 100;

/// <https://webassembly.github.io/spec/core/binary/modules.html#sections> and
/// <https://github.com/WebAssembly/component-model/blob/main/design/mvp/Binary.md>
pub(super) fn section_name(component: bool, id: u8) -> &'static str {
    const MODULE: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    const COMPONENT: [&str; 12] = [
        "custom",
        "core module",
        "core instance",
        "core type",
        "component",
        "instance",
        "alias",
        "type",
        "canonical function",
        "start",
        "import",
        "export",
    ];
    let names: &[&str] = if component { &COMPONENT } else { &MODULE };
    names.get(usize::from(id)).copied().unwrap_or("unknown")
}

/// How many entries a section says it has.
pub(super) fn count(payload: &Payload<'_>) -> Option<u64> {
    let count = match payload {
        Payload::TypeSection(section) => section.count(),
        Payload::ImportSection(section) => section.count(),
        Payload::TableSection(section) => section.count(),
        Payload::MemorySection(section) => section.count(),
        Payload::GlobalSection(section) => section.count(),
        Payload::ExportSection(section) => section.count(),
        Payload::ElementSection(section) => section.count(),
        Payload::DataSection(section) => section.count(),
        Payload::TagSection(section) => section.count(),
        Payload::CodeSectionStart { count, .. } => *count,
        Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => 1,
        Payload::InstanceSection(section) => section.count(),
        Payload::ComponentInstanceSection(section) => section.count(),
        Payload::ComponentAliasSection(section) => section.count(),
        Payload::ComponentTypeSection(section) => section.count(),
        Payload::ComponentCanonicalSection(section) => section.count(),
        Payload::ComponentImportSection(section) => section.count(),
        Payload::ComponentExportSection(section) => section.count(),
        _ => return None,
    };
    Some(count.into())
}

/// The custom section `target_features`: a count, then for each feature a byte (`+` used, `-` not) and a name.
/// <https://github.com/WebAssembly/tool-conventions/blob/main/Linking.md#target-features-section>
pub(super) fn note_features(section: &CustomSectionReader<'_>, report: &mut Report) {
    let mut reader = section.data_reader();
    let _ = read_features(&mut reader, report);
}

/// What comes before damage counts.
fn read_features(reader: &mut BinaryReader<'_>, report: &mut Report) -> wasmparser::Result<()> {
    for _ in 0..reader.read_var_u32()? {
        let prefix = reader.read_u8()?;
        let name = cut(reader.read_string()?);
        if prefix == b'-' || report.target_features.contains(&name) {
            continue;
        }
        if report.target_features.len() >= MAX_FEATURES {
            report.left_out += 1;
            return Ok(());
        }
        report.target_features.push(name);
    }
    Ok(())
}

/// WasmEdge's compiler leaves native code in the custom section `wasmedge`: version (LEB128), operating system
/// and processor (a byte each), then addresses and code. It is told, and never executed.
pub(super) fn note_wasmedge(section: &CustomSectionReader<'_>, report: &mut Report) {
    let mut reader = section.data_reader();
    let target = read_wasmedge_target(&mut reader).unwrap_or_else(|_| "unknown target".to_owned());
    report.native.push(Native {
        maker: "wasmedge",
        target,
        bytes: section.data().len() as u64,
        signed: None,
        trusted: false,
        problem: Some("it was compiled by WasmEdge and is ignored; the wasm beside it is used".to_owned()),
    });
}

fn read_wasmedge_target(reader: &mut BinaryReader<'_>) -> wasmparser::Result<String> {
    let version = reader.read_var_u32()?;
    let system = match reader.read_u8()? {
        1 => "linux",
        2 => "macos",
        3 => "windows",
        _ => "unknown system",
    };
    let processor = match reader.read_u8()? {
        1 => "x86_64",
        2 => "aarch64",
        3 => "riscv64",
        4 => "armv7",
        5 => "s390x",
        _ => "unknown processor",
    };
    Ok(format!("{processor} {system} (format {version})"))
}
