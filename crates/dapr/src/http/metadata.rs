//! `/v1.0/metadata`, `/v1.0/healthz` and `/v1.0/shutdown`: what the clients of Dapr ask before they begin.

use super::answer::{self, Call};
use crate::error::Problem;
use crate::runtime::Dapr;
use crate::subscriptions::Source;
use http::{Response, StatusCode};
use sampan_service::Body;
use serde_json::{Value, json};
use tonic::Code;

pub fn get(dapr: &Dapr, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.caller.check_all("the metadata of the app")?;
    let components: Vec<Value> = dapr
        .components
        .listed
        .iter()
        .map(|one| {
            let capabilities = if one.capabilities.is_empty() { None } else { Some(&one.capabilities) };
            let mut shown = json!({ "name": one.name, "type": one.kind, "version": one.version });
            if let Some(capabilities) = capabilities {
                shown["capabilities"] = json!(capabilities);
            }
            shown
        })
        .collect();
    let subscriptions: Vec<Value> = dapr
        .subscriptions()
        .iter()
        .map(|(source, one)| {
            let rules = one.paths().map(|(expression, path)| match expression {
                "" => json!({ "path": path }),
                _ => json!({ "match": expression, "path": path }),
            });
            json!({
                "pubsubname": one.pubsub,
                "topic": one.topic,
                "rules": rules.collect::<Vec<_>>(),
                "deadLetterTopic": one.dead_letter_topic.clone().unwrap_or_default(),
                "metadata": one.metadata,
                "type": match source {
                    Source::Declared => "DECLARATIVE",
                    Source::Programmatic => "PROGRAMMATIC",
                    Source::Streaming => "STREAMING",
                },
            })
        })
        .collect();
    let endpoints: Vec<Value> = dapr.endpoints.iter().map(|one| json!({ "name": one.name })).collect();
    Ok(answer::json(&json!({
        "id": dapr.app_id(),
        "runtimeVersion": dapr.version(),
        "components": components,
        "extended": dapr.extended(),
        "subscriptions": subscriptions,
        "httpEndpoints": endpoints,
    })))
}

pub async fn set(dapr: &Dapr, mut call: Call<'_>, key: &str) -> Result<Response<Body>, Problem> {
    call.caller.check_all("the metadata of the app")?;
    let value = call.body().await?;
    let value = String::from_utf8_lossy(&value).into_owned();
    dapr.extend(key.to_owned(), value)?;
    Ok(answer::no_content())
}

pub fn healthz(dapr: &Dapr, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    match call.query("appid") {
        Some(asked) if asked != dapr.app_id() => Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Internal,
            "ERR_HEALTH_APPID_NOT_MATCH",
            format!("dapr app-id does not match: this is {}", dapr.app_id()),
        )),
        _ => Ok(answer::no_content()),
    }
}

pub fn shutdown(dapr: &Dapr, call: &Call<'_>) -> Result<Response<Body>, Problem> {
    call.caller.check_all("the end of the process")?;
    dapr.shut_down();
    Ok(answer::no_content())
}
