//! Databases by the asynchronous functions of `spin:sqlite@3.1.0`, `spin:postgres@4.2.0` and `spin:mysql@3.0.0`,
//! with rows as streams. See sql-v2/src/words.rs for the arguments; `first` as the first of them reads one row of
//! each statement and drops the rest.

#[macro_use]
#[path = "../../sql-v2/src/words.rs"]
mod words;

use wasip3::cli::{environment, stdout};
use wasip3::wit_stream;
use wit_bindgen::{FutureReader, StreamReader};
use words::{line, rows, statement};

mod sqlite3 {
    wit_bindgen::generate!({
        path: "../../wit/spin-sqlite-3.1.0",
        inline: "package sampan:guest-sqlite; world guest { import spin:sqlite/sqlite@3.1.0; }",
        world: "sampan:guest-sqlite/guest",
        generate_all,
    });
}
mod postgres4 {
    wit_bindgen::generate!({
        path: "../../wit/spin-postgres-4.2.0",
        inline: "package sampan:guest-pg4; world guest { import spin:postgres/postgres@4.2.0; }",
        world: "sampan:guest-pg4/guest",
        generate_all,
    });
}
mod mysql3 {
    wit_bindgen::generate!({
        path: "../../wit/spin-mysql-3.0.0",
        inline: "package sampan:guest-mysql; world guest { import spin:mysql/mysql@3.0.0; }",
        world: "sampan:guest-mysql/guest",
        generate_all,
    });
}

use mysql3::spin::mysql::mysql;
use postgres4::spin::postgres::postgres;
use sqlite3::spin::sqlite::sqlite;

parameter!(my_parameter, mysql::ParameterValue);
parameter!(pg_parameter, postgres::ParameterValue);
sqlite_parameter!(value, sqlite::Value);

wasip3::cli::command::export!(Command);

struct Command;

impl wasip3::exports::cli::run::Guest for Command {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let mut arguments = &arguments[1..];
        let mut limit = usize::MAX;
        if let [first, rest @ ..] = arguments
            && first == "first"
        {
            (arguments, limit) = (rest, 1);
        }
        let [interface, address, statements @ ..] = arguments else { return Err(()) };
        let lines = match interface.as_str() {
            "sqlite" => sqlite_lines(address, statements, limit).await,
            "postgres" => postgres_lines(address, statements, limit).await,
            "mysql" => mysql_lines(address, statements, limit).await,
            _ => return Err(()),
        };
        print(lines.join("\n") + "\n").await
    }
}

/// The rows, or so many of them; the error at their end.
async fn read<T, E: std::fmt::Debug>(
    (columns, mut stream, ended): (Vec<String>, StreamReader<T>, FutureReader<Result<(), E>>),
    limit: usize,
) -> Result<(Vec<String>, Vec<T>), E> {
    let mut found = Vec::new();
    while found.len() < limit
        && let Some(row) = stream.next().await
    {
        found.push(row);
    }
    drop(stream);
    ended.await.map(|()| (columns, found))
}

async fn sqlite_lines(address: &str, statements: &[String], limit: usize) -> Vec<String> {
    let db = match sqlite::Connection::open_async(address.to_owned()).await {
        Ok(db) => db,
        Err(error) => return vec![format!("error: {error:?}")],
    };
    let mut lines = Vec::new();
    for argument in statements {
        let (_, text, params) = statement(argument);
        let params = params.into_iter().map(value).collect();
        let result = match db.execute_async(text, params).await {
            Ok(started) => read(started, limit).await,
            Err(error) => Err(error),
        };
        let values = |row: sqlite::RowResult| row.values;
        let text =
            line(result.map(|(columns, found)| rows(columns, found.into_iter().map(values).collect())));
        lines.push(format!("{text} ({} {})", db.last_insert_rowid_async().await, db.changes_async().await));
    }
    lines
}

async fn postgres_lines(address: &str, statements: &[String], limit: usize) -> Vec<String> {
    let db = match postgres::Connection::open_async(address.to_owned()).await {
        Ok(db) => db,
        Err(error) => return vec![format!("error: {error:?}")],
    };
    let mut lines = Vec::new();
    for argument in statements {
        let (execute, text, params) = statement(argument);
        let params: Vec<_> = params.into_iter().map(pg_parameter).collect();
        if execute {
            lines.push(line(db.execute_async(text, params).await.map(|count| count.to_string())));
            continue;
        }
        let result = match db.query_async(text, params).await {
            Ok((columns, stream, ended)) => {
                let names =
                    columns.into_iter().map(|column| format!("{}:{:?}", column.name, column.data_type));
                read((names.collect(), stream, ended), limit).await
            }
            Err(error) => Err(error),
        };
        lines.push(line(result.map(|(columns, found)| rows(columns, found))));
    }
    lines
}

async fn mysql_lines(address: &str, statements: &[String], limit: usize) -> Vec<String> {
    let db = match mysql::Connection::open(address.to_owned()).await {
        Ok(db) => db,
        Err(error) => return vec![format!("error: {error:?}")],
    };
    let mut lines = Vec::new();
    for argument in statements {
        let (execute, text, params) = statement(argument);
        let params: Vec<_> = params.into_iter().map(my_parameter).collect();
        if execute {
            lines.push(line(db.execute(text, params).await.map(|()| "done")));
            continue;
        }
        let result = match db.query(text, params).await {
            Ok((columns, stream, ended)) => {
                let names =
                    columns.into_iter().map(|column| format!("{}:{:?}", column.name, column.data_type));
                read((names.collect(), stream, ended), limit).await
            }
            Err(error) => Err(error),
        };
        lines.push(line(result.map(|(columns, found)| rows(columns, found))));
    }
    lines
}

async fn print(text: String) -> Result<(), ()> {
    let (mut sender, receiver) = wit_stream::new();
    let write = async {
        let rest = sender.write_all(text.into_bytes()).await;
        drop(sender);
        if rest.is_empty() { Ok(()) } else { Err(()) }
    };
    let (written, sent) = futures::join!(write, stdout::write_via_stream(receiver).into_future());
    written.and(sent.map_err(drop))
}
