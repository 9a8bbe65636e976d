//! `kind: Resiliency`: named timeouts, retries and circuit breakers, and which of them count for what:
//! <https://docs.dapr.io/operations/resiliency/>.

use super::component::resource_name;
use super::fields::{Fields, duration, text};
use super::load::{Document, Need};
use super::yaml::{Key, Node};
use crate::manifest::findings::{Findings, quoted};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resiliency {
    pub name: String,
    pub timeouts: BTreeMap<String, Duration>,
    pub retries: BTreeMap<String, RetryPolicy>,
    pub breakers: BTreeMap<String, BreakerPolicy>,
    pub apps: BTreeMap<String, PolicyNames>,
    pub components: BTreeMap<String, ComponentTarget>,
    /// App ids that it is for; empty means all.
    pub scopes: Vec<String>,
    pub file: PathBuf,
    /// Of the document, from 1.
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    pub back_off: BackOff,
    /// Beside the first attempt. `None`: for ever.
    pub retries_max: Option<u32>,
    /// `None`: all.
    pub http: Option<StatusMatch>,
    /// `None`: all.
    pub grpc: Option<StatusMatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackOff {
    Constant(Duration),
    /// Grows, up to this much.
    Exponential {
        interval_max: Duration,
    },
}

/// Statuses, both ends included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusMatch(pub Vec<(u16, u16)>);

impl StatusMatch {
    pub fn matches(&self, status: u16) -> bool {
        self.0.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            back_off: BackOff::Constant(Duration::from_secs(5)),
            retries_max: None,
            http: None,
            grpc: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Calls that are let through at once to try whether all is well again.
    pub requests_max: u32,
    /// Counts begin anew after so long; zero: never.
    pub interval: Duration,
    /// How long nothing is let through.
    pub timeout: Duration,
    /// In CEL, over `requests`, `totalSuccesses`, `totalFailures`, `consecutiveSuccesses` and
    /// `consecutiveFailures`.
    pub trip: String,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy {
            requests_max: 1,
            interval: Duration::ZERO,
            timeout: Duration::from_secs(60),
            trip: "consecutiveFailures > 5".to_owned(),
        }
    }
}

/// Names of policies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyNames {
    pub timeout: Option<String>,
    pub retry: Option<String>,
    pub breaker: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComponentTarget {
    /// From the component to the app.
    pub inbound: PolicyNames,
    /// From the app to the component.
    pub outbound: PolicyNames,
}

/// Retry policies that are there without being declared.
pub(super) const BUILT_IN: [&str; 5] = [
    "DaprBuiltInServiceRetries",
    "DaprBuiltInActorRetries",
    "DaprBuiltInActorReminderRetries",
    "DaprBuiltInInitializationRetries",
    "DaprBuiltInActorNotFoundRetries",
];
/// Overrides of the built-in ones retry at least so often.
const BUILT_IN_RETRIES_MIN: u32 = 3;
const INTERVAL_MAX: Duration = Duration::from_secs(60);

pub(super) fn read(
    mut resource: Fields<'_>,
    document: &mut Document<'_>,
    f: &mut Findings,
) -> Option<Resiliency> {
    let mut read = Resiliency { file: document.file.to_owned(), line: document.line, ..Default::default() };
    let name = resource_name(&mut resource, f);
    read.scopes = resource.strings("scopes", f);
    let spec = resource.require_fields("spec", "add `spec:` with `policies` and `targets`", f);
    resource.finish(f);
    let mut spec = spec?;
    if let Some(mut policies) = spec.fields("policies", f) {
        read_policies(&mut policies, &mut read, f);
        policies.finish(f);
    }
    if let Some(mut targets) = spec.fields("targets", f) {
        for (name, fields) in named(&mut targets, "apps", f) {
            read.apps.insert(name, policy_names(fields, document, f));
        }
        for (name, mut fields) in named(&mut targets, "components", f) {
            let mut side = |key, f: &mut Findings| {
                fields.fields(key, f).map(|side| policy_names(side, document, f)).unwrap_or_default()
            };
            let target = ComponentTarget { inbound: side("inbound", f), outbound: side("outbound", f) };
            fields.finish(f);
            read.components.insert(name, target);
        }
        targets.ignore(&["actors"]);
        targets.finish(f);
    }
    spec.finish(f);
    read.name = name?;
    Some(read)
}

fn read_policies(policies: &mut Fields<'_>, read: &mut Resiliency, f: &mut Findings) {
    if let Some(timeouts) = policies.fields("timeouts", f) {
        for (key, node) in timeouts.into_entries() {
            let path = format!("spec.policies.timeouts.{}", key.text);
            let time = text(&path, node, f).and_then(|text| duration(&path, text, f));
            read.timeouts.extend(time.map(|time| (key.text.clone(), time)));
        }
    }
    for (name, fields) in named(policies, "retries", f) {
        let mut retry = retry(fields, f);
        let too_few = retry.retries_max.is_some_and(|retries| retries < BUILT_IN_RETRIES_MIN);
        if too_few && BUILT_IN.contains(&name.as_str()) {
            retry.retries_max = Some(BUILT_IN_RETRIES_MIN);
        }
        read.retries.insert(name, retry);
    }
    for (name, fields) in named(policies, "circuitBreakers", f) {
        read.breakers.insert(name, breaker(fields, f));
    }
}

/// Maps under names that the user chose.
fn named<'a>(fields: &mut Fields<'a>, key: &'static str, f: &mut Findings) -> Vec<(String, Fields<'a>)> {
    let Some(all) = fields.fields(key, f) else { return Vec::new() };
    let path = all.path.clone();
    let one = |(key, node): &'a (Key, Node)| {
        Some((key.text.clone(), Fields::new(format!("{path}.{}", key.text), node, f)?))
    };
    all.into_entries().iter().filter_map(one).collect()
}

fn retry(mut fields: Fields<'_>, f: &mut Findings) -> RetryPolicy {
    let default = RetryPolicy::default();
    let policy = fields.text("policy", f);
    let constant = fields.duration("duration", f);
    let interval_max = fields.duration("maxInterval", f).unwrap_or(INTERVAL_MAX);
    let retries = fields.number("maxRetries", -1, i64::from(u32::MAX), f).unwrap_or(-1);
    let back_off = match policy.map(|text| text.text.to_ascii_lowercase()).as_deref() {
        None | Some("" | "constant") => constant.map_or(default.back_off, BackOff::Constant),
        Some("exponential") => BackOff::Exponential { interval_max },
        Some(other) => {
            let message = format!("there is no retry policy {}", quoted(other));
            f.error_help(fields.key_span("policy"), message, "write `constant` or `exponential`");
            default.back_off
        }
    };
    let mut policy = RetryPolicy { back_off, retries_max: u32::try_from(retries).ok(), ..default };
    if let Some(mut matching) = fields.fields("matching", f) {
        policy.http = statuses(&mut matching, "httpStatusCodes", 100, 599, f);
        policy.grpc = statuses(&mut matching, "gRPCStatusCodes", 0, 16, f);
        matching.finish(f);
    }
    fields.finish(f);
    policy
}

/// `429,500-599`
fn statuses(
    fields: &mut Fields<'_>,
    key: &'static str,
    low: u16,
    high: u16,
    f: &mut Findings,
) -> Option<StatusMatch> {
    let text = fields.text(key, f).filter(|text| !text.text.is_empty())?;
    let mut ranges = Vec::new();
    for part in text.text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let range = first.trim().parse().ok().zip(last.trim().parse().ok());
        let range = range.filter(|(first, last)| low <= *first && first <= last && *last <= high);
        if range.is_none() {
            let message = format!("`{}`: {} is no status", fields.path_of(key), quoted(part));
            let help =
                format!("write statuses from {low} to {high}, and ranges: `{low},{}-{high}`", high - 1);
            f.error_help(text.span, message, help);
        }
        ranges.extend(range);
    }
    Some(StatusMatch(ranges))
}

fn breaker(mut fields: Fields<'_>, f: &mut Findings) -> BreakerPolicy {
    let default = BreakerPolicy::default();
    let requests = fields.number("maxRequests", 0, i64::from(u32::MAX), f);
    let (interval, timeout) = (fields.duration("interval", f), fields.duration("timeout", f));
    let breaker = BreakerPolicy {
        // 0 counts as not said.
        requests_max: requests.and_then(|n| u32::try_from(n).ok()).unwrap_or(1).max(1),
        interval: interval.unwrap_or(default.interval),
        timeout: timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(default.timeout),
        trip: fields.string("trip", f).filter(|trip| !trip.is_empty()).unwrap_or(default.trip),
    };
    fields.finish(f);
    breaker
}

fn policy_names(mut fields: Fields<'_>, document: &mut Document<'_>, f: &mut Findings) -> PolicyNames {
    let mut name = |key, need: fn(String) -> Need, f: &mut Findings| {
        let text = fields.text(key, f).filter(|text| !text.text.is_empty())?;
        document.needs(need(text.text.to_owned()), text.span);
        Some(text.text.to_owned())
    };
    let names = PolicyNames {
        timeout: name("timeout", Need::Timeout, f),
        retry: name("retry", Need::Retry, f),
        breaker: name("circuitBreaker", Need::Breaker, f),
    };
    fields.ignore(&["circuitBreakerCacheSize", "circuitBreakerScope"]);
    fields.finish(f);
    names
}
