//! Dapr's state components: from the metadata of a component file to what a store is (docs.dapr.io, "State store
//! component specs"; dapr/components-contrib, state/*/metadata.yaml).
//!
//! What only tunes a driver that we do not have (sizes of pools, times between attempts) is read over. What would
//! reach another server, or reach it otherwise, is an error where we cannot do it.

use crate::properties::{Properties, PropertyError};
use sampan_app::{KeyValueBackend, KeyValueDatabase, PostgresLayout, RedisLayout, Secret, is_table_name};
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

mod addresses;

use addresses::{mysql_url, postgres_address};

const SECOND: Duration = Duration::from_secs(1);
/// Connections of a component that does not say.
const CONNECTIONS_MAX: i64 = 1000;

/// The store that a component describes; `None` for types that are none of ours. `version` is the component's.
pub fn describe(
    kind: &str,
    version: &str,
    properties: &Properties,
) -> Result<Option<KeyValueBackend>, PropertyError> {
    let make: fn(&Properties) -> Result<KeyValueBackend, PropertyError> = match (kind, version) {
        ("state.in-memory", "v1" | "") => |_| Ok(KeyValueBackend::Memory),
        ("state.sqlite", "v1" | "") => sqlite,
        ("state.redis", "v1" | "") => redis,
        ("state.postgresql" | "state.postgres", "v1" | "") => |of| postgres(PostgresLayout::V1, of),
        ("state.postgresql" | "state.postgres", "v2") => |of| postgres(PostgresLayout::V2, of),
        ("state.mysql", "v1" | "") => mysql,
        (
            "state.in-memory" | "state.sqlite" | "state.redis" | "state.postgresql" | "state.postgres"
            | "state.mysql",
            _,
        ) => {
            let what = format!("there is no version {version:?} of {kind}");
            return Err(PropertyError::new(
                "version",
                what,
                "write `version: v1` (state.postgresql: v1 or v2)",
            ));
        }
        _ => return Ok(None),
    };
    make(properties).map(Some)
}

fn sqlite(of: &Properties) -> Result<KeyValueBackend, PropertyError> {
    let written = of.required("connectionString")?;
    let (path, options) = match written.strip_prefix("file:") {
        // SQLite's own form (sqlite.org/uri.html).
        Some(rest) => rest.split_once('?').unwrap_or((rest, "")),
        None => written.split_once('?').unwrap_or((written, "")),
    };
    let option = |name: &str| options.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let in_memory = path == ":memory:" || option("mode") == Some("memory");
    if matches!(option("mode"), Some("ro")) || option("immutable") == Some("1") {
        let help = "write the path of a file that can be written to";
        return Err(of.wrong("connectionString", "of a database that is only read", help));
    }
    // `file://` has a host, which is empty.
    let path = path.strip_prefix("//").filter(|path| path.starts_with('/')).unwrap_or(path);
    let mut backend =
        KeyValueBackend::sqlite(if in_memory { PathBuf::from(":memory:") } else { path.into() });
    if let KeyValueBackend::Sqlite { table, metadata_table, busy_timeout, .. } = &mut backend {
        *table = name(of, "tableName", table, false)?;
        *metadata_table = name(of, "metadataTableName", metadata_table, false)?;
        *busy_timeout = of.duration("busyTimeout", SECOND)?.unwrap_or(*busy_timeout);
    }
    // Ours sweeps by itself; what is wrong is said all the same.
    cleanup(of, None)?;
    Ok(backend)
}

fn redis(of: &Properties) -> Result<KeyValueBackend, PropertyError> {
    let only = "one server is supported: name it by redisHost";
    if of.flag("failover")?.unwrap_or(false) || of.text("sentinelMasterName").is_some() {
        let name = if of.text("failover").is_some() { "failover" } else { "sentinelMasterName" };
        return Err(of.wrong(name, "for Sentinel, which is not supported", only));
    }
    if of.text("redisType").is_some_and(|kind| !kind.eq_ignore_ascii_case("node")) {
        return Err(of.wrong("redisType", "not `node`, and nothing else is supported", only));
    }
    for name in ["clientCert", "clientKey"] {
        if of.text(name).is_some() {
            let help = "log in by redisUsername and redisPassword";
            return Err(of.wrong(name, "a certificate of a client, which is not supported", help));
        }
    }
    // Several are those of a cluster or of its replicas; each knows the same.
    let host = of.required("redisHost")?.split(',').next().unwrap_or_default().trim();
    let scheme = if of.flag("enableTLS")?.unwrap_or(false) { "rediss" } else { "redis" };
    let wrong = || of.wrong("redisHost", "no address", "write HOST:PORT, as localhost:6379");
    let mut url = Url::parse(&format!("{scheme}://{host}")).map_err(|_| wrong())?;
    // Only what `HOST:PORT` can have.
    if url.host_str().is_none_or(str::is_empty) || host.contains(['/', '@', '?', '#']) {
        return Err(wrong());
    }
    if url.port().is_none() {
        let port = of.number("redisPort")?.unwrap_or(6379);
        let port = u16::try_from(port).map_err(|_| of.wrong("redisPort", "no port", "write 6379"))?;
        url.set_port(Some(port)).map_err(|()| wrong())?;
    }
    url.set_username(of.text("redisUsername").unwrap_or_default()).map_err(|()| wrong())?;
    url.set_password(of.text("redisPassword")).map_err(|()| wrong())?;
    let database = of.number("redisDB")?.unwrap_or(0);
    if database < 0 {
        return Err(of.wrong("redisDB", "less than 0", "write the number of a database, as \"0\""));
    }
    url.set_path(&format!("/{database}"));
    let ttl = of.number("ttlInSeconds")?.and_then(|seconds| u64::try_from(seconds).ok());
    Ok(KeyValueBackend::Redis {
        url: Secret::new(String::from(url)),
        prefix: String::new(),
        layout: RedisLayout::Dapr,
        ttl: ttl.filter(|seconds| *seconds > 0).map(Duration::from_secs),
    })
}

fn postgres(layout: PostgresLayout, of: &Properties) -> Result<KeyValueBackend, PropertyError> {
    for name in ["useAzureAD", "useAWSIAM"] {
        if of.flag(name)?.unwrap_or(false) {
            return Err(of.wrong(name, "set, and is not supported", "log in by user and password"));
        }
    }
    let (address, connections) = postgres_address(of)?;
    let mut database = common(of, Secret::new(address))?;
    if let Some(connections) = connections {
        database.connections = connections;
    }
    database.ca = of.text("sslRootCert").map(PathBuf::from);
    database.table = match layout {
        PostgresLayout::V1 => name(of, "tableName", "state", true)?,
        PostgresLayout::V2 => {
            let table = format!("{}state", of.text("tablePrefix").unwrap_or_default());
            if !is_table_name(&table) {
                return Err(no_name(of, "tablePrefix"));
            }
            table
        }
    };
    database.metadata_table = name(of, "metadataTableName", "dapr_metadata", true)?;
    Ok(KeyValueBackend::Postgres { layout, database })
}

fn mysql(of: &Properties) -> Result<KeyValueBackend, PropertyError> {
    let mut database = common(of, Secret::new(mysql_url(of)?))?;
    database.ca = of.text("pemPath").map(PathBuf::from);
    database.table = name(of, "tableName", "state", false)?;
    database.metadata_table = name(of, "metadataTableName", "dapr_metadata", false)?;
    Ok(KeyValueBackend::MySql { schema: name(of, "schemaName", "dapr_state_store", false)?, database })
}

/// What all databases have.
fn common(of: &Properties, url: Secret) -> Result<KeyValueDatabase, PropertyError> {
    let mut database = KeyValueDatabase::new(url);
    for name in ["timeout", "timeoutInSeconds"] {
        if let Some(timeout) = of.duration(name, SECOND)? {
            if timeout < SECOND {
                return Err(of.wrong(name, "less than a second", "write at least \"1s\""));
            }
            database.timeout = timeout;
        }
    }
    if let Some(connections) = of.number("maxConns")?.filter(|connections| *connections > 0) {
        database.connections = connections.min(CONNECTIONS_MAX) as u32;
    }
    database.cleanup = cleanup(of, database.cleanup)?;
    Ok(database)
}

/// How often expired values are removed: nothing or less is never, as Dapr has it.
fn cleanup(of: &Properties, otherwise: Option<Duration>) -> Result<Option<Duration>, PropertyError> {
    for name in ["cleanupInterval", "cleanupIntervalInSeconds"] {
        if of.text(name).is_some_and(|text| text.starts_with('-')) {
            return Ok(None);
        }
        if let Some(interval) = of.duration(name, SECOND)? {
            return Ok(Some(interval).filter(|interval| !interval.is_zero()));
        }
    }
    Ok(otherwise)
}

fn name(of: &Properties, key: &str, otherwise: &str, dots: bool) -> Result<String, PropertyError> {
    let name = of.text(key).unwrap_or(otherwise);
    if is_table_name(name) && (dots || !name.contains('.')) {
        Ok(name.to_owned())
    } else {
        Err(no_name(of, key))
    }
}

fn no_name(of: &Properties, key: &str) -> PropertyError {
    of.wrong(key, "no name of a table", "use letters, digits and underscores")
}

#[cfg(test)]
mod tests;
