//! Filters of Easegress's WasmHost (megaease/easegress, pkg/filters/wasmhost): one call, `wasm_run`, before whoever
//! answers, whose result says how the exchange goes on.

mod calls;
mod cluster;
mod data;
mod exchange;
pub mod flat;
mod instance;
mod wire;

pub use data::Data;

use crate::code::Code;
use crate::common::headers::{merge, to_origin_form};
use crate::common::pool::Pool;
use crate::common::source::{BadBody, Keep, Source};
use crate::common::unavailable;
use exchange::Exchange;
use http::request::Parts;
use http::{Request, Response, StatusCode};
use instance::{Called, Instance, Linked};
use sampan_app::{OnFailure, OnResult};
use sampan_runtime::serve::{Ended, failure_response};
use sampan_service::{Body, Handler};
use std::sync::Arc;

/// The largest result of `wasm_run` that means something; 0 is to go on.
const RESULT_MAX: i32 = 9;
/// The result where no instance was to be had.
const OUT_OF_VM: &str = "outOfVM";
/// The result where the guest failed.
const WASM_ERROR: &str = "wasmError";

pub struct Easegress {
    code: Arc<Code>,
    linked: Linked,
    /// Names and values, one after the other.
    parameters: Arc<[String]>,
    data: Data,
    pool: Pool<Instance>,
}

impl Easegress {
    pub async fn prove(code: &Arc<Code>, config: &str) -> Result<Arc<Self>, String> {
        let plugin = Arc::new(Easegress {
            linked: instance::link(code).map_err(|ended| ended.message())?,
            parameters: parameters(code, config)?,
            data: Data::of(code)?,
            pool: Pool::new(code),
            code: Arc::clone(code),
        });
        let instance = plugin.create().await.map_err(|ended| ended.message())?;
        plugin.pool.put(instance);
        Ok(plugin)
    }

    /// What the filter keeps for all its instances.
    pub fn data(&self) -> &Data {
        &self.data
    }

    async fn create(&self) -> Result<Instance, Ended> {
        let (code, linked) = (Arc::clone(&self.code), Arc::clone(&self.linked));
        let call = instance::create(code, linked, Arc::clone(&self.parameters), self.data.clone());
        self.code.waiting(call).await
    }

    pub async fn exchange(self: Arc<Self>, next: Arc<dyn Handler>, request: Request<Body>) -> Response<Body> {
        let code = &self.code;
        code.metrics.exchanges.inc();
        let keep = self.keep();
        let (mut head, body) = request.into_parts();
        to_origin_form(&mut head);
        let spare = (keep == Keep::Perhaps).then(|| head.clone());
        let body = Source::request(body, keep, code.spec.buffer_bytes);

        // 1. An instance of its own, as long as it runs.
        let place = match code.health.admits() {
            true => self.pool.place().await,
            false => None,
        };
        let instance = match (&place, place.as_ref().and_then(|_| self.pool.take())) {
            (_, Some(instance)) => Ok(instance),
            (Some(_), None) => self.create().await.map_err(|ended| self.failed(&ended, OUT_OF_VM)),
            (None, None) => {
                code.metrics.failed("no_place");
                Err(OUT_OF_VM)
            }
        };
        let instance = match instance {
            Ok(instance) => instance,
            Err(result) => return self.without(result, &next, spare, &body).await,
        };

        // 2. The guest.
        let exchange = Exchange::new(head, body.clone(), code.spec.buffer_bytes);
        let ran = match code.waiting(instance.run(exchange)).await {
            Ok(Called::Returned(instance, exchange, result)) => Ok((instance, exchange, result)),
            Ok(Called::BadBody(why)) => return self.bad_body(&why),
            Err(ended) => Err(self.failed(&ended, WASM_ERROR)),
        };
        let (mut instance, exchange, result) = match ran {
            Ok(ran) => ran,
            Err(result) => return self.without(result, &next, spare, &body).await,
        };
        if !(0..=RESULT_MAX).contains(&result) {
            let ended = Ended::Error(format!("it returned {result}, and 0 to {RESULT_MAX} are the results"));
            let result = self.failed(&ended, WASM_ERROR);
            return self.without(result, &next, spare, &body).await;
        }
        code.health.succeeded();
        if instance.is_fit(code) {
            self.pool.put(instance);
        }
        drop(place);

        // 3. How it goes on.
        if result == 0 {
            return go_on(&*next, exchange).await;
        }
        match self.on_result(&format!("wasmResult{result}")) {
            None | Some(OnResult::End) => exchange.local(),
            Some(OnResult::Continue) => go_on(&*next, exchange).await,
            Some(OnResult::To(name)) => match self.destination(name) {
                Some(handler) => go_on(&*handler, exchange).await,
                None => failure_response(StatusCode::BAD_GATEWAY),
            },
        }
    }

    fn on_result(&self, result: &str) -> Option<&OnResult> {
        self.code.spec.results.get(result)
    }

    fn destination(&self, name: &str) -> Option<Arc<dyn Handler>> {
        let found = self.code.destinations.find(name);
        if found.is_none() {
            self.code.log(&format!("a result leads to `{name}`, which is not there"));
        }
        found
    }

    /// What is read is kept, where the exchange may have to go on as it came.
    fn keep(&self) -> Keep {
        let goes_on = |result| match self.on_result(result) {
            None => self.code.spec.on_failure == OnFailure::Open,
            Some(OnResult::End) => false,
            Some(OnResult::Continue | OnResult::To(_)) => true,
        };
        if goes_on(OUT_OF_VM) || goes_on(WASM_ERROR) { Keep::Perhaps } else { Keep::Nothing }
    }

    fn failed(&self, ended: &Ended, result: &'static str) -> &'static str {
        self.code.ended(ended);
        self.code.health.failed();
        result
    }

    fn bad_body(&self, why: &BadBody) -> Response<Body> {
        self.code.log(&why.to_string());
        failure_response(why.status)
    }

    /// An exchange about which the filter said nothing.
    async fn without(
        &self,
        result: &str,
        next: &Arc<dyn Handler>,
        head: Option<Parts>,
        body: &Source,
    ) -> Response<Body> {
        let to = match (self.on_result(result), self.code.spec.on_failure) {
            (Some(OnResult::End), _) | (None, OnFailure::Closed) => None,
            (Some(OnResult::Continue), _) | (None, OnFailure::Open) => Some(Arc::clone(next)),
            (Some(OnResult::To(name)), _) => self.destination(name),
        };
        match (to, head, body.rescue()) {
            (Some(to), Some(head), Some(body)) => {
                to.handle(Request::from_parts(head, body.into_body())).await
            }
            _ => unavailable(),
        }
    }
}

/// Hands the request on, and adds to the response what the guest said of one.
async fn go_on(next: &dyn Handler, exchange: Box<Exchange>) -> Response<Body> {
    let (request, early) = exchange.hand_on();
    let mut response = next.handle(request).await;
    if !early.is_empty() {
        merge(response.headers_mut(), early);
    }
    response
}

/// Those of the manifest; a route's configuration may change some and add others.
fn parameters(code: &Code, config: &str) -> Result<Arc<[String]>, String> {
    let mut parameters = code.spec.parameters.clone();
    let changed = flat::parse(config).map_err(|why| {
        format!("the configuration of an Easegress filter is a list of parameters, `name: value` each: {why}")
    })?;
    for (name, value) in changed {
        parameters.retain(|(known, _)| *known != name);
        parameters.push((name, value));
    }
    Ok(parameters.into_iter().flat_map(|(name, value)| [name, value]).collect())
}
