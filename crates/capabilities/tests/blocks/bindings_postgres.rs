//! The binding of PostgreSQL on a real server.

use crate::with::{Pairs, eventually, invoke, output, run};
use sampan_capabilities::bindings::BindingError;
use sampan_testing::servers::Postgres;

#[test]
fn statements_run_with_their_parameters() {
    let Some(server) = Postgres::start() else { return };
    run(async {
        let binding = output("bindings.postgresql", &[("connectionString", &server.url())]).await;
        assert_eq!(binding.operations(), ["exec", "query", "close"]);
        let create =
            "CREATE TABLE foo (id bigint PRIMARY KEY, c1 text, ts timestamptz, b bytea, j jsonb, n numeric)";
        let done = invoke(&binding, "exec", b"", &[("sql", create)]).await.expect("a table");
        assert_eq!((done.data, &*done.metadata["rows-affected"]), (None, "0"));

        let insert =
            "INSERT INTO foo (id, c1, ts, j, n) VALUES ($1, $2, $3, $4, $5), ($6, NULL, NULL, NULL, NULL)";
        let params = r#"[1, "it's; DROP TABLE foo", "2026-01-02T03:04:05Z", {"a": [1]}, 12345678901234567890.50, "2"]"#;
        let done =
            invoke(&binding, "exec", b"", &[("sql", insert), ("params", params)]).await.expect("two rows");
        assert_eq!(done.metadata["rows-affected"], "2");

        let select = "SELECT * FROM foo WHERE id < $1 ORDER BY id";
        let done = invoke(&binding, "query", b"", &[("sql", select), ("params", "[3]")]).await.expect("rows");
        // As text: digits are not to be rounded.
        let expected = r#"[[1,"it's; DROP TABLE foo","2026-01-02T03:04:05Z",null,{"a": [1]},12345678901234567890.50],[2,null,null,null,null,null]]"#;
        assert_eq!(String::from_utf8(done.data.expect("rows")).as_deref(), Ok(expected));
        assert_eq!((&*done.metadata["operation"], &*done.metadata["sql"]), ("query", select));
        for name in ["start-time", "end-time"] {
            assert!(done.metadata[name].starts_with("20") && done.metadata[name].ends_with('Z'), "{name}");
        }
        assert!(done.metadata["duration"].ends_with('s'));
        let done = invoke(&binding, "query", b"", &[("sql", "SELECT 1 WHERE false")]).await.expect("no rows");
        assert_eq!(done.data.as_deref(), Some(&b"[]"[..]));

        let values = "SELECT true, 1::smallint, 1.5::float8, '\\x00ff'::bytea, '2026-01-02'::date, '03:04:05'::time, \
            '00000000-0000-4000-8000-000000000001'::uuid, ARRAY[1, NULL]::int[], ARRAY['a'], \
            '[1,5)'::int4range, '1 mon 2 days'::interval, 'NaN'::numeric, ARRAY[1.50, NULL]";
        let done = invoke(&binding, "query", b"", &[("sql", values)]).await.expect("values");
        let row: serde_json::Value = serde_json::from_slice(&done.data.expect("a row")).expect("JSON");
        let expected = serde_json::json!([[
            true,
            1,
            1.5,
            "AP8=",
            "2026-01-02T00:00:00Z",
            "03:04:05.000000",
            "00000000-0000-4000-8000-000000000001",
            [1, null],
            ["a"],
            "[1,5)",
            "1 months 2 days 0 microseconds",
            "NaN",
            [1.5, null],
        ]]);
        assert_eq!(row, expected);
    });
}

#[test]
fn what_is_wrong_is_said_in_daprs_words() {
    let Some(mut server) = Postgres::start() else { return };
    run(async {
        let binding = output("bindings.postgres", &[("connectionString", &server.url())]).await;
        let sql = ("sql", "SELECT $1::int");
        let table: [(&str, Pairs, &str); 7] = [
            ("query", &[], "required metadata not set: sql"),
            ("exec", &[("sql", "")], "required metadata not set: sql"),
            (
                "query",
                &[sql, ("params", "{}")],
                "invalid metadata property params: failed to unserialize into an array",
            ),
            ("create", &[sql], "invalid operation: create; this binding has exec, query, close"),
            ("query", &[("sql", "SELEC 1")], "error executing query: "),
            ("query", &[sql], "error executing query: the statement takes 1 parameters, but got 0"),
            ("query", &[sql, ("params", "[\"x\"]")], "error executing query: "),
        ];
        for (operation, metadata, expected) in table {
            let error = invoke(&binding, operation, b"", metadata).await.expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        server.kill();
        let one = [("sql", "SELECT 1")];
        let error = eventually(async || invoke(&binding, "query", b"", &one).await.err()).await;
        assert!(matches!(error, BindingError::Unavailable(_)), "{error:?}");
        assert!(!error.to_string().contains(Postgres::PASSWORD), "{error}");
        server.restart();
        eventually(async || invoke(&binding, "query", b"", &one).await.ok()).await;

        for _ in 0..2 {
            let done = invoke(&binding, "close", b"", &[]).await.expect("it closes, also twice");
            assert_eq!(done, Default::default());
        }
        let error = invoke(&binding, "query", b"", &one).await.expect_err("it is closed");
        assert_eq!(error.to_string(), "component is closed");
    });
}
