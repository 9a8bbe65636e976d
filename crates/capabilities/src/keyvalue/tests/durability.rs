//! What was acknowledged is there after SIGKILL.

use super::*;
use sampan_testing::{Running, temp_dir};
use std::io::Write;
use std::process::Command;

const WRITES: usize = 10_000;
const FOLDER: &str = "SAMPAN_TEST_DURABILITY_FOLDER";
const TASKS: usize = 8;

/// Not a test by itself: the process that is killed, and would never end. Says each key on standard output once
/// it is acknowledged.
#[test]
fn write_until_killed() {
    run(async {
        let Some(folder) = std::env::var_os(FOLDER) else { return };
        let path = std::path::Path::new(&folder).join("state.sqlite");
        let store = opened(KeyValueBackend::sqlite(path)).await;
        let tasks = (0..TASKS).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in (task..).step_by(TASKS) {
                    store
                        .set(format!("key{number}"), number.to_string().into_bytes())
                        .await
                        .expect("a write");
                    // The test's own output is captured; this goes to the pipe.
                    writeln!(std::io::stdout().lock(), "\nacknowledged {number} .").expect("a pipe");
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.expect("a task");
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    run(async {
        let folder = temp_dir();
        let path = folder.path().join("state.sqlite");
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        let name = "keyvalue::tests::durability::write_until_killed";
        command.args([name, "--exact", "--nocapture"]).env(FOLDER, folder.path());
        let mut writer = Running::start(&mut command);
        writer.wait_for_line(&format!("acknowledged {WRITES} ."));
        writer.child.kill().expect("SIGKILL");
        let output = writer.finish();
        assert_eq!(output.code, 137, "{}", output.stderr);
        let acknowledged: Vec<&str> = output
            .stdout
            .lines()
            .filter_map(|line| line.strip_prefix("acknowledged ")?.strip_suffix(" ."))
            .collect();
        // The tasks are not in step: some may be a little behind the one that was waited for.
        assert!(acknowledged.len() > WRITES / 2, "{}", acknowledged.len());
        let store = opened(KeyValueBackend::sqlite(path)).await;
        for number in acknowledged {
            let entry = store.get(format!("key{number}")).await.expect("an answer");
            assert_eq!(entry.map(|entry| entry.value).as_deref(), Some(number.as_bytes()), "key{number}");
        }
    });
}
