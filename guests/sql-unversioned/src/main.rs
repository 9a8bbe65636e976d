//! Databases by Spin's oldest interfaces. See sql-v2/src/words.rs for the arguments.

#[macro_use]
#[path = "../../sql-v2/src/words.rs"]
mod words;

use words::{line, rows, statement};

wit_bindgen::generate!({
    path: "../../wit/spin-unversioned",
    inline: "
        package sampan:guest;
        world guest {
            import fermyon:spin/sqlite;
            import fermyon:spin/postgres;
            import fermyon:spin/mysql;
        }
    ",
    world: "sampan:guest/guest",
    generate_all,
});

use fermyon::spin::rdbms_types::{ParameterValue, RowSet};
use fermyon::spin::{mysql, postgres, sqlite};

parameter!(parameter, ParameterValue,
    "u64" => |text: &str| ParameterValue::Uint64(text.parse().expect("a number")));
sqlite_parameter!(value, sqlite::Value);

fn set(set: RowSet) -> String {
    let columns = set.columns.into_iter().map(|column| format!("{}:{:?}", column.name, column.data_type));
    rows(columns.collect(), set.rows)
}

fn sqlite_statements(address: &str, statements: &[String]) {
    let db = match sqlite::open(address) {
        Ok(db) => db,
        Err(error) => return println!("error: {error:?}"),
    };
    for argument in statements {
        let (_, text, params) = statement(argument);
        let params: Vec<_> = params.into_iter().map(value).collect();
        let result = sqlite::execute(db, &text, &params);
        let values = |row: sqlite::RowResult| row.values;
        println!(
            "{}",
            line(result.map(|result| rows(result.columns, result.rows.into_iter().map(values).collect())))
        );
    }
    sqlite::close(db);
    println!("closed: {:?}", sqlite::execute(db, "SELECT 1", &[]).map(drop));
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [interface, address, statements @ ..] = &arguments[..] else {
        panic!("INTERFACE ADDRESS STATEMENT…")
    };
    if interface == "sqlite" {
        return sqlite_statements(address, statements);
    }
    for argument in statements {
        let (execute, text, params) = statement(argument);
        let params: Vec<_> = params.into_iter().map(parameter).collect();
        println!(
            "{}",
            match (interface.as_str(), execute) {
                ("postgres", true) =>
                    line(postgres::execute(address, &text, &params).map(|count| count.to_string())),
                ("postgres", false) => line(postgres::query(address, &text, &params).map(set)),
                ("mysql", true) => line(mysql::execute(address, &text, &params).map(|()| "done")),
                ("mysql", false) => line(mysql::query(address, &text, &params).map(set)),
                (other, _) => panic!("there is no interface {other}"),
            }
        );
    }
}
