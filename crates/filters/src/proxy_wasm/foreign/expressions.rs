//! `expr_create`, `expr_evaluate`, `expr_delete`: expressions in CEL about the exchange, whose variables are its
//! attributes. A root context has its own.

use crate::proxy_wasm::attributes::{self, Attribute, Group};
use crate::proxy_wasm::map;
use crate::proxy_wasm::state::{State, Stream};
use crate::proxy_wasm::values::{BAD_ARGUMENT, INTERNAL, NOT_FOUND, SERIALIZATION, Status};
use sampan_capabilities::cel::{Expression, Key, Value, named};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

/// Of one root context. Filters make them once, when they are configured.
const EXPRESSIONS_MAX: usize = 256;
/// What the deepest expression needs; host calls have less.
const STACK_BYTES: usize = 2 << 20;

#[derive(Default)]
pub struct Expressions {
    next: u32,
    all: HashMap<u32, Arc<Expression>>,
}

fn own(state: &mut State) -> Result<&mut Expressions, Status> {
    let root = state.effective_root();
    state.roots.get_mut(&root).map(|root| &mut root.expressions).ok_or(NOT_FOUND)
}

/// The argument is the expression; the result its number.
pub fn create(state: &mut State, text: &[u8]) -> Result<Vec<u8>, Status> {
    let text = str::from_utf8(text).map_err(|_| BAD_ARGUMENT)?;
    if own(state)?.all.len() >= EXPRESSIONS_MAX {
        return Err(INTERNAL);
    }
    let expression = with_stack(|| Expression::parse(text))?.map_err(|why| {
        state.calling().code.log(&format!("expr_create: {why}"));
        BAD_ARGUMENT
    })?;
    let own = own(state)?;
    while own.all.contains_key(&own.next) {
        own.next = own.next.wrapping_add(1);
    }
    let number = own.next;
    own.next = number.wrapping_add(1);
    own.all.insert(number, Arc::new(expression));
    Ok(number.to_le_bytes().to_vec())
}

/// The argument is the number, the result a value as properties have it.
pub fn evaluate(state: &mut State, number: &[u8]) -> Result<Vec<u8>, Status> {
    let number = u32::from_le_bytes(number.try_into().map_err(|_| BAD_ARGUMENT)?);
    let expression = own(state)?.all.get(&number).cloned().ok_or(NOT_FOUND)?;
    let mut variables = Vec::new();
    for name in expression.names() {
        variables.extend(variable(state, name).map(|value| (name.to_owned(), value)));
    }
    let value = with_stack(|| expression.value(variables))?;
    encode(&value.map_err(|_| INTERNAL)?)
}

/// Of a number that means nothing, nothing is said.
pub fn delete(state: &mut State, number: &[u8]) -> Result<Vec<u8>, Status> {
    let number = u32::from_le_bytes(number.try_into().map_err(|_| BAD_ARGUMENT)?);
    own(state)?.all.remove(&number);
    Ok(Vec::new())
}

/// Parsing and evaluating take as much stack as an expression is deep.
fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, Status> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.map_err(|_| INTERNAL)?.join().map_err(|_| INTERNAL)
    })
}

/// What a name stands for; `None` where it is not known now, which ends an evaluation that asks for it.
fn variable(state: &mut State, name: &str) -> Option<Value> {
    let bytes = name.as_bytes();
    if let Some(found) = attributes::of_plugin(state, bytes) {
        return Some(value(found));
    }
    let stream = state.stream()?;
    if let Some(group) = Group::of(bytes) {
        let known = |name: &&str| Some(((*name).to_owned(), value(group.get(stream, name.as_bytes())?)));
        return Some(named(group.names().iter().filter_map(known)));
    }
    match name {
        "filter_state" => Some(filter_state(stream)),
        _ => attributes::single(stream, bytes).or_else(|| attributes::of_filters(stream, bytes)).map(value),
    }
}

/// What filters have set: their own properties stand under `wasm.`, as in Envoy.
fn filter_state(stream: &Stream) -> Value {
    let properties = stream.properties.clone().unwrap_or_default();
    let properties = properties.lock().unwrap_or_else(PoisonError::into_inner);
    named(properties.iter().filter_map(|(path, set)| {
        let (start, path) = match path.strip_prefix(b"filter_state\0") {
            Some(name) => ("", name),
            None => ("wasm.", &path[..]),
        };
        Some((format!("{start}{}", str::from_utf8(path).ok()?), Value::Bytes(Arc::new(set.clone()))))
    }))
}

/// Times and durations are numbers of nanoseconds. Text that is none is bytes.
fn value(attribute: Attribute) -> Value {
    match attribute {
        Attribute::Text(bytes) => text(bytes),
        Attribute::Bytes(bytes) => Value::Bytes(Arc::new(bytes)),
        Attribute::Int(number) | Attribute::Time(number) | Attribute::Duration(number) => Value::Int(number),
        Attribute::Uint(number) => Value::UInt(number),
        Attribute::Bool(truth) => Value::Bool(truth),
        Attribute::Map(pairs) => {
            // Values of one name stand together, with commas between them.
            let mut joined: HashMap<String, Vec<u8>> = HashMap::new();
            for (name, value) in pairs {
                let Ok(name) = String::from_utf8(name) else { continue };
                let all = joined.entry(name);
                all.and_modify(|all| all.extend([&b","[..], &value].concat())).or_insert(value);
            }
            named(joined.into_iter().map(|(name, value)| (name, text(value))))
        }
    }
}

fn text(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::String(Arc::new(text)),
        Err(error) => Value::Bytes(Arc::new(error.into_bytes())),
    }
}

/// As Envoy has it (envoyproxy/envoy, source/extensions/common/wasm/context.cc, `serializeValue`): of a list, the names of
/// pairs are its items.
fn encode(value: &Value) -> Result<Vec<u8>, Status> {
    Ok(match value {
        Value::String(text) => text.as_bytes().to_vec(),
        Value::Bytes(bytes) => bytes.to_vec(),
        Value::Int(number) => number.to_le_bytes().to_vec(),
        Value::UInt(number) => number.to_le_bytes().to_vec(),
        Value::Float(number) => number.to_le_bytes().to_vec(),
        Value::Bool(truth) => vec![(*truth).into()],
        Value::List(items) => {
            let pairs = items.iter().map(|item| Ok((encode(item)?, Vec::new())));
            map::encode(&pairs.collect::<Result<Vec<_>, Status>>()?)
        }
        Value::Map(of) => {
            let pairs = of.map.iter().map(|(key, value)| Ok((encode_key(key), encode(value)?)));
            map::encode(&pairs.collect::<Result<Vec<_>, Status>>()?)
        }
        _ => return Err(SERIALIZATION),
    })
}

fn encode_key(key: &Key) -> Vec<u8> {
    match key {
        Key::String(text) => text.as_bytes().to_vec(),
        Key::Int(number) => number.to_le_bytes().to_vec(),
        Key::Uint(number) => number.to_le_bytes().to_vec(),
        Key::Bool(truth) => vec![(*truth).into()],
    }
}
