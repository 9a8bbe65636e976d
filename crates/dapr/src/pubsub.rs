//! Publishing: what both faces do with a broker.

use crate::error::Problem;
use crate::runtime::{Caller, Dapr};
use crate::topics::TopicRules;
use bytes::Bytes;
use http::StatusCode;
use sampan_capabilities::messaging::component::Consumption;
use sampan_capabilities::messaging::envelope::{self, Incoming};
use sampan_capabilities::messaging::{Client, Message, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tonic::Code;

/// Entries of one bulk request.
const ENTRIES_MAX: usize = 1000;

/// A broker of the app.
pub struct Pubsub {
    pub slot: Arc<Slot>,
    pub rules: TopicRules,
    /// `pubsub.redis`, or what the manifest calls it.
    pub kind: String,
    /// Under which name this app's instances share messages, and how many at once.
    pub consumption: Consumption,
}

/// A message as a client gives it.
#[derive(Clone, Debug, Default)]
pub struct Event {
    pub data: Bytes,
    pub content_type: Option<String>,
    pub metadata: BTreeMap<String, String>,
}

/// One message of a bulk request.
#[derive(Clone, Debug)]
pub struct Entry {
    pub id: String,
    pub event: Event,
}

/// Where a request comes from, in the form of W3C's trace context.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub parent: Option<String>,
    pub state: Option<String>,
}

/// Finds the broker, if the caller may use it and the app may publish to the topic.
pub fn find<'a>(dapr: &'a Dapr, caller: &Caller, name: &str, topic: &str) -> Result<&'a Pubsub, Problem> {
    let pubsub = named(dapr, caller, name, topic)?;
    if !pubsub.rules.may_publish(topic) {
        return Err(forbidden(dapr, pubsub, name, topic));
    }
    Ok(pubsub)
}

fn named<'a>(dapr: &'a Dapr, caller: &Caller, name: &str, topic: &str) -> Result<&'a Pubsub, Problem> {
    let missing = |code, message: String, reason: &str, kind: &str| {
        let problem = Problem::new(StatusCode::NOT_FOUND, Code::InvalidArgument, code, message.clone());
        problem.reason(reason).resource(kind, name, message)
    };
    if name.is_empty() {
        let message = "pubsub name is empty".to_owned();
        return Err(missing("ERR_PUBSUB_EMPTY", message, "DAPR_PUBSUB_NAME_EMPTY", "pubsub"));
    }
    let Some(pubsub) = dapr.components.pubsub.get(name) else {
        let message = format!("pubsub {name} is not found");
        return Err(missing("ERR_PUBSUB_NOT_FOUND", message, "DAPR_PUBSUB_NOT_FOUND", "pubsub"));
    };
    caller.check(name, "pubsub")?;
    if topic.is_empty() {
        let (message, reason) = (format!("topic is empty in pubsub {name}"), "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
        return Err(missing("ERR_TOPIC_NAME_EMPTY", message, reason, &pubsub.kind));
    }
    Ok(pubsub)
}

fn forbidden(dapr: &Dapr, pubsub: &Pubsub, name: &str, topic: &str) -> Problem {
    let message = format!("topic {topic} is not allowed for app id {}", dapr.app_id());
    let problem =
        Problem::new(StatusCode::FORBIDDEN, Code::PermissionDenied, "ERR_PUBSUB_FORBIDDEN", message.clone());
    problem.with("topic", topic).reason("DAPR_PUBSUB_FORBIDDEN").resource(&pubsub.kind, name, message)
}

/// The same for a client that wants the messages.
pub fn for_subscribing<'a>(
    dapr: &'a Dapr,
    caller: &Caller,
    name: &str,
    topic: &str,
) -> Result<&'a Pubsub, Problem> {
    let pubsub = named(dapr, caller, name, topic)?;
    if !pubsub.rules.may_subscribe(topic) {
        return Err(forbidden(dapr, pubsub, name, topic));
    }
    Ok(pubsub)
}

pub async fn publish(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
    topic: &str,
    event: Event,
    trace: &Trace,
) -> Result<(), Problem> {
    let pubsub = find(dapr, caller, name, topic)?;
    let target = Target { dapr, pubsub, name, topic };
    let client = target.client().await?;
    let message = target.message(event, trace).map_err(|why| {
        let problem = Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::InvalidArgument,
            "ERR_PUBSUB_CLOUD_EVENTS_SER",
            why,
        );
        problem.reason("DAPR_PUBSUB_CLOUD_EVENT_CREATION").resource(&pubsub.kind, name, "")
    })?;
    dapr.outbound(name)
        .run(async || {
            let mut done = target.send(&client, vec![message.clone()]).await?;
            done.pop().unwrap_or(Ok(())).map_err(|why| target.failed(&why))
        })
        .await
}

/// What did not get to the broker, with the reason.
pub type Failed = Vec<(String, String)>;

pub async fn publish_bulk(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
    topic: &str,
    entries: Vec<Entry>,
    trace: &Trace,
) -> Result<Failed, Problem> {
    let pubsub = find(dapr, caller, name, topic)?;
    let target = Target { dapr, pubsub, name, topic };
    check_entries(&target, &entries)?;
    let client = target.client().await?;
    let mut failed = Failed::new();
    let (mut ids, mut messages) = (Vec::new(), Vec::new());
    for Entry { id, event } in entries {
        match target.message(event, trace) {
            Ok(message) => {
                ids.push(id);
                messages.push(message);
            }
            Err(why) => failed.push((id, why)),
        }
    }
    let sent = dapr.outbound(name).run(|| target.send(&client, messages.clone())).await;
    match sent {
        Ok(outcomes) => {
            let both = ids.into_iter().zip(outcomes);
            failed.extend(both.filter_map(|(id, outcome)| outcome.err().map(|why| (id, why))));
        }
        Err(problem) => failed.extend(ids.into_iter().map(|id| (id, problem.message.clone()))),
    }
    Ok(failed)
}

fn check_entries(target: &Target<'_>, entries: &[Entry]) -> Result<(), Problem> {
    let mut ids = BTreeSet::new();
    let why = if entries.len() > ENTRIES_MAX {
        format!("{} entries are more than {ENTRIES_MAX}", entries.len())
    } else if entries.iter().all(|entry| !entry.id.is_empty() && ids.insert(entry.id.as_str())) {
        return Ok(());
    } else {
        "entryId is duplicated or not present for entry".to_owned()
    };
    Err(target.unreadable(&why))
}

/// Where a message goes.
pub struct Target<'a> {
    pub dapr: &'a Dapr,
    pub pubsub: &'a Pubsub,
    pub name: &'a str,
    pub topic: &'a str,
}

impl Target<'_> {
    async fn client(&self) -> Result<Client, Problem> {
        self.pubsub.slot.client().await.map_err(|error| self.failed(&error.to_string()))
    }

    /// Wraps the data into a CloudEvent, unless the client says that it is to stay as it is.
    fn message(&self, event: Event, trace: &Trace) -> Result<Message, String> {
        let Event { data, content_type, metadata } = event;
        let raw = metadata.get("rawPayload").is_some_and(|raw| is_true(raw));
        let data = if raw {
            data
        } else {
            let wrapped = envelope::wrap(Incoming {
                data: &data,
                content_type: content_type.as_deref(),
                topic: self.topic,
                pubsub: self.name,
                source: self.dapr.app_id(),
                trace_parent: trace.parent.as_deref(),
                trace_state: trace.state.as_deref(),
                ttl: envelope::ttl(&metadata),
                metadata: &metadata,
            });
            wrapped.map_err(|error| error.to_string())?.into()
        };
        Ok(Message { data, metadata })
    }

    async fn send(
        &self,
        client: &Client,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<(), String>>, Problem> {
        let sent = client.publish(self.topic.to_owned(), messages).await;
        let outcomes = sent.map_err(|error| self.failed(&error.to_string()))?;
        Ok(outcomes.into_iter().map(|one| one.map_err(|error| error.to_string())).collect())
    }

    fn failed(&self, why: &str) -> Problem {
        let Target { name, topic, .. } = self;
        let message = format!("error when publishing to topic {topic} in pubsub {name}: {why}");
        let problem = Problem::internal("ERR_PUBSUB_PUBLISH_MESSAGE", message.clone());
        let problem = problem.reason("DAPR_PUBSUB_PUBLISH_MESSAGE").with("topic", *topic).with("error", why);
        problem.resource(&self.pubsub.kind, name, message)
    }

    /// A bulk request that cannot be read.
    pub fn unreadable(&self, why: &str) -> Problem {
        let Target { name, topic, .. } = self;
        let message = format!("error when unmarshaling the request for topic {topic} pubsub {name}: {why}");
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            "ERR_PUBSUB_EVENTS_SER",
            message.clone(),
        );
        problem.reason("DAPR_PUBSUB_UNMARSHAL_EVENTS").resource(&self.pubsub.kind, name, message)
    }
}

/// Go's words for true (`strconv.ParseBool`), and yes.
pub fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "1" | "t" | "true" | "y" | "yes" | "on")
}
