//! The gateway's part of an app: filters, and what a route does besides handing over.

use crate::{Build, Grants, Limits, Reference};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// A plug-in in the path of HTTP exchanges. Its ABI is detected from its exports.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    pub name: String,
    /// The wasm file. Of an image it is empty until whoever loads it has the file.
    pub source: PathBuf,
    /// Where the code comes from, if not from a file.
    pub image: Option<Reference>,
    pub build: Option<Build>,
    /// Handed to the filter as it stands; a route may have another.
    pub config: String,
    /// Names and values for filters that take parameters (Easegress).
    pub parameters: Vec<(String, String)>,
    /// proxy-wasm: filters of one code, one id and one configuration share an instance, and filters of one id
    /// share data and queues. `None`: the filter's name.
    pub vm_id: Option<String>,
    /// proxy-wasm: what `on_vm_start` gets.
    pub vm_config: String,
    /// proxy-wasm: which of the plug-ins inside of the file.
    pub root_id: String,
    pub grants: Grants,
    /// `timeout` bounds one call of the filter, `memory_bytes` one instance.
    pub limits: Limits,
    /// Instances that a worker may have at once (proxy-wasm), or that all together may (others).
    pub instances: u32,
    /// The longest time for which a filter may hold an exchange up while it waits for something.
    pub pause: Duration,
    /// What a filter may have the gateway buffer of one body.
    pub buffer_bytes: u64,
    pub on_failure: OnFailure,
    /// Easegress: what becomes of an exchange by the name of the filter's result, where it is not what is usual.
    pub results: BTreeMap<String, OnResult>,
    /// proxy-wasm: a filter that stops at headers gets the body all the same (Envoy's
    /// `allow_on_headers_stop_iteration`).
    pub body_while_paused: bool,
    /// A newer version that gets a share of the exchanges.
    pub canary: Option<Canary>,
}

/// What becomes of an exchange whose filter failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It is answered with 503.
    #[default]
    Closed,
    /// It goes on as if the filter were not there.
    Open,
}

/// How an exchange goes on after a result of its filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnResult {
    /// With the response that the filter made.
    End,
    /// As if the filter had nothing to say.
    Continue,
    /// To a component or an upstream of the app, in place of the route's target.
    To(String),
}

/// A version on trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// `None`: the filter's own file, with another configuration.
    pub source: Option<PathBuf>,
    /// In place of a file; whoever loads it makes a `source` of it.
    pub image: Option<Reference>,
    pub config: Option<String>,
    /// Of 10,000 exchanges, so many.
    pub share_per_10000: u32,
    /// It is withdrawn when more than this share of its exchanges fail, of 10,000.
    pub failures_per_10000: u32,
    /// Not before it had so many exchanges.
    pub exchanges_min: u32,
}

/// A filter on a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFilter {
    pub filter: String,
    /// In place of the filter's own.
    pub config: Option<String>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter {
            name: String::new(),
            source: PathBuf::new(),
            image: None,
            build: None,
            config: String::new(),
            parameters: Vec::new(),
            vm_id: None,
            vm_config: String::new(),
            root_id: String::new(),
            grants: Grants::default(),
            limits: Filter::default_limits(),
            instances: 64,
            pause: Duration::from_secs(30),
            buffer_bytes: 1 << 20,
            on_failure: OnFailure::Closed,
            results: BTreeMap::new(),
            body_while_paused: false,
            canary: None,
        }
    }
}

impl Filter {
    /// A filter stands in everybody's way, so it has little time where its manifest does not say.
    pub fn default_limits() -> Limits {
        Limits {
            memory_bytes: Some(64 << 20),
            timeout: Some(Duration::from_millis(100)),
            ..Limits::default()
        }
    }
}

/// What a route does with a request and its response, beside handing over. In the order in which a request
/// meets it; what a field says of the response happens on the way back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Done to every response of the route, last of all.
    pub response_headers: HeaderEdits,
    pub cors: Option<Cors>,
    pub rate_limit: Option<RateLimit>,
    /// The largest body of a request.
    pub body_bytes: Option<u64>,
    /// Until the head of the response.
    pub timeout: Option<Duration>,
    /// A path as that of a route: the names and the wildcard stand for what they matched.
    pub rewrite: Option<String>,
    pub rewrite_host: Option<String>,
    pub request_headers: HeaderEdits,
}

/// Changes to headers: first what is removed, then what is set, then what is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    pub remove: Vec<String>,
    /// In place of all values that there are.
    pub set: Vec<(String, String)>,
    /// Beside the values that there are.
    pub add: Vec<(String, String)>,
}

impl HeaderEdits {
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty() && self.add.is_empty()
    }
}

/// Whose pages may read the route's responses (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    /// `https://shop.example.com`, `https://*.example.com`, or `*` for all.
    pub origins: Vec<String>,
    /// Upper case, or `*` for all.
    pub methods: Vec<String>,
    /// Of requests; lower case, or `*` for all.
    pub headers: Vec<String>,
    /// Of responses, which pages may read; `*` for all.
    pub expose: Vec<String>,
    /// Cookies and logins may be sent.
    pub credentials: bool,
    /// How long a browser may remember the answer.
    pub max_age: Option<Duration>,
}

/// So many requests in so long a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    pub requests: u32,
    pub per: Duration,
    /// How many may come at once after a rest. Counts only without a store.
    pub burst: u32,
    pub key: RateKey,
    /// The key-value store that counts for all processes; `None`: each counts for itself.
    pub store: Option<String>,
    /// What becomes of a request while the store is down.
    pub on_failure: OnFailure,
}

/// Who has a limit of his own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RateKey {
    /// Each address; of IPv6 each network of 64 bits, because a client has as many addresses in it as it likes.
    #[default]
    SourceIp,
    /// Each value of a header. Requests without it share one limit.
    Header(String),
    /// All together.
    Route,
}

/// Several targets, of which each gets its share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Each with its weight; the sum is more than 0.
    pub targets: Vec<(crate::Target, u32)>,
    /// What requests have in common that shall get to the same target; `None`: each is on its own.
    pub by: Option<SplitBy>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitBy {
    /// A cookie; who has none gets one.
    Cookie(String),
    Header(String),
    SourceIp,
}

/// A listener whose connections go to an upstream as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct TcpRoute {
    /// With `tls`, the connection is in the clear from here on.
    pub listen: crate::Listen,
    /// The name of an upstream.
    pub upstream: String,
    /// In the order in which they see what the client sends.
    pub filters: Vec<RouteFilter>,
    /// A connection on which nothing moves for so long is closed.
    pub idle: Duration,
    /// Connections at a time.
    pub connections: u32,
}

impl TcpRoute {
    pub const IDLE_DEFAULT: Duration = Duration::from_secs(3600);
    pub const CONNECTIONS_DEFAULT: u32 = 1024;
}
