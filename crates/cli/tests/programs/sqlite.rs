//! SQLite's shell, of preview 0 (`wasi_unstable`).

use crate::{finish, mount, output, runno, sampan_run};
use sampan_testing::temp_dir;
use std::fs;

#[test]
fn sqlite_keeps_a_database_in_a_mount() {
    let Some(langs) = runno() else { return };
    let data = temp_dir();
    let sqlite = || {
        let mut command = sampan_run([mount(data.path(), "/data")]);
        command.arg(langs.join("sqlite.wasm"));
        command
    };
    let make = "create table boats(name text, length real);
        insert into boats values ('sampan', 4.5), ('junk', 23.0);";
    assert_eq!(output(sqlite().args(["/data/boats.db", make]), ""), "");
    let file = fs::read(data.path().join("boats.db")).unwrap();
    assert!(file.starts_with(b"SQLite format 3\0"));

    let query = "select name, length * 2 as double from boats order by length;";
    let csv = output(sqlite().args(["-csv", "-header", "/data/boats.db", query]), "");
    assert_eq!(csv.replace('\r', ""), "name,double\nsampan,9.0\njunk,46.0\n");

    // Without a statement it reads standard input, which it takes for a terminal wherever it runs.
    let said = output(sqlite().args(["-batch", "/data/boats.db"]), "select count(*) from boats;\n");
    assert!(said.contains("2\n"), "{said}");

    let failed = finish(sqlite().args(["/data/boats.db", "select * from nowhere"]), "");
    assert_eq!((failed.code, &*failed.stderr), (1, "Error: no such table: nowhere\n"), "{failed:?}");
    // What it used as a journal and as a lock is gone.
    let left: Vec<_> = fs::read_dir(data.path()).unwrap().flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["boats.db"]);
}

#[test]
fn sqlite_without_grants_works_in_memory_alone() {
    let Some(langs) = runno() else { return };
    let mut command = sampan_run([""; 0]);
    let failed = finish(command.arg(langs.join("sqlite.wasm")).args(["/tmp/x.db", "create table t(a)"]), "");
    assert_eq!(failed.code, 1, "{failed:?}");
    assert!(failed.stderr.contains("unable to open database \"/tmp/x.db\""), "{failed:?}");

    let mut command = sampan_run([""; 0]);
    let said = output(command.arg(langs.join("sqlite.wasm")).args([":memory:", "select 6 * 7"]), "");
    assert_eq!(said, "42\n");
}
