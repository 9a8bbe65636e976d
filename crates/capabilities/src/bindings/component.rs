//! From the metadata of a Dapr component to a binding.

use super::http::Http;
use super::local_storage::LocalStorage;
use super::postgres::{DATABASE, Postgres};
use super::redis::Redis;
use super::schedule::Schedule;
use super::{Backend, DATA_BYTES_MAX, Input, Output};
use crate::http::Door;
use crate::http::policy::Target;
use crate::redis::{link::Link, metadata};
use crate::sql::{Databases, Granted};
use crate::{Explain, GrantError, Properties, PropertyError};
use http::HeaderName;
use sampan_app::{App, Grants, HostPattern, Origin, PortPattern, Secret, SqlBackend, SqlStore, StoreGrant};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// The largest limit of a response that a component file can ask for; also what "no limit" means here.
const RESPONSE_BYTES_MAX: usize = 1 << 30;
/// Of PostgreSQL, where the metadata do not say.
const CONNECTIONS: u32 = 4;
const CONNECTIONS_MAX: i64 = 1000;
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(20);

/// A binding as its component file describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BindingDescription {
    /// `bindings.cron`, the only one that brings events.
    Cron(Schedule),
    /// `bindings.http`
    Http(HttpDescription),
    /// `bindings.redis`
    Redis { url: Secret },
    /// `bindings.postgresql`, or `bindings.postgres`.
    Postgres { url: Secret, connections: u32, timeout: Duration },
    /// `bindings.localstorage`
    LocalStorage { path: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpDescription {
    pub url: String,
    /// What the url says, and all that is granted.
    pub origin: Origin,
    pub error_if_not_2xx: bool,
    pub response_timeout: Option<Duration>,
    pub response_bytes_max: usize,
    pub token: Option<(HeaderName, Secret)>,
}

/// An open binding.
pub enum Binding {
    Input(Input),
    Output(Output),
}

/// `None`: the type is no binding's.
pub fn describe(kind: &str, properties: &Properties) -> Result<Option<BindingDescription>, PropertyError> {
    Ok(Some(match kind {
        "bindings.cron" => BindingDescription::Cron(schedule(properties)?),
        "bindings.http" => BindingDescription::Http(http_description(properties)?),
        "bindings.redis" => BindingDescription::Redis { url: metadata::url(properties)? },
        "bindings.postgresql" | "bindings.postgres" => postgres(properties)?,
        "bindings.localstorage" => {
            BindingDescription::LocalStorage { path: properties.required("rootPath")?.into() }
        }
        _ => return Ok(None),
    }))
}

fn schedule(properties: &Properties) -> Result<Schedule, PropertyError> {
    let help = "write \"0 */5 * * * *\", \"@hourly\" or \"@every 15m\"";
    Schedule::parse(properties.required("schedule")?).map_err(|error| {
        PropertyError::new("schedule", format!("the metadata's `schedule` is not one: {error}"), help)
    })
}

fn http_description(properties: &Properties) -> Result<HttpDescription, PropertyError> {
    for name in ["MTLSRootCA", "MTLSClientCert", "MTLSClientKey", "MTLSRenegotiation"] {
        if properties.text(name).is_some() {
            let help = "remove it; servers are checked against the certificates that the machine trusts";
            return Err(properties.wrong(name, "not supported", help));
        }
    }
    let text = properties.required("url")?;
    let wrong = || properties.wrong("url", "no address of HTTP", "write http://HOST:PORT/PATH or https://…");
    let target = text.parse().map_err(|_| wrong()).and_then(|uri| Target::of(&uri).map_err(|_| wrong()))?;
    let host = target.host.parse().map_err(|()| wrong())?;
    // A name with a star in it is no name.
    if !matches!(host, HostPattern::Name(_) | HostPattern::Network(_)) {
        return Err(wrong());
    }
    let scheme = Some(target.scheme().to_owned());
    let origin = Origin { scheme, host, port: PortPattern::One(target.port) };
    let token = match (properties.text("securityTokenHeader"), properties.text("securityToken")) {
        (Some(name), Some(token)) => {
            let wrong =
                |_| properties.wrong("securityTokenHeader", "no name of a header", "write X-Security-Token");
            Some((HeaderName::from_bytes(name.as_bytes()).map_err(wrong)?, Secret::new(token)))
        }
        _ => None,
    };
    Ok(HttpDescription {
        url: text.to_owned(),
        origin,
        error_if_not_2xx: properties.flag("errorIfNot2XX")?.unwrap_or(true),
        response_timeout: properties.duration("responseTimeout", Duration::from_secs(1))?,
        response_bytes_max: response_bytes_max(properties)?,
        token,
    })
}

/// A quantity of Kubernetes (`100Mi`); 0 and less mean no limit.
fn response_bytes_max(properties: &Properties) -> Result<usize, PropertyError> {
    let name = "maxResponseBodySize";
    let Some(text) = properties.text(name) else { return Ok(DATA_BYTES_MAX) };
    let units: [(&str, i64); 9] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("k", 1000),
        ("K", 1000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("B", 1),
        ("", 1),
    ];
    let parsed = units
        .iter()
        .find_map(|(unit, factor)| text.strip_suffix(unit)?.trim().parse::<i64>().ok()?.checked_mul(*factor));
    match parsed {
        Some(..=0) => Ok(RESPONSE_BYTES_MAX),
        Some(bytes) => match usize::try_from(bytes) {
            Ok(bytes) if bytes <= RESPONSE_BYTES_MAX => Ok(bytes),
            _ => Err(properties.wrong(name, "too large", "write \"1Gi\" or less")),
        },
        None => Err(properties.wrong(name, "no size", "write one as \"100Mi\"")),
    }
}

fn postgres(properties: &Properties) -> Result<BindingDescription, PropertyError> {
    for name in ["useAzureAD", "useAWSIAM"] {
        if properties.flag(name)? == Some(true) {
            return Err(properties.wrong(
                name,
                "not supported",
                "write user and password into connectionString",
            ));
        }
    }
    // Its name was `url` before.
    let url = properties.text("connectionString").or_else(|| properties.text("url"));
    let url = url.map_or_else(|| properties.required("connectionString"), Ok)?;
    let connections = match properties.number("maxConns")? {
        None | Some(..=0) => CONNECTIONS,
        Some(count @ ..=CONNECTIONS_MAX) => u32::try_from(count).unwrap_or(CONNECTIONS),
        Some(_) => return Err(properties.wrong("maxConns", "too large", "write 1000 or less")),
    };
    let timeout = properties.duration("timeout", Duration::from_secs(1))?.unwrap_or(STATEMENT_TIMEOUT);
    if timeout < Duration::from_secs(1) {
        return Err(properties.wrong("timeout", "too short", "write \"1s\" or more"));
    }
    Ok(BindingDescription::Postgres { url: Secret::new(url), connections, timeout })
}

/// Opens a binding; a server behind it must be reachable, but for HTTP. Must be called inside the runtime in
/// which its driver shall run.
pub async fn open(name: &str, description: &BindingDescription) -> Result<Binding, GrantError> {
    let error = |why: &dyn std::fmt::Display, help: &str| GrantError {
        what: format!("the binding `{name}` cannot be opened: {why}"),
        help: Some(help.to_owned()),
    };
    let backend = match description {
        BindingDescription::Cron(schedule) => {
            return Ok(Binding::Input(Input::of_schedule(schedule.clone())));
        }
        BindingDescription::Http(http) => {
            let door = Door::new(std::slice::from_ref(&http.origin), &Explain::default());
            let HttpDescription { error_if_not_2xx, response_timeout, response_bytes_max, .. } = *http;
            let (url, token) = (http.url.clone(), http.token.clone());
            Backend::Http(Http { door, url, error_if_not_2xx, response_timeout, response_bytes_max, token })
        }
        BindingDescription::Redis { url } => {
            let server = metadata::server(url).map_err(|why| error(&why, metadata::HELP))?;
            let redis = Redis(Link::new(server, Handle::current()));
            redis.check().await.map_err(|why| error(&why, metadata::HELP))?;
            Backend::Redis(redis)
        }
        BindingDescription::Postgres { url, connections, timeout } => {
            let granted = database(url, *connections, *timeout).await;
            let help = "start the database, or correct connectionString";
            Backend::Postgres(Postgres::new(granted.map_err(|why| error(&why, help))?))
        }
        BindingDescription::LocalStorage { path } => {
            let (path, runtime) = (path.clone(), Handle::current());
            let opened = runtime.clone().spawn_blocking(move || LocalStorage::open(&path, runtime)).await;
            let opened = opened.map_err(|why| error(&why, "start sampan again"))?;
            Backend::LocalStorage(
                opened.map_err(|why| error(&why, "let rootPath name a folder for files alone"))?,
            )
        }
    };
    Ok(Binding::Output(Output(Box::new(backend))))
}

/// A pool of this database alone.
async fn database(url: &Secret, connections: u32, timeout: Duration) -> Result<Granted, GrantError> {
    let store = SqlStore {
        backend: SqlBackend::Postgres { url: url.clone() },
        lazy: false,
        connections,
        statement_timeout: timeout,
        init: None,
        ca: None,
    };
    let app = App { sql: [(DATABASE.to_owned(), store)].into(), ..App::default() };
    let databases = Arc::new(Databases::open(&app).await?);
    let grant = StoreGrant { name: DATABASE.to_owned(), store: DATABASE.to_owned() };
    Granted::new(&databases, &Grants { sql: vec![grant], ..Grants::default() }, &Explain::default())
}
