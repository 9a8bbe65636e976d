//! Streams: subscriptions to topics and to configuration that last for as long as a client keeps them open.

use super::{blocks, convert};
use crate::deliver::{self, Ready};
use crate::error::Problem;
use crate::proto::runtime::v1::subscribe_topic_events_request_alpha1::SubscribeTopicEventsRequestType as Asked;
use crate::proto::runtime::v1::subscribe_topic_events_response_alpha1::SubscribeTopicEventsResponseType as Told;
use crate::proto::runtime::v1::{
    SubscribeConfigurationRequest, SubscribeConfigurationResponse, SubscribeTopicEventsRequestAlpha1,
    SubscribeTopicEventsRequestInitialAlpha1, SubscribeTopicEventsRequestProcessedAlpha1,
    SubscribeTopicEventsResponseAlpha1, SubscribeTopicEventsResponseInitialAlpha1,
};
use crate::pubsub::{self, is_true};
use crate::runtime::{Caller, Dapr};
use crate::subscriptions::{Destination, Source, Subscription};
use crate::watches::{self, Begun};
use futures::stream::{self, BoxStream, StreamExt};
use sampan_capabilities::messaging::component::Consumption;
use sampan_capabilities::messaging::envelope::Event;
use sampan_capabilities::messaging::{Backoff, Consume, Delivery, Outcome, Retry, consume_and_tell};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tonic::{Status, Streaming};

pub type Events = BoxStream<'static, Result<SubscribeTopicEventsResponseAlpha1, Status>>;
pub type Changes = BoxStream<'static, Result<SubscribeConfigurationResponse, Status>>;

/// Events that are on their way to one client.
const QUEUE: usize = 16;

/// A subscription is answered after this time also if the broker does not.
const SUBSCRIBE_WITHIN: Duration = Duration::from_secs(5);

pub async fn changes(
    dapr: &Dapr,
    caller: &Caller,
    call: SubscribeConfigurationRequest,
) -> Result<Changes, Problem> {
    let begun = watches::begin(dapr, caller, &call.store_name, call.keys).await?;
    let Begun { id, watch, ended } = begun;
    // The first message says how the subscription is called.
    let first = SubscribeConfigurationResponse { id: id.clone(), items: BTreeMap::new() };
    let rest = stream::unfold(watch, move |mut watch| {
        let id = id.clone();
        async move {
            let items = blocks::items(watch.next().await);
            Some((Ok(SubscribeConfigurationResponse { id, items }), watch))
        }
    });
    let first = stream::once(async move { Ok(first) });
    Ok(first.chain(rest.take_until(ended)).boxed())
}

/// A subscription by stream: the client's first message says to what, events follow, and the client says of each
/// what became of it.
pub async fn events(
    dapr: &Arc<Dapr>,
    caller: &Caller,
    mut client: Streaming<SubscribeTopicEventsRequestAlpha1>,
) -> Result<Events, Problem> {
    let first = client.message().await;
    let first = first.map_err(|status| Problem::malformed(status.message().to_owned()))?;
    let Some(Asked::InitialRequest(initial)) = first.and_then(|one| one.subscribe_topic_events_request_type)
    else {
        return Err(Problem::malformed("the first message of the stream names pubsub and topic"));
    };
    let (subscription, consumption, broker) = open(dapr, caller, initial).await?;
    let (sender, receiver) = mpsc::channel(QUEUE);
    let waiting = Arc::new(Waiting::default());
    // Ends with the stream: the receiver is dropped by whoever does not read it any more.
    let open = sender.clone();
    let gone = async move { open.closed().await };
    let answers = answers(client, Arc::clone(&waiting));
    let running = Client { dapr: Arc::clone(dapr), subscription, sender, waiting };
    let stopped = dapr.running.stopped();
    let (joined, is_joined) = oneshot::channel();
    dapr.spawn(async move {
        let Client { dapr, subscription, .. } = &running;
        dapr.running.add(Source::Streaming, subscription);
        subscription.begin();
        let stop = async {
            tokio::select! {
                () = gone => {}
                () = answers => {}
                () = stopped => {}
            }
        };
        let handler = |batch: Vec<Arc<Delivery>>| async { running.handle(batch).await };
        let subscribe = subscription.subscribe(&consumption);
        let options = options(subscription, consumption.concurrency);
        // The client may be gone.
        let tell = move || {
            let _ = joined.send(());
        };
        if let Err(error) = consume_and_tell(&broker, subscribe, options, handler, stop, tell).await {
            let _ = running.sender.send(Err(Status::unavailable(error.to_string()))).await;
        }
        dapr.running.remove(subscription);
    });
    // Who hears that it has subscribed may publish at once. A broker that is away keeps nobody waiting for ever.
    let _ = tokio::time::timeout(SUBSCRIBE_WITHIN, is_joined).await;
    let first = Told::InitialResponse(SubscribeTopicEventsResponseInitialAlpha1 {});
    let first = SubscribeTopicEventsResponseAlpha1 { subscribe_topic_events_response_type: Some(first) };
    let rest = stream::unfold(receiver, async |mut receiver| Some((receiver.recv().await?, receiver)));
    Ok(stream::once(async move { Ok(first) }).chain(rest).boxed())
}

async fn open(
    dapr: &Dapr,
    caller: &Caller,
    initial: SubscribeTopicEventsRequestInitialAlpha1,
) -> Result<(Arc<Subscription>, Consumption, sampan_capabilities::messaging::Client), Problem> {
    let SubscribeTopicEventsRequestInitialAlpha1 { pubsub_name, topic, metadata, dead_letter_topic } =
        initial;
    let found = pubsub::for_subscribing(dapr, caller, &pubsub_name, &topic)?;
    let broker = found.slot.client().await;
    let broker = broker.map_err(|error| Problem::internal("ERR_PUBSUB_SUBSCRIBE", error.to_string()))?;
    let subscription = Subscription {
        dead_letter_topic: dead_letter_topic.filter(|topic| !topic.is_empty()),
        raw_payload: metadata.get("rawPayload").is_some_and(|raw| is_true(raw)),
        metadata,
        ..Subscription::plain(&pubsub_name, &topic, "/", Destination::App)
    };
    Ok((Arc::new(subscription), found.consumption.clone(), broker))
}

fn options(subscription: &Subscription, concurrency: usize) -> Consume {
    Consume {
        concurrency,
        retry: Retry { retries_max: Some(3), backoff: Backoff::Constant(Duration::from_millis(500)) },
        dead_letter: subscription.dead_letter_topic.clone(),
        bulk: None,
    }
}

/// Events that the client has not answered yet, by their ids.
#[derive(Default)]
struct Waiting(Mutex<HashMap<String, oneshot::Sender<Outcome>>>);

impl Waiting {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, oneshot::Sender<Outcome>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what the client says of its events, until it says nothing more.
async fn answers(mut client: Streaming<SubscribeTopicEventsRequestAlpha1>, waiting: Arc<Waiting>) {
    while let Ok(Some(message)) = client.message().await {
        let Some(Asked::EventProcessed(SubscribeTopicEventsRequestProcessedAlpha1 { id, status })) =
            message.subscribe_topic_events_request_type
        else {
            continue;
        };
        let outcome = status.map_or(Outcome::Retry, |status| convert::outcome(status.status()));
        if let Some(reply) = waiting.lock().remove(&id) {
            // The delivery may have been given up meanwhile.
            let _ = reply.send(outcome);
        }
    }
}

struct Client {
    dapr: Arc<Dapr>,
    subscription: Arc<Subscription>,
    sender: mpsc::Sender<Result<SubscribeTopicEventsResponseAlpha1, Status>>,
    waiting: Arc<Waiting>,
}

impl Client {
    async fn handle(&self, batch: Vec<Arc<Delivery>>) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for delivery in &batch {
            outcomes.push(self.one(delivery).await);
        }
        outcomes
    }

    async fn one(&self, delivery: &Delivery) -> Outcome {
        let Ready { event, path } = match deliver::prepare(&self.dapr, &self.subscription, delivery) {
            Ok(ready) => ready,
            Err(outcome) => return outcome,
        };
        let Ok(parsed) = Event::parse(&event) else { return Outcome::Drop };
        let told = convert::topic_event(&parsed, &self.subscription, &path);
        let (reply, outcome) = oneshot::channel();
        let id = told.id.clone();
        self.waiting.lock().insert(id.clone(), reply);
        let told = Told::EventMessage(told);
        let message = SubscribeTopicEventsResponseAlpha1 { subscribe_topic_events_response_type: Some(told) };
        if self.sender.send(Ok(message)).await.is_err() {
            self.waiting.lock().remove(&id);
            return Outcome::Retry;
        }
        tokio::select! {
            outcome = outcome => outcome.unwrap_or(Outcome::Retry),
            () = self.sender.closed() => Outcome::Retry,
        }
    }
}
