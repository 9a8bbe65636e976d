//! Types of imports and exports as text, in the style of WIT: `func(path: string) -> result<descriptor>`.

use super::{Item, Report};
use std::collections::HashMap;
use std::fmt::Write;
use wasmparser::component_types::{
    AliasableResourceId, ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId,
    ComponentEntityType, ComponentFuncType, ComponentInstanceTypeId, ComponentItem, ComponentValType,
    ResourceId,
};
use wasmparser::types::{CoreTypeId, EntityType, TypesRef};
use wasmparser::{
    CompositeInnerType, Export, ExternalKind, GlobalType, Import, MemoryType, TableType, TypeRef, ValType,
    Validator,
};

/// Types refer to types, so that a small file can describe one of any length: text stops here.
const MAX_TYPE_BYTES: usize = 600;

/// What the validator knows about the module that is being read.
pub(super) struct Signatures<'a>(Option<TypesRef<'a>>);

impl<'a> Signatures<'a> {
    pub(super) fn of(validator: Option<&'a Validator>) -> Self {
        Signatures(validator.and_then(|validator| validator.types(0)))
    }

    pub(super) fn import(&self, import: &Import<'_>) -> (&'static str, Option<String>) {
        let kind = match import.ty {
            TypeRef::Func(_) | TypeRef::FuncExact(_) => "func",
            TypeRef::Table(_) => "table",
            TypeRef::Memory(_) => "memory",
            TypeRef::Global(_) => "global",
            TypeRef::Tag(_) => "tag",
        };
        let ty = self.0.and_then(|types| Some(entity(types, types.entity_type_from_import(import)?)));
        (kind, ty)
    }

    pub(super) fn export(&self, export: &Export<'_>) -> (&'static str, Option<String>) {
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => "func",
            ExternalKind::Table => "table",
            ExternalKind::Memory => "memory",
            ExternalKind::Global => "global",
            ExternalKind::Tag => "tag",
        };
        let ty = self.0.and_then(|types| Some(entity(types, types.entity_type_from_export(export)?)));
        (kind, ty)
    }
}

fn entity(types: TypesRef<'_>, entity: EntityType) -> String {
    match entity {
        EntityType::Func(id) | EntityType::FuncExact(id) => core_func("func", types, id),
        EntityType::Tag(id) => core_func("tag", types, id),
        EntityType::Memory(memory) => core_memory(&memory),
        EntityType::Table(table) => core_table(&table),
        EntityType::Global(GlobalType { content_type, mutable, .. }) => {
            format!("global({}{content_type})", if mutable { "mut " } else { "" })
        }
    }
}

fn core_func(word: &str, types: TypesRef<'_>, id: CoreTypeId) -> String {
    let CompositeInnerType::Func(func) = &types[id].composite_type.inner else { return word.to_owned() };
    let list = |types: &[ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut text = format!("{word}({})", list(func.params()));
    match func.results() {
        [] => {}
        [one] => drop(write!(text, " -> {one}")),
        many => drop(write!(text, " -> ({})", list(many))),
    }
    if text.len() > MAX_TYPE_BYTES {
        text.truncate(MAX_TYPE_BYTES);
        text.push('…');
    }
    text
}

fn core_memory(memory: &MemoryType) -> String {
    let maximum = memory.maximum.map_or(String::new(), |pages| pages.to_string());
    let (wide, shared) =
        (if memory.memory64 { "i64, " } else { "" }, if memory.shared { ", shared" } else { "" });
    format!("memory({wide}{}..{maximum} pages{shared})", memory.initial)
}

fn core_table(table: &TableType) -> String {
    let maximum = table.maximum.map_or(String::new(), |entries| entries.to_string());
    format!("table({}..{maximum} {})", table.initial, table.element_type)
}

/// Adds types to the imports and exports of a component, and what its instances hold; `room` items at most.
pub(super) fn fill_component(types: TypesRef<'_>, report: &mut Report, room: usize) {
    let mut filler = Filler { types, names: Names::default(), room, left_out: 0 };
    for item in &report.imports {
        types.component_item_for_import(&item.name).into_iter().for_each(|one| filler.learn(&item.name, one));
    }
    for item in &report.exports {
        types.component_item_for_export(&item.name).into_iter().for_each(|one| filler.learn(&item.name, one));
    }
    for item in &mut report.imports {
        types.component_item_for_import(&item.name).into_iter().for_each(|one| filler.fill(item, one));
    }
    for item in &mut report.exports {
        types.component_item_for_export(&item.name).into_iter().for_each(|one| filler.fill(item, one));
    }
    report.left_out += filler.left_out;
}

/// The names that interfaces export for types: a type is shown by its name where it has one.
#[derive(Default)]
struct Names {
    defined: HashMap<ComponentDefinedTypeId, String>,
    resources: HashMap<ResourceId, String>,
}

struct Filler<'a> {
    types: TypesRef<'a>,
    names: Names,
    room: usize,
    left_out: u64,
}

impl Filler<'_> {
    fn learn(&mut self, name: &str, item: &ComponentItem) {
        match item.ty {
            ComponentEntityType::Instance(id) => {
                let types = self.types;
                for (name, item) in types.get(id).into_iter().flat_map(|instance| &instance.exports) {
                    if let ComponentEntityType::Type { created, .. } = item.ty {
                        self.learn_type(name, created);
                    }
                }
            }
            ComponentEntityType::Type { created, .. } => self.learn_type(name, created),
            _ => {}
        }
    }

    fn learn_type(&mut self, name: &str, id: ComponentAnyTypeId) {
        match id {
            ComponentAnyTypeId::Defined(id) => {
                self.names.defined.entry(id).or_insert_with(|| super::walk::cut(name));
            }
            ComponentAnyTypeId::Resource(id) => {
                self.names.resources.entry(id.resource()).or_insert_with(|| super::walk::cut(name));
            }
            _ => {}
        }
    }

    fn fill(&mut self, item: &mut Item, known: &ComponentItem) {
        match known.ty {
            ComponentEntityType::Instance(id) => item.items = self.instance(id),
            other => item.ty = self.entity(other),
        }
    }

    fn instance(&mut self, id: ComponentInstanceTypeId) -> Vec<Item> {
        let exports = &self.types[id].exports;
        let shown = exports.len().min(self.room);
        self.room -= shown;
        self.left_out += (exports.len() - shown) as u64;
        let item = |(name, item): (&String, &ComponentItem)| Item {
            name: super::walk::cut(name),
            kind: kind(&item.ty),
            ty: self.entity(item.ty),
            items: Vec::new(),
        };
        exports.iter().take(shown).map(item).collect()
    }

    fn entity(&self, entity: ComponentEntityType) -> Option<String> {
        let mut text = Text { types: self.types, names: &self.names, out: String::new() };
        match entity {
            ComponentEntityType::Func(id) => text.func(&self.types[id]),
            ComponentEntityType::Value(ty) => text.value(&ty),
            ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(_), .. } => {
                text.out.push_str("resource");
            }
            // The name itself would say nothing: what it stands for.
            ComponentEntityType::Type { referenced: ComponentAnyTypeId::Defined(id), .. } => {
                text.defined(&self.types[id]);
            }
            ComponentEntityType::Type { .. }
            | ComponentEntityType::Instance(_)
            | ComponentEntityType::Module(_)
            | ComponentEntityType::Component(_) => return None,
        }
        Some(text.out)
    }
}

fn kind(entity: &ComponentEntityType) -> &'static str {
    match entity {
        ComponentEntityType::Module(_) => "module",
        ComponentEntityType::Func(_) => "func",
        ComponentEntityType::Value(_) => "value",
        ComponentEntityType::Type { .. } => "type",
        ComponentEntityType::Instance(_) => "instance",
        ComponentEntityType::Component(_) => "component",
    }
}

/// Writes a type until it has become too long.
struct Text<'a> {
    types: TypesRef<'a>,
    names: &'a Names,
    out: String,
}

impl Text<'_> {
    /// Whether to go on; if not, says so in the text once. Checked before every type, so that the work is
    /// bounded as the text is.
    fn goes_on(&mut self) -> bool {
        let full = self.out.len() > MAX_TYPE_BYTES;
        if full && !self.out.ends_with('…') {
            self.out.push('…');
        }
        !full
    }

    fn func(&mut self, func: &ComponentFuncType) {
        self.out.push_str(if func.async_ { "async func(" } else { "func(" });
        for (index, (name, ty)) in func.params.iter().enumerate() {
            if !self.goes_on() {
                return;
            }
            self.out.push_str(if index > 0 { ", " } else { "" });
            self.out.push_str(name.as_str());
            self.out.push_str(": ");
            self.value(ty);
        }
        self.out.push(')');
        if let Some(result) = &func.result {
            self.out.push_str(" -> ");
            self.value(result);
        }
    }

    fn value(&mut self, ty: &ComponentValType) {
        if !self.goes_on() {
            return;
        }
        let (types, names) = (self.types, self.names);
        match ty {
            ComponentValType::Primitive(primitive) => drop(write!(self.out, "{primitive}")),
            ComponentValType::Type(id) => match (names.defined.get(id), types.get(*id)) {
                (Some(name), _) => self.out.push_str(name),
                (None, Some(ty)) => self.defined(ty),
                (None, None) => self.out.push('?'),
            },
        }
    }

    fn defined(&mut self, ty: &ComponentDefinedType) {
        match ty {
            ComponentDefinedType::Primitive(primitive) => drop(write!(self.out, "{primitive}")),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| (Some(name.as_str()), Some(ty)));
                self.list("record { ", fields, " }");
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| (Some(name.as_str()), case.ty.as_ref()));
                self.list("variant { ", cases, " }");
            }
            ComponentDefinedType::Flags(names) => {
                self.list("flags { ", names.iter().map(|name| (Some(name.as_str()), None)), " }");
            }
            ComponentDefinedType::Enum(names) => {
                self.list("enum { ", names.iter().map(|name| (Some(name.as_str()), None)), " }");
            }
            ComponentDefinedType::Tuple(tuple) => {
                self.list("tuple<", tuple.types.iter().map(|ty| (None, Some(ty))), ">");
            }
            ComponentDefinedType::List { element, .. } => self.generic("list", [Some(element)]),
            ComponentDefinedType::Map { key, value, .. } => self.generic("map", [Some(key), Some(value)]),
            ComponentDefinedType::Option { ty, .. } => self.generic("option", [Some(ty)]),
            ComponentDefinedType::Future { ty, .. } => self.generic("future", [ty.as_ref()]),
            ComponentDefinedType::Stream { ty, .. } => self.generic("stream", [ty.as_ref()]),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                self.out.push_str("list<");
                self.value(element);
                let _ = write!(self.out, ", {length}>");
            }
            ComponentDefinedType::Result { ok, err, .. } => self.result(ok.as_ref(), err.as_ref()),
            ComponentDefinedType::Own(id) => self.resource(id),
            ComponentDefinedType::Borrow(id) => {
                self.out.push_str("borrow<");
                self.resource(id);
                self.out.push('>');
            }
        }
    }

    fn list<'t>(
        &mut self,
        open: &str,
        parts: impl Iterator<Item = (Option<&'t str>, Option<&'t ComponentValType>)>,
        close: &str,
    ) {
        self.out.push_str(open);
        for (index, (name, ty)) in parts.enumerate() {
            if !self.goes_on() {
                return;
            }
            self.out.push_str(if index > 0 { ", " } else { "" });
            self.out.push_str(name.unwrap_or_default());
            self.out.push_str(if name.is_some() && ty.is_some() { ": " } else { "" });
            if let Some(ty) = ty {
                self.value(ty);
            }
        }
        self.out.push_str(close);
    }

    /// `list<u8>`, or the word alone where a type is left out.
    fn generic<const N: usize>(&mut self, word: &str, parts: [Option<&ComponentValType>; N]) {
        self.out.push_str(word);
        if parts.iter().any(Option::is_some) {
            self.list("<", parts.into_iter().flatten().map(|ty| (None, Some(ty))), ">");
        }
    }

    fn result(&mut self, ok: Option<&ComponentValType>, err: Option<&ComponentValType>) {
        match (ok, err) {
            (None, Some(err)) => {
                self.out.push_str("result<_, ");
                self.value(err);
                self.out.push('>');
            }
            (Some(ok), Some(err)) => self.generic("result", [Some(ok), Some(err)]),
            (ok, None) => self.generic("result", [ok]),
        }
    }

    fn resource(&mut self, id: &AliasableResourceId) {
        let name = self.names.resources.get(&id.resource());
        self.out.push_str(name.map_or("resource", |name| name));
    }
}
