//! The interfaces that guests see: Spin's, in every version that its SDKs use.

mod bindings;
mod postgres_4_values;
mod rdbms;
mod spin_mysql_3;
mod spin_postgres_3;
mod spin_postgres_4;
mod spin_sqlite_3;
mod spin_unversioned;
mod spin_v2;
mod stream;

use super::{Connection, Dialect, Error, Granted, Rows, Value};
use crate::Host;
use std::collections::HashMap;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiView as _;

/// Handles that an instance keeps for the interfaces that have none of their own.
const HANDLES_MAX: usize = 64;

/// What one guest has of the databases.
#[derive(Default)]
pub struct Sql {
    granted: Arc<Granted>,
    /// The handles of the oldest SQLite interface, which are numbers.
    numbered: HashMap<u32, Connection>,
    number: u32,
    /// The oldest PostgreSQL and MySQL interfaces name the address with each statement.
    by_address: HashMap<(Dialect, String), Connection>,
}

impl Sql {
    pub fn new(granted: &Arc<Granted>) -> Self {
        Sql { granted: Arc::clone(granted), ..Sql::default() }
    }
}

/// Host calls get the whole of the store's data: handles are in the table of WASI's resources.
struct HasSql;

impl HasData for HasSql {
    type Data<'a> = &'a mut Host;
}

/// Defines the interface of this name (with its version, as the component spells it); `false` if it is none
/// of this capability's.
pub fn define(linker: &mut Linker<Host>, name: &str) -> Result<bool> {
    use bindings::{mysql3, postgres3, unversioned, v2};
    match name {
        "fermyon:spin/sqlite" => {
            unversioned::fermyon::spin::sqlite::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        "fermyon:spin/postgres" => {
            unversioned::fermyon::spin::postgres::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        "fermyon:spin/mysql" => {
            unversioned::fermyon::spin::mysql::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        "fermyon:spin/sqlite@2.0.0" => {
            v2::fermyon::spin::sqlite::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        "fermyon:spin/postgres@2.0.0" => {
            v2::fermyon::spin::postgres::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        "fermyon:spin/mysql@2.0.0" => {
            v2::fermyon::spin::mysql::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        // Types alone.
        "fermyon:spin/rdbms-types" | "fermyon:spin/rdbms-types@2.0.0" => {}
        "spin:postgres/postgres@3.0.0" => {
            postgres3::spin::postgres::postgres::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        "spin:mysql/mysql@3.0.0" => {
            mysql3::spin::mysql::mysql::add_to_linker::<_, HasSql>(linker, |host| host)?;
        }
        // A later minor version adds functions; the linker answers an older one with it.
        "spin:postgres/postgres@4.0.0" | "spin:postgres/postgres@4.1.0" | "spin:postgres/postgres@4.2.0" => {
            shadowing(linker, spin_postgres_4::define)?;
        }
        "spin:sqlite/sqlite@3.0.0" | "spin:sqlite/sqlite@3.1.0" => {
            shadowing(linker, spin_sqlite_3::define)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// A component may import two minor versions, which are one definition.
fn shadowing(linker: &mut Linker<Host>, define: fn(&mut Linker<Host>) -> Result<()>) -> Result<()> {
    linker.allow_shadowing(true);
    let done = define(linker);
    linker.allow_shadowing(false);
    done
}

/// Whether asynchronous host calls can be defined: an engine for guests of WASI 0.2 alone has none.
fn has_concurrency(linker: &Linker<Host>) -> bool {
    let mut probe = Linker::<()>::new(linker.engine());
    let defined = probe.root().func_wrap_concurrent("probe", |_, (): ()| Box::pin(async { Ok(()) }));
    defined.is_ok()
}

impl Host {
    async fn open_database(
        &mut self,
        dialect: Dialect,
        name: &str,
    ) -> Result<std::result::Result<Resource<Connection>, Error>> {
        let granted = Arc::clone(&self.sql.granted);
        Ok(match granted.open(dialect, name, None).await {
            Ok(connection) => Ok(self.ctx().table.push(connection)?),
            Err(error) => Err(error),
        })
    }

    fn connection(&mut self, handle: &Resource<Connection>) -> Result<Connection> {
        Ok(self.ctx().table.get(handle)?.clone())
    }

    fn drop_connection(&mut self, handle: Resource<Connection>) -> Result<()> {
        self.ctx().table.delete(handle)?;
        Ok(())
    }
}

/// All rows of a statement.
async fn collect(
    connection: &Connection,
    statement: String,
    params: Vec<Value>,
) -> std::result::Result<(Vec<super::Column>, Vec<Vec<Value>>), Error> {
    let mut rows: Rows = connection.query(statement, params).await?;
    let columns = std::mem::take(&mut rows.columns);
    Ok((columns, rows.collect().await?))
}
