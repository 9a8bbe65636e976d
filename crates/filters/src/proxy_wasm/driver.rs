//! Several callbacks in one entry into the guest.
//!
//! Each entry from the host takes a stack of its own and some bookkeeping, several times what a callback that does
//! nothing costs, and an exchange has up to eight callbacks. So a small module of ours stands in the same store and
//! calls those that follow each other directly, guest to guest:
//!
//! - `begin`: `proxy_on_context_create`, then `proxy_on_request_headers`;
//! - `response`, `body`: `proxy_on_response_headers` or `_body`, then `end` where nothing follows;
//! - `end`: `proxy_on_done`, and where that agrees, `proxy_on_log` and `proxy_on_delete`.
//!
//! It imports only the callbacks that the filter has, so one is made for each filter.

use super::exports::{Exports, Headers};
use super::vm::state_of;
use sampan_capabilities::Host;
use wasm_encoder::{
    BlockType, CodeSection, EntityType, ExportKind, ExportSection, Function, FunctionSection, ImportSection,
    Module as Encoder, TypeSection, ValType,
};
use wasmtime::{Caller, Engine, ExternType, Func, Instance, Module, Result, Store, TypedFunc, bail};

/// What has become of a stream at the end of an entry.
pub mod ended {
    // 0: it goes on.
    /// `proxy_on_done` asked for time.
    pub const LATER: u32 = 1;
    /// All callbacks of the end were called.
    pub const YES: u32 = 2;
}

/// Parameters of callbacks on headers; others are refused when a VM is made.
const HEADERS: [usize; 2] = [2, 3];

/// Which callbacks a filter has, by the number of parameters where it may differ.
#[derive(Clone, Copy, Debug, Default)]
struct Shape {
    create: bool,
    request_headers: Option<usize>,
    response_headers: Option<usize>,
    response_body: bool,
    done: bool,
    log: bool,
    delete: bool,
}

/// The compiled module of a filter's VMs.
#[derive(Clone)]
pub struct Driver {
    module: Module,
    shape: Shape,
}

/// Its functions in a VM.
pub struct Entries {
    /// Stream, root, number of headers, whether they are all → action.
    pub begin: TypedFunc<(u32, u32, u32, u32), u32>,
    /// Stream, number of headers, whether they are all, whether nothing follows → action, [`ended`].
    pub response: TypedFunc<(u32, u32, u32, u32), (u32, u32)>,
    /// Stream, bytes, whether they are the last, whether nothing follows → action, [`ended`].
    pub body: TypedFunc<(u32, u32, u32, u32), (u32, u32)>,
    /// Stream → [`ended`].
    pub end: TypedFunc<u32, u32>,
}

impl Driver {
    pub fn new(engine: &Engine, guest: &Module) -> Result<Driver> {
        let params = |name| match guest.get_export(name) {
            Some(ExternType::Func(function)) => Some(function.params().len()),
            _ => None,
        };
        let shape = Shape {
            create: params("proxy_on_context_create").is_some(),
            request_headers: params("proxy_on_request_headers").filter(|params| HEADERS.contains(params)),
            response_headers: params("proxy_on_response_headers").filter(|params| HEADERS.contains(params)),
            response_body: params("proxy_on_response_body").is_some(),
            done: params("proxy_on_done").is_some(),
            log: params("proxy_on_log").is_some(),
            delete: params("proxy_on_delete").is_some(),
        };
        Ok(Driver { module: Module::new(engine, encode(shape))?, shape })
    }

    /// Stands between the host and a guest, whose exports were checked.
    pub async fn instantiate(&self, store: &mut Store<Host>, exports: &Exports) -> Result<Entries> {
        let enter = Func::wrap(&mut *store, |mut caller: Caller<'_, Host>, stream: u32| {
            state_of(caller.data_mut()).effective = stream;
        });
        let may_end = Func::wrap(&mut *store, |mut caller: Caller<'_, Host>, stream: u32, action: u32| {
            u32::from(state_of(caller.data_mut()).may_end(stream, action))
        });
        let headers = |function: &Option<Headers>| {
            function.as_ref().map(|function| match function {
                Headers::Short(function) => *function.func(),
                Headers::Long(function) => *function.func(),
            })
        };
        let guest = [
            exports.on_context_create.as_ref().map(|function| *function.func()),
            headers(&exports.on_request_headers),
            headers(&exports.on_response_headers),
            exports.on_response_body.as_ref().map(|function| *function.func()),
            exports.on_done.as_ref().map(|function| *function.func()),
            exports.on_log.as_ref().map(|function| *function.func()),
            exports.on_delete.as_ref().map(|function| *function.func()),
        ];
        let imports: Vec<_> =
            [enter, may_end].into_iter().chain(guest.into_iter().flatten()).map(Into::into).collect();
        if imports.len() != self.shape.imports().len() {
            bail!("its callbacks are not as the specification has them");
        }
        let instance = Instance::new_async(&mut *store, &self.module, &imports).await?;
        Ok(Entries {
            begin: instance.get_typed_func(&mut *store, "begin")?,
            response: instance.get_typed_func(&mut *store, "response")?,
            body: instance.get_typed_func(&mut *store, "body")?,
            end: instance.get_typed_func(&mut *store, "end")?,
        })
    }
}

impl Shape {
    /// Parameters and results of what is imported, in order.
    fn imports(self) -> Vec<(usize, usize)> {
        let callbacks = [
            self.create.then_some((2, 0)),
            self.request_headers.map(|params| (params, 1)),
            self.response_headers.map(|params| (params, 1)),
            self.response_body.then_some((3, 1)),
            self.done.then_some((1, 1)),
            self.log.then_some((1, 0)),
            self.delete.then_some((1, 0)),
        ];
        [(1, 0), (2, 1)].into_iter().chain(callbacks.into_iter().flatten()).collect()
    }
}

/// The numbers of functions within the module.
struct Numbers {
    enter: u32,
    may_end: u32,
    create: Option<u32>,
    request_headers: Option<(u32, usize)>,
    response_headers: Option<(u32, usize)>,
    response_body: Option<(u32, usize)>,
    done: Option<u32>,
    log: Option<u32>,
    delete: Option<u32>,
    end: u32,
}

impl Numbers {
    fn of(shape: Shape) -> Self {
        let mut next = 2;
        let mut number = || {
            next += 1;
            next - 1
        };
        Numbers {
            enter: 0,
            may_end: 1,
            create: shape.create.then(&mut number),
            request_headers: shape.request_headers.map(|params| (number(), params)),
            response_headers: shape.response_headers.map(|params| (number(), params)),
            response_body: shape.response_body.then(|| (number(), 3)),
            done: shape.done.then(&mut number),
            log: shape.log.then(&mut number),
            delete: shape.delete.then(&mut number),
            end: shape.imports().len() as u32,
        }
    }
}

/// The module in the binary format.
fn encode(shape: Shape) -> Vec<u8> {
    let numbers = Numbers::of(shape);
    let own = [
        ("end", (1, 1), end(&numbers)),
        ("begin", (4, 1), begin(&numbers)),
        ("response", (4, 2), last(&numbers, numbers.response_headers, true)),
        ("body", (4, 2), last(&numbers, numbers.response_body, false)),
    ];
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    let mut functions = FunctionSection::new();
    let (mut exports, mut code) = (ExportSection::new(), CodeSection::new());
    let words = |count| std::iter::repeat_n(ValType::I32, count);
    let mut next_type = 0;
    let mut new_type = |(params, results)| {
        types.ty().function(words(params), words(results));
        next_type += 1;
        next_type - 1
    };
    for signature in shape.imports() {
        // By position: names do not matter.
        imports.import("", "", EntityType::Function(new_type(signature)));
    }
    for (number, (name, signature, body)) in (numbers.end..).zip(&own) {
        functions.function(new_type(*signature));
        exports.export(name, ExportKind::Func, number);
        code.function(body);
    }
    let mut module = Encoder::new();
    module.section(&types).section(&imports).section(&functions).section(&exports).section(&code);
    module.finish()
}

fn begin(numbers: &Numbers) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    if let Some(create) = numbers.create {
        code.local_get(0).local_get(1).call(create);
        code.local_get(0).call(numbers.enter);
    }
    match numbers.request_headers {
        Some((headers, 2)) => code.local_get(0).local_get(2).call(headers),
        Some((headers, _)) => code.local_get(0).local_get(2).local_get(3).call(headers),
        None => code.i32_const(0),
    };
    code.end();
    function
}

/// A callback that may be the last. `alone`: action 2 makes it the last.
fn last(numbers: &Numbers, callback: Option<(u32, usize)>, alone: bool) -> Function {
    const STREAM: u32 = 0;
    const LAST: u32 = 3;
    const ACTION: u32 = 4;
    const ENDED: u32 = 5;
    let mut function = Function::new([(2, ValType::I32)]);
    let mut code = function.instructions();
    match callback {
        Some((callback, 2)) => code.local_get(STREAM).local_get(1).call(callback),
        Some((callback, _)) => code.local_get(STREAM).local_get(1).local_get(2).call(callback),
        None => code.i32_const(0),
    };
    code.local_set(ACTION).local_get(LAST);
    if alone {
        code.local_get(ACTION).i32_const(2).i32_eq().i32_or();
    }
    code.if_(BlockType::Empty);
    code.local_get(STREAM).local_get(ACTION).call(numbers.may_end);
    code.if_(BlockType::Empty);
    code.local_get(STREAM).call(numbers.end).local_set(ENDED);
    code.end().end();
    code.local_get(ACTION).local_get(ENDED).end();
    function
}

fn end(numbers: &Numbers) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    if let Some(done) = numbers.done {
        code.local_get(0).call(done).i32_eqz();
        code.if_(BlockType::Empty).i32_const(ended::LATER as i32).return_().end();
    }
    for callback in [numbers.log, numbers.delete].into_iter().flatten() {
        code.local_get(0).call(numbers.enter);
        code.local_get(0).call(callback);
    }
    code.i32_const(ended::YES as i32).end();
    function
}
