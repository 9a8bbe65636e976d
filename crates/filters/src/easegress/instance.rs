//! An instance of an Easegress guest: made, given its parameters, run.

use super::calls;
use super::data::Data;
use super::exchange::Exchange;
use super::wire;
use crate::code::Code;
use crate::common::memory;
use crate::common::pool::Live;
use crate::common::source::BadBody;
use sampan_capabilities::{Host, LinkedModule};
use sampan_runtime::serve::{Ended, begin_call};
use std::sync::Arc;
use wasmtime::{AsContextMut, Caller, Memory, Result, Store, TypedFunc, WasmParams, WasmResults, format_err};

pub type Linked = Arc<LinkedModule>;

/// What host calls work on: in the store for as long as the instance lives.
pub struct State {
    pub code: Arc<Code>,
    pub data: Data,
    pub exchange: Option<Box<Exchange>>,
    memory: Option<Memory>,
    alloc: Option<TypedFunc<i32, i32>>,
}

pub struct Instance {
    store: Store<Host>,
    memory: Memory,
    run: TypedFunc<(), i32>,
    _live: Live,
}

/// How a run ended that did not end the guest by its own fault.
pub enum Called {
    Returned(Instance, Box<Exchange>, i32),
    BadBody(BadBody),
}

pub fn link(code: &Code) -> Result<Linked, Ended> {
    let sampan_engine::Code::Module(module) = &code.code else {
        return Err(Ended::Error("it is no module".to_owned()));
    };
    let mut store = code.store(code.wasi())?;
    let linked = LinkedModule::with(&mut store, module, &calls::define);
    linked.map(Arc::new).map_err(|error| Ended::Error(format!("{error:#}")))
}

/// Makes an instance and hands it its parameters.
pub async fn create(
    code: Arc<Code>,
    linked: Linked,
    parameters: Arc<[String]>,
    data: Data,
) -> Result<Instance> {
    let mut store = code.store(code.wasi())?;
    let live = Live::new(&code);
    let state = State { code, data, exchange: None, memory: None, alloc: None };
    store.data_mut().filter = Some(Box::new(state));
    let instance = linked.instantiate(&mut store).await?;
    let memory = instance.get_memory(&mut store, "memory");
    let memory = memory.ok_or_else(|| format_err!("it exports no memory named `memory`"))?;
    let run = function(&instance, &mut store, "wasm_run", "() -> i32")?;
    let alloc = function(&instance, &mut store, "wasm_alloc", "(i32) -> i32")?;
    // The guest frees what it was given, itself; one without it is no guest of Easegress.
    function::<i32, ()>(&instance, &mut store, "wasm_free", "(i32) -> ()")?;
    let state = self::state(store.data_mut())?;
    state.memory = Some(memory);
    state.alloc = Some(alloc);
    // Libraries of Rust and C++ set themselves up here. Easegress knows nothing else that runs before `wasm_init`.
    if instance.get_func(&mut store, "_initialize").is_some() {
        let initialize = function::<(), ()>(&instance, &mut store, "_initialize", "() -> ()")?;
        initialize.call_async(&mut store, ()).await?;
    }
    if instance.get_func(&mut store, "wasm_init").is_some() {
        let init = function::<i32, ()>(&instance, &mut store, "wasm_init", "(i32) -> ()")?;
        let at = give(&mut store, &wire::list(&parameters)).await?;
        init.call_async(&mut store, at).await?;
    }
    Ok(Instance { store, memory, run, _live: live })
}

fn function<P: WasmParams, R: WasmResults>(
    instance: &wasmtime::Instance,
    store: &mut Store<Host>,
    name: &str,
    signature: &str,
) -> Result<TypedFunc<P, R>> {
    let function = instance.get_func(&mut *store, name);
    let function = function.ok_or_else(|| format_err!("it does not export the function `{name}`"))?;
    function.typed(&*store).map_err(|_| format_err!("its function `{name}` is not of type {signature}"))
}

impl Instance {
    pub async fn run(mut self, exchange: Box<Exchange>) -> Result<Called> {
        begin_call(&mut self.store);
        state(self.store.data_mut())?.exchange = Some(exchange);
        match self.run.call_async(&mut self.store, ()).await {
            Ok(result) => {
                let exchange = state(self.store.data_mut())?.exchange.take();
                let exchange = exchange.ok_or_else(|| format_err!("its exchange is gone"))?;
                Ok(Called::Returned(self, exchange, result))
            }
            Err(error) => match error.downcast_ref::<BadBody>() {
                Some(why) => Ok(Called::BadBody(why.clone())),
                None => Err(error),
            },
        }
    }

    /// Whether it may have another exchange: the Rust SDK frees nothing that it is given.
    pub fn is_fit(&mut self, code: &Code) -> bool {
        code.leaves_room(self.memory.data_size(&self.store))
    }
}

pub fn state(host: &mut Host) -> Result<&mut State> {
    let state = host.filter.as_mut().and_then(|state| state.downcast_mut::<State>());
    state.ok_or_else(|| format_err!("it is not called as a filter"))
}

/// The guest's memory, and what host calls work on.
pub fn parts<'a>(caller: &'a mut Caller<'_, Host>) -> Result<(&'a mut [u8], &'a mut State)> {
    let memory = match state(caller.data_mut())?.memory {
        Some(memory) => memory,
        None => memory::exported(caller)?,
    };
    let (bytes, host) = memory.data_and_store_mut(caller);
    Ok((bytes, state(host)?))
}

/// Lets the guest allocate exactly what is laid out, and puts it there. The guest frees it.
pub async fn give(mut store: impl AsContextMut<Data = Host>, laid_out: &[u8]) -> Result<i32> {
    let mut store = store.as_context_mut();
    let state = state(store.data_mut())?;
    let (Some(alloc), Some(memory)) = (state.alloc.clone(), state.memory) else {
        return Err(format_err!("it asks for data while it is instantiated, when it cannot take any"));
    };
    let size = i32::try_from(laid_out.len())?;
    let at = alloc.call_async(&mut store, size).await?;
    // Allocating may have moved the memory.
    memory::place(memory.data_mut(&mut store), at as u32, laid_out.len() as u32)?.copy_from_slice(laid_out);
    Ok(at)
}
