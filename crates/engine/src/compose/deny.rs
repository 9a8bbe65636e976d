//! A component that stands in for the host and grants nothing: what a dependency imports, it exports, and every function
//! answers with the error that its interface has for that. It is made for what is imported, so that it fits whatever
//! interfaces of whatever version those are.
//!
//! Where an interface has no error, the answer is nothing: no variables, no folders, no arguments. Output is taken and
//! goes nowhere, as otherwise a dependency that prints would end. Nothing is waited for.
//!
//! The module inside follows the canonical ABI (WebAssembly/component-model, `design/mvp/CanonicalABI.md`), with names as
//! wit-component reads them.

use std::fmt::Write;
use wit_component::{ComponentEncoder, DecodedWasm, StringEncoding, decode, embed_component_metadata};
use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function, Handle, Int, LiftLowerAbi, ManglingAndAbi, Resolve, ResourceIntrinsic, SizeAlign, Type,
    TypeDefKind, TypeId, WasmExport, WasmExportKind, WasmImport, WorldId, WorldItem, WorldKey,
};

/// What every guest has, whatever it is granted.
const GIVEN: [&str; 2] = ["wasi:random/", "wasi:clocks/wall-clock@"];
/// Cases of errors that say what is meant, the best first; else the first case is taken.
const REFUSALS: [&str; 8] = [
    "access-denied",
    "access",
    "not-permitted",
    "HTTP-request-denied",
    "closed",
    "not-supported",
    "unsupported",
    "other",
];
/// Where results are laid in memory, behind a zero that is a list's only element.
const RESULT_AT: usize = 16;
/// Results are structures of interfaces, not contents.
const RESULT_MAX_BYTES: usize = 32 << 10;
/// From here on lies what is passed, and is read by nobody.
const PARAMETERS_AT: usize = 64 << 10;
const MANGLING: ManglingAndAbi = ManglingAndAbi::Legacy(LiftLowerAbi::Sync);

/// Whether an import may stay.
pub fn is_given(import: &str) -> bool {
    GIVEN.iter().any(|given| import.starts_with(given))
}

type Error = Box<dyn std::error::Error + Send + Sync>;

/// The component that answers what this one imports; `None` where there is nothing to answer.
pub fn component(dependency: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let DecodedWasm::Component(mut resolve, world) = decode(dependency)? else {
        return Err("it has interfaces alone".into());
    };
    resolve.worlds[world].exports.clear();
    for (key, item) in std::mem::take(&mut resolve.worlds[world].imports) {
        let name = resolve.name_world_key(&key);
        let WorldItem::Interface { .. } = &item else {
            return Err(format!("it imports `{name}`, which is in no interface").into());
        };
        let given = is_given(&name);
        let world = &mut resolve.worlds[world];
        let to = if given { &mut world.imports } else { &mut world.exports };
        to.insert(key, item);
    }
    if resolve.worlds[world].exports.is_empty() {
        return Ok(None);
    }
    let mut module = wat::parse_str(module(&resolve, world)?)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    Ok(Some(ComponentEncoder::default().module(&module)?.encode()?))
}

fn module(resolve: &Resolve, world: WorldId) -> Result<String, Error> {
    let mut text =
        Text { resolve, sizes: SizeAlign::default(), imports: String::new(), functions: String::new() };
    text.sizes.fill(resolve);
    for (key, item) in &resolve.worlds[world].exports {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = &resolve.interfaces[*id];
        interface.types.values().try_for_each(|one| text.resource(key, *one))?;
        interface.functions.values().try_for_each(|one| text.function(key, one))?;
    }
    let Text { imports, functions, .. } = text;
    Ok(format!(
        "(module {imports} (memory (export \"memory\") 2)\n\
         (global $now (mut i64) (i64.const 0))\n\
         (func (export \"cabi_realloc\") (param i32 i32 i32 i32) (result i32) (local $short i32)\n\
         (local.set $short (i32.sub (i32.add (local.get 3) (i32.const {PARAMETERS_AT}))\n\
         (i32.mul (memory.size) (i32.const 65536))))\n\
         (if (i32.gt_s (local.get $short) (i32.const 0)) (then (drop (memory.grow\n\
         (i32.add (i32.shr_u (local.get $short) (i32.const 16)) (i32.const 1))))))\n\
         (i32.const {PARAMETERS_AT}))\n{functions})"
    ))
}

/// The module's text in the making.
struct Text<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
    imports: String,
    functions: String,
}

impl Text<'_> {
    fn resource(&mut self, interface: &WorldKey, ty: TypeId) -> Result<(), Error> {
        if !matches!(self.resolve.types[ty].kind, TypeDefKind::Resource) {
            return Ok(());
        }
        let intrinsic = ResourceIntrinsic::ExportedNew;
        let import = WasmImport::ResourceIntrinsic { interface: Some(interface), resource: ty, intrinsic };
        let (module, name) = self.resolve.wasm_import_name(MANGLING, import);
        let index = ty.index();
        writeln!(self.imports, "(import {module:?} {name:?} (func $new{index} (param i32) (result i32)))")?;
        Ok(())
    }

    fn function(&mut self, interface: &WorldKey, function: &Function) -> Result<(), Error> {
        let full = format!("{}#{}", self.resolve.name_world_key(interface), function.name);
        if function.kind.is_async() {
            return Err(format!("it imports `{full}`, which is asynchronous").into());
        }
        let signature = self.resolve.wasm_signature(AbiVariant::GuestExport, function);
        let kind = WasmExportKind::Normal;
        let export = WasmExport::Func { interface: Some(interface), func: function, kind };
        let name = self.resolve.wasm_export_name(MANGLING, export);
        write!(self.functions, "(func (export {name:?})")?;
        for one in &signature.params {
            write!(self.functions, " (param {})", core(*one))?;
        }
        for one in &signature.results {
            write!(self.functions, " (result {})", core(*one))?;
        }
        if let Some(result) = &function.result {
            let bytes = self.sizes.size(result).size_wasm32();
            if bytes > RESULT_MAX_BYTES {
                return Err(format!("what `{full}` returns is too large").into());
            }
            // A call may have left something else there.
            write!(
                self.functions,
                " (memory.fill (i32.const {RESULT_AT}) (i32.const 0) (i32.const {bytes}))"
            )?;
            self.answer(&full, result)?;
            match signature.results.first() {
                Some(_) if signature.retptr => write!(self.functions, " (i32.const {RESULT_AT})")?,
                Some(one) => {
                    let load = match (core(*one), bytes) {
                        ("i32", 1) => "i32.load8_u".to_owned(),
                        ("i32", 2) => "i32.load16_u".to_owned(),
                        (core, _) => format!("{core}.load"),
                    };
                    write!(self.functions, " ({load} (i32.const {RESULT_AT}))")?;
                }
                None => {}
            }
        }
        writeln!(self.functions, ")")?;
        Ok(())
    }

    /// What a function answers.
    fn answer(&mut self, full: &str, result: &Type) -> Result<(), Error> {
        let (interface, name) = full.split_once('#').unwrap_or((full, ""));
        let interface = interface.split('@').next().unwrap_or_default();
        let out = &mut self.functions;
        match (interface, name) {
            // There is room for a mebibyte, and all of it is taken.
            ("wasi:io/streams", "[method]output-stream.check-write") => {
                write!(out, " (i64.store (i32.const {}) (i64.const 1048576))", RESULT_AT + 8)?;
            }
            ("wasi:io/streams", name) if name.starts_with("[method]output-stream.") && name != SUBSCRIBE => {}
            // The first of what is waited for is ready: a list of one element, the zero before the results.
            ("wasi:io/poll", "poll") => {
                write!(out, " (i32.store (i32.const {RESULT_AT}) (i32.const 8))")?;
                write!(out, " (i32.store (i32.const {}) (i32.const 1))", RESULT_AT + 4)?;
            }
            ("wasi:io/poll", "[method]pollable.ready") => {
                write!(out, " (i32.store8 (i32.const {RESULT_AT}) (i32.const 1))")?;
            }
            // A millisecond passes with each look, so that who waits for a time sees it come.
            ("wasi:clocks/monotonic-clock", "now") => {
                write!(out, " (global.set $now (i64.add (global.get $now) (i64.const 1000000)))")?;
                write!(out, " (i64.store (i32.const {RESULT_AT}) (global.get $now))")?;
            }
            _ => self.store(result, RESULT_AT)?,
        }
        Ok(())
    }

    /// Lays a value into memory that is zero there: a refusal if it can be one, else nothing.
    fn store(&mut self, ty: &Type, at: usize) -> Result<(), Error> {
        let Type::Id(id) = ty else { return Ok(()) };
        let resolve = self.resolve;
        match &resolve.types[*id].kind {
            TypeDefKind::Type(ty) => self.store(ty, at)?,
            TypeDefKind::Handle(Handle::Own(resource)) => {
                let mut resource = *resource;
                while let TypeDefKind::Type(Type::Id(id)) = resolve.types[resource].kind {
                    resource = id;
                }
                let new = resource.index();
                write!(self.functions, " (i32.store (i32.const {at}) (call $new{new} (i32.const 0)))")?;
            }
            TypeDefKind::Record(record) => {
                let types: Vec<Type> = record.fields.iter().map(|field| field.ty).collect();
                self.store_all(&types, at)?;
            }
            TypeDefKind::Tuple(tuple) => self.store_all(&tuple.types, at)?,
            TypeDefKind::Result(result) => {
                self.store_tag(Int::U8, 1, at)?;
                if let Some(error) = &result.err {
                    let cases = [result.ok.as_ref(), result.err.as_ref()];
                    let offset = self.sizes.payload_offset(Int::U8, cases).size_wasm32();
                    self.store(error, at + offset)?;
                }
            }
            TypeDefKind::Enum(one) => {
                let case = refusal(one.cases.iter().map(|case| case.name.as_str()));
                self.store_tag(one.tag(), case, at)?;
            }
            TypeDefKind::Variant(one) => {
                let case = refusal(one.cases.iter().map(|case| case.name.as_str()));
                self.store_tag(one.tag(), case, at)?;
                if let Some(ty) = &one.cases[case].ty {
                    let cases = one.cases.iter().map(|case| case.ty.as_ref());
                    let offset = self.sizes.payload_offset(one.tag(), cases).size_wasm32();
                    self.store(ty, at + offset)?;
                }
            }
            TypeDefKind::List(_) | TypeDefKind::Option(_) | TypeDefKind::Flags(_) => {}
            other => return Err(format!("it imports a function that returns a {}", other.as_str()).into()),
        }
        Ok(())
    }

    fn store_all(&mut self, types: &[Type], at: usize) -> Result<(), Error> {
        for (offset, ty) in self.sizes.field_offsets(types) {
            self.store(ty, at + offset.size_wasm32())?;
        }
        Ok(())
    }

    fn store_tag(&mut self, tag: Int, case: usize, at: usize) -> Result<(), Error> {
        let store = match tag {
            Int::U8 => "i32.store8",
            Int::U16 => "i32.store16",
            Int::U32 | Int::U64 => "i32.store",
        };
        write!(self.functions, " ({store} (i32.const {at}) (i32.const {case}))")?;
        Ok(())
    }
}

/// Returns something to wait for, as other resources are returned.
const SUBSCRIBE: &str = "[method]output-stream.subscribe";

/// The case that says best that something is refused.
fn refusal<'a>(cases: impl Iterator<Item = &'a str> + Clone) -> usize {
    REFUSALS.iter().find_map(|refusal| cases.clone().position(|case| case == *refusal)).unwrap_or(0)
}

fn core(ty: WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}
