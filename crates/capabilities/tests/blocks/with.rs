//! What these tests share: a runtime, components' metadata, and the servers.

use sampan_app::Secret;
use sampan_capabilities::Properties;
use sampan_capabilities::bindings::component::{Binding, describe, open};
use sampan_capabilities::bindings::{BindingError, Invoked, Output};
use sampan_testing::PATIENCE;
use sampan_testing::servers::Redis;
use std::collections::BTreeMap;
use std::time::Duration;

/// Names and values, as a table writes them.
pub type Pairs<'a> = &'a [(&'a str, &'a str)];

/// Runs a test with the tasks it spawns in one thread.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test);
}

/// Fails instead of hanging. Servers spawn these futures, so they go from thread to thread.
pub async fn soon<T>(future: impl Future<Output = T> + Send) -> T {
    within_patience(future).await
}

async fn within_patience<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it comes at last")
}

/// Waits until the answer is as wanted.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    within_patience(async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

pub fn properties(values: &[(&str, &str)]) -> Properties {
    Properties::new("app", values.iter().map(|(name, value)| ((*name).to_owned(), Secret::new(*value))))
}

pub fn texts(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// `redisHost` of a server.
pub fn redis_host(server: &Redis) -> String {
    format!("127.0.0.1:{}", server.port)
}

/// A connection to write by, as another program does.
pub async fn redis(server: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(server.url()).expect("an address");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

pub async fn binding(kind: &str, values: &[(&str, &str)]) -> Binding {
    let description = describe(kind, &properties(values)).expect("metadata").expect("a binding");
    open("test", &description).await.unwrap_or_else(|error| panic!("{}: {}", kind, error.what))
}

pub async fn output(kind: &str, values: &[(&str, &str)]) -> Output {
    match binding(kind, values).await {
        Binding::Output(output) => output,
        Binding::Input(_) => panic!("{kind} brings events"),
    }
}

pub async fn invoke(
    output: &Output,
    operation: &str,
    data: &[u8],
    metadata: &[(&str, &str)],
) -> Result<Invoked, BindingError> {
    soon(output.invoke(operation, data, &texts(metadata))).await
}
