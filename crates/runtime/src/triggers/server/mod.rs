//! Guests that listen for themselves: started at the first request, kept running, and asked over connections of
//! this machine's loopback.

mod keeper;
mod pool;
mod proxy;

use super::program::Program;
use crate::serve::{Bounded, Ended, Place, Ready, TimeLimits, Unit, failure_response};
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use keeper::{Keeper, NotUp, Start, Started};
use proxy::{Answered, Kept};
use sampan_app::{Component, ComponentKind, Grants, PortMap, Protocol};
use sampan_capabilities::Host;
use sampan_engine::Loaded;
use sampan_service::Body;
use sampan_telemetry::ComponentMetrics;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use wasmtime::{Engine, Result, Store};

/// How long a guest may say nothing before its answer, where the component has no limit of time.
const SILENCE: Duration = Duration::from_secs(30);

/// A guest that listens; it runs from the first request on, until this is dropped.
pub struct Entry {
    program: Program,
    port: u16,
    keeper: OnceLock<Keeper>,
}

impl Entry {
    /// Proves the program; `store` is one as it will get it.
    pub(crate) fn of(loaded: &Loaded, port: u16, store: &mut Store<Host>) -> Result<Entry> {
        Ok(Entry { program: Program::of(loaded, store)?, port, keeper: OnceLock::new() })
    }

    /// Whether an instance is running, or about to.
    pub(crate) fn is_started(&self) -> bool {
        self.keeper.get().is_some()
    }

    fn keeper(&self, unit: &Arc<Unit>, engine: &Engine) -> &Keeper {
        self.keeper.get_or_init(|| {
            let logger = Arc::downgrade(unit);
            let log = move |line: String| {
                if let Some(unit) = logger.upgrade() {
                    unit.log(&line);
                }
            };
            let start = starter(Arc::downgrade(unit), engine.clone(), self.program.clone(), self.port);
            Keeper::start(&unit.machine.overflow, self.port, start, log)
        })
    }
}

/// Gives a server guest the port on which it shall be asked: one of the loopback that the system chooses.
pub(crate) fn grant_port(component: &Component, grants: &mut Grants) {
    if let Some(ComponentKind::Server { port }) = component.kind {
        let ports = &mut grants.ports;
        ports.retain(|map| (map.protocol, map.guest_port) != (Protocol::Tcp, port));
        ports.push(PortMap {
            host_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            host_port: 0,
            guest_port: port,
            protocol: Protocol::Tcp,
        });
    }
}

/// What makes an instance. It holds nothing that would hold the component.
fn starter(unit: Weak<Unit>, engine: Engine, program: Program, port: u16) -> Start {
    Arc::new(move || {
        let unit = unit.upgrade().ok_or_else(|| "its component is gone".to_owned())?;
        let mut wasi = unit.wasi();
        wasi.args(&[&unit.component.name]);
        let store = unit.store(&engine, wasi).map_err(|ended| ended.message())?;
        let sockets = &store.data().sockets;
        let mapped = sockets.mapped_ports();
        let address = mapped.iter().find(|map| (map.0, map.1) == (Protocol::Tcp, port)).map(|map| map.2);
        let address = address.ok_or_else(|| format!("its port {port} is not granted"))?;
        let listening = sockets.listening();
        unit.metrics.created.inc();
        unit.metrics.live.inc();
        let live = Live(unit.metrics.clone());
        // Memory is bounded as ever. Time is not: it runs for as long as it is served.
        let run = Bounded::new(Arc::clone(&unit.machine), TimeLimits::default(), program.clone().run(store));
        let unit = Arc::downgrade(&unit);
        let run = async move {
            let result = run.await;
            drop(live);
            let ended = result.err().unwrap_or(Ended::Exit(0));
            if let Some(unit) = unit.upgrade() {
                unit.metrics.failed(ended.reason());
            }
            said(&ended)
        };
        Ok(Started { address, listening, run: Box::pin(run) })
    })
}

/// Why it ended, with where it was.
fn said(ended: &Ended) -> String {
    let mut text = match ended {
        Ended::Exit(code) => format!("it exited with code {code}"),
        other => other.message(),
    };
    for frame in ended.backtrace() {
        text.push_str("\n    ");
        text.push_str(frame);
    }
    text
}

/// An instance that exists.
struct Live(ComponentMetrics);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.live.dec();
    }
}

/// Answers one request.
pub async fn handle(
    unit: Arc<Unit>,
    ready: Arc<Ready>,
    request: Request<Body>,
    place: Place,
) -> Response<Body> {
    let super::Entry::Server(entry) = &ready.entry else {
        return failure_response(StatusCode::INTERNAL_SERVER_ERROR);
    };

    // 1. The guest: started now if need be, or waited for while it starts again.
    let patience = unit.component.serving.queue_timeout;
    let pool = match entry.keeper(&unit, &ready.engine).up(patience).await {
        Ok(pool) => pool,
        Err(NotUp { retry_after, starting }) => {
            unit.metrics.refused("not_up");
            if starting {
                unit.log(&format!(
                    "it has not begun to listen on its port {} within {patience:?}",
                    entry.port
                ));
            }
            let mut response = failure_response(StatusCode::SERVICE_UNAVAILABLE);
            let seconds = retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0);
            response.headers_mut().insert(RETRY_AFTER, seconds.max(1).into());
            return response;
        }
    };

    // 2. The request over one of its connections.
    let silence = unit.component.limits.timeout.unwrap_or(SILENCE);
    let answered = proxy::exchange(&pool, request, unit.component.serving.body_bytes, silence).await;

    // 3. What comes back. The guest lives until the last answer is delivered, also where its component was
    // replaced meanwhile.
    match answered {
        Ok(Answered::Response(response)) => {
            let keep = (ready, unit, place);
            response.map(|body| Kept { body, _keep: keep }.boxed_unsync())
        }
        Ok(Answered::Upgraded(response, tunnel)) => {
            tokio::spawn(async move {
                tunnel.await;
                drop((ready, unit));
            });
            response
        }
        Err(error) => {
            unit.metrics.failed(error.reason());
            unit.log(&format!("a request got no answer: {error}"));
            failure_response(error.status())
        }
    }
}
