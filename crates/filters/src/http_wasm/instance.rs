//! An instance of an http-wasm guest: made, started, called.

use super::calls;
use super::exchange::Exchange;
use crate::code::Code;
use crate::common::memory;
use crate::common::pool::Live;
use crate::common::source::BadBody;
use sampan_capabilities::{Host, LinkedModule};
use sampan_runtime::serve::{Ended, begin_call};
use std::sync::Arc;
use wasmtime::{Caller, Memory, Result, Store, TypedFunc, WasmParams, WasmResults, format_err};
use wasmtime_wasi::I32Exit;

pub type Linked = Arc<LinkedModule>;

/// What host calls work on: in the store for as long as the instance lives.
pub struct State {
    pub code: Arc<Code>,
    pub config: Arc<str>,
    /// Those that the guest enabled while it was started; an exchange may have more.
    pub features: u32,
    pub memory: Option<Memory>,
    pub exchange: Option<Box<Exchange>>,
}

pub struct Instance {
    store: Store<Host>,
    memory: Memory,
    handle_request: TypedFunc<(), i64>,
    handle_response: TypedFunc<(i32, i32), ()>,
    _live: Live,
}

/// How a call ended that did not end the guest by its own fault.
pub enum Called<T> {
    Returned(Instance, T),
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

/// Makes an instance, and lets it begin: `_initialize` of a library, else `_start`.
pub async fn create(code: Arc<Code>, linked: Linked, config: Arc<str>) -> Result<Instance> {
    let mut store = code.store(code.wasi())?;
    let live = Live::new(&code);
    store.data_mut().filter =
        Some(Box::new(State { code, config, features: 0, memory: None, exchange: None }));
    let instance = linked.instantiate(&mut store).await?;
    let memory = instance.get_memory(&mut store, "memory");
    let memory = memory.ok_or_else(|| format_err!("it exports no memory named `memory`"))?;
    state(store.data_mut())?.memory = Some(memory);
    let handle_request = function(&instance, &mut store, "handle_request", "() -> i64")?;
    let handle_response = function(&instance, &mut store, "handle_response", "(i32, i32) -> ()")?;
    for name in ["_initialize", "_start"] {
        if instance.get_func(&mut store, name).is_some() {
            let start = function::<(), ()>(&instance, &mut store, name, "() -> ()")?;
            match start.call_async(&mut store, ()).await {
                // TinyGo's and Go's `main` ends so; what it set up is used all the same.
                Err(error) if error.downcast_ref::<I32Exit>().is_some_and(|exit| exit.0 == 0) => {}
                started => started?,
            }
            break;
        }
    }
    Ok(Instance { store, memory, handle_request, handle_response, _live: live })
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
    pub fn features(&mut self) -> u32 {
        state(self.store.data_mut()).map_or(0, |state| state.features)
    }

    pub fn give_exchange(&mut self, exchange: Box<Exchange>) {
        if let Ok(state) = state(self.store.data_mut()) {
            state.exchange = Some(exchange);
        }
    }

    /// The exchange that was given: it is there, because nothing but this takes it out.
    pub fn take_exchange(&mut self) -> Box<Exchange> {
        let exchange = state(self.store.data_mut()).ok().and_then(|state| state.exchange.take());
        exchange.expect("an exchange is given before a call, and taken after it")
    }

    pub async fn asked(mut self) -> Result<Called<i64>> {
        begin_call(&mut self.store);
        let result = self.handle_request.call_async(&mut self.store, ()).await;
        self.called(result)
    }

    /// `unanswered`: the response is about an error of the host, and nobody's whom it had asked.
    pub async fn answered(mut self, context: i32, unanswered: bool) -> Result<Called<()>> {
        begin_call(&mut self.store);
        let result = self.handle_response.call_async(&mut self.store, (context, unanswered.into())).await;
        self.called(result)
    }

    fn called<T>(self, result: Result<T>) -> Result<Called<T>> {
        match result {
            Ok(value) => Ok(Called::Returned(self, value)),
            Err(error) => match error.downcast_ref::<BadBody>() {
                Some(why) => Ok(Called::BadBody(why.clone())),
                None => Err(error),
            },
        }
    }

    /// Whether it may have another exchange.
    pub fn is_fit(&mut self, code: &Code) -> bool {
        code.leaves_room(self.memory.data_size(&self.store))
    }
}

pub fn state(host: &mut Host) -> Result<&mut State> {
    let state = host.filter.as_mut().and_then(|state| state.downcast_mut::<State>());
    state.ok_or_else(|| format_err!("it is not called as a filter"))
}

/// The guest's memory, and what host calls work on. While the start section runs, the memory is found by its name.
pub fn parts<'a>(caller: &'a mut Caller<'_, Host>) -> Result<(&'a mut [u8], &'a mut State)> {
    let memory = match state(caller.data_mut())?.memory {
        Some(memory) => memory,
        None => memory::exported(caller)?,
    };
    let (bytes, host) = memory.data_and_store_mut(caller);
    Ok((bytes, state(host)?))
}
