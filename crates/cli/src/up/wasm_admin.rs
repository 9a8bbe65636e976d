//! Easegress's calls on what its filters keep (megaease/easegress, pkg/api/wasm.go), so that its operators find what
//! they know. A pipeline is an app here.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /wasm/data/APP/FILTER` | all that is kept |
//! | `PUT /wasm/data/APP/FILTER` | puts in what the body says: YAML or JSON, names and texts |
//! | `DELETE /wasm/data/APP/FILTER` | removes it all |
//! | `POST /wasm/code` | loads anew what changed |
//!
//! The same below `/apis/v1` and `/apis/v2`, where Easegress's own client looks for them.

use super::filter_admin::{FilterAdmin, Refusal, whole};
use super::front::Present;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sampan_capabilities::keyvalue::StoreError;
use sampan_filters::{Data, flat};
use sampan_service::{Answer, Body, Handler, Reload, full};

const YAML: &str = "text/vnd.yaml";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Answers below `/wasm`.
pub struct WasmAdmin {
    pub present: Present,
    pub reload: Reload,
    /// Answers all else.
    pub otherwise: FilterAdmin,
}

impl Handler for WasmAdmin {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let Some(path) = below_wasm(request.uri().path()).map(str::to_owned) else {
            return self.otherwise.handle(request);
        };
        Box::pin(async move {
            match self.answer(&path, request).await {
                Ok((kind, text)) => reply(StatusCode::OK, kind, text),
                Err(Refusal(status, why)) => reply(status, TEXT, format!("{why}\n")),
            }
        })
    }
}

fn below_wasm(path: &str) -> Option<&str> {
    let path = path.strip_prefix("/apis/v1").or_else(|| path.strip_prefix("/apis/v2")).unwrap_or(path);
    path.strip_prefix("/wasm/")
}

impl WasmAdmin {
    async fn answer(&self, path: &str, request: Request<Body>) -> Result<(&'static str, String), Refusal> {
        let (head, body) = request.into_parts();
        let parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        match (&head.method, parts.as_slice()) {
            (&Method::GET, ["data", app, filter]) => {
                let values = self.data(app, filter)?.list().await.map_err(store)?;
                if wants_json(&head.headers) {
                    let values = serde_json::json!(values);
                    return Ok((JSON, format!("{values:#}\n")));
                }
                Ok((YAML, flat::print(&values)))
            }
            (&Method::PUT, ["data", app, filter]) => {
                let data = self.data(app, filter)?;
                let wrong = |why: String| Refusal(StatusCode::BAD_REQUEST, why);
                let text = String::from_utf8(whole(body).await?.into());
                let text = text.map_err(|_| wrong("values are text in UTF-8".to_owned()))?;
                data.apply(flat::parse(&text).map_err(wrong)?).await.map_err(store)?;
                Ok((TEXT, String::new()))
            }
            (&Method::DELETE, ["data", app, filter]) => {
                self.data(app, filter)?.delete().await.map_err(store)?;
                Ok((TEXT, String::new()))
            }
            (&Method::POST, ["code"]) => {
                let done = (self.reload)().await.map_err(|why| Refusal(StatusCode::CONFLICT, why))?;
                Ok((TEXT, format!("{done}\n")))
            }
            _ => Err(Refusal(
                StatusCode::NOT_FOUND,
                "there are GET, PUT and DELETE /wasm/data/APP/FILTER, and POST /wasm/code".to_owned(),
            )),
        }
    }

    fn data(&self, app: &str, filter: &str) -> Result<Data, Refusal> {
        let site = self.present.load();
        let loaded = site.apps.iter().find(|loaded| loaded.app.name == app);
        let found = loaded.and_then(|loaded| loaded.filter(filter));
        let data = found.and_then(|filter| filter.data());
        data.ok_or_else(|| {
            let why = format!("the app `{app}` has no filter `{filter}` of Easegress's kind");
            Refusal(StatusCode::NOT_FOUND, why)
        })
    }
}

fn store(error: StoreError) -> Refusal {
    let status = match error {
        StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    Refusal(status, error.to_string())
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|value| value.to_str().ok()).is_some_and(|value| value.contains("json"))
}

fn reply(status: StatusCode, kind: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}
