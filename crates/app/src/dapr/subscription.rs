//! `kind: Subscription`, in both versions: <https://docs.dapr.io/reference/resource-specs/subscription-schema/>.

use super::component::{resource_name, texts};
use super::fields::Fields;
use super::load::{Document, Need};
use crate::manifest::findings::Findings;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// Events of one call, where a subscription does not say.
const BULK_MESSAGES: usize = 100;
/// Events of one call, whatever a subscription says.
const BULK_MESSAGES_MAX: i64 = 100_000;
/// How long events are gathered for one call, where a subscription does not say.
const BULK_WAIT: Duration = Duration::from_secs(1);
/// And at most.
const BULK_WAIT_MAX_MS: i64 = 3_600_000;

/// Which events of a topic go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaprSubscription {
    pub name: String,
    /// The component that brings the events.
    pub pubsub: String,
    pub topic: String,
    /// The first that matches counts.
    pub rules: Vec<Rule>,
    /// Where events go that no rule matches; empty: nowhere.
    pub default_path: String,
    pub dead_letter_topic: Option<String>,
    /// Messages are not in an envelope of CloudEvents.
    pub raw_payload: bool,
    /// Including `rawPayload`.
    pub metadata: BTreeMap<String, String>,
    /// Several events in one call.
    pub bulk: Option<Bulk>,
    /// App ids that it is for; empty means all.
    pub scopes: Vec<String>,
    pub file: PathBuf,
    /// Of the document, from 1.
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// In CEL; empty matches everything.
    pub expression: String,
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bulk {
    pub messages_max: usize,
    pub wait_max: Duration,
}

/// Reads either version: `route`, or `routes` with rules.
pub(super) fn read(
    mut resource: Fields<'_>,
    document: &mut Document<'_>,
    f: &mut Findings,
) -> Option<DaprSubscription> {
    let name = resource_name(&mut resource, f);
    let scopes = resource.strings("scopes", f);
    let help = "add `spec:` with `pubsubname`, `topic` and `routes`";
    let spec = resource.require_fields("spec", help, f);
    resource.finish(f);
    let mut spec = spec?;
    let pubsub = spec.require("pubsubname", "name the component that brings the events", f);
    let topic = spec.require("topic", "name the topic", f);
    let route = spec.string("route", f);
    let routes_span = spec.key_span("routes");
    let has_routes = spec.get("routes").is_some();
    let routes = spec.fields("routes", f).map(|routes| read_routes(routes, f));
    let (rules, default) = routes.unwrap_or_default();
    let dead_letter_topic = spec.string("deadLetterTopic", f).filter(|topic| !topic.is_empty());
    let metadata = spec.fields("metadata", f).map(|fields| texts(fields, f)).unwrap_or_default();
    let bulk = spec.fields("bulkSubscribe", f).and_then(|bulk| read_bulk(bulk, f));
    let default_path = default.or(route).unwrap_or_default();
    if rules.is_empty() && default_path.is_empty() {
        let span = if has_routes { routes_span } else { spec.span };
        let help = "add `routes:` with `default: /PATH` (v2alpha1), or `route: /PATH` (v1alpha1)";
        f.error_help(span, "the subscription has no route, so no event would arrive", help);
    }
    spec.finish(f);
    let (pubsub, topic) = (pubsub?, topic?);
    document.needs(Need::PubSub(pubsub.text.to_owned()), pubsub.span);
    let raw_payload =
        metadata.iter().any(|(name, value)| name.eq_ignore_ascii_case("rawPayload") && is_truthy(value));
    Some(DaprSubscription {
        name: name?,
        pubsub: pubsub.text.to_owned(),
        topic: topic.text.to_owned(),
        rules: rules.into_iter().flatten().collect(),
        default_path,
        dead_letter_topic,
        raw_payload,
        metadata: metadata.into_iter().collect(),
        bulk,
        scopes,
        file: document.file.to_owned(),
        line: document.line,
    })
}

/// The rules, `None` for one that is wrong, and the default.
fn read_routes(mut routes: Fields<'_>, f: &mut Findings) -> (Vec<Option<Rule>>, Option<String>) {
    let items = routes.items("rules", f);
    let rule = |node| {
        let mut rule = Fields::new("spec.routes.rules", node, f)?;
        let expression = rule.string("match", f).unwrap_or_default();
        let path = rule.require("path", "add `path: /PATH`", f);
        rule.finish(f);
        Some(Rule { expression, path: path?.text.to_owned() })
    };
    let rules = items.iter().map(rule).collect();
    let default = routes.string("default", f);
    routes.finish(f);
    (rules, default)
}

fn read_bulk(mut bulk: Fields<'_>, f: &mut Findings) -> Option<Bulk> {
    let enabled = bulk.boolean("enabled", f).unwrap_or(false);
    let messages = bulk.number("maxMessagesCount", 0, BULK_MESSAGES_MAX, f);
    let wait_ms = bulk.number("maxAwaitDurationMs", 0, BULK_WAIT_MAX_MS, f);
    bulk.finish(f);
    // 0 counts as not said.
    let positive =
        |number: Option<i64>| number.and_then(|number| u32::try_from(number).ok()).filter(|n| *n > 0);
    enabled.then(|| Bulk {
        messages_max: positive(messages).map_or(BULK_MESSAGES, |number| number as usize),
        wait_max: positive(wait_ms).map_or(BULK_WAIT, |ms| Duration::from_millis(ms.into())),
    })
}

/// What Dapr takes for a yes.
fn is_truthy(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "y" | "yes" | "true" | "t" | "on" | "1")
}
