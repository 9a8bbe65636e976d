//! Databases by `fermyon:spin@2.0.0`. See words.rs for the arguments.

#[macro_use]
mod words;

use words::{line, rows, statement};

wit_bindgen::generate!({
    path: "../../wit/fermyon-spin-2.0.0",
    inline: "
        package sampan:guest;
        world guest {
            import fermyon:spin/sqlite@2.0.0;
            import fermyon:spin/postgres@2.0.0;
            import fermyon:spin/mysql@2.0.0;
        }
    ",
    world: "sampan:guest/guest",
    generate_all,
});

use fermyon::spin::rdbms_types::{ParameterValue, RowSet};
use fermyon::spin::{mysql, postgres, sqlite};

parameter!(parameter, ParameterValue,
    "u8" => |text: &str| ParameterValue::Uint8(text.parse().expect("a number")),
    "u16" => |text: &str| ParameterValue::Uint16(text.parse().expect("a number")),
    "u32" => |text: &str| ParameterValue::Uint32(text.parse().expect("a number")),
    "u64" => |text: &str| ParameterValue::Uint64(text.parse().expect("a number")));
sqlite_parameter!(value, sqlite::Value);

fn set(set: RowSet) -> String {
    let columns = set.columns.into_iter().map(|column| format!("{}:{:?}", column.name, column.data_type));
    rows(columns.collect(), set.rows)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, address, statements @ ..] = &arguments[..] else {
        panic!("INTERFACE ADDRESS STATEMENT…")
    };
    match interface.as_str() {
        "sqlite" => {
            match sqlite::Connection::open(address) {
                Ok(db) => statements.iter().for_each(|argument| {
                    let (_, text, params) = statement(argument);
                    let params: Vec<_> = params.into_iter().map(value).collect();
                    let result = db.execute(&text, &params);
                    let values = |row: sqlite::RowResult| row.values;
                    println!(
                        "{}",
                        line(result.map(|result| rows(
                            result.columns,
                            result.rows.into_iter().map(values).collect()
                        )))
                    );
                }),
                Err(error) => println!("error: {error:?}"),
            }
        }
        "postgres" => match postgres::Connection::open(address) {
            Ok(db) => statements.iter().for_each(|argument| {
                let (execute, text, params) = statement(argument);
                let params: Vec<_> = params.into_iter().map(parameter).collect();
                println!(
                    "{}",
                    match execute {
                        true => line(db.execute(&text, &params).map(|count| count.to_string())),
                        false => line(db.query(&text, &params).map(set)),
                    }
                );
            }),
            Err(error) => println!("error: {error:?}"),
        },
        "mysql" => match mysql::Connection::open(address) {
            Ok(db) => statements.iter().for_each(|argument| {
                let (execute, text, params) = statement(argument);
                let params: Vec<_> = params.into_iter().map(parameter).collect();
                println!(
                    "{}",
                    match execute {
                        true => line(db.execute(&text, &params).map(|()| "done")),
                        false => line(db.query(&text, &params).map(set)),
                    }
                );
            }),
            Err(error) => println!("error: {error:?}"),
        },
        other => panic!("there is no interface {other}"),
    }
}
