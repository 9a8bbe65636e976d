//! Filters that are components: they export `wasi:http/handler` 0.3, and import it for whoever is next (the world
//! `middleware` of wasi:http). One that does not import it answers itself.
//!
//! Each exchange has an instance, which lives until its response was read. Whoever is next is called outside of the
//! guest's call: its time is not the guest's.

mod body;
mod next;
mod running;

use crate::code::Code;
use crate::common::headers::to_origin_form;
use crate::common::pool::{Live, Pool};
use crate::common::source::{Keep, Source};
use crate::common::{no_place, unavailable};
use body::{Reading, Streamed};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::BodyExt;
use next::{Next, Watch};
use running::{Head, Running};
use sampan_app::OnFailure;
use sampan_capabilities::{Host, link_component_with};
use sampan_runtime::serve::{Bounded, begin_call, failure_response};
use sampan_service::{Body, Depth, Handler, Peer};
use std::future::poll_fn;
use std::sync::Arc;
use tokio::sync::oneshot;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::{WasiBody, WasiHttpView, p3};

/// More headers than this are no response but an attack on whoever reads them.
const HEADERS_MAX: usize = 512;

pub struct Middleware {
    code: Arc<Code>,
    pre: ServicePre<Host>,
    /// Only for its places: nothing is left of an instance for another exchange.
    pool: Pool<()>,
}

impl Middleware {
    pub async fn prove(code: &Arc<Code>, _config: &str) -> Result<Arc<Self>, String> {
        let sampan_engine::Code::Component(component) = &code.code else {
            return Err("it is no component".to_owned());
        };
        let ty = component.component_type();
        let exports = |name: &str| name.starts_with("wasi:http/handler@0.3.");
        if !ty.exports(&code.engine).any(|(name, _)| exports(name)) {
            return Err("it is no filter: a component that is one exports wasi:http/handler 0.3".to_owned());
        }
        let said = |error: wasmtime::Error| format!("{error:#}");
        let linker = link_component_with(&code.engine, component, &next::define).map_err(said)?;
        let pre = linker.instantiate_pre(component).and_then(ServicePre::new).map_err(said)?;
        let (making, pre2) = (Arc::clone(code), pre.clone());
        let made = code.bounded(async move {
            let mut store = making.store(making.wasi())?;
            pre2.instantiate_async(&mut store).await.map(drop)
        });
        made.await.map_err(|ended| ended.message())?;
        Ok(Arc::new(Middleware { code: Arc::clone(code), pre, pool: Pool::new(code) }))
    }

    pub async fn exchange(self: Arc<Self>, next: Arc<dyn Handler>, request: Request<Body>) -> Response<Body> {
        let code = &self.code;
        code.metrics.exchanges.inc();
        let open = code.spec.on_failure == OnFailure::Open;
        if !code.health.admits() {
            return if open { next.handle(request).await } else { unavailable() };
        }
        let Some(place) = self.pool.place().await else { return no_place(code) };

        // 1. The request as the guest sees it.
        let (mut head, body) = request.into_parts();
        to_origin_form(&mut head);
        let spare = open.then(|| head.clone());
        let keep = if open { Keep::Perhaps } else { Keep::Nothing };
        let body = Source::request(body, keep, code.spec.buffer_bytes);
        let watch = Arc::new(Watch::new(code.spec.limits.timeout));
        let (next_state, jobs) = Next::new(&head, &watch);
        let Some(uri) = absolute(&head) else { return failure_response(StatusCode::BAD_REQUEST) };
        head.uri = uri;
        let given = Request::from_parts(head, Reading::new(body.clone(), &watch).boxed_unsync());

        // 2. An instance, and the call: one future, which owns both.
        let (sender, answered) = oneshot::channel();
        let call = self.call(given, next_state, sender, &watch);
        let mut running = Running::new(code, Arc::clone(&next), call, jobs, place);

        // 3. Until it has answered.
        let answer = match running.head(answered, &watch, code.spec.pause).await {
            Ok(answer) => answer,
            Err(ended) => {
                code.ended(&ended);
                code.health.failed();
                let saved = spare.filter(|_| !watch.asked_next()).zip(body.rescue());
                drop(running);
                return match saved {
                    Some((head, body)) => next.handle(Request::from_parts(head, body.into_body())).await,
                    None => unavailable(),
                };
            }
        };
        code.health.succeeded();
        self.send(answer, running, &watch).await
    }

    fn call(
        &self,
        request: Request<WasiBody>,
        next: Next,
        head: oneshot::Sender<Head>,
        watch: &Arc<Watch>,
    ) -> Bounded<()> {
        let (code, pre) = (Arc::clone(&self.code), self.pre.clone());
        self.code.living(&watch.refund, async move {
            let mut store = code.store(code.wasi())?;
            let _live = Live::new(&code);
            let depth = request.extensions().get::<Depth>().copied().unwrap_or_default();
            store.data_mut().http.set_depth(depth);
            store.data_mut().filter = Some(Box::new(next));
            let service = pre.instantiate_async(&mut store).await?;
            begin_call(&mut store);
            let (request, _transmitted) = p3::Request::from_http(store.data_mut().http().hooks, request);
            let run = store.run_concurrent(async |accessor| {
                let answer = match service.handle(accessor, request).await? {
                    Ok(response) => Ok(accessor.with(|store| response.into_http(store, async { Ok(()) }))?),
                    Err(code) => Err(format!("{code:?}")),
                };
                let _ = head.send(answer);
                poll_fn(|cx| accessor.poll_no_interesting_tasks(cx)).await;
                wasmtime::error::Ok(())
            });
            run.await?
        })
    }

    async fn send(&self, answer: Head, running: Running, watch: &Arc<Watch>) -> Response<Body> {
        let refused = |reason, why: String| {
            self.code.metrics.failed(reason);
            self.code.log(&why);
            failure_response(StatusCode::BAD_GATEWAY)
        };
        let response = match answer {
            Ok(response) => response,
            Err(code) => return refused("error_code", format!("it answered with the error {code}")),
        };
        let status = response.status().as_u16();
        if !(200..=599).contains(&status) {
            return refused("invalid_response", format!("its response has the status {status}"));
        }
        if response.headers().len() > HEADERS_MAX {
            return refused("invalid_response", format!("its response has more than {HEADERS_MAX} headers"));
        }
        let (head, body) = response.into_parts();
        let streamed = Streamed::new(&self.code, body, running, Arc::clone(watch));
        Response::from_parts(head, streamed.boxed_unsync())
    }
}

/// Whom the request is for, as wasi:http says it.
fn absolute(head: &Parts) -> Option<Uri> {
    let peer = head.extensions.get::<Peer>();
    let authority = match head.headers.get(http::header::HOST) {
        Some(host) if !host.is_empty() => Authority::try_from(host.as_bytes()).ok()?,
        // HTTP/1.0 may leave it out.
        _ => peer.map_or_else(|| "localhost".to_owned(), |peer| peer.local.to_string()).parse().ok()?,
    };
    let scheme = if peer.is_some_and(|peer| peer.tls) { Scheme::HTTPS } else { Scheme::HTTP };
    let target = head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    Uri::builder().scheme(scheme).authority(authority).path_and_query(target).build().ok()
}
