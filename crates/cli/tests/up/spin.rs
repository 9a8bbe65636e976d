//! Spin's apps, by `sampan up` with the manifests that Spin reads.

use crate::Up;
use sampan_testing::servers::{MariaDb, Postgres, Redis};
use sampan_testing::{Running, sampan, spin_app, temp_dir};
use std::path::Path;

/// Serves a copy of the app, so that its stores are new.
fn serve(folder: &Path, manifest: &str, variables: &[(&str, String)]) -> (tempfile::TempDir, Up) {
    let copy = temp_dir();
    let copied = std::process::Command::new("cp").arg("-r").arg(folder.join(".")).arg(copy.path()).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp");
    let mut command = sampan();
    command.arg("up").arg("-f").arg(copy.path().join(manifest)).args(["--listen", "127.0.0.1:0"]);
    for (name, value) in variables {
        command.env(format!("SPIN_VARIABLE_{}", name.to_uppercase()), value);
    }
    let mut process = Running::start(&mut command);
    let line = process.wait_for_line("listening on http://");
    let address = line.trim_start_matches("listening on http://").trim_end_matches('/').to_owned();
    (copy, Up { process, address })
}

#[test]
fn version_1_serves() {
    let Some(folder) = spin_app("sdk-2") else { return };
    let (_copy, up) = serve(&folder, "spin-1.toml", &[("greeting", "good day".to_owned())]);
    assert_eq!(up.get("/hello").text(), "hello from spin-sdk 2.2\n");
    assert_eq!(up.get("/variable").text(), "good day");
    assert_eq!(up.get("/count").text(), "1");
    assert_eq!(up.get("/.well-known/spin/health").status, 200);
}

#[test]
fn version_2_serves_with_stores_of_all_kinds() {
    let (Some(redis), Some(mariadb), Some(postgres)) = (Redis::start(), MariaDb::start(), Postgres::start())
    else {
        return;
    };
    let variables = [("redis", redis.url()), ("mysql", mariadb.url()), ("postgres", postgres.url())];
    for sdk in ["sdk-5", "sdk-7"] {
        let Some(folder) = spin_app(sdk) else { return };
        let (_copy, up) = serve(&folder, "spin.toml", &variables);
        let headers = up.get("/headers").text();
        assert!(headers.contains("spin-path-info: /headers"), "{sdk}: {headers}");
        for (path, part) in [
            ("/key-value", "Some(\"one\") true false"),
            ("/sqlite", "Splodge"),
            ("/redis", "Some(\"one\") 1 2"),
            ("/mysql", "Splodge"),
            ("/postgres", "Splodge"),
        ] {
            let answer = up.get(path);
            assert!(answer.status == 200 && answer.text().contains(part), "{sdk}{path}: {}", answer.text());
        }
    }
}
