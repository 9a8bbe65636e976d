//! The databases of an app: those that its manifest names, and those that its guests reach by an address.

use super::Error;
use super::address::Address;
use super::connection::Connection;
use super::mysql::MySql;
use super::pool::Pool;
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use crate::{Explain, GrantError};
use sampan_app::{App, Grants, Origin, SqlBackend, SqlStore};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Connections to one address that a guest wrote, all instances together.
const ADDRESS_CONNECTIONS: u32 = 16;
/// How long a statement may take there.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(30);
/// Addresses that are remembered; one that nobody uses makes room for another.
const ADDRESSES_MAX: usize = 64;

/// What kind of database a guest asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    Sqlite,
    Postgres,
    MySql,
}

#[derive(Default)]
pub struct Databases {
    /// Where drivers run; guests may be on other runtimes.
    runtime: Option<Handle>,
    stores: BTreeMap<String, Arc<Store>>,
    by_address: Mutex<HashMap<Key, (Arc<Store>, Instant)>>,
}

/// An address as the guest wrote it, the authorities that it trusts there, and the grants that allow it.
type Key = (Dialect, String, Option<String>, String);

/// One database.
pub(crate) struct Store {
    pool: AnyPool,
    statement_timeout: Duration,
}

enum AnyPool {
    Sqlite(Arc<Pool<Sqlite>>),
    Postgres(Arc<Pool<Postgres>>),
    MySql(Arc<Pool<MySql>>),
}

impl Databases {
    /// Opens the databases of the manifest; those that are lazy at their first use.
    pub async fn open(app: &App) -> Result<Self, GrantError> {
        let mut stores = BTreeMap::new();
        for (name, settings) in &app.sql {
            let wrong = |error: Error, help: &str| GrantError {
                what: format!("cannot open the database sql.{name}: {error}"),
                help: Some(help.to_owned()),
            };
            let store = Store::of_manifest(settings).map_err(|error| {
                wrong(error, "write url = \"postgres://USER:PASSWORD@HOST:PORT/DATABASE\", or mysql://…")
            })?;
            if !settings.lazy {
                let opened = store.connect().await;
                opened.map_err(|error| wrong(error.clone(), &help(name, &error)))?;
            }
            stores.insert(name.clone(), Arc::new(store));
        }
        Ok(Databases { runtime: Some(Handle::current()), stores, by_address: Mutex::default() })
    }

    fn at(&self, dialect: Dialect, text: &str, address: Address, ca: Option<String>) -> Arc<Store> {
        let key = (dialect, text.to_owned(), ca.clone(), address.reach());
        let mut known = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((store, used)) = known.get_mut(&key) {
            *used = Instant::now();
            return Arc::clone(store);
        }
        let idle = known.iter().filter(|(_, (store, _))| store.is_idle());
        let oldest = idle.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone());
        if let Some(oldest) = oldest.filter(|_| known.len() >= ADDRESSES_MAX) {
            known.remove(&oldest);
        }
        let ca = ca.map(String::into_bytes);
        let store = Arc::new(Store::at(address, ca, ADDRESS_TIMEOUT, ADDRESS_CONNECTIONS, None));
        // Where all are in use, this one is not remembered, and its connections end with the guest's handle.
        if known.len() < ADDRESSES_MAX {
            known.insert(key, (Arc::clone(&store), Instant::now()));
        }
        store
    }
}

/// What a person can do about a database that cannot be opened.
fn help(name: &str, error: &Error) -> String {
    let text = error.to_string();
    let credentials = ["password", "Access denied", "authentication", "does not exist", "Unknown database"];
    if credentials.iter().any(|part| text.contains(part)) {
        format!("check user, password and database in the url of [sql.{name}]")
    } else if matches!(error, Error::Query(_)) {
        format!("check the init statements of [sql.{name}]")
    } else {
        format!("start the database or correct [sql.{name}]; with lazy = true the app starts without it")
    }
}

impl Store {
    pub(crate) fn of_manifest(settings: &SqlStore) -> Result<Store, Error> {
        let (connections, timeout) = (settings.connections, settings.statement_timeout);
        let init = settings.init.clone();
        let address = match &settings.backend {
            SqlBackend::Sqlite { path } => {
                let pool = Pool::new(Sqlite { path: path.clone() }, connections, init);
                return Ok(Store { pool: AnyPool::Sqlite(Arc::new(pool)), statement_timeout: timeout });
            }
            SqlBackend::Postgres { url } => Address::postgres(url.reveal())?,
            SqlBackend::MySql { url } => Address::mysql(url.reveal())?,
        };
        let read = |path: &std::path::PathBuf| {
            let read = std::fs::read(path);
            read.map_err(|error| {
                Error::Connection(format!("cannot read the CA file {}: {error}", path.display()))
            })
        };
        let ca = settings.ca.as_ref().map(read).transpose()?;
        Ok(Store::at(address, ca, timeout, connections, init))
    }

    fn at(
        address: Address,
        ca: Option<Vec<u8>>,
        statement_timeout: Duration,
        connections: u32,
        init: Option<String>,
    ) -> Store {
        let pool = match address {
            Address::Postgres { servers, tls, config } => {
                let driver = Postgres { servers, tls, ca, config: *config, statement_timeout };
                AnyPool::Postgres(Arc::new(Pool::new(driver, connections, init)))
            }
            Address::MySql { server, tls, login } => {
                let driver = MySql { server, tls, ca, login, plain: AtomicBool::new(false) };
                AnyPool::MySql(Arc::new(Pool::new(driver, connections, init)))
            }
        };
        Store { pool, statement_timeout }
    }

    fn dialect(&self) -> Dialect {
        match self.pool {
            AnyPool::Sqlite(_) => Dialect::Sqlite,
            AnyPool::Postgres(_) => Dialect::Postgres,
            AnyPool::MySql(_) => Dialect::MySql,
        }
    }

    fn is_idle(&self) -> bool {
        match &self.pool {
            AnyPool::Sqlite(pool) => pool.is_idle(),
            AnyPool::Postgres(pool) => pool.is_idle(),
            AnyPool::MySql(pool) => pool.is_idle(),
        }
    }

    /// A handle, on the runtime in which the caller is.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let limit = self.statement_timeout;
        match &self.pool {
            AnyPool::Sqlite(pool) => Connection::open(Arc::clone(pool), limit).await,
            AnyPool::Postgres(pool) => Connection::open(Arc::clone(pool), limit).await,
            AnyPool::MySql(pool) => Connection::open(Arc::clone(pool), limit).await,
        }
    }
}

/// What one component may reach.
#[derive(Default)]
pub struct Granted {
    databases: Arc<Databases>,
    stores: HashMap<String, Arc<Store>>,
    services: Vec<Origin>,
    explain: Explain,
}

impl Granted {
    /// Finds the databases that the grants name.
    pub fn new(databases: &Arc<Databases>, grants: &Grants, explain: &Explain) -> Result<Self, GrantError> {
        let mut stores = HashMap::new();
        for grant in &grants.sql {
            let store = databases.stores.get(&grant.store).ok_or_else(|| GrantError {
                what: format!("there is no database `{}`", grant.store),
                help: Some(format!("add [sql.{}] to the manifest, or correct the grant", grant.store)),
            })?;
            stores.insert(grant.name.clone(), Arc::clone(store));
        }
        let databases = Arc::clone(databases);
        Ok(Granted { databases, stores, services: grants.services.clone(), explain: explain.clone() })
    }

    /// Opens a handle on the database of this name or, but for SQLite, at this address.
    pub async fn open(&self, dialect: Dialect, name: &str, ca: Option<String>) -> Result<Connection, Error> {
        let store = match self.stores.get(name) {
            Some(store) if store.dialect() == dialect => Arc::clone(store),
            Some(_) => return Err(Error::NoSuchDatabase),
            None => self.store_at(dialect, name, ca)?,
        };
        let runtime = self.databases.runtime.as_ref().ok_or(Error::NoSuchDatabase)?;
        let opened = runtime.spawn(async move { store.connect().await }).await;
        opened.map_err(|error| Error::Connection(error.to_string()))?
    }

    fn store_at(&self, dialect: Dialect, name: &str, ca: Option<String>) -> Result<Arc<Store>, Error> {
        let address = match dialect {
            // Not an address, but a name that was not granted.
            Dialect::Sqlite => {
                self.explain.refused(&format!("open the database {name:?}"), &sql_grant(name));
                return Err(Error::Denied(format!("the database {name:?} is not granted")));
            }
            Dialect::Postgres => Address::postgres(name),
            Dialect::MySql => Address::mysql(name),
        };
        let looks_like_a_name = !name.contains("://") && !name.contains('=');
        let mut address = address.map_err(|error| match looks_like_a_name {
            true => Error::Connection(format!("there is no granted database {name:?}; {error}")),
            false => error,
        })?;
        if let Err(origin) = address.grant(&self.services) {
            self.explain
                .refused(&format!("connect to {origin}"), &format!("grant = {{ services = [{origin:?}] }}"));
            return Err(Error::Denied(format!("{origin} is not granted")));
        }
        Ok(self.databases.at(dialect, name, address, ca))
    }
}

fn sql_grant(name: &str) -> String {
    format!("grant = {{ sql = [{name:?}] }}")
}
