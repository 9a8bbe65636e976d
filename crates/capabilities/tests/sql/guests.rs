//! Guests of every version of the interfaces, on the real databases.

use crate::with::{DRIVERS, app, at, grants, mariadb, postgres, sqlite};
use sampan_app::{App, Grants, Origin, PortPattern, Program};
use sampan_capabilities::{Backends, Prepared, link_component};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex};
use wasmtime::component::Component;
use wasmtime::{Engine, Result, Store, StoreLimits};
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, p2, p3};

/// The two engines of a server: one for guests of WASI 0.2 alone, without concurrency, and one for all.
static PLAIN: LazyLock<Engine> = LazyLock::new(|| {
    let mut settings = Engine::default().config().clone();
    settings.concurrency_support(false);
    Engine::new(&settings).expect("an engine")
});
static CONCURRENT: LazyLock<Engine> = LazyLock::new(Engine::default);

fn component(engine: &Engine, guest: &str, concurrent: bool) -> Component {
    static COMPONENTS: LazyLock<Mutex<HashMap<(String, bool), Component>>> = LazyLock::new(Mutex::default);
    let mut components = COMPONENTS.lock().expect("no test panics in here");
    let compile = || {
        let path = sampan_testing::guest_for("wasm32-wasip2", guest);
        Component::from_file(engine, path).expect("a component")
    };
    components.entry((guest.to_owned(), concurrent)).or_insert_with(compile).clone()
}

/// The lines that a guest prints.
pub fn lines(guest: &str, app: &App, grants: &Grants, args: &[&str]) -> Vec<String> {
    let output = run(guest, app, grants, args, true);
    output.lines().map(str::to_owned).collect()
}

fn run(guest: &str, app: &App, grants: &Grants, args: &[&str], concurrent: bool) -> String {
    let engine: &Engine = if concurrent { &CONCURRENT } else { &PLAIN };
    let component = component(engine, guest, concurrent);
    let backends = DRIVERS.block_on(Backends::open(app)).expect("lazy stores open");
    let args = std::iter::once(guest).chain(args.iter().copied()).map(str::to_owned).collect();
    let program = Program { grants: grants.clone(), args, ..Program::default() };
    let prepared = Prepared::new(program, &backends).expect("the stores exist");
    let stdout = MemoryOutputPipe::new(1 << 22);
    let mut wasi = WasiCtx::builder();
    wasi.stdout(stdout.clone()).inherit_stderr();
    crate::with::block_on(async {
        let host = prepared.host(wasi, Box::new(StoreLimits::default())).expect("grants");
        let mut store = Store::new(engine, host);
        call(engine, &mut store, &component).await.unwrap_or_else(|error| panic!("{guest}: {error:?}"));
    });
    String::from_utf8(stdout.contents().into()).expect("text")
}

async fn call(
    engine: &Engine,
    store: &mut Store<sampan_capabilities::Host>,
    component: &Component,
) -> Result<()> {
    let linker = link_component(engine, component)?;
    let ty = component.component_type();
    let ended = if ty.exports(engine).any(|(name, _)| name.starts_with("wasi:cli/run@0.3.")) {
        let command = p3::bindings::Command::instantiate_async(&mut *store, component, &linker).await?;
        store.run_concurrent(async move |store| command.wasi_cli_run().call_run(store).await).await??
    } else {
        let command = p2::bindings::Command::instantiate_async(&mut *store, component, &linker).await?;
        command.wasi_cli_run().call_run(store).await?
    };
    ended.map_err(|()| wasmtime::Error::msg("the guest failed"))
}

/// What a guest may reach by an address.
pub fn reach(scheme: &str, host: &str, port: u16) -> Grants {
    let origin = Origin {
        scheme: Some(scheme.to_owned()),
        host: host.parse().expect("a host"),
        port: PortPattern::One(port),
    };
    Grants { services: vec![origin], ..Grants::default() }
}

#[test]
fn sqlite_in_every_version() {
    let statements = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, v)",
        "INSERT INTO t (v) VALUES (?), (?), (?) ;; str=a'b ;; bin=xy ;; null",
        "SELECT id, v FROM t",
        "SELECT ? AS f ;; f64=0.5",
        "SELECT absent",
        "ATTACH 'x' AS y",
    ];
    for (guest, value, numbers) in [
        ("sql-unversioned", "Value", ["", "", "", "", "", ""]),
        ("sql-v2", "Value", ["", "", "", "", "", ""]),
        ("sql-v3", "Value", [" (0 0)", " (3 3)", " (3 3)", " (3 3)", " (3 3)", " (3 3)"]),
        ("sql-async", "Value", [" (0 0)", " (3 3)", " (3 3)", " (3 3)", " (3 3)", " (3 3)"]),
    ] {
        let database = sqlite();
        let args: Vec<&str> = ["sqlite", "db"].into_iter().chain(statements).collect();
        let lines = lines(guest, &app(&database.store), &grants(), &args);
        let blob = format!("{value}::Blob([120, 121])");
        let expected = [
            String::new(),
            String::new(),
            format!(
                "id, v | {value}::Integer(1), {value}::Text(\"a'b\") | {value}::Integer(2), {blob} | {value}::Integer(3), {value}::Null"
            ),
            format!("f | {value}::Real(0.5)"),
            "error: Error::Io(\"no such column: absent".to_owned(),
            "error: Error::Io(\"not authorized".to_owned(),
        ];
        for ((line, expected), number) in lines.iter().zip(&expected).zip(numbers) {
            assert!(
                line.starts_with(expected) && line.ends_with(number),
                "{guest}: {line}, not {expected}{number}"
            );
        }
        if guest == "sql-unversioned" {
            assert_eq!(lines[6], "closed: Err(Error::InvalidConnection)");
        }
    }
}

#[test]
fn a_database_that_is_not_granted() {
    let database = sqlite();
    for guest in ["sql-unversioned", "sql-v2", "sql-v3", "sql-async"] {
        let lines = lines(guest, &app(&database.store), &grants(), &["sqlite", "default", "SELECT 1"]);
        assert_eq!(lines, ["error: Error::AccessDenied"], "{guest}");
    }
    let url = "postgres://u:s3cret@127.0.0.1:1/d";
    for (guest, interface, error) in [
        ("sql-unversioned", "postgres", "PgError::ConnectionFailed"),
        ("sql-v2", "postgres", "Error::ConnectionFailed"),
        ("sql-v3", "postgres3", "Error::ConnectionFailed"),
        ("sql-v3", "postgres4", "Error::ConnectionFailed"),
        ("sql-async", "postgres", "Error::ConnectionFailed"),
    ] {
        let lines = lines(guest, &App::default(), &Grants::default(), &[interface, url, "SELECT 1"]);
        let expected = format!("error: {error}(\"postgres://127.0.0.1:1 is not granted\")");
        assert_eq!(lines, [expected], "{guest} {interface}");
    }
}

#[test]
fn postgres_in_every_version() {
    let Some(server) = postgres() else { return };
    let database = at(sampan_capabilities::sql::Dialect::Postgres, &server.url());
    let statements = [
        "!CREATE TEMPORARY TABLE t (i INT, s TEXT, n INT)",
        "!INSERT INTO t VALUES ($1, $2, $3) ;; i32=7 ;; str=é' ;; null",
        "!BEGIN",
        "!UPDATE t SET i = 8",
        "!ROLLBACK",
        "SELECT i, s, n, 0.5::float8 AS f FROM t",
        "SELECT * FROM t WHERE",
    ];
    for (guest, interface, number) in [
        ("sql-unversioned", "postgres", "DbDataType::Int32"),
        ("sql-v2", "postgres", "DbDataType::Int32"),
        ("sql-v3", "postgres3", "DbDataType::Int32"),
        ("sql-v3", "postgres4", "DbDataType::Int32"),
        ("sql-async", "postgres", "DbDataType::Int32"),
    ] {
        // By the name of a granted store, and by an address.
        let by_name = (app(&database.store), grants(), "db".to_owned());
        let by_address = (App::default(), reach("postgres", "127.0.0.1", server.port), server.url());
        for (app, grants, address) in [by_name, by_address] {
            let args: Vec<&str> = [interface, &address].into_iter().chain(statements).collect();
            let lines = lines(guest, &app, &grants, &args);
            assert_eq!(lines[..5], ["0", "1", "0", "1", "0"], "{guest} {interface}");
            let expected = format!(
                "i:{number}, s:DbDataType::Str, n:{number}, f:DbDataType::Floating64 | \
                 DbValue::Int32(7), DbValue::Str(\"é'\"), DbValue::DbNull, DbValue::Floating64(0.5)"
            );
            assert_eq!(lines[5], expected, "{guest} {interface}");
            assert!(lines[6].contains("QueryFailed") && lines[6].contains("syntax error"), "{}", lines[6]);
            if interface == "postgres4" || guest == "sql-async" {
                assert!(lines[6].contains("DbError") && lines[6].contains("42601"), "{guest}: {}", lines[6]);
            }
        }
    }
}

#[test]
fn postgres_3_has_dates() {
    let Some(server) = postgres() else { return };
    let grants = reach("postgres", "127.0.0.1", server.port);
    let table = [
        ("SELECT $1::date d ;; date", "d:DbDataType::Date | DbValue::Date((2024, 2, 29))"),
        ("SELECT $1::time d ;; time", "d:DbDataType::Time | DbValue::Time((1, 2, 3, 4000))"),
        (
            "SELECT $1::timestamp d ;; datetime",
            "d:DbDataType::Datetime | DbValue::Datetime((2024, 2, 29, 1, 2, 3, 4000))",
        ),
        (
            "SELECT $1::timestamptz d ;; timestamp=86400",
            "d:DbDataType::Datetime | DbValue::Datetime((1970, 1, 2, 0, 0, 0, 0))",
        ),
        ("SELECT 1.5::numeric d", "d:DbDataType::Str | DbValue::Str(\"1.5\")"),
        ("SELECT '10.0.0.1'::inet d", "d:DbDataType::Other | DbValue::Unsupported"),
    ];
    let url = server.url();
    let args: Vec<&str> =
        ["postgres3", &url].into_iter().chain(table.map(|(statement, _)| statement)).collect();
    let lines = lines("sql-v3", &App::default(), &grants, &args);
    assert_eq!(lines, table.map(|(_, expected)| expected));
}

#[test]
fn postgres_4_has_every_type() {
    let Some(server) = postgres() else { return };
    let grants = reach("postgres", "127.0.0.1", server.port);
    let lines = lines("sql-v3", &App::default(), &grants, &["postgres-types", &server.url()]);
    let expected = [
        "bool: DbDataType::Boolean DbValue::Boolean(true)",
        "int2: DbDataType::Int16 DbValue::Int16(-8)",
        "int2: DbDataType::Int16 DbValue::Int16(16)",
        "int4: DbDataType::Int32 DbValue::Int32(32)",
        "int8: DbDataType::Int64 DbValue::Int64(64)",
        "float4: DbDataType::Floating32 DbValue::Floating32(0.5)",
        "float8: DbDataType::Floating64 DbValue::Floating64(0.25)",
        "text: DbDataType::Str DbValue::Str(\"é\")",
        "bytea: DbDataType::Binary DbValue::Binary([0, 255])",
        "date: DbDataType::Date DbValue::Date((2024, 2, 29))",
        "time: DbDataType::Time DbValue::Time((1, 2, 3, 4000))",
        "timestamp: DbDataType::Datetime DbValue::Datetime((2024, 2, 29, 1, 2, 3, 4000))",
        "timestamptz: DbDataType::Datetime DbValue::Datetime((1970, 1, 2, 0, 0, 0, 0))",
        "uuid: DbDataType::Uuid DbValue::Uuid(\"67e55044-10b1-426f-9247-bb680e5fe0c8\")",
        "jsonb: DbDataType::Jsonb DbValue::Jsonb([123, 34, 97, 34, 58, 32, 49, 125])",
        "numeric: DbDataType::Decimal DbValue::Decimal(\"1.50\")",
        "int4range: DbDataType::RangeInt32 DbValue::RangeInt32((Some((1, RangeBoundKind::Inclusive)), Some((9, RangeBoundKind::Exclusive))))",
        "int8range: DbDataType::RangeInt64 DbValue::RangeInt64((None, Some((9, RangeBoundKind::Exclusive))))",
        "numrange: DbDataType::RangeDecimal DbValue::RangeDecimal((Some((\"1.5\", RangeBoundKind::Exclusive)), None))",
        "int4[]: DbDataType::ArrayInt32 DbValue::ArrayInt32([Some(1), None])",
        "int8[]: DbDataType::ArrayInt64 DbValue::ArrayInt64([Some(2)])",
        "numeric[]: DbDataType::ArrayDecimal DbValue::ArrayDecimal([Some(\"0.1\")])",
        "text[]: DbDataType::ArrayStr DbValue::ArrayStr([Some(\"a,b\"), None])",
        "interval: DbDataType::Interval DbValue::Interval(Interval { micros: 1, days: 2, months: 3 })",
        "text: DbDataType::Str DbValue::DbNull",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn mysql_in_every_version() {
    let Some(server) = mariadb() else { return };
    let database = at(sampan_capabilities::sql::Dialect::MySql, &server.url());
    let statements = [
        "!CREATE TEMPORARY TABLE t (i INT, s TEXT, u BIGINT UNSIGNED, d DATE, n INT)",
        "!INSERT INTO t VALUES (?, ?, ?, ?, ?) ;; i32=7 ;; str=é' ;; i64=9 ;; str=2024-02-29 ;; null",
        "!START TRANSACTION",
        "!UPDATE t SET i = 8",
        "!ROLLBACK",
        "SELECT * FROM t",
        "SELECT * FROM t WHERE",
    ];
    for guest in ["sql-unversioned", "sql-v2", "sql-async"] {
        let by_name = (app(&database.store), grants(), "db".to_owned());
        let by_address = (App::default(), reach("mysql", "127.0.0.1", server.port), server.url());
        for (app, grants, address) in [by_name, by_address] {
            let args: Vec<&str> = ["mysql", &address].into_iter().chain(statements).collect();
            let lines = lines(guest, &app, &grants, &args);
            assert_eq!(lines[..5], ["done"; 5], "{guest}");
            let expected = "i:DbDataType::Int32, s:DbDataType::Str, u:DbDataType::Uint64, d:DbDataType::Str, \
                n:DbDataType::Int32 | DbValue::Int32(7), DbValue::Str(\"é'\"), DbValue::Uint64(9), \
                DbValue::Str(\"2024-02-29\"), DbValue::DbNull";
            assert_eq!(lines[5], expected, "{guest}");
            assert!(lines[6].contains("QueryFailed") && lines[6].contains("1064"), "{}", lines[6]);
        }
    }
}

#[test]
fn a_guest_of_0_2_runs_without_concurrency() {
    let Some(server) = postgres() else { return };
    let database = sqlite();
    for (guest, args) in [
        ("sql-unversioned", ["sqlite", "db", "SELECT 7 AS n"]),
        ("sql-v2", ["sqlite", "db", "SELECT 7 AS n"]),
        ("sql-v3", ["sqlite", "db", "SELECT 7 AS n"]),
    ] {
        let output = run(guest, &app(&database.store), &grants(), &args, false);
        assert!(output.starts_with("n | Value::Integer(7)"), "{guest}: {output}");
    }
    let url = server.url();
    for interface in ["postgres3", "postgres4"] {
        let args = [interface, &url, "SELECT 7 AS n"];
        let output =
            run("sql-v3", &App::default(), &reach("postgres", "127.0.0.1", server.port), &args, false);
        assert_eq!(output, "n:DbDataType::Int32 | DbValue::Int32(7)\n", "{interface}");
    }
}

#[test]
fn a_stream_is_read_to_its_end_or_dropped() {
    let numbers =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) SELECT i FROM n";
    let embedded = sqlite();
    let mut cases = vec![("sqlite", app(&embedded.store))];
    let of = |dialect, url: String| app(&at(dialect, &url).store);
    use sampan_capabilities::sql::Dialect::{MySql, Postgres};
    cases.extend(postgres().map(|server| ("postgres", of(Postgres, server.url()))));
    cases.extend(mariadb().map(|server| ("mysql", of(MySql, server.url()))));
    for (interface, app) in cases {
        let numbers = if interface == "mysql" { "SELECT seq AS i FROM seq_1_to_5000" } else { numbers };
        let all = lines("sql-async", &app, &grants(), &[interface, "db", numbers]);
        assert_eq!(all[0].split(" | ").count(), 5001, "{interface}");
        assert!(all[0].contains("(5000)"), "{interface}");
        // The statement after a dropped stream runs.
        let first = lines(
            "sql-async",
            &app,
            &grants(),
            &["first", interface, "db", "SELECT 1 AS i", "SELECT 2 AS i"],
        );
        assert_eq!(first.len(), 2, "{interface}: {first:?}");
        assert!(first.iter().all(|line| line.starts_with('i')), "{interface}: {first:?}");
    }
}
