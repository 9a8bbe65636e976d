//! PostgreSQL, by tokio-postgres.

use super::address::{Server, label};
use super::connection::{Done, Item};
use super::pool::{Driver, Session};
use super::postgres_decode::{Decoded, kind_of};
use super::postgres_encode::Param;
use super::tls::{TlsMode, client_config};
use super::{Column, Details, Error, QueryError, Value};
use futures::TryStreamExt;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::pin::pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Statements that a connection keeps prepared, and how long each may be.
const PREPARED_MAX: usize = 64;
const PREPARED_TEXT_MAX: usize = 4 << 10;
/// The server ends a statement itself this long after we would have, in case that we are gone.
const GRACE: Duration = Duration::from_secs(1);

/// How to reach a database.
pub(super) struct Postgres {
    pub servers: Vec<Server>,
    pub tls: TlsMode,
    /// The authorities beside the machine's own, in PEM.
    pub ca: Option<Vec<u8>>,
    /// Without hosts.
    pub config: Config,
    pub statement_timeout: Duration,
}

pub(super) struct PostgresSession {
    client: Client,
    tls: MakeRustlsConnect,
    prepared: HashMap<String, Statement>,
    statement_timeout: Duration,
    used: bool,
    /// What the guest did cannot be taken back.
    spoiled: bool,
    /// The protocol's state is not known any more.
    broken: bool,
}

impl Driver for Postgres {
    type Session = PostgresSession;

    async fn connect(&self) -> Result<PostgresSession, Error> {
        let tls = MakeRustlsConnect::new(client_config(self.tls, self.ca.as_deref())?);
        let mut failure = None;
        for server in &self.servers {
            let addresses = match server.resolve().await {
                Ok(addresses) => addresses,
                Err(error) => {
                    failure = Some(error);
                    continue;
                }
            };
            for address in addresses {
                let mut config = self.config.clone();
                config.host(&server.host).hostaddr(address.ip()).port(address.port());
                config.ssl_mode(match self.tls {
                    TlsMode::Disable => SslMode::Disable,
                    TlsMode::Prefer => SslMode::Prefer,
                    TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
                });
                match config.connect(tls.clone()).await {
                    Ok((client, connection)) => {
                        tokio::spawn(connection);
                        return self.greet(client, tls).await;
                    }
                    Err(error) => {
                        let text = format!("cannot connect to {}: {}", self.label(), chain(&error));
                        failure = Some(Error::Connection(text));
                    }
                }
            }
        }
        Err(failure.unwrap_or_else(|| Error::Connection("the address names no server".to_owned())))
    }

    fn label(&self) -> String {
        label("postgres", &self.servers)
    }
}

impl Postgres {
    async fn greet(&self, client: Client, tls: MakeRustlsConnect) -> Result<PostgresSession, Error> {
        let session = PostgresSession {
            client,
            tls,
            prepared: HashMap::new(),
            statement_timeout: self.statement_timeout,
            used: false,
            spoiled: false,
            broken: false,
        };
        session.client.batch_execute(&session.set_timeout()).await.map_err(|error| failed(&error))?;
        Ok(session)
    }
}

impl Session for PostgresSession {
    async fn run(
        &mut self,
        statement: String,
        params: Vec<Value>,
        sink: mpsc::Sender<Item>,
    ) -> Result<Done, Error> {
        self.used = true;
        // What a guest prepares by SQL stays with the connection, under a name that others may want.
        self.spoiled |= contains_ignoring_case(&statement, "prepare");
        let result = match self.try_run(&statement, &params, &sink).await {
            Err(error) if is_stale(&error) && self.prepared.remove(&statement).is_some() => {
                self.try_run(&statement, &params, &sink).await
            }
            result => result,
        };
        result.map_err(|failure| match failure {
            Failure::Ours(error) => error,
            Failure::Driver(error) => {
                // Anything but an error of the database leaves the protocol in an unknown state.
                self.broken |= error.as_db_error().is_none();
                failed(&error)
            }
        })
    }

    async fn init(&mut self, statements: &str) -> Result<(), Error> {
        self.client.batch_execute(statements).await.map_err(|error| failed(&error))
    }

    fn usable(&self) -> bool {
        !self.broken && !self.client.is_closed()
    }

    async fn ping(&mut self) -> bool {
        self.client.batch_execute("").await.is_ok()
    }

    /// What `DISCARD ALL` does, but for prepared statements (PostgreSQL's documentation, DISCARD); that one
    /// cannot stand beside others.
    async fn clean(&mut self) -> bool {
        if !self.used || self.spoiled {
            return !self.spoiled;
        }
        let clean = format!(
            "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
             SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES; {}",
            self.set_timeout()
        );
        self.used = false;
        self.client.batch_execute(&clean).await.is_ok()
    }

    async fn cancel(self) {
        let _ = self.client.cancel_token().cancel_query(self.tls).await;
    }
}

enum Failure {
    Ours(Error),
    Driver(tokio_postgres::Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Failure::Driver(error)
    }
}

impl PostgresSession {
    fn set_timeout(&self) -> String {
        format!("SET statement_timeout = {}", (self.statement_timeout + GRACE).as_millis())
    }

    async fn try_run(
        &mut self,
        text: &str,
        params: &[Value],
        sink: &mpsc::Sender<Item>,
    ) -> Result<Done, Failure> {
        let statement = self.prepare(text).await?;
        let types = statement.params();
        if types.len() != params.len() {
            let (takes, got) = (types.len(), params.len());
            let text = format!("the statement takes {takes} parameters, but got {got}");
            return Err(Failure::Ours(Error::Parameter(text)));
        }
        let encoded: Result<Vec<Param>, Error> =
            params.iter().zip(types).map(|(value, ty)| Param::new(value, ty)).collect();
        let encoded = encoded.map_err(Failure::Ours)?;
        let mut rows = pin!(self.client.query_raw(&statement, encoded).await?);
        let columns = statement.columns();
        let head = columns
            .iter()
            .map(|column| Column { name: column.name().to_owned(), kind: kind_of(column.type_()) });
        let mut open = sink.send(Item::Columns(head.collect())).await.is_ok();
        while let Some(row) = rows.try_next().await? {
            let decoded: Result<Vec<Value>, _> =
                (0..row.len()).map(|index| row.try_get(index).map(|Decoded(value)| value)).collect();
            let decoded = decoded.map_err(|error| Failure::Ours(Error::Conversion(chain(&error))))?;
            open = open && sink.send(Item::Row(decoded)).await.is_ok();
        }
        Ok(Done { affected: rows.rows_affected().unwrap_or(0), rowid: 0 })
    }

    async fn prepare(&mut self, text: &str) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.prepared.get(text) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(text).await?;
        if text.len() <= PREPARED_TEXT_MAX {
            if self.prepared.len() >= PREPARED_MAX {
                self.prepared.clear();
            }
            self.prepared.insert(text.to_owned(), statement.clone());
        }
        Ok(statement)
    }
}

/// Whether a prepared statement does not fit the database any more: its table was changed, or it was
/// deallocated. The server says so before it does anything.
fn is_stale(failure: &Failure) -> bool {
    let Failure::Driver(error) = failure else { return false };
    error.code().is_some_and(|code| {
        *code == SqlState::FEATURE_NOT_SUPPORTED || *code == SqlState::INVALID_SQL_STATEMENT_NAME
    })
}

fn contains_ignoring_case(text: &str, part: &str) -> bool {
    text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

fn failed(error: &tokio_postgres::Error) -> Error {
    let Some(db) = error.as_db_error() else {
        return Error::Connection(format!("the connection to the database failed: {}", chain(error)));
    };
    let mut extras = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        extras.extend(value.map(|value| (name.to_owned(), value)));
    };
    add("hint", db.hint().map(str::to_owned));
    add("position", db.position().map(|position| format!("{position:?}")));
    add("where", db.where_().map(str::to_owned));
    add("schema", db.schema().map(str::to_owned));
    add("table", db.table().map(str::to_owned));
    add("column", db.column().map(str::to_owned));
    add("datatype", db.datatype().map(str::to_owned));
    add("constraint", db.constraint().map(str::to_owned));
    let details = Details {
        severity: db.severity().to_owned(),
        code: db.code().code().to_owned(),
        message: db.message().to_owned(),
        detail: db.detail().map(str::to_owned),
        extras,
    };
    Error::Query(Box::new(QueryError { text: chain(error), details: Some(details) }))
}
