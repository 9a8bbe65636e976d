//! What a user wrote (flags or a manifest) as validated plain data that knows no engine.
//!
//! Nothing here resolves or connects: parsing answers only whether the text makes sense, and the crates that
//! use the data decide what it means on this machine.

mod app;
pub mod dapr;
mod diagnostic;
mod gateway;
mod grants;
mod grants_text;
mod limits;
mod manifest;
mod messaging;
mod program;
mod reference;
mod remote;
mod render;
mod trigger;
mod upstream;

pub use app::{
    App, Asset, Build, Cgi, CgiDialect, Component, ComponentKind, Dependency, KeyValueBackend,
    KeyValueDatabase, KeyValueStore, Listen, PostgresLayout, RedisLayout, Route, Secret, Serving, SqlBackend,
    SqlStore, StaticFolder, Target, Tls, is_table_name,
};
pub use dapr::{AppChannel, AppProtocol, Dapr};
pub use diagnostic::{Diagnostic, Place, Severity};
pub use gateway::{
    Canary, Cors, Filter, HeaderEdits, OnFailure, OnResult, Policy, RateKey, RateLimit, RouteFilter, Split,
    SplitBy, TcpRoute,
};
pub use grants::{
    ConfigValue, EnvFileError, Grants, HostPattern, Mount, NetRule, Origin, ParseGrantError, PortMap,
    PortPattern, Protocol, StoreGrant, parse_env_file,
};
pub use limits::{Limits, ParseLimitError, parse_duration, parse_size};
pub use manifest::{Outline, Read, Surroundings, find_manifest, parse_manifest, read_manifest};
pub use messaging::{MessagingBackend, MessagingStore, NatsStart};
pub use program::{Entry, Program};
pub use reference::{Digest, DigestAlgorithm, ParseReferenceError, Reference};
pub use remote::{Download, Package, PackageVersion, Remote};
pub use render::render;
pub use trigger::{Broker, ScheduleTrigger, TopicTrigger};
pub use upstream::{
    Balance, Forwarded, HashKey, HealthCheck, HostHeader, KeepAlive, Outlier, Retry, RetryOn, Upstream,
    UpstreamLimits, UpstreamProtocol, UpstreamServer, UpstreamTimeouts, UpstreamTls,
};
