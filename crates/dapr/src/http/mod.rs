//! Dapr's HTTP API: which path is whose. Versions, methods and answers are those of dapr/dapr `pkg/api/http`.

pub mod answer;
pub mod blocks;
mod invoke;
mod metadata;
mod publish;
mod state;

use crate::error::Problem;
use crate::offer::Protocol;
use crate::paths::segments;
use crate::runtime::{Caller, Dapr};
use answer::Call;
pub use blocks::shown_items;
use http::{Method, Request, Response, StatusCode};
use sampan_service::{Body, full};
use std::sync::Arc;
use tonic::Code;

/// Answers a request that came over HTTP, by socket or from a guest.
pub async fn handle(dapr: &Arc<Dapr>, caller: &Caller, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let segments = segments(&path);
    let healthy = matches!(segments.as_slice(), ["v1.0", "healthz", ..]);
    if !healthy && !caller.has_token(&parts.headers, dapr) {
        return answer::status(StatusCode::UNAUTHORIZED, full("invalid api token"));
    }
    // The names of components hold nothing that is encoded; keys and topics are decoded where they are used.
    let call = Call::new(caller, &parts, body, dapr.body_bytes_max());
    let answered = match route(dapr, call, &segments).await {
        Ok(answered) => answered,
        Err(Routed::Problem(problem)) => return answer::problem(&problem),
        Err(Routed::Nowhere(call)) => invoke::by_header(dapr, call, &path).await,
    };
    answered.unwrap_or_else(|problem| answer::problem(&problem))
}

/// Hands a request to the app that its headers name, whatever its path is.
pub async fn by_header(
    dapr: &Dapr,
    caller: &Caller,
    request: Request<Body>,
) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let call = Call::new(caller, &parts, body, dapr.body_bytes_max());
    invoke::by_header(dapr, call, parts.uri.path()).await
}

/// Why a route did not answer.
enum Routed<'a> {
    Problem(Problem),
    /// It is no path of the API.
    Nowhere(Call<'a>),
}

type Answered = Result<Response<Body>, Problem>;

async fn route<'a>(dapr: &Arc<Dapr>, call: Call<'a>, segments: &[&str]) -> Result<Answered, Routed<'a>> {
    use Method as M;
    let (version, rest) = match segments {
        ["v1.0", rest @ ..] => (Version::Stable, rest),
        ["v1.0-alpha1", rest @ ..] => (Version::Alpha, rest),
        [version, what, ..] if version.starts_with("v1.0-") && NOT_OFFERED.contains(what) => {
            return Err(Routed::Problem(not_offered(&segments[1..])));
        }
        _ => return Err(Routed::Nowhere(call)),
    };
    let name = rest.first().copied().unwrap_or_default();
    if !dapr.offer.is_everything() && name != "healthz" && !dapr.offer.has(name, segments[0], Protocol::Http)
    {
        return Err(Routed::Nowhere(call));
    }
    let method = call.parts.method.clone();
    let writes = method == M::POST || method == M::PUT;
    let text = |part: &str| {
        answer::decode(part).ok_or_else(|| Routed::Problem(Problem::malformed("the path is no UTF-8 text")))
    };
    Ok(match (version, rest) {
        (Version::Stable, ["state", store]) if writes => state::save(dapr, call, store).await,
        (Version::Stable, ["state", store, "bulk"]) if writes => state::bulk(dapr, call, store).await,
        (Version::Stable, ["state", store, "transaction"]) if writes => {
            state::transaction(dapr, call, store).await
        }
        (Version::Stable, ["state", store, key]) if method == M::GET => {
            state::get(dapr, call, store, &text(key)?).await
        }
        (Version::Stable, ["state", store, key]) if method == M::DELETE => {
            state::delete(dapr, call, store, &text(key)?).await
        }
        (Version::Alpha, ["state", store, "query"]) if writes => state::query(dapr, call, store).await,
        (_, ["publish", "bulk", pubsub, topic @ ..]) if writes => {
            publish::bulk(dapr, call, pubsub, &text(&topic.join("/"))?).await
        }
        (Version::Stable, ["publish", pubsub, topic @ ..]) if writes => {
            publish::one(dapr, call, pubsub, &text(&topic.join("/"))?).await
        }
        (Version::Stable, ["publish"]) if writes => publish::one(dapr, call, "", "").await,
        (Version::Stable, ["invoke", ..]) => invoke::by_path(dapr, call).await,
        (Version::Stable, ["bindings", name]) if writes => blocks::binding(dapr, call, &text(name)?).await,
        (Version::Stable, ["secrets", store, "bulk"]) if method == M::GET => {
            blocks::secrets(dapr, call, store).await
        }
        (Version::Stable, ["secrets", store, key @ ..]) if method == M::GET && !key.is_empty() => {
            blocks::secret(dapr, call, store, &text(&key.join("/"))?).await
        }
        (_, ["configuration", store]) if method == M::GET => blocks::configuration(dapr, call, store).await,
        (_, ["configuration", store, "subscribe"]) if method == M::GET => {
            blocks::watch(dapr, call, store).await
        }
        (_, ["configuration", store, id, "unsubscribe"]) if method == M::GET => {
            blocks::unwatch(dapr, call, store, id)
        }
        (Version::Alpha, ["lock", store]) if method == M::POST => blocks::lock(dapr, call, store).await,
        (Version::Alpha, ["unlock", store]) if method == M::POST => blocks::unlock(dapr, call, store).await,
        (Version::Stable, ["metadata"]) if method == M::GET => metadata::get(dapr, &call),
        (Version::Stable, ["metadata", key]) if method == M::PUT => {
            metadata::set(dapr, call, &text(key)?).await
        }
        (Version::Stable, ["healthz"]) if method == M::GET => metadata::healthz(dapr, &call),
        (Version::Stable, ["healthz", "outbound"]) if method == M::GET => Ok(answer::no_content()),
        (Version::Stable, ["shutdown"]) if method == M::POST => metadata::shutdown(dapr, &call),
        (_, [what, ..]) if NOT_OFFERED.contains(what) => Err(not_offered(rest)),
        _ => return Err(Routed::Nowhere(call)),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Stable,
    Alpha,
}

/// Building blocks of Dapr that are not here.
const NOT_OFFERED: [&str; 5] = ["actors", "jobs", "workflows", "crypto", "conversation"];

fn not_offered(rest: &[&str]) -> Problem {
    let what = rest.first().copied().unwrap_or_default();
    let message = format!("Sampan does not offer Dapr's {what} API");
    Problem::new(StatusCode::NOT_IMPLEMENTED, Code::Unimplemented, "ERR_NOT_IMPLEMENTED", message)
}
