//! Subscriptions: which topics the app wants, where its events go, and what runs for them.
//!
//! They come from files (declared), from the app itself (`GET /dapr/subscribe`, or `ListTopicSubscriptions` over
//! gRPC) and from streams that clients keep open.

use crate::app::{CallError, Protocol, To};
use crate::deliver;
use crate::inputs::{Scheduled, start_schedules};
use crate::pubsub::is_true;
use crate::runtime::Dapr;
use http::{HeaderMap, Method, StatusCode};
use sampan_app::dapr::DaprSubscription;
use sampan_capabilities::cel::Expression;
use sampan_capabilities::messaging::component::Consumption;
use sampan_capabilities::messaging::{Bulk, Subscribe};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Subscriptions of one app.
const SUBSCRIPTIONS_MAX: usize = 1000;
/// Between two questions whether an app beside Sampan is there.
const ASK_AGAIN: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Declared,
    Programmatic,
    Streaming,
}

/// Whose the events are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    App,
    Component(String),
}

impl Destination {
    pub fn to(&self) -> To<'_> {
        match self {
            Destination::App => To::App,
            Destination::Component(name) => To::Component(name),
        }
    }
}

pub struct Rule {
    /// As written.
    pub expression: String,
    matcher: Option<Expression>,
    pub path: String,
}

impl Rule {
    /// An empty expression matches everything.
    pub fn new(expression: &str, path: &str) -> Result<Self, String> {
        let matcher = match expression.trim() {
            "" => None,
            text => Some(Expression::parse(text).map_err(|error| format!("`{text}`: {error}"))?),
        };
        Ok(Rule { expression: expression.to_owned(), matcher, path: path.to_owned() })
    }
}

pub struct Subscription {
    pub pubsub: String,
    pub topic: String,
    pub rules: Vec<Rule>,
    /// Empty: events that no rule matches are dropped.
    pub default_path: String,
    pub dead_letter_topic: Option<String>,
    pub raw_payload: bool,
    pub metadata: BTreeMap<String, String>,
    pub bulk: Option<Bulk>,
    /// Tries after the first one, where whoever subscribes says.
    pub retries_max: Option<u32>,
    pub destination: Destination,
    /// Whether events come: for whoever runs it to say.
    pub running: AtomicBool,
}

impl Subscription {
    pub fn begin(&self) {
        self.running.store(true, Relaxed);
    }

    /// All events of a topic to one path.
    pub fn plain(pubsub: &str, topic: &str, path: &str, destination: Destination) -> Self {
        Subscription {
            pubsub: pubsub.to_owned(),
            topic: topic.to_owned(),
            rules: Vec::new(),
            default_path: path.to_owned(),
            dead_letter_topic: None,
            raw_payload: false,
            metadata: BTreeMap::new(),
            bulk: None,
            retries_max: None,
            running: AtomicBool::new(false),
            destination,
        }
    }

    pub fn declared(one: &DaprSubscription) -> Result<Self, String> {
        let rules = one.rules.iter().map(|rule| Rule::new(&rule.expression, &rule.path));
        Ok(Subscription {
            rules: rules.collect::<Result<_, _>>()?,
            dead_letter_topic: one.dead_letter_topic.clone(),
            raw_payload: one.raw_payload,
            metadata: one.metadata.clone(),
            bulk: one.bulk.map(|bulk| Bulk { messages_max: bulk.messages_max, wait_max: bulk.wait_max }),
            ..Subscription::plain(&one.pubsub, &one.topic, &one.default_path, Destination::App)
        })
    }

    /// Where an event goes; `None`: nowhere.
    pub fn path(&self, event: &serde_json::Value) -> Option<&str> {
        let matches = |rule: &&Rule| match &rule.matcher {
            None => true,
            // A rule that cannot be evaluated for an event does not match it.
            Some(expression) => expression.matches(event).unwrap_or(false),
        };
        let found = self.rules.iter().find(matches).map(|rule| rule.path.as_str());
        found.or_else(|| (!self.default_path.is_empty()).then_some(self.default_path.as_str()))
    }

    /// The rules and the default, as pairs of expression and path.
    pub fn paths(&self) -> impl Iterator<Item = (&str, &str)> {
        let default = (!self.default_path.is_empty()).then_some(("", self.default_path.as_str()));
        self.rules.iter().map(|rule| (rule.expression.as_str(), rule.path.as_str())).chain(default)
    }

    pub fn subscribe(&self, consumption: &Consumption) -> Subscribe {
        Subscribe {
            topic: self.topic.clone(),
            group: consumption.group.clone(),
            in_flight_max: consumption.in_flight_max.max(self.bulk.map_or(0, |bulk| bulk.messages_max)),
        }
    }
}

/// What runs for an app. Everything ends when the value is dropped or stopped.
pub struct Running {
    list: Mutex<Vec<(Source, Arc<Subscription>)>>,
    stop: watch::Sender<bool>,
    /// One receiver for each task that runs.
    tasks: watch::Sender<()>,
}

impl Default for Running {
    fn default() -> Self {
        Running { list: Mutex::default(), stop: watch::Sender::new(false), tasks: watch::Sender::new(()) }
    }
}

impl Running {
    /// Those whose events come.
    pub fn list(&self) -> Vec<(Source, Arc<Subscription>)> {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().filter(|(_, one)| one.running.load(Relaxed)).cloned().collect()
    }

    /// `false`: there are too many.
    pub fn add(&self, source: Source, subscription: &Arc<Subscription>) -> bool {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        let room = list.len() < SUBSCRIPTIONS_MAX;
        if room {
            list.push((source, Arc::clone(subscription)));
        }
        room
    }

    pub fn remove(&self, subscription: &Arc<Subscription>) {
        let mut list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.retain(|(_, one)| !Arc::ptr_eq(one, subscription));
    }

    fn has(&self, subscription: &Subscription) -> bool {
        let list = self.list.lock().unwrap_or_else(PoisonError::into_inner);
        list.iter().any(|(_, one)| one.pubsub == subscription.pubsub && one.topic == subscription.topic)
    }

    /// Resolves when everything shall end.
    pub fn stopped(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut stop = self.stop.subscribe();
        async move {
            // The other side is gone: that is an end too.
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    /// To be held by a task for as long as it runs.
    pub fn task(&self) -> impl Send + 'static {
        self.tasks.subscribe()
    }

    /// Resolves when no task runs any more.
    pub async fn ended(&self) {
        self.tasks.closed().await;
    }

    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

/// Starts what the app wants: what is declared at once, and what the app says when it is there.
pub fn start(dapr: &Arc<Dapr>, declared: Vec<Subscription>, scheduled: Vec<Scheduled>) {
    for store in dapr.watches.end_others(&dapr.components.configuration) {
        dapr.note(&format!(
            "a subscription to the configuration store {store} ended: the store is another now"
        ));
    }
    for subscription in declared {
        begin(dapr, Source::Declared, subscription);
    }
    start_schedules(dapr, scheduled);
    if !dapr.app.is_there() {
        return;
    }
    let weak = Arc::downgrade(dapr);
    let stopped = dapr.running.stopped();
    dapr.spawn(async move {
        let Some(dapr) = weak.upgrade() else { return };
        let asked = async {
            for subscription in ask(&dapr).await {
                if !dapr.running.has(&subscription) {
                    begin(&dapr, Source::Programmatic, subscription);
                }
            }
            crate::inputs::start(&dapr).await;
        };
        tokio::select! {
            () = asked => {}
            () = stopped => {}
        }
    });
}

fn begin(dapr: &Arc<Dapr>, source: Source, subscription: Subscription) {
    let said = |why: &str| {
        let Subscription { pubsub, topic, .. } = &subscription;
        dapr.note(&format!("subscription to {pubsub}/{topic}: {why}"));
    };
    let Some(pubsub) = dapr.components.pubsub.get(&subscription.pubsub) else {
        return said("there is no such pubsub component");
    };
    if !pubsub.rules.may_subscribe(&subscription.topic) {
        return said("the component's scopes do not allow the topic");
    }
    let subscription = Arc::new(subscription);
    if dapr.running.add(source, &subscription) {
        dapr.spawn(deliver::run(Arc::downgrade(dapr), subscription, dapr.running.stopped()));
    }
}

/// Asks the app what it subscribes to. An app beside Sampan may not be there yet.
async fn ask(dapr: &Arc<Dapr>) -> Vec<Subscription> {
    loop {
        let answered = match dapr.app.protocol {
            Protocol::Http => ask_http(dapr).await,
            Protocol::Grpc => ask_grpc(dapr).await,
        };
        match answered {
            Asked::Said(subscriptions) => return subscriptions,
            Asked::Nonsense(why) => {
                dapr.note(&format!("its subscriptions make no sense: {why}"));
                return Vec::new();
            }
            Asked::NotThere => tokio::time::sleep(ASK_AGAIN).await,
        }
    }
}

enum Asked {
    Said(Vec<Subscription>),
    Nonsense(String),
    NotThere,
}

#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    pubsubname: String,
    #[serde(default)]
    topic: String,
    #[serde(default)]
    route: String,
    routes: Option<Routes>,
    #[serde(default, rename = "deadLetterTopic")]
    dead_letter_topic: String,
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "bulkSubscribe")]
    bulk_subscribe: Option<BulkSubscribe>,
}

#[derive(Default, Deserialize)]
struct Routes {
    rules: Option<Vec<WantedRule>>,
    #[serde(default)]
    default: String,
}

#[derive(Deserialize)]
struct WantedRule {
    #[serde(default, rename = "match")]
    expression: String,
    #[serde(default)]
    path: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BulkSubscribe {
    #[serde(default)]
    enabled: bool,
    #[serde(default)]
    max_messages_count: u32,
    #[serde(default)]
    max_await_duration_ms: u32,
}

async fn ask_http(dapr: &Dapr) -> Asked {
    let asked =
        dapr.app.call(To::App, Method::GET, "/dapr/subscribe", HeaderMap::new(), bytes::Bytes::new()).await;
    let reply = match asked {
        Ok(reply) => reply,
        Err(CallError::NoApp | CallError::NoComponent(_)) => return Asked::Said(Vec::new()),
        Err(CallError::Timeout | CallError::Broken(_)) => return Asked::NotThere,
    };
    match reply.status {
        StatusCode::OK => {}
        // What stands before an app that does not listen yet answers so; components are there from the start.
        status if status.is_server_error() && !dapr.app.is_here() => return Asked::NotThere,
        _ => return Asked::Said(Vec::new()),
    }
    if reply.body.trim_ascii().is_empty() {
        return Asked::Said(Vec::new());
    }
    match serde_json::from_slice::<Option<Vec<Wanted>>>(&reply.body) {
        Ok(wanted) => said(wanted.unwrap_or_default()),
        Err(error) => Asked::Nonsense(error.to_string()),
    }
}

fn said(wanted: Vec<Wanted>) -> Asked {
    let subscriptions: Result<Vec<_>, _> = wanted.into_iter().map(programmatic).collect();
    subscriptions.map_or_else(Asked::Nonsense, Asked::Said)
}

fn programmatic(wanted: Wanted) -> Result<Subscription, String> {
    let metadata = wanted.metadata.unwrap_or_default();
    let routes = wanted.routes.unwrap_or_default();
    let default = if routes.default.is_empty() { wanted.route } else { routes.default };
    let rules = routes.rules.unwrap_or_default();
    let rules = rules.iter().map(|rule| Rule::new(&rule.expression, &rule.path));
    let bulk = wanted.bulk_subscribe.filter(|bulk| bulk.enabled);
    Ok(Subscription {
        rules: rules.collect::<Result<_, _>>()?,
        dead_letter_topic: (!wanted.dead_letter_topic.is_empty()).then_some(wanted.dead_letter_topic),
        raw_payload: metadata.get("rawPayload").is_some_and(|raw| is_true(raw)),
        metadata,
        bulk: bulk.map(|bulk| bulk_of(bulk.max_messages_count, bulk.max_await_duration_ms)),
        ..Subscription::plain(&wanted.pubsubname, &wanted.topic, &default, Destination::App)
    })
}

/// Dapr's defaults where a number is 0.
fn bulk_of(messages_max: u32, wait_max_ms: u32) -> Bulk {
    let messages_max = if messages_max == 0 { 100 } else { messages_max.min(1000) as usize };
    let wait_max_ms = if wait_max_ms == 0 { 1000 } else { wait_max_ms.min(3_600_000) };
    Bulk { messages_max, wait_max: Duration::from_millis(wait_max_ms.into()) }
}

async fn ask_grpc(dapr: &Dapr) -> Asked {
    let Ok(mut client) = dapr.app.grpc() else { return Asked::Said(Vec::new()) };
    let listed = match client.list_topic_subscriptions(()).await {
        Ok(listed) => listed.into_inner().subscriptions,
        Err(status) if status.code() == tonic::Code::Unimplemented => return Asked::Said(Vec::new()),
        Err(_) => return Asked::NotThere,
    };
    let wanted = listed.into_iter().map(|one| {
        let routes = one.routes.unwrap_or_default();
        let rule = |rule: crate::proto::runtime::v1::TopicRule| WantedRule {
            expression: rule.r#match,
            path: rule.path,
        };
        let mut rules: Vec<_> = routes.rules.into_iter().map(rule).collect();
        // All events go to one method, and the path is part of the message: where an app has not set any, its SDK
        // knows the handler by the empty path.
        if rules.is_empty() && routes.default.is_empty() {
            rules.push(WantedRule { expression: String::new(), path: String::new() });
        }
        Wanted {
            pubsubname: one.pubsub_name,
            topic: one.topic,
            route: String::new(),
            routes: Some(Routes { rules: Some(rules), default: routes.default }),
            dead_letter_topic: one.dead_letter_topic,
            metadata: Some(one.metadata),
            bulk_subscribe: one.bulk_subscribe.map(|bulk| BulkSubscribe {
                enabled: bulk.enabled,
                max_messages_count: u32::try_from(bulk.max_messages_count).unwrap_or_default(),
                max_await_duration_ms: u32::try_from(bulk.max_await_duration_ms).unwrap_or_default(),
            }),
        }
    });
    said(wanted.collect())
}
