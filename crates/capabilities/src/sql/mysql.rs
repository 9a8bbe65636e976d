//! MySQL and MariaDB, by mysql_async.

use super::address::{Login, Server, label};
use super::connection::{Done, Item};
use super::mysql_values::{column, decode, encode};
use super::pool::{Driver, Session};
use super::tls::{TlsMode, authorities};
use super::{Error, Value};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Opts, OptsBuilder, Params, Row, SslOpts};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::mpsc;

/// The server does not let this statement be prepared (ER_UNSUPPORTED_PS).
const UNSUPPORTED_PREPARED: u16 = 1295;
/// What the server may send as one row or value.
const PACKET_BYTES_MAX: usize = super::RESULT_BYTES_MAX;

/// How to reach a database.
pub(super) struct MySql {
    pub server: Server,
    pub tls: TlsMode,
    /// The authorities beside the machine's own, in PEM.
    pub ca: Option<Vec<u8>>,
    pub login: Login,
    /// The server said that it has no TLS, where that may be.
    pub plain: AtomicBool,
}

pub(super) struct MySqlSession {
    conn: Conn,
    /// For the connection that ends a statement of this one.
    opts: Opts,
    /// The protocol's state is not known any more.
    spoiled: bool,
    used: bool,
}

impl Driver for MySql {
    type Session = MySqlSession;

    async fn connect(&self) -> Result<MySqlSession, Error> {
        let addresses = self.server.resolve().await?;
        let mut failure = Error::Connection(format!("{} leads nowhere", self.server));
        for address in addresses {
            let encrypted = self.tls != TlsMode::Disable && !self.plain.load(Ordering::Relaxed);
            let mut tried = self.try_connect(address, encrypted).await;
            if let Err(mysql_async::Error::Driver(DriverError::NoClientSslFlagFromServer)) = tried
                && self.tls == TlsMode::Prefer
            {
                self.plain.store(true, Ordering::Relaxed);
                tried = self.try_connect(address, false).await;
            }
            match tried {
                Ok(session) => return Ok(session),
                Err(error) => {
                    failure = Error::Connection(format!("cannot connect to {}: {error}", self.label()));
                }
            }
        }
        Err(failure)
    }

    fn label(&self) -> String {
        label("mysql", std::slice::from_ref(&self.server))
    }
}

impl MySql {
    async fn try_connect(
        &self,
        address: std::net::SocketAddr,
        encrypted: bool,
    ) -> Result<MySqlSession, mysql_async::Error> {
        let opts: Opts = OptsBuilder::default()
            .ip_or_hostname(self.server.host.clone())
            .tcp_port(self.server.port)
            .resolved_ips(Some(vec![address.ip()]))
            .user(Some(self.login.user.clone()))
            .pass(self.login.password.clone())
            .db_name(self.login.database.clone())
            // A server must not lead us to a file of this machine.
            .prefer_socket(false)
            .max_allowed_packet(Some(PACKET_BYTES_MAX))
            .ssl_opts(if encrypted { Some(self.ssl_opts()?) } else { None })
            .into();
        let conn = Conn::new(opts.clone()).await?;
        Ok(MySqlSession { conn, opts, spoiled: false, used: false })
    }

    fn ssl_opts(&self) -> Result<SslOpts, mysql_async::Error> {
        let given = self.ca.is_some();
        let verifies = match self.tls {
            TlsMode::Disable | TlsMode::Prefer => false,
            TlsMode::Require => given,
            TlsMode::VerifyCa | TlsMode::VerifyFull => true,
        };
        // The driver cannot verify the authority without the name: who asks for the one gets both.
        let opts = SslOpts::default()
            .with_danger_accept_invalid_certs(!verifies)
            .with_danger_skip_domain_validation(!verifies);
        if !verifies {
            return Ok(opts);
        }
        let roots =
            authorities(self.ca.as_deref()).map_err(|error| mysql_async::Error::Other(Box::new(error)))?;
        let roots = roots.into_iter().map(|root| root.as_ref().to_vec().into()).collect();
        Ok(opts.with_root_certs(roots).with_disable_built_in_roots(true))
    }
}

impl Session for MySqlSession {
    async fn run(
        &mut self,
        statement: String,
        params: Vec<Value>,
        sink: mpsc::Sender<Item>,
    ) -> Result<Done, Error> {
        self.used = true;
        let result = run(&mut self.conn, &statement, params, &sink).await;
        result.map_err(|failure| match failure {
            Failure::Ours(error) => {
                // Rows of the result may still be on their way.
                self.spoiled = true;
                error
            }
            Failure::Driver(error) => {
                self.spoiled |= error.is_fatal();
                failed(&error)
            }
        })
    }

    async fn init(&mut self, statements: &str) -> Result<(), Error> {
        self.conn.query_drop(statements).await.map_err(|error| failed(&error))
    }

    fn usable(&self) -> bool {
        !self.spoiled && !self.conn.is_disconnected()
    }

    async fn ping(&mut self) -> bool {
        self.conn.ping().await.is_ok()
    }

    /// The server rolls back, and forgets variables, temporary tables, locks and prepared statements (MySQL's
    /// documentation, mysql_reset_connection). Servers too old for it get a new connection.
    async fn clean(&mut self) -> bool {
        if !self.used {
            return true;
        }
        self.used = false;
        self.conn.reset().await.unwrap_or(false)
    }

    /// The server notices that we are gone only when it has a row to send.
    async fn cancel(self) {
        let id = self.conn.id();
        if let Ok(mut other) = Conn::new(self.opts).await {
            let _ = other.query_drop(format!("KILL {id}")).await;
            let _ = other.disconnect().await;
        }
    }
}

enum Failure {
    Ours(Error),
    Driver(mysql_async::Error),
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Self {
        Failure::Driver(error)
    }
}

async fn run(
    conn: &mut Conn,
    text: &str,
    params: Vec<Value>,
    sink: &mpsc::Sender<Item>,
) -> Result<Done, Failure> {
    let prepared = match conn.prep(text).await {
        Ok(prepared) => prepared,
        Err(mysql_async::Error::Server(error)) if error.code == UNSUPPORTED_PREPARED && params.is_empty() => {
            return rows(conn.query_iter(text).await?, sink).await;
        }
        Err(error) => return Err(error.into()),
    };
    let (takes, got) = (usize::from(prepared.num_params()), params.len());
    if takes != got {
        let text = format!("the statement takes {takes} parameters, but got {got}");
        // Nothing was sent that could be on its way back.
        return Err(Failure::Driver(mysql_async::Error::Server(mysql_async::ServerError {
            code: PARAMETERS,
            message: text,
            state: String::new(),
        })));
    }
    let params: Result<Vec<_>, Error> = params.into_iter().map(encode).collect();
    let params = match params.map_err(Failure::Ours)? {
        params if params.is_empty() => Params::Empty,
        params => Params::Positional(params),
    };
    rows(conn.exec_iter(&prepared, params).await?, sink).await
}

/// Passes on the first set of rows; a procedure may give more.
async fn rows<P: mysql_async::prelude::Protocol + Unpin>(
    mut result: mysql_async::QueryResult<'_, '_, P>,
    sink: &mpsc::Sender<Item>,
) -> Result<Done, Failure> {
    use futures::TryStreamExt;
    let columns = result.columns().unwrap_or_default();
    let mut open = sink.send(Item::Columns(columns.iter().map(column).collect())).await.is_ok();
    let mut affected = result.affected_rows();
    if let Some(mut stream) = result.stream::<Row>().await? {
        while let Some(row) = stream.try_next().await? {
            if open {
                let fields = row.unwrap_raw().into_iter().zip(columns.iter());
                let fields: Result<Vec<Value>, Error> =
                    fields.map(|(value, column)| decode(value, column)).collect();
                open = sink.send(Item::Row(fields.map_err(Failure::Ours)?)).await.is_ok();
            }
        }
        affected = stream.affected_rows();
    }
    result.drop_result().await?;
    Ok(Done { affected, rowid: 0 })
}

/// Our own code for a wrong number of parameters; servers use smaller ones.
const PARAMETERS: u16 = u16::MAX;

fn failed(error: &mysql_async::Error) -> Error {
    match error {
        mysql_async::Error::Server(error) if error.code == PARAMETERS => {
            Error::Parameter(error.message.clone())
        }
        mysql_async::Error::Server(error) => Error::query(error.to_string()),
        mysql_async::Error::Driver(DriverError::PacketTooLarge) => {
            Error::Other(format!("a row is larger than {} MiB", PACKET_BYTES_MAX >> 20))
        }
        other => Error::Connection(format!("the connection to the database failed: {other}")),
    }
}
