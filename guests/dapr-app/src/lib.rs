//! An app behind Dapr. `/dapr/subscribe` answers what the variable `SUBSCRIBE` holds; `/ask` sends the request that the
//! headers `x-method` and `x-url` describe, and answers with its answer; `/client` goes through the calls of the client
//! library and says what came of each; `/measure/STORE/COUNT` gets a value so many times. Everything else is printed as
//! `METHOD PATH BODY`, which shows that it came, and answered the same way.

mod measure;

use sampan_dapr_client::{Dapr, Error, Event, Operation};
use wstd::http::error::ErrorCode;
use wstd::http::{Body, Client, Error as HttpError, Method, Request, Response, StatusCode};

#[wstd::http_server]
async fn main(mut request: Request<Body>) -> Result<Response<Body>, HttpError> {
    let path = request.uri().path().to_owned();
    let body = request.body_mut().contents().await?.to_vec();
    match path.split('/').collect::<Vec<_>>()[..] {
        ["", "dapr", "subscribe"] => match std::env::var("SUBSCRIBE") {
            Ok(subscriptions) => text(StatusCode::OK, subscriptions),
            Err(_) => text(StatusCode::NOT_FOUND, String::new()),
        },
        ["", "ask"] => ask(&request, body).await,
        ["", "client"] => shown(client().await),
        ["", "measure", store, count] => shown(measure::state(store, count.parse()?).await),
        _ => {
            let caller =
                request.headers().get("dapr-caller-app-id").map_or("", |id| id.to_str().unwrap_or(""));
            let line = format!("{} {path} {caller} {}", request.method(), String::from_utf8_lossy(&body));
            println!("{line}");
            text(StatusCode::OK, line)
        }
    }
}

fn text(status: StatusCode, text: String) -> Result<Response<Body>, HttpError> {
    Ok(Response::builder().status(status).body(Body::from(text))?)
}

fn shown(result: Result<String, Error>) -> Result<Response<Body>, HttpError> {
    match result {
        Ok(lines) => text(StatusCode::OK, lines),
        Err(error) => text(StatusCode::BAD_GATEWAY, error.to_string()),
    }
}

async fn ask(request: &Request<Body>, body: Vec<u8>) -> Result<Response<Body>, HttpError> {
    let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut asked = Request::builder().method(header("x-method")).uri(header("x-url"));
    if let Some(kind) = request.headers().get("content-type") {
        asked = asked.header("content-type", kind);
    }
    match Client::new().send(asked.body(Body::from(body))?).await {
        Ok(response) => Ok(response),
        Err(error) => match error.downcast_ref::<ErrorCode>() {
            Some(code) => text(StatusCode::BAD_GATEWAY, format!("{code:?}")),
            None => text(StatusCode::BAD_GATEWAY, error.to_string()),
        },
    }
}

/// Every call of the client library, with stores `statestore` and `secrets` and the broker `pubsub`.
async fn client() -> Result<String, Error> {
    let dapr = Dapr::from_env();
    let state = dapr.state("statestore");
    let mut lines = Vec::new();

    state.save("weapon", "Death Star").await?;
    lines.push(format!("got {:?}", state.get::<String>("weapon").await?));
    lines.push(format!("missing {:?}", state.get::<String>("no such key").await?));
    state.save("a key/with ü?", &[1, 2]).await?;
    lines.push(format!("bytes {:?}", state.bytes("a key/with ü?").await?.map(|entry| entry.value)));

    let first = state.entry::<String>("weapon").await?.and_then(|entry| entry.etag).unwrap_or_default();
    state.save("weapon", "Lightsaber").await?;
    let late = [Operation::save("weapon", "Blaster")?.over(&first)];
    lines.push(format!("conflict {}", state.save_all(&late).await.is_err_and(|error| error.is_conflict())));
    let late = state.delete_over("weapon", &first).await;
    lines.push(format!("conflict {}", late.is_err_and(|error| error.is_conflict())));
    let again = [Operation::save("weapon", "Blaster")?.first_write()];
    lines.push(format!(
        "first write {}",
        state.save_all(&again).await.is_err_and(|error| error.is_conflict())
    ));

    let brief = Operation::save("brief", &true)?.expiring(1000);
    state.transaction(&[brief, Operation::save("count", &7)?, Operation::delete("weapon")]).await?;
    let found = state.bulk::<u32>(&["count", "weapon"]).await?;
    lines.push(format!("bulk {:?}", found.iter().map(|(key, one)| (key, one.value)).collect::<Vec<_>>()));
    let brief = state.entry::<bool>("brief").await?;
    lines.push(format!("expires {}", brief.is_some_and(|entry| entry.expires.is_some())));
    state.delete("count").await?;
    lines.push(format!("deleted {:?}", state.get::<u32>("count").await?));

    dapr.publish("pubsub", "orders/new", &["one"]).await?;
    let typed =
        Event { metadata: vec![("cloudevent.type".into(), "sent & typed".into())], ..Event::text("", "two") };
    dapr.publish_event("pubsub", "orders/new", &typed).await?;
    let many = [Event::json("1", &3)?, Event::text("2", "four"), Event::bytes("3", *b"five")];
    dapr.publish_bulk("pubsub", "orders/new", &many).await?;

    lines.push(format!("secret {:?}", dapr.secret("secrets", "password").await?));
    lines.push(format!("secrets {}", dapr.secrets("secrets").await?.len()));
    let reply = dapr.invoke(Method::PUT, "other", "/a/b?c=d", Some("text/plain"), "ahoy").await?;
    lines.push(format!("invoked {} {}", reply.status, String::from_utf8_lossy(&reply.body)));
    lines.push(format!("refused {}", dapr.state("hidden").get::<u32>("key").await.expect_err("no grant")));
    Ok(lines.join("\n"))
}
