//! An app: everything that a manifest says, as plain, validated data. Nothing behind this file knows whether
//! a `sampan.toml` or a `spin.toml` said it.

use crate::dapr::Dapr;
use crate::gateway::{Filter, Policy, RouteFilter, Split, TcpRoute};
use crate::trigger::{ScheduleTrigger, TopicTrigger};
use crate::upstream::Upstream;
use crate::{Grants, Limits, MessagingStore, Remote};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// One manifest, with every variable filled in and every path made absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct App {
    pub name: String,
    /// Empty where the manifest names none.
    pub version: String,
    pub manifest: PathBuf,
    /// The folder of the manifest.
    pub root: PathBuf,
    /// Where embedded stores keep their files: `.sampan` in the root unless the manifest says otherwise.
    pub state: PathBuf,
    /// Empty where the manifest leaves it to the command line.
    pub listen: Vec<Listen>,
    pub components: Vec<Component>,
    pub routes: Vec<Route>,
    /// Connections that are handed on as they are.
    pub tcp: Vec<TcpRoute>,
    pub upstreams: BTreeMap<String, Upstream>,
    pub filters: BTreeMap<String, Filter>,
    pub keyvalue: BTreeMap<String, KeyValueStore>,
    pub sql: BTreeMap<String, SqlStore>,
    /// Brokers of messages.
    pub messaging: BTreeMap<String, MessagingStore>,
    /// Dapr's API; `None` where the manifest does not ask for it.
    pub dapr: Option<Dapr>,
    pub topic_triggers: Vec<TopicTrigger>,
    pub schedule_triggers: Vec<ScheduleTrigger>,
    /// The admin listener; `None` means that the manifest does not say.
    pub admin: Option<SocketAddr>,
    /// What all instances of the app may take together.
    pub memory_bytes: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    pub tls: Option<Tls>,
}

/// Files in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

/// A guest of an app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Component {
    pub name: String,
    /// The wasm file. Of code that lies elsewhere it is empty until whoever loads it has the file.
    pub source: PathBuf,
    /// Where the code comes from, if not from a file.
    pub remote: Option<Remote>,
    /// Components that answer imports of this one, and become part of it before it is compiled.
    pub dependencies: Vec<Dependency>,
    pub kind: Option<ComponentKind>,
    pub build: Option<Build>,
    pub grants: Grants,
    /// Bounds on one instance; `timeout` and `cpu_time` are those of a request.
    pub limits: Limits,
    pub serving: Serving,
    /// Load it at its first request, not at start.
    pub lazy: bool,
    /// Files of the app that the guest sees, read-only, as copies.
    pub assets: Vec<Asset>,
}

/// A component that another one is composed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Which imports it answers: an interface or a package, with or without a version, or a plain name.
    pub name: String,
    /// As [`Component::source`].
    pub source: PathBuf,
    /// As [`Component::remote`].
    pub remote: Option<Remote>,
    /// The export that answers, where it has another name than the import.
    pub export: Option<String>,
    /// It may reach what the component may reach; else it reaches nothing.
    pub inherits: bool,
}

/// A file of the app under the guest's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    pub source: PathBuf,
    /// Absolute.
    pub guest: String,
}

/// How a guest is reached. Where the manifest does not say, its exports do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ComponentKind {
    /// A component that exports an HTTP handler.
    Http,
    /// A program that is run for each request, as RFC 3875 says.
    Cgi(Cgi),
    /// A program that listens for itself.
    Server {
        /// The guest's own port.
        port: u16,
    },
}

/// How a CGI program is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cgi {
    pub dialect: CgiDialect,
    /// Arguments after the program's name; `${SCRIPT_NAME}` and `${ARGS}` are replaced, as WAGI does.
    pub argv: Vec<String>,
    /// The guest's folder with the scripts and files, absolute.
    pub document_root: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgiDialect {
    #[default]
    Wagi,
    /// Wasmer's: `PATH_INFO` is the whole path.
    Wcgi,
    /// One script for each path below the document root, as web servers run `php-cgi`.
    Script,
}

/// How many instances serve a component, and how much is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Requests that run at once.
    pub instances: u32,
    /// Requests that may wait for an instance; more are answered with 503.
    pub queue: u32,
    /// The longest such wait.
    pub queue_timeout: Duration,
    /// Requests that one instance serves before it is replaced. `None`: 1 for WASI 0.2, many for 0.3.
    pub reuse: Option<u32>,
    /// Requests that one instance serves at once (0.3 only).
    pub concurrency: u32,
    /// An unused instance is dropped after this time.
    pub idle: Duration,
    /// The largest request body.
    pub body_bytes: u64,
    /// Spin's headers are added to requests: what its SDKs' routers read.
    pub spin_headers: bool,
}

impl Default for Serving {
    fn default() -> Self {
        Serving {
            instances: 128,
            queue: 1024,
            queue_timeout: Duration::from_secs(10),
            reuse: None,
            concurrency: 1,
            idle: Duration::from_secs(10),
            body_bytes: 1 << 30,
            spin_headers: false,
        }
    }
}

/// How a component is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// Run in order, each by the shell.
    pub commands: Vec<String>,
    pub workdir: PathBuf,
    /// Globs of the files whose change means a new build, relative to `workdir`.
    pub watch: Vec<String>,
}

/// Which requests go where.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// As written: `/`, `/users/:id`, `/api/...`. The trailing `/...` matches the prefix itself too.
    pub path: String,
    pub host: Option<String>,
    /// Upper case; empty means all.
    pub methods: Vec<String>,
    /// Headers that must have these values; `*` is any value.
    pub headers: Vec<(String, String)>,
    /// Parameters of the query that must have these values; `*` is any value.
    pub query: Vec<(String, String)>,
    /// In the order in which they see the request.
    pub filters: Vec<RouteFilter>,
    pub policy: Policy,
    pub to: Target,
}

impl Route {
    /// All requests for a path.
    pub fn new(path: impl Into<String>, to: Target) -> Self {
        Route {
            path: path.into(),
            host: None,
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
            filters: Vec::new(),
            policy: Policy::default(),
            to,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Component(String),
    Upstream(String),
    Split(Split),
    Static(StaticFolder),
    /// The location may hold the route's `:name` and end in `/...`, as [`Policy::rewrite`].
    Redirect {
        status: u16,
        location: String,
    },
    Respond {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
}

/// Files that are served without a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StaticFolder {
    pub folder: PathBuf,
    /// Served for a folder, `index.html` by default.
    pub index: String,
    /// Where no file is: the file that is served instead, relative to `folder`, as single-page apps want.
    pub fallback: Option<String>,
    /// Where no file is: the component that answers instead.
    pub or: Option<String>,
    /// File names (globs) that are not served, and not said to exist.
    pub hide: Vec<String>,
    /// The `Cache-Control` header.
    pub cache_control: Option<String>,
}

/// A key-value store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueStore {
    pub backend: KeyValueBackend,
    /// Do not connect before the first use, so that the store may be down at start.
    pub lazy: bool,
    /// Stands before every key, and is seen by nobody: apps that share a store keep apart.
    pub key_prefix: String,
}

impl KeyValueStore {
    /// A store of its own.
    pub fn new(backend: KeyValueBackend) -> Self {
        KeyValueStore { backend, lazy: false, key_prefix: String::new() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyValueBackend {
    Memory,
    /// The path `:memory:` is a database that ends with the process.
    Sqlite {
        path: PathBuf,
        table: String,
        metadata_table: String,
        /// How long a write waits for another process that writes to the same file.
        busy_timeout: Duration,
    },
    /// `prefix` stands before every key, so that stores can share a server.
    Redis {
        url: Secret,
        prefix: String,
        layout: RedisLayout,
        /// How long a value stays that is written without a time.
        ttl: Option<Duration>,
    },
    Postgres {
        layout: PostgresLayout,
        database: KeyValueDatabase,
    },
    /// `schema` is what others call a database; it is made where it is missing.
    MySql {
        schema: String,
        database: KeyValueDatabase,
    },
}

/// What is under a key in Redis.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RedisLayout {
    /// A string: the value, as Spin and others have it.
    #[default]
    Plain,
    /// A hash with value and version, as Dapr has it.
    Dapr,
}

/// The versions of Dapr's component `state.postgresql`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PostgresLayout {
    /// The value as `jsonb`, the version is the row's own.
    V1,
    /// The value as bytes.
    #[default]
    V2,
}

/// Where a key-value store in a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValueDatabase {
    pub url: Secret,
    /// A file with the certificates that may sign the server's, in PEM, beside the machine's own.
    pub ca: Option<PathBuf>,
    pub connections: u32,
    /// How long a statement may take.
    pub timeout: Duration,
    /// See [`is_table_name`]; a schema only for PostgreSQL.
    pub table: String,
    /// The table beside it in which Dapr notes what it has made.
    pub metadata_table: String,
    /// How often expired rows, which nobody sees any more, are removed; `None`: never.
    pub cleanup: Option<Duration>,
}

impl KeyValueBackend {
    /// A SQLite file with the tables that Dapr makes.
    pub fn sqlite(path: impl Into<PathBuf>) -> Self {
        KeyValueBackend::Sqlite {
            path: path.into(),
            table: "state".to_owned(),
            metadata_table: "metadata".to_owned(),
            busy_timeout: Duration::from_secs(5),
        }
    }

    /// A Redis server where every value is a string.
    pub fn redis(url: Secret, prefix: impl Into<String>) -> Self {
        KeyValueBackend::Redis { url, prefix: prefix.into(), layout: RedisLayout::Plain, ttl: None }
    }
}

impl KeyValueDatabase {
    /// With the tables that Dapr makes.
    pub fn new(url: Secret) -> Self {
        KeyValueDatabase {
            url,
            ca: None,
            connections: 16,
            timeout: Duration::from_secs(20),
            table: "state".to_owned(),
            metadata_table: "dapr_metadata".to_owned(),
            cleanup: Some(Duration::from_secs(3600)),
        }
    }
}

/// Whether a text can be the name of a table, `TABLE` or `SCHEMA.TABLE`, without quotes and in every database.
pub fn is_table_name(text: &str) -> bool {
    let is_word = |word: &str| {
        let first = word.chars().next();
        word.len() <= 63
            && first.is_some_and(|letter| !letter.is_ascii_digit())
            && word.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    let words: Vec<&str> = text.split('.').collect();
    words.len() <= 2 && words.into_iter().all(is_word)
}

/// A database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlStore {
    pub backend: SqlBackend,
    pub lazy: bool,
    /// Connections, all instances together.
    pub connections: u32,
    /// How long a statement may take.
    pub statement_timeout: Duration,
    /// Statements that are executed when the store is opened.
    pub init: Option<String>,
    /// A file with the certificates that may sign the server's, in PEM, beside the machine's own.
    pub ca: Option<PathBuf>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlBackend {
    Sqlite { path: PathBuf },
    Postgres { url: Secret },
    MySql { url: Secret },
}

/// Text that must not be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The text. Whoever asks for it must not put it into a message.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}
