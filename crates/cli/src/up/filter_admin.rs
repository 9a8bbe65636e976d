//! The operator's way to filters: what serves, another version of the code or the configuration, a trial.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET /filters` | the filters of all apps |
//! | `PUT /filters/APP/NAME` | the body is wasm: proven, then swapped in |
//! | `PUT /filters/APP/NAME?image=REFERENCE` | the same with the code of an image |
//! | `PUT /filters/APP/NAME/config` | the body is the filter's own configuration, likewise |
//! | `PUT /filters/APP/NAME/canary?share=5%&failures=1%&exchanges=50` | the body (or `&image=`) is wasm: a version on trial |
//! | `POST /filters/APP/NAME/canary` | the version on trial takes over |
//! | `DELETE /filters/APP/NAME/canary` | the trial ends |

use super::announce::Loading;
use super::front::Present;
use super::images;
use super::site::Loaded;
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use percent_encoding::percent_decode_str;
use sampan_app::{Canary, ParseReferenceError, Reference};
use sampan_filters::{Filter, Version, prove};
use sampan_service::{Answer, Body, Handler, full};
use serde_json::{Value, json};
use std::sync::Arc;

/// Filters are small; an upload beyond this is none.
const WASM_MAX_BYTES: usize = 128 << 20;
/// What a trial is given where the operator does not say.
const SHARE_DEFAULT: f64 = 5.0;
const FAILURES_DEFAULT: f64 = 1.0;
const EXCHANGES_DEFAULT: u32 = 50;

/// Answers below `/filters`.
pub struct FilterAdmin {
    pub present: Present,
}

/// What an operator gets instead of a result.
pub struct Refusal(pub StatusCode, pub String);

impl Handler for FilterAdmin {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        Box::pin(async move {
            match self.answer(request).await {
                Ok(value) => reply(StatusCode::OK, &value),
                Err(Refusal(status, why)) => reply(status, &json!({ "error": why })),
            }
        })
    }
}

impl FilterAdmin {
    async fn answer(&self, request: Request<Body>) -> Result<Value, Refusal> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().trim_end_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').skip(2).collect();
        let query = head.uri.query().unwrap_or_default();
        let site = self.present.load_full();
        let find = |app: &str, name: &str| {
            let loaded = site.apps.iter().find(|loaded| loaded.app.name == app);
            let filter = loaded.and_then(|loaded| Some((loaded, loaded.filter(name)?)));
            let missing = || Refusal(StatusCode::NOT_FOUND, format!("there is no filter {app}/{name}"));
            filter.ok_or_else(missing)
        };
        match (&head.method, parts.as_slice()) {
            (&Method::GET, []) => Ok(site.apps.iter().flat_map(list).collect()),
            (&Method::PUT, [app, name]) => {
                let (loaded, filter) = find(app, name)?;
                let version = fresh(loaded, &filter, query, body).await?;
                filter.replace(version);
                Ok(describe(app, &filter))
            }
            (&Method::PUT, [app, name, "config"]) => {
                let (loaded, filter) = find(app, name)?;
                let version = configured(loaded, &filter, body).await?;
                filter.replace(version);
                Ok(describe(app, &filter))
            }
            (&Method::PUT, [app, name, "canary"]) => {
                let (loaded, filter) = find(app, name)?;
                let canary = canary(query)?;
                let version = fresh(loaded, &filter, query, body).await?;
                filter.try_out(version, canary);
                Ok(describe(app, &filter))
            }
            (&Method::POST, [app, name, "canary"]) => {
                let (_, filter) = find(app, name)?;
                let none = || Refusal(StatusCode::CONFLICT, "no version is on trial".to_owned());
                filter.replace(filter.trial().ok_or_else(none)?);
                Ok(describe(app, &filter))
            }
            (&Method::DELETE, [app, name, "canary"]) => {
                let (_, filter) = find(app, name)?;
                filter.withdraw();
                Ok(describe(app, &filter))
            }
            _ => Err(Refusal(
                StatusCode::NOT_FOUND,
                "there are GET /filters, PUT /filters/APP/NAME, PUT …/config, and PUT, POST, DELETE …/canary"
                    .to_owned(),
            )),
        }
    }
}

/// A version of the filter with the code that the body holds or that an image is, and the configurations that serve.
async fn fresh(loaded: &Loaded, filter: &Filter, query: &str, body: Body) -> Result<Arc<Version>, Refusal> {
    let image = query.split('&').find_map(|pair| pair.strip_prefix("image="));
    let (name, wasm) = match image {
        Some(image) => pulled(loaded, image).await?,
        None => (format!("the uploaded {}", filter.name()), whole(body).await?),
    };
    let current = filter.current();
    let proven = prove(&loaded.surroundings, &current.code.spec, &name, wasm, current.configs.clone());
    proven.await.map_err(refused)
}

/// The code of an image, and its name.
async fn pulled(loaded: &Loaded, image: &str) -> Result<(String, Bytes), Refusal> {
    let wrong = |why: String| Refusal(StatusCode::BAD_REQUEST, why);
    let text = percent_decode_str(image).decode_utf8().map_err(|error| wrong(error.to_string()))?;
    let reference: Reference = text.parse().map_err(|error: ParseReferenceError| {
        wrong(format!("`{text}` is not a reference to an image: {error}; {}", error.help))
    })?;
    let settings = images::settings(&Loading::new()).map_err(|fail| refused(fail.message))?;
    let name = reference.to_string();
    // Apart from the worker of this listener, which has health and metrics to tell.
    let pulling = loaded.surroundings.machine.overflow.spawn(async move {
        let path = sampan_images::code(&reference, &settings).await;
        let path = path.map_err(|error| format!("image {reference}: {error}; {}", error.help()))?;
        std::fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))
    });
    let pulled = pulling.await.unwrap_or_else(|error| Err(error.to_string()));
    pulled.map(|wasm| (name, wasm.into())).map_err(refused)
}

/// A version of the filter with the code that serves, and the body as its own configuration.
async fn configured(loaded: &Loaded, filter: &Filter, body: Body) -> Result<Arc<Version>, Refusal> {
    let text = whole(body).await?;
    let text = String::from_utf8(text.into())
        .map_err(|_| Refusal(StatusCode::BAD_REQUEST, "a configuration is text in UTF-8".to_owned()))?;
    let current = filter.current();
    let mut configs = current.configs.clone();
    configs[0] = text;
    let name = filter.name().to_owned();
    let wasm = current.code.wasm.clone();
    prove(&loaded.surroundings, &current.code.spec, &name, wasm, configs).await.map_err(refused)
}

fn refused(why: String) -> Refusal {
    Refusal(StatusCode::CONFLICT, format!("{why}; the version before goes on"))
}

pub async fn whole(mut body: Body) -> Result<Bytes, Refusal> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))?;
        // Trailers mean nothing here.
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > WASM_MAX_BYTES {
                return Err(Refusal(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "that is too large for a filter".to_owned(),
                ));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.freeze())
}

/// `share=5%&failures=1%&exchanges=50`.
fn canary(query: &str) -> Result<Canary, Refusal> {
    let (mut share, mut failures, mut exchanges_min) = (SHARE_DEFAULT, FAILURES_DEFAULT, EXCHANGES_DEFAULT);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let wrong = || Refusal(StatusCode::BAD_REQUEST, format!("`{pair}` is not understood"));
        let (key, value) = pair.split_once('=').ok_or_else(wrong)?;
        let percent = || {
            let number = value.strip_suffix("%25").or(value.strip_suffix('%')).unwrap_or(value);
            let number = number.parse::<f64>().ok().filter(|number| (0.0..=100.0).contains(number));
            number.ok_or_else(wrong)
        };
        match key {
            "share" => share = percent()?,
            "failures" => failures = percent()?,
            "image" => {}
            "exchanges" => exchanges_min = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    let parts = |percent: f64| (percent * 100.0).round() as u32;
    Ok(Canary {
        source: None,
        image: None,
        config: None,
        share_per_10000: parts(share),
        failures_per_10000: parts(failures),
        exchanges_min,
    })
}

fn list(loaded: &Loaded) -> Vec<Value> {
    loaded.filters().map(|filter| describe(&loaded.app.name, filter)).collect()
}

fn describe(app: &str, filter: &Filter) -> Value {
    let version = |version: &Version| {
        let (exchanges, failures) = version.code.health.counts();
        let digest: String = version.code.digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "sha256": digest, "abi": version.abi(), "exchanges": exchanges, "failures": failures })
    };
    json!({
        "app": app,
        "filter": filter.name(),
        "current": version(&filter.current()),
        "canary": filter.trial().map(|trial| version(&trial)),
    })
}

fn reply(status: StatusCode, value: &Value) -> Response<Body> {
    let mut response = Response::new(full(format!("{value:#}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
