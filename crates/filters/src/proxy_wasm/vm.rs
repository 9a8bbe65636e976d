//! One VM: a store with an instance of a plug-in's code, and the calls into it.

use super::driver::{Driver, Entries, ended};
use super::exports::{Begin, Exports, Main, allocator, memory};
use super::facts::Facts;
use super::foreign::expressions::Expressions;
use super::grpc::Delivery;
use super::slot::Slot;
use super::state::{Root, State};
use super::values::Side;
use sampan_capabilities::{Host, LinkedModule};
use sampan_runtime::serve::{Output, Target, begin_call};
use sampan_telemetry::Gauge;
use std::collections::HashMap;
use std::sync::{Arc, Weak};
use wasmtime::{Result, Store, TypedFunc, WasmParams, WasmResults};
use wasmtime_wasi::I32Exit;

pub struct Vm {
    pub(super) store: Store<Host>,
    pub(super) exports: Exports,
    entries: Entries,
    _live: Live,
}

/// Counts a VM as long as it exists.
struct Live(Gauge);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The guest will not work with its configuration.
#[derive(Debug, thiserror::Error)]
#[error("its {0} returned false: it does not accept the configuration")]
pub struct Refused(&'static str);

/// One entry into the guest, for which the state was made ready: what belongs together is one call.
pub enum Step {
    /// The context of a stream, and the request's headers.
    Begin {
        stream: u32,
        facts: Arc<Facts>,
        count: u32,
        end: bool,
    },
    /// `last`: nothing follows, so that the stream can end with it.
    ResponseHeaders {
        stream: u32,
        count: u32,
        end: bool,
        last: bool,
    },
    Body {
        side: Side,
        stream: u32,
        len: u32,
        end: bool,
        last: bool,
    },
    Trailers {
        side: Side,
        stream: u32,
        count: u32,
        last: bool,
    },
    /// The context of a TCP connection, and that it is there.
    Connect {
        stream: u32,
        facts: Arc<Facts>,
    },
    Data {
        side: Side,
        stream: u32,
        len: u32,
        end: bool,
    },
    /// One side of a TCP connection is closed; `peer` is who did it.
    Closed {
        side: Side,
        stream: u32,
        peer: u32,
    },
    /// A stream ends, whatever has become of it.
    End {
        stream: u32,
    },
    /// `proxy_done` was called, or its time is over.
    Delete {
        context: u32,
    },
    Tick {
        root: u32,
    },
    QueueReady {
        root: u32,
        queue: u32,
    },
    CallResponse {
        root: u32,
        call: u32,
        headers: u32,
        body: u32,
        trailers: u32,
    },
    Grpc(Box<Delivery>),
    /// A plug-in goes; `None`: all, because the VM is not needed.
    EndRoot {
        facts: Option<Arc<Facts>>,
    },
}

/// Beyond so many, a stream that asks for time at its end gets none: clients make streams.
const STREAMS_MAX: usize = 16_384;
/// The action of a callback that a guest does not have.
pub const CONTINUE: u32 = 0;

impl Vm {
    /// Instantiates, begins, and configures for the given plug-ins.
    pub async fn make(
        linked: LinkedModule,
        driver: Driver,
        first: Arc<Facts>,
        all: Vec<Arc<Facts>>,
        slot: Weak<Slot>,
    ) -> Result<Box<Vm>> {
        let mut store = store(&first)?;
        let gauge = first.code.metrics.live.clone();
        gauge.inc();
        let live = Live(gauge);
        store.data_mut().filter = Some(Box::new(State::new(Arc::clone(&first), slot)));
        begin_call(&mut store);
        let instance = linked.instantiate(&mut store).await?;
        let memory = memory(&mut store, &instance)?;
        let allocate = allocator(&mut store, &instance)?;
        let begin = Begin::of(&mut store, &instance)?;
        let exports = Exports::of(&mut store, &instance)?;
        let entries = driver.instantiate(&mut store, &exports).await?;
        let mut vm = Box::new(Vm { store, exports, entries, _live: live });
        let state = vm.state();
        state.memory = Some(memory);
        state.allocate = allocate;
        vm.begin(begin).await?;
        vm.root(&first).await?;
        for facts in all {
            vm.root(&facts).await?;
        }
        Ok(vm)
    }

    pub fn state(&mut self) -> &mut State {
        state_of(self.store.data_mut())
    }

    /// A module's own beginning (proxy-wasm/spec, "Functions called by the host": `_initialize` and then `main`, or
    /// `_start`).
    async fn begin(&mut self, begin: Begin) -> Result<()> {
        let ended = match (begin.initialize, begin.main, begin.start) {
            (Some(initialize), main, _) => {
                call(&mut self.store, 0, &initialize, ()).await?;
                match main {
                    Some(Main::Void(main)) => call(&mut self.store, 0, &main, ()).await.map(drop),
                    Some(Main::Arguments(main)) => call(&mut self.store, 0, &main, (0, 0)).await.map(drop),
                    None => Ok(()),
                }
            }
            (None, _, Some(start)) => call(&mut self.store, 0, &start, ()).await,
            (None, _, None) => Ok(()),
        };
        // A command's `_start` may say that it is done by its exit code.
        ended.or_else(|error| match error.downcast_ref::<I32Exit>() {
            Some(I32Exit(0)) => Ok(()),
            _ => Err(error),
        })
    }

    /// The root context of a plug-in, made where there is none.
    async fn root(&mut self, facts: &Arc<Facts>) -> Result<u32> {
        if let Some(root) = self.state().root_of(facts) {
            return Ok(root);
        }
        let state = self.state();
        let id = state.new_context();
        state.roots.insert(
            id,
            Root {
                facts: Arc::clone(facts),
                ticker: None,
                declared: HashMap::new(),
                expressions: Expressions::default(),
                leaving: false,
            },
        );
        self.create(id, 0).await?;
        if let Some(on_vm_start) = &self.exports.on_vm_start {
            let len = facts.code.spec.vm_config.len() as u32;
            state_of(self.store.data_mut()).starting = true;
            let started = call(&mut self.store, id, on_vm_start, (id, len)).await?;
            self.state().starting = false;
            if started == 0 {
                return Err(Refused("proxy_on_vm_start").into());
            }
        }
        if let Some(on_configure) = &self.exports.on_configure {
            let len = facts.config.len() as u32;
            if call(&mut self.store, id, on_configure, (id, len)).await? == 0 {
                return Err(Refused("proxy_on_configure").into());
            }
        }
        Ok(id)
    }

    /// Takes a step; what it returns is the guest's action, where there is one.
    pub async fn step(&mut self, step: Step) -> Result<u32> {
        match step {
            Step::Begin { stream, facts, count, end } => self.begin_stream(stream, &facts, count, end).await,
            Step::ResponseHeaders { stream, count, end, last } => {
                let params = (stream, count, u32::from(end), u32::from(last));
                let called = call(&mut self.store, stream, &self.entries.response, params).await?;
                self.after(stream, called).await
            }
            Step::Body { side: Side::Request, stream, len, end, .. } => {
                self.request_body(stream, len, end).await
            }
            Step::Body { side: Side::Response, stream, len, end, last } => {
                if !self.has_stream(stream) {
                    return Ok(CONTINUE);
                }
                let params = (stream, len, u32::from(end), u32::from(last));
                let called = call(&mut self.store, stream, &self.entries.body, params).await?;
                self.after(stream, called).await
            }
            Step::Trailers { side, stream, count, last } => {
                let action = self.trailers(side, stream, count).await?;
                self.perhaps_end(stream, last, action).await
            }
            Step::Connect { stream, facts } => self.connect(stream, &facts).await,
            Step::Data { side, stream, len, end } => self.data(side, stream, len, end).await,
            Step::Closed { side, stream, peer } => self.closed(side, stream, peer).await.map(|()| CONTINUE),
            Step::End { stream } => self.end(stream).await.map(|()| CONTINUE),
            Step::Delete { context } => self.delete(context).await.map(|()| CONTINUE),
            Step::Tick { root } => self.tick(root).await.map(|()| CONTINUE),
            Step::QueueReady { root, queue } => self.queue_ready(root, queue).await.map(|()| CONTINUE),
            Step::CallResponse { root, call: id, headers, body, trailers } => {
                let has_root = self.has_root(root);
                if let Some(function) = self.exports.on_http_call_response.as_ref().filter(|_| has_root) {
                    let params = (root, id, headers, body, trailers);
                    call(&mut self.store, root, function, params).await?;
                }
                Ok(CONTINUE)
            }
            Step::Grpc(delivery) => self.grpc(*delivery).await.map(|()| CONTINUE),
            Step::EndRoot { facts } => {
                let of = |root: &Root| facts.as_ref().is_none_or(|facts| facts.number == root.facts.number);
                let roots = self.state().roots.iter().filter(|(_, root)| of(root) && !root.leaving);
                for root in roots.map(|(id, _)| *id).collect::<Vec<u32>>() {
                    self.end_root(root).await?;
                }
                Ok(CONTINUE)
            }
        }
    }

    async fn begin_stream(&mut self, stream: u32, facts: &Arc<Facts>, count: u32, end: bool) -> Result<u32> {
        let root = self.rooted(stream, facts).await?;
        let params = (stream, root, count, u32::from(end));
        call(&mut self.store, stream, &self.entries.begin, params).await
    }

    /// Finds, or makes, the root of a stream.
    async fn rooted(&mut self, stream: u32, facts: &Arc<Facts>) -> Result<u32> {
        let root = self.root(facts).await?;
        if let Some(stream) = self.state().streams.get_mut(&stream) {
            stream.root = root;
        }
        Ok(root)
    }

    pub(super) async fn context(&mut self, stream: u32, facts: &Arc<Facts>) -> Result<()> {
        let root = self.rooted(stream, facts).await?;
        self.create(stream, root).await
    }

    async fn create(&mut self, context: u32, parent: u32) -> Result<()> {
        match &self.exports.on_context_create {
            Some(function) => call(&mut self.store, context, function, (context, parent)).await,
            None => Ok(()),
        }
    }

    async fn request_body(&mut self, stream: u32, len: u32, end: bool) -> Result<u32> {
        let has_stream = self.has_stream(stream);
        match self.exports.on_request_body.as_ref().filter(|_| has_stream) {
            Some(function) => call(&mut self.store, stream, function, (stream, len, u32::from(end))).await,
            None => Ok(CONTINUE),
        }
    }

    async fn trailers(&mut self, side: Side, stream: u32, count: u32) -> Result<u32> {
        let has_stream = self.has_stream(stream);
        let function = match side {
            Side::Request => &self.exports.on_request_trailers,
            Side::Response => &self.exports.on_response_trailers,
        };
        match function.as_ref().filter(|_| has_stream) {
            Some(function) => call(&mut self.store, stream, function, (stream, count)).await,
            None => Ok(CONTINUE),
        }
    }

    /// Ends a stream in the same step as its last callback, if that lets everything pass.
    async fn perhaps_end(&mut self, stream: u32, last: bool, action: u32) -> Result<u32> {
        if last && self.state().may_end(stream, action) {
            self.end(stream).await?;
        }
        Ok(action)
    }

    /// `on_done`, `on_log`, `on_delete`. What the stream holds can be read until the VM is back in its slot.
    async fn end(&mut self, stream: u32) -> Result<()> {
        if !self.has_stream(stream) {
            return Ok(());
        }
        let ended = call(&mut self.store, stream, &self.entries.end, stream).await?;
        self.after(stream, (CONTINUE, ended)).await.map(drop)
    }

    /// Notes how a stream stands after an entry that may have ended it.
    async fn after(&mut self, stream: u32, (action, ended): (u32, u32)) -> Result<u32> {
        match ended {
            ended::LATER if self.state().streams.len() <= STREAMS_MAX => {
                let state = self.state();
                if let Some(stream) = state.streams.get_mut(&stream) {
                    stream.leaving = true;
                }
                state.after.leaving.push(stream);
            }
            ended::LATER => self.delete(stream).await?,
            ended::YES => self.deleted(stream),
            _ => {}
        }
        Ok(action)
    }

    async fn delete(&mut self, context: u32) -> Result<()> {
        if !self.has_stream(context) && !self.has_root(context) {
            return Ok(());
        }
        for function in [&self.exports.on_log, &self.exports.on_delete].into_iter().flatten() {
            call(&mut self.store, context, function, context).await?;
        }
        self.deleted(context);
        Ok(())
    }

    fn deleted(&mut self, context: u32) {
        let state = self.state();
        if let Some(stream) = state.streams.get_mut(&context) {
            stream.over = true;
            state.after.over.push(context);
        }
        state.grpc.root_ended(context);
        if let Some(ticker) = state.roots.remove(&context).and_then(|root| root.ticker) {
            ticker.abort();
        }
    }

    async fn tick(&mut self, root: u32) -> Result<()> {
        let has_root = self.has_root(root);
        match self.exports.on_tick.as_ref().filter(|_| has_root) {
            Some(on_tick) => call(&mut self.store, root, on_tick, root).await,
            None => Ok(()),
        }
    }

    async fn queue_ready(&mut self, root: u32, queue: u32) -> Result<()> {
        let has_root = self.has_root(root);
        match self.exports.on_queue_ready.as_ref().filter(|_| has_root) {
            Some(on_queue_ready) => call(&mut self.store, root, on_queue_ready, (root, queue)).await,
            None => Ok(()),
        }
    }

    /// A plug-in goes; others may use the VM further.
    async fn end_root(&mut self, root: u32) -> Result<()> {
        if let Some(on_done) = &self.exports.on_done
            && call(&mut self.store, root, on_done, root).await? == 0
        {
            let state = self.state();
            if let Some(root) = state.roots.get_mut(&root) {
                root.leaving = true;
            }
            state.after.leaving.push(root);
            return Ok(());
        }
        self.delete(root).await
    }

    pub(super) fn has_stream(&mut self, stream: u32) -> bool {
        self.state().streams.get(&stream).is_some_and(|stream| !stream.over)
    }

    pub(super) fn has_root(&mut self, root: u32) -> bool {
        self.state().roots.contains_key(&root)
    }

    /// Before each entry: the guest's first slice begins anew.
    pub fn begin_call(&mut self) {
        begin_call(&mut self.store);
    }
}

/// Enters the guest for a context.
pub(super) async fn call<P, R>(
    store: &mut Store<Host>,
    context: u32,
    function: &TypedFunc<P, R>,
    params: P,
) -> Result<R>
where
    P: WasmParams + Send + Sync,
    R: WasmResults + Send + Sync,
{
    state_of(store.data_mut()).effective = context;
    function.call_async(store, params).await
}

/// The state in a store of a VM.
pub fn state_of(host: &mut Host) -> &mut State {
    let state = host.filter.as_mut().and_then(|state| state.downcast_mut());
    state.expect("a VM's store is made with its state")
}

fn store(facts: &Facts) -> Result<Store<Host>> {
    let mut wasi = facts.code.wasi();
    let log = Arc::clone(&facts.code.machine.log);
    let errors = Target {
        name: facts.code.name().to_owned(),
        log: Arc::new(move |name, line| log(name, &format!("error: {line}"))),
    };
    wasi.stderr(Output::new(&Arc::new(errors)));
    facts.code.store(wasi).map_err(wasmtime::Error::from)
}
