//! A guest's callbacks, looked up once for each VM and checked against the specification's signatures.

use crate::code::Code;
use sampan_capabilities::Host;
use wasmtime::{Instance, Memory, Result, Store, TypedFunc, WasmParams, WasmResults, bail};

type Params1 = TypedFunc<u32, ()>;
type Params2 = TypedFunc<(u32, u32), ()>;
type Params3 = TypedFunc<(u32, u32, u32), ()>;
type Params5 = TypedFunc<(u32, u32, u32, u32, u32), ()>;
type Answer2 = TypedFunc<(u32, u32), u32>;
type Answer3 = TypedFunc<(u32, u32, u32), u32>;

pub struct Exports {
    pub on_context_create: Option<Params2>,
    pub on_vm_start: Option<Answer2>,
    pub on_configure: Option<Answer2>,
    pub on_tick: Option<Params1>,
    pub on_queue_ready: Option<Params2>,
    pub on_new_connection: Option<TypedFunc<u32, u32>>,
    pub on_downstream_data: Option<Answer3>,
    pub on_upstream_data: Option<Answer3>,
    pub on_downstream_connection_close: Option<Params2>,
    pub on_upstream_connection_close: Option<Params2>,
    pub on_request_headers: Option<Headers>,
    pub on_request_body: Option<Answer3>,
    pub on_request_trailers: Option<Answer2>,
    pub on_response_headers: Option<Headers>,
    pub on_response_body: Option<Answer3>,
    pub on_response_trailers: Option<Answer2>,
    pub on_http_call_response: Option<Params5>,
    pub on_grpc_receive_initial_metadata: Option<Params3>,
    pub on_grpc_receive: Option<Params3>,
    pub on_grpc_receive_trailing_metadata: Option<Params3>,
    pub on_grpc_close: Option<Params3>,
    pub on_done: Option<TypedFunc<u32, u32>>,
    pub on_log: Option<Params1>,
    pub on_delete: Option<Params1>,
}

/// 0.1.0 does not say whether the headers are all there is.
pub enum Headers {
    Short(Answer2),
    Long(Answer3),
}

/// The exports by which a module is told that it may begin.
pub struct Begin {
    pub initialize: Option<TypedFunc<(), ()>>,
    pub main: Option<Main>,
    pub start: Option<TypedFunc<(), ()>>,
}

pub enum Main {
    Void(TypedFunc<(), u32>),
    Arguments(TypedFunc<(u32, u32), u32>),
}

/// Which callbacks a filter has: known before there is a VM.
#[derive(Clone, Copy, Debug, Default)]
pub struct Callbacks {
    pub request_body: bool,
    pub request_trailers: bool,
    pub response_headers: bool,
    pub response_body: bool,
    pub response_trailers: bool,
    /// At the end of a stream.
    pub end: bool,
    /// Of TCP.
    pub downstream_data: bool,
    pub upstream_data: bool,
}

impl Callbacks {
    pub fn of(code: &Code) -> Self {
        let has = |name: &str| match &code.code {
            sampan_engine::Code::Module(module) => module.get_export(name).is_some(),
            sampan_engine::Code::Component(_) => false,
        };
        Callbacks {
            request_body: has("proxy_on_request_body"),
            request_trailers: has("proxy_on_request_trailers"),
            response_headers: has("proxy_on_response_headers"),
            response_body: has("proxy_on_response_body"),
            response_trailers: has("proxy_on_response_trailers"),
            end: has("proxy_on_done") || has("proxy_on_log") || has("proxy_on_delete"),
            downstream_data: has("proxy_on_downstream_data"),
            upstream_data: has("proxy_on_upstream_data"),
        }
    }

    /// Whether the filter is asked anything after a request's headers have gone on.
    pub fn look_back(self) -> bool {
        let Callbacks {
            request_body,
            request_trailers,
            response_headers,
            response_body,
            response_trailers,
            end,
            ..
        } = self;
        request_body || request_trailers || response_headers || response_body || response_trailers || end
    }

    pub fn of_body(self, side: super::values::Side) -> (bool, bool) {
        match side {
            super::values::Side::Request => (self.request_body, self.request_trailers),
            super::values::Side::Response => (self.response_body, self.response_trailers),
        }
    }
}

impl Exports {
    pub fn of(store: &mut Store<Host>, instance: &Instance) -> Result<Exports> {
        let s = store;
        let i = instance;
        Ok(Exports {
            on_context_create: typed(s, i, "proxy_on_context_create")?,
            on_vm_start: typed(s, i, "proxy_on_vm_start")?,
            on_configure: typed(s, i, "proxy_on_configure")?,
            on_tick: typed(s, i, "proxy_on_tick")?,
            on_queue_ready: typed(s, i, "proxy_on_queue_ready")?,
            on_new_connection: typed(s, i, "proxy_on_new_connection")?,
            on_downstream_data: typed(s, i, "proxy_on_downstream_data")?,
            on_upstream_data: typed(s, i, "proxy_on_upstream_data")?,
            on_downstream_connection_close: typed(s, i, "proxy_on_downstream_connection_close")?,
            on_upstream_connection_close: typed(s, i, "proxy_on_upstream_connection_close")?,
            on_request_headers: headers(s, i, "proxy_on_request_headers")?,
            on_request_body: typed(s, i, "proxy_on_request_body")?,
            on_request_trailers: typed(s, i, "proxy_on_request_trailers")?,
            on_response_headers: headers(s, i, "proxy_on_response_headers")?,
            on_response_body: typed(s, i, "proxy_on_response_body")?,
            on_response_trailers: typed(s, i, "proxy_on_response_trailers")?,
            on_http_call_response: typed(s, i, "proxy_on_http_call_response")?,
            on_grpc_receive_initial_metadata: typed(s, i, "proxy_on_grpc_receive_initial_metadata")?,
            on_grpc_receive: typed(s, i, "proxy_on_grpc_receive")?,
            on_grpc_receive_trailing_metadata: typed(s, i, "proxy_on_grpc_receive_trailing_metadata")?,
            on_grpc_close: typed(s, i, "proxy_on_grpc_close")?,
            on_done: typed(s, i, "proxy_on_done")?,
            on_log: typed(s, i, "proxy_on_log")?,
            on_delete: typed(s, i, "proxy_on_delete")?,
        })
    }
}

impl Begin {
    pub fn of(store: &mut Store<Host>, instance: &Instance) -> Result<Begin> {
        let initialize = typed(store, instance, "_initialize")?;
        let main = match instance.get_typed_func(&mut *store, "__main_void") {
            Ok(main) => Some(Main::Void(main)),
            Err(_) => main_of(store, instance)?,
        };
        Ok(Begin { initialize, main, start: typed(store, instance, "_start")? })
    }
}

fn main_of(store: &mut Store<Host>, instance: &Instance) -> Result<Option<Main>> {
    if instance.get_func(&mut *store, "main").is_none() {
        return Ok(None);
    }
    if let Ok(main) = instance.get_typed_func(&mut *store, "main") {
        return Ok(Some(Main::Void(main)));
    }
    Ok(typed(store, instance, "main")?.map(Main::Arguments))
}

/// Where guests let the host put what it returns.
pub fn allocator(store: &mut Store<Host>, instance: &Instance) -> Result<Option<TypedFunc<u32, u32>>> {
    match typed(store, instance, "proxy_on_memory_allocate")? {
        Some(allocate) => Ok(Some(allocate)),
        None => typed(store, instance, "malloc"),
    }
}

pub fn memory(store: &mut Store<Host>, instance: &Instance) -> Result<Memory> {
    match instance.get_memory(&mut *store, "memory") {
        Some(memory) => Ok(memory),
        None => bail!("it exports no memory named `memory`"),
    }
}

fn headers(store: &mut Store<Host>, instance: &Instance, name: &str) -> Result<Option<Headers>> {
    if let Ok(short) = instance.get_typed_func(&mut *store, name) {
        return Ok(Some(Headers::Short(short)));
    }
    Ok(typed(store, instance, name)?.map(Headers::Long))
}

fn typed<P: WasmParams, R: WasmResults>(
    store: &mut Store<Host>,
    instance: &Instance,
    name: &str,
) -> Result<Option<TypedFunc<P, R>>> {
    let Some(function) = instance.get_func(&mut *store, name) else { return Ok(None) };
    match function.typed(&*store) {
        Ok(typed) => Ok(Some(typed)),
        Err(error) => bail!("its export `{name}` is not as the specification has it: {error}"),
    }
}
