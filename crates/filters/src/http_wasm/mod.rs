//! http-wasm filters (http-wasm.io, the HTTP handler ABI): `handle_request`, then whoever is next, then
//! `handle_response`.
//!
//! An exchange has an instance alone from the one call to the other, because the ABI lets a guest keep what it wants
//! in between. Nothing is buffered but what the guest asks for.

mod calls;
mod exchange;
mod instance;

use crate::code::Code;
use crate::common::headers::to_origin_form;
use crate::common::pool::Pool;
use crate::common::source::{BadBody, Keep, Source};
use crate::common::{no_place, unavailable};
use exchange::{Exchange, Given};
use http::request::Parts;
use http::{Request, Response, response};
use instance::{Called, Instance, Linked};
use sampan_app::OnFailure;
use sampan_runtime::serve::{Ended, failure_response};
use sampan_service::{Body, Handler, Unanswered, is_reset};
use std::sync::Arc;

pub struct HttpWasm {
    code: Arc<Code>,
    linked: Linked,
    config: Arc<str>,
    pool: Pool<Instance>,
}

/// Why an exchange did not get past the filter.
enum Stopped {
    /// The filter failed.
    Failed(Ended),
    /// Whoever sends the body did.
    Body(BadBody),
}

impl HttpWasm {
    pub async fn prove(code: &Arc<Code>, config: &str) -> Result<Arc<Self>, String> {
        let linked = instance::link(code).map_err(|ended| ended.message())?;
        let pool = Pool::new(code);
        let plugin = Arc::new(HttpWasm { code: Arc::clone(code), linked, config: config.into(), pool });
        let instance = plugin.create().await.map_err(|ended| ended.message())?;
        plugin.pool.put(instance);
        Ok(plugin)
    }

    async fn create(&self) -> Result<Instance, Ended> {
        let code = Arc::clone(&self.code);
        let call = instance::create(code, self.linked.clone(), Arc::clone(&self.config));
        self.code.bounded(call).await
    }

    pub async fn exchange(self: Arc<Self>, next: Arc<dyn Handler>, request: Request<Body>) -> Response<Body> {
        let code = &self.code;
        code.metrics.exchanges.inc();
        if !code.health.admits() {
            return match code.spec.on_failure {
                OnFailure::Open => next.handle(request).await,
                OnFailure::Closed => unavailable(),
            };
        }
        // 1. An instance of its own.
        let Some(_place) = self.pool.place().await else { return no_place(code) };
        let keep = self.keep();
        let (mut head, body) = request.into_parts();
        to_origin_form(&mut head);
        let spare = (keep == Keep::Perhaps).then(|| head.clone());
        let body = Source::request(body, keep, code.spec.buffer_bytes);

        // 2. What it says to the request.
        let asked = self.ask(head, body.clone()).await;
        let (mut instance, result) = match asked {
            Ok(asked) => asked,
            Err(stopped) => {
                return match self.stopped(stopped) {
                    Some(response) => response,
                    None => self.without(next, spare, &body).await,
                };
            }
        };
        let mut exchange = instance.take_exchange();
        // The context for the response is in the upper half, whether to go on in the lower one.
        if result as u32 == 0 {
            self.passed(instance);
            return exchange.local();
        }

        // 3. Whoever is next.
        let request = exchange.hand_on();
        let response = next.handle(request).await;
        if is_reset(&response) {
            self.passed(instance);
            return response;
        }

        // 4. What it says to the response.
        let (head, body) = response.into_parts();
        let unanswered = head.extensions.get::<Unanswered>().is_some();
        let spare = (keep == Keep::Perhaps).then(|| clone_head(&head));
        let body = Source::response(body, keep, code.spec.buffer_bytes);
        exchange.answered(head, body.clone());
        instance.give_exchange(exchange);
        let answered = self.call(instance.answered((result as u64 >> 32) as i32, unanswered)).await;
        match answered {
            Ok((mut instance, ())) => {
                let exchange = instance.take_exchange();
                self.passed(instance);
                exchange.respond()
            }
            Err(stopped) => {
                let stopped = self.stopped(stopped);
                let saved = || Some(Response::from_parts(spare?, body.rescue()?.into_body()));
                stopped.or_else(saved).unwrap_or_else(unavailable)
            }
        }
    }

    /// What is read is kept, where the exchange may have to go on without the filter.
    fn keep(&self) -> Keep {
        match self.code.spec.on_failure {
            OnFailure::Open => Keep::Perhaps,
            OnFailure::Closed => Keep::Nothing,
        }
    }

    async fn ask(&self, head: Parts, body: Source) -> Result<(Instance, i64), Stopped> {
        let mut instance = match self.pool.take() {
            Some(instance) => instance,
            None => self.create().await.map_err(Stopped::Failed)?,
        };
        let given = Given { head, body, buffer_bytes: self.code.spec.buffer_bytes };
        let features = instance.features();
        instance.give_exchange(Exchange::new(given, features));
        self.call(instance.asked()).await
    }

    async fn call<T: Send + 'static>(
        &self,
        call: impl Future<Output = wasmtime::Result<Called<T>>> + Send + 'static,
    ) -> Result<(Instance, T), Stopped> {
        match self.code.waiting(call).await {
            Ok(Called::Returned(instance, value)) => Ok((instance, value)),
            Ok(Called::BadBody(why)) => Err(Stopped::Body(why)),
            Err(ended) => Err(Stopped::Failed(ended)),
        }
    }

    fn passed(&self, mut instance: Instance) {
        self.code.health.succeeded();
        if instance.is_fit(&self.code) {
            self.pool.put(instance);
        }
    }

    /// The answer to an exchange that was stopped; `None` where it may go on as if the filter were not there.
    fn stopped(&self, stopped: Stopped) -> Option<Response<Body>> {
        match stopped {
            Stopped::Body(why) => {
                self.code.log(&why.to_string());
                Some(failure_response(why.status))
            }
            Stopped::Failed(ended) => {
                self.code.ended(&ended);
                self.code.health.failed();
                (self.code.spec.on_failure == OnFailure::Closed).then(unavailable)
            }
        }
    }

    async fn without(&self, next: Arc<dyn Handler>, head: Option<Parts>, body: &Source) -> Response<Body> {
        match (head, body.rescue()) {
            (Some(head), Some(body)) => next.handle(Request::from_parts(head, body.into_body())).await,
            _ => unavailable(),
        }
    }
}

/// A head for a response that may have to go out as it came.
fn clone_head(head: &response::Parts) -> response::Parts {
    let mut copy = Response::new(()).into_parts().0;
    copy.status = head.status;
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy.extensions = head.extensions.clone();
    copy
}
