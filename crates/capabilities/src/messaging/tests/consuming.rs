//! The loop: retries, dead letters, bulk, stop, and brokers that die.

use super::*;
use sampan_testing::{servers, temp_dir};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

fn options(concurrency: usize, retries_max: Option<u32>) -> Consume {
    let backoff = Backoff::Constant(Duration::from_millis(1));
    Consume { concurrency, retry: Retry { retries_max, backoff }, dead_letter: None, bulk: None }
}

/// Runs a consumer while `test` does something, then stops it.
async fn consuming<H, F>(
    client: &Client,
    subscribe: Subscribe,
    options: Consume,
    handler: H,
    test: impl Future<Output = ()>,
) where
    H: Fn(Vec<Arc<Delivery>>) -> F + Sync,
    F: Future<Output = Vec<Outcome>> + Send,
{
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { drop(stopped.await) };
    let test = async {
        soon(test).await;
        drop(stop);
    };
    let (consumed, ()) = futures::join_all_pair(consume(client, subscribe, options, handler, stopped), test).await;
    consumed.expect("a subscription");
}
