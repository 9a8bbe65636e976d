//! Databases by the synchronous functions of `spin:sqlite@3.0.0` and `spin:postgres@3.0.0` and `4.0.0`, and the
//! builder of `4.1.0`. See sql-v2/src/words.rs for the arguments; `postgres-types ADDRESS` sends a value of each
//! type and prints what comes back; `postgres-ca ADDRESS` trusts the certificate in `$CA`.

#[macro_use]
#[path = "../../sql-v2/src/words.rs"]
mod words;
mod types;

use words::{line, rows, statement};

mod sqlite3 {
    wit_bindgen::generate!({
        path: "wit/sqlite-3.0.0",
        inline: "package sampan:guest-sqlite; world guest { import spin:sqlite/sqlite@3.0.0; }",
        world: "sampan:guest-sqlite/guest",
        generate_all,
    });
}
mod postgres3 {
    wit_bindgen::generate!({
        path: "../../wit/spin-postgres-3.0.0",
        inline: "package sampan:guest-pg3; world guest { import spin:postgres/postgres@3.0.0; }",
        world: "sampan:guest-pg3/guest",
        generate_all,
    });
}
mod postgres4 {
    wit_bindgen::generate!({
        path: "wit/postgres-4.0.0",
        inline: "package sampan:guest-pg4; world guest { import spin:postgres/postgres@4.0.0; }",
        world: "sampan:guest-pg4/guest",
        generate_all,
    });
}
mod postgres41 {
    wit_bindgen::generate!({
        path: "wit/postgres-4.1.0",
        inline: "package sampan:guest-pg41; world guest { import spin:postgres/postgres@4.1.0; }",
        world: "sampan:guest-pg41/guest",
        generate_all,
    });
}

use postgres3::spin::postgres::postgres as pg3;
use postgres4::spin::postgres::postgres as pg4;
use postgres41::spin::postgres::postgres as pg41;
use sqlite3::spin::sqlite::sqlite;

parameter!(parameter3, pg3::ParameterValue,
    "date" => |_| pg3::ParameterValue::Date((2024, 2, 29)),
    "time" => |_| pg3::ParameterValue::Time((1, 2, 3, 4000)),
    "datetime" => |_| pg3::ParameterValue::Datetime((2024, 2, 29, 1, 2, 3, 4000)),
    "timestamp" => |text: &str| pg3::ParameterValue::Timestamp(text.parse().expect("a number")));
parameter!(parameter4, pg4::ParameterValue);
sqlite_parameter!(value, sqlite::Value);

fn sqlite_statements(address: &str, statements: &[String]) {
    let db = match sqlite::Connection::open(address) {
        Ok(db) => db,
        Err(error) => return println!("error: {error:?}"),
    };
    for argument in statements {
        let (_, text, params) = statement(argument);
        let params: Vec<_> = params.into_iter().map(value).collect();
        let result = db.execute(&text, &params);
        let values = |row: sqlite::RowResult| row.values;
        let text =
            line(result.map(|result| rows(result.columns, result.rows.into_iter().map(values).collect())));
        println!("{text} ({} {})", db.last_insert_rowid(), db.changes());
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, address, statements @ ..] = &arguments[..] else {
        panic!("INTERFACE ADDRESS STATEMENT…")
    };
    match interface.as_str() {
        "sqlite" => sqlite_statements(address, statements),
        "postgres3" => match pg3::Connection::open(address) {
            Ok(db) => statements.iter().for_each(|argument| {
                let (execute, text, params) = statement(argument);
                let params: Vec<_> = params.into_iter().map(parameter3).collect();
                println!(
                    "{}",
                    match execute {
                        true => line(db.execute(&text, &params).map(|count| count.to_string())),
                        false => line(db.query(&text, &params).map(|set| {
                            let columns = set.columns.into_iter();
                            let columns =
                                columns.map(|column| format!("{}:{:?}", column.name, column.data_type));
                            rows(columns.collect(), set.rows)
                        })),
                    }
                );
            }),
            Err(error) => println!("error: {error:?}"),
        },
        "postgres4" => match pg4::Connection::open(address) {
            Ok(db) => statements.iter().for_each(|argument| {
                let (execute, text, params) = statement(argument);
                let params: Vec<_> = params.into_iter().map(parameter4).collect();
                println!(
                    "{}",
                    match execute {
                        true => line(db.execute(&text, &params).map(|count| count.to_string())),
                        false => line(db.query(&text, &params).map(|set| {
                            let columns = set.columns.into_iter();
                            let columns =
                                columns.map(|column| format!("{}:{:?}", column.name, column.data_type));
                            rows(columns.collect(), set.rows)
                        })),
                    }
                );
            }),
            Err(error) => println!("error: {error:?}"),
        },
        "postgres-types" => types::all(address),
        "postgres-ca" => {
            let builder = pg41::ConnectionBuilder::new(address);
            builder.set_ca_root(&std::env::var("CA").expect("CA")).expect("a certificate");
            let one = builder.build().and_then(|db| db.query("SELECT 1", &[]));
            println!("{}", line(one.map(|set| format!("{:?}", set.rows))));
        }
        other => panic!("there is no interface {other}"),
    }
}
