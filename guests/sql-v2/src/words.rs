//! What the guests for databases share: parameters in text form, and lines to print.
//!
//! `INTERFACE ADDRESS STATEMENT…`: each statement is one argument, with its parameters behind it, separated by
//! `;;`: `SELECT ? ;; i32=5 ;; str=x ;; null`. One that begins with `!` is executed, others are queried. There is
//! one line for each: the columns and rows, the number of rows, or the error.

#![allow(unused)]

/// A function from a parameter's text form to the type of an interface.
macro_rules! parameter {
    ($name:ident, $ty:path $(, $kind:literal => $make:expr)*) => {
        fn $name(text: &str) -> $ty {
            use $ty as P;
            let (kind, value) = text.split_once('=').unwrap_or((text, ""));
            match kind {
                "bool" => P::Boolean(value == "true"),
                "i8" => P::Int8(value.parse().expect("a number")),
                "i16" => P::Int16(value.parse().expect("a number")),
                "i32" => P::Int32(value.parse().expect("a number")),
                "i64" => P::Int64(value.parse().expect("a number")),
                "f32" => P::Floating32(value.parse().expect("a number")),
                "f64" => P::Floating64(value.parse().expect("a number")),
                "str" => P::Str(value.to_owned()),
                "bin" => P::Binary(value.bytes().collect()),
                "null" => P::DbNull,
                $($kind => ($make)(value),)*
                _ => panic!("an unknown kind of parameter: {text}"),
            }
        }
    };
}

/// The same for SQLite's five types.
macro_rules! sqlite_parameter {
    ($name:ident, $ty:path) => {
        fn $name(text: &str) -> $ty {
            use $ty as P;
            let (kind, value) = text.split_once('=').unwrap_or((text, ""));
            match kind {
                "i64" => P::Integer(value.parse().expect("a number")),
                "f64" => P::Real(value.parse().expect("a number")),
                "str" => P::Text(value.to_owned()),
                "bin" => P::Blob(value.bytes().collect()),
                "null" => P::Null,
                _ => panic!("an unknown kind of parameter: {text}"),
            }
        }
    };
}

/// Whether it is to be executed; the statement; the parameters.
pub fn statement(argument: &str) -> (bool, String, Vec<&str>) {
    let mut parts = argument.split(" ;; ");
    let text = parts.next().unwrap_or_default();
    let (execute, text) = text.strip_prefix('!').map_or((false, text), |text| (true, text));
    (execute, text.to_owned(), parts.collect())
}

/// `name, name | value, value | …`
pub fn rows<T: std::fmt::Debug>(columns: Vec<String>, rows: Vec<Vec<T>>) -> String {
    let row = |row: Vec<T>| row.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", ");
    let lines = std::iter::once(columns.join(", ")).chain(rows.into_iter().map(row));
    lines.collect::<Vec<_>>().join(" | ")
}

pub fn line<T: Into<String>, E: std::fmt::Debug>(result: Result<T, E>) -> String {
    result.map_or_else(|error| format!("error: {error:?}"), Into::into)
}
