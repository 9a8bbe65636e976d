//! One pass over the file, nested modules included, that fills a report.

use super::signature::{self, Signatures};
use super::{Item, Memory, Nested, Producer, Report, Section, custom};
use crate::artifact;
use crate::detect::DetectError;
use std::ops::Range;
use wasmparser::{
    CustomSectionReader, Encoding, Import, KnownCustom, MemoryType, Name, Parser, Payload, TypeRef,
    ValidPayload, Validator, WasmFeatures,
};

/// Bounds of a report's lists: far above real files, small enough to print.
const MAX_ITEMS: usize = 5_000;
const MAX_NESTED: usize = 200;
const MAX_SECTION_NAMES: usize = 200;
const MAX_PRODUCERS: usize = 100;
const MAX_MEMORIES: usize = 100;
/// Longer names are cut.
const MAX_NAME_CHARS: usize = 300;
/// What AssemblyScript's programs import, unless they are told not to.
const ASSEMBLYSCRIPT_ABORT: (&str, &str, Option<&str>) = ("env", "abort", Some("func(i32, i32, i32, i32)"));

/// Fills in everything that the sections say.
pub(super) fn walk(bytes: &[u8], report: &mut Report) -> Result<(), DetectError> {
    let mut walk = Walk::new(report);
    let mut types = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| damaged(&error, bytes))?;
        // Types only: function bodies are the compiler's business.
        let validated = walk.validator.as_mut().map(|validator| validator.payload(&payload));
        match validated {
            Some(Ok(ValidPayload::End(end))) if walk.frames.len() == 1 => types = Some(end),
            Some(Err(error)) => walk.not_valid(&error),
            _ => {}
        }
        walk.note(&payload).map_err(|error| damaged(&error, bytes))?;
    }
    let items_left = MAX_ITEMS - walk.items;
    if report.producers.iter().any(|producer| producer.role == "language") {
        report.language_guess = None;
    }
    if let Some(types) = types {
        signature::fill_component(types.as_ref(), report, items_left);
    }
    Ok(())
}

fn damaged(error: &wasmparser::Error, bytes: &[u8]) -> DetectError {
    let offset = error.offset() as u64;
    if offset >= bytes.len() as u64 {
        return DetectError::Truncated { offset: bytes.len() as u64 };
    }
    DetectError::Malformed { offset, message: error.message().to_owned() }
}

/// Whether a module wants threads as wasi-threads defines them.
pub(super) fn imports_threads(imports: &[Item]) -> bool {
    imports
        .iter()
        .any(|module| module.name == "wasi" && module.items.iter().any(|item| item.name == "thread-spawn"))
}

struct Walk<'r> {
    report: &'r mut Report,
    /// `None` once the file turned out not to be valid: then there are names but no types.
    validator: Option<Validator>,
    /// The file itself, then the nested modules and components that are open.
    frames: Vec<Frame>,
    /// The place in [`Report::nested`] of the module or component that begins next.
    next_nested: Option<usize>,
    /// How many imports and exports the report has.
    items: usize,
}

/// A module or component whose end has not come yet.
struct Frame {
    component: bool,
    sections: Vec<Section>,
    /// Its place in [`Report::nested`]; `None` for the file itself and for what was left out.
    nested: Option<usize>,
}

impl<'r> Walk<'r> {
    fn new(report: &'r mut Report) -> Self {
        let validator = Some(Validator::new_with_features(WasmFeatures::all()));
        Walk { report, validator, frames: Vec::new(), next_nested: None, items: 0 }
    }

    fn not_valid(&mut self, error: &wasmparser::Error) {
        self.validator = None;
        self.report.notes.push(format!(
            "The file is not valid at byte {}, so types are missing here: {}",
            error.offset(),
            error.message()
        ));
    }

    fn is_outermost(&self) -> bool {
        self.frames.len() == 1
    }

    fn note(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(*encoding == Encoding::Component),
            Payload::End(_) => self.end(),
            Payload::ModuleSection { unchecked_range, .. } => self.nest("module", unchecked_range),
            Payload::ComponentSection { unchecked_range, .. } => self.nest("component", unchecked_range),
            Payload::CustomSection(custom) => self.custom(custom),
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    self.import(&import?);
                }
            }
            Payload::ExportSection(exports) if self.is_outermost() => {
                for export in exports.clone() {
                    let export = export?;
                    let (kind, ty) = Signatures::of(self.validator.as_ref()).export(&export);
                    self.export(item(export.name, kind, ty));
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    self.memory(&memory?);
                }
            }
            Payload::StartSection { .. } => self.report.start_section |= self.is_outermost(),
            Payload::ComponentImportSection(imports) if self.is_outermost() => {
                for import in imports.clone() {
                    let import = import?;
                    if self.has_room() {
                        self.report.imports.push(item(import.name.name, import.ty.kind().desc(), None));
                    }
                }
            }
            Payload::ComponentExportSection(exports) if self.is_outermost() => {
                for export in exports.clone() {
                    let export = export?;
                    self.export(item(export.name.name, export.kind.desc(), None));
                }
            }
            _ => {}
        }
        self.section(payload);
        Ok(())
    }

    fn begin(&mut self, component: bool) {
        let nested = self.next_nested.take();
        self.frames.push(Frame { component, sections: Vec::new(), nested });
    }

    fn nest(&mut self, kind: &'static str, range: &Range<usize>) {
        if self.report.nested.len() >= MAX_NESTED {
            self.report.left_out += 1;
            return;
        }
        self.next_nested = Some(self.report.nested.len());
        let (depth, bytes) = (self.frames.len() as u32, range.len() as u64);
        self.report.nested.push(Nested { kind, name: None, depth, bytes, sections: Vec::new() });
    }

    fn end(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        match frame.nested {
            Some(index) => self.report.nested[index].sections = frame.sections,
            None if self.frames.is_empty() => self.report.sections = frame.sections,
            None => {}
        }
    }

    fn section(&mut self, payload: &Payload<'_>) {
        let Some((id, range)) = payload.as_section() else { return };
        let Some(frame) = self.frames.last_mut() else { return };
        let (name, custom) = match payload {
            Payload::CustomSection(section) => (cut(section.name()), true),
            _ => (custom::section_name(frame.component, id).to_owned(), false),
        };
        let (bytes, count) = (range.len() as u64, custom::count(payload));
        let known = frame.sections.iter_mut().find(|one| one.name == name && one.custom == custom);
        if let Some(section) = known {
            section.bytes += bytes;
            section.count = section.count.zip(count).map(|(one, more)| one + more);
        } else if frame.sections.len() < MAX_SECTION_NAMES {
            frame.sections.push(Section { name, custom, bytes, count });
        } else {
            self.report.left_out += 1;
        }
    }

    fn import(&mut self, import: &Import<'_>) {
        if let TypeRef::Memory(memory) = import.ty {
            self.memory(&memory);
        }
        if !self.is_outermost() {
            return;
        }
        let (kind, ty) = Signatures::of(self.validator.as_ref()).import(import);
        if (import.module, import.name, ty.as_deref()) == ASSEMBLYSCRIPT_ABORT {
            self.report.language_guess.get_or_insert("AssemblyScript");
        }
        if !self.has_room() {
            return;
        }
        let item = item(import.name, kind, ty);
        let module = cut(import.module);
        match self.report.imports.iter_mut().find(|group| group.name == module) {
            Some(group) => group.items.push(item),
            None => {
                self.report.imports.push(Item { name: module, kind: "module", ty: None, items: vec![item] });
            }
        }
    }

    fn export(&mut self, item: Item) {
        if self.has_room() {
            self.report.exports.push(item);
        }
    }

    /// Counts one import or export, or one that is left out.
    fn has_room(&mut self) -> bool {
        let room = self.items < MAX_ITEMS;
        self.items += usize::from(room);
        self.report.left_out += u64::from(!room);
        room
    }

    fn memory(&mut self, memory: &MemoryType) {
        if self.report.memories.len() >= MAX_MEMORIES {
            self.report.left_out += 1;
            return;
        }
        let page_bytes = 1_u64.checked_shl(memory.page_size_log2.unwrap_or(16)).unwrap_or(u64::MAX);
        self.report.memories.push(Memory {
            minimum_bytes: memory.initial.saturating_mul(page_bytes),
            maximum_bytes: memory.maximum.map(|pages| pages.saturating_mul(page_bytes)),
            shared: memory.shared,
            memory64: memory.memory64,
        });
    }

    fn custom(&mut self, section: &CustomSectionReader<'_>) {
        let report = &mut *self.report;
        match section.name() {
            name if name.starts_with(".debug_") => report.debug.dwarf_bytes += section.data().len() as u64,
            "sourceMappingURL" => report.debug.source_map = true,
            "go:buildid" => drop(report.language_guess.get_or_insert("Go")),
            "target_features" => custom::note_features(section, report),
            "wasmedge" if self.frames.len() == 1 => custom::note_wasmedge(section, report),
            artifact::SECTION_NAME if self.frames.len() > 1 => {
                report.notes.push("Native code inside a nested module is ignored.".to_owned());
            }
            _ => {}
        }
        match section.as_known() {
            KnownCustom::Producers(producers) => self.producers(producers),
            KnownCustom::Name(names) => self.names(names),
            KnownCustom::ComponentName(names) => {
                for name in names.map_while(Result::ok) {
                    if let wasmparser::ComponentName::Component { name, .. } = name {
                        self.named(name);
                    }
                }
            }
            _ => {}
        }
    }

    /// Damaged name sections are common and harmless: what can be read counts.
    fn names(&mut self, names: wasmparser::NameSectionReader<'_>) {
        for name in names.map_while(Result::ok) {
            match name {
                Name::Module { name, .. } => self.named(name),
                Name::Function(functions) => self.report.debug.function_names |= functions.count() > 0,
                _ => {}
            }
        }
    }

    fn named(&mut self, name: &str) {
        if let Some(index) = self.frames.last().and_then(|frame| frame.nested) {
            self.report.nested[index].name = Some(cut(name)).filter(|name| !name.is_empty());
        }
    }

    fn producers(&mut self, fields: wasmparser::ProducersSectionReader<'_>) {
        for field in fields.into_iter().map_while(Result::ok) {
            for value in field.values.into_iter().map_while(Result::ok) {
                let producer =
                    Producer { role: cut(field.name), name: cut(value.name), version: cut(value.version) };
                if self.report.producers.contains(&producer) {
                    continue;
                }
                if self.report.producers.len() >= MAX_PRODUCERS {
                    self.report.left_out += 1;
                    return;
                }
                self.report.producers.push(producer);
            }
        }
    }
}

fn item(name: &str, kind: &'static str, ty: Option<String>) -> Item {
    Item { name: cut(name), kind, ty, items: Vec::new() }
}

/// The name itself, or its beginning.
pub(super) fn cut(name: &str) -> String {
    match name.char_indices().nth(MAX_NAME_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
