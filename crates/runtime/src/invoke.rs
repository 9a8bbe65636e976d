//! `--invoke`: calls one exported function with arguments in text, and turns its results into text.
//!
//! Modules take numbers; components take WAVE, the value text format of the component model
//! (`bytecodealliance/wasm-tools`, crate wasm-wave).

use crate::command::{Stopped, list};
use crate::outcome::Failure;
use sampan_capabilities::Host;
use wasmtime::component::{self, Component, types::ComponentItem};
use wasmtime::{Instance, Store, Val, ValType};

fn unrunnable(message: String, help: String) -> Stopped {
    Stopped::Unrunnable(Failure::new(message, help))
}

fn wrong_count(function: &str, wanted: usize, given: usize) -> Stopped {
    unrunnable(
        format!("`{function}` takes {wanted} arguments, {given} were given"),
        "write the arguments after the file, one each".to_owned(),
    )
}

/// Calls an export of a core module; `_initialize` runs before it, as a reactor asks for.
pub(crate) async fn in_module(
    store: &mut Store<Host>,
    instance: &Instance,
    function: &str,
    args: &[String],
) -> Result<Vec<String>, Stopped> {
    let Some(func) = instance.get_func(&mut *store, function) else {
        let names = instance.exports(&mut *store).map(|export| export.name().to_owned()).collect::<Vec<_>>();
        let functions: Vec<_> =
            names.into_iter().filter(|name| instance.get_func(&mut *store, name).is_some()).collect();
        return Err(unrunnable(
            format!("the module exports no function `{function}`"),
            format!("it exports: {}", list(&functions)),
        ));
    };
    if function != "_initialize"
        && let Ok(initialize) = instance.get_typed_func::<(), ()>(&mut *store, "_initialize")
    {
        initialize.call_async(&mut *store, ()).await?;
    }
    let ty = func.ty(&*store);
    if ty.params().len() != args.len() {
        return Err(wrong_count(function, ty.params().len(), args.len()));
    }
    let params = ty.params().zip(args).map(|(ty, text)| number(&ty, text)).collect::<Result<Vec<_>, _>>()?;
    let mut results = vec![Val::I32(0); ty.results().len()];
    func.call_async(&mut *store, &params, &mut results).await?;
    Ok(results.iter().map(number_text).collect())
}

/// Integers may be written signed, unsigned or in hexadecimal: the bits count.
fn number(ty: &ValType, text: &str) -> Result<Val, Stopped> {
    let integer = || -> Option<i128> {
        match text.strip_prefix("0x") {
            Some(digits) => i128::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    };
    let value = match ty {
        ValType::I32 => integer()
            .filter(|n| (i128::from(i32::MIN)..=i128::from(u32::MAX)).contains(n))
            .map(|n| Val::I32(n as i32)),
        ValType::I64 => integer()
            .filter(|n| (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(n))
            .map(|n| Val::I64(n as i64)),
        ValType::F32 => text.parse().ok().map(|n: f32| Val::F32(n.to_bits())),
        ValType::F64 => text.parse().ok().map(|n: f64| Val::F64(n.to_bits())),
        _ => None,
    };
    value.ok_or_else(|| {
        unrunnable(format!("`{text}` is not a value of type {ty}"), "arguments are numbers".to_owned())
    })
}

fn number_text(value: &Val) -> String {
    match value {
        Val::I32(n) => n.to_string(),
        Val::I64(n) => n.to_string(),
        Val::F32(bits) => f32::from_bits(*bits).to_string(),
        Val::F64(bits) => f64::from_bits(*bits).to_string(),
        Val::V128(bits) => format!("{:#034x}", bits.as_u128()),
        Val::FuncRef(_) | Val::ExternRef(_) | Val::AnyRef(_) | Val::ExnRef(_) | Val::ContRef(_) => {
            "<reference>".to_owned()
        }
    }
}

/// Calls an export of a component, found by its own name, or by `INTERFACE#FUNCTION`, or by the function's
/// name alone where only one exported interface has it.
pub(crate) async fn in_component(
    store: &mut Store<Host>,
    component: &Component,
    instance: &component::Instance,
    function: &str,
    args: &[String],
) -> Result<Vec<String>, Stopped> {
    let all = functions(component);
    let (interface, name) = find(&all, function)?;
    let outer = match &interface {
        Some(interface) => instance.get_export_index(&mut *store, None, interface),
        None => None,
    };
    let index = instance.get_export_index(&mut *store, outer.as_ref(), &name);
    let func = index.and_then(|index| instance.get_func(&mut *store, index));
    let Some(func) = func else {
        return Err(unrunnable(format!("`{function}` cannot be called"), "it is not a function".to_owned()));
    };
    let ty = func.ty(&*store);
    if ty.params().len() != args.len() {
        return Err(wrong_count(function, ty.params().len(), args.len()));
    }
    let mut params = Vec::new();
    for ((name, ty), text) in ty.params().zip(args) {
        let value = component::Val::from_wave(&ty, text).map_err(|error| {
            unrunnable(
                format!("the argument `{name}` is not a value of its type: {error:#}"),
                "arguments are in WAVE, for example 42, \"text\", [1, 2], {x: 1}, some(1)".to_owned(),
            )
        })?;
        params.push(value);
    }
    let mut results = vec![component::Val::Bool(false); ty.results().len()];
    func.call_async(&mut *store, &params, &mut results).await?;
    results.iter().map(|value| value.to_wave().map_err(Stopped::Failed)).collect()
}

/// Every exported function: its interface, if it is in one, and its name.
fn functions(component: &Component) -> Vec<(Option<String>, String)> {
    let engine = component.engine();
    let mut all = Vec::new();
    for (name, item) in component.component_type().exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => all.push((None, name.to_owned())),
            ComponentItem::ComponentInstance(instance) => {
                for (inner, item) in instance.exports(engine) {
                    if matches!(item.ty, ComponentItem::ComponentFunc(_)) {
                        all.push((Some(name.to_owned()), inner.to_owned()));
                    }
                }
            }
            _ => {}
        }
    }
    all
}

fn find(all: &[(Option<String>, String)], wanted: &str) -> Result<(Option<String>, String), Stopped> {
    let full = |(interface, name): &(Option<String>, String)| match interface {
        Some(interface) => format!("{interface}#{name}"),
        None => name.clone(),
    };
    if let Some(found) = all.iter().find(|function| full(function) == wanted) {
        return Ok(found.clone());
    }
    let by_name: Vec<_> = all.iter().filter(|(_, name)| name == wanted).collect();
    match by_name.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(unrunnable(
            format!("the component exports no function `{wanted}`"),
            format!("it exports: {}", list(&all.iter().map(full).collect::<Vec<_>>())),
        )),
        _ => Err(unrunnable(
            format!("several interfaces export a function `{wanted}`"),
            format!("name one of: {}", list(&by_name.into_iter().map(full).collect::<Vec<_>>())),
        )),
    }
}
