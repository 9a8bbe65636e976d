//! `sampan build --watch`, as a person uses it. What the engine does in each case is tested beside it.

use crate::sampan_in;
use sampan_testing::Running;
use std::fs;

#[test]
fn what_changes_is_built_until_a_signal_ends_it() {
    let dir = sampan_testing::temp_dir();
    let write = |name: &str, text: &str| {
        fs::write(dir.path().join("new"), text).unwrap();
        fs::rename(dir.path().join("new"), dir.path().join(name)).unwrap();
    };
    let manifest = |command: &str| {
        format!(
            "[app]\nname = \"app\"\n[component.a]\nsource = \"a.wasm\"\n\
             build = {{ command = \"{command}\", watch = [\"*.txt\"] }}\n[[route]]\npath = \"/\"\nto = \"a\"\n"
        )
    };
    write("sampan.toml", &manifest("cat a.txt; cp a.txt a.wasm"));
    let mut running = Running::start(&mut sampan_in(dir.path(), &["build", "--watch"]));
    // A first build that fails ends nothing.
    running.wait_for_error("No such file");
    running.wait_for_error("error: the build of `a` failed");
    write("a.txt", "1");
    running.wait_for_error("building a");
    running.wait_for_error("a is new");
    assert_eq!(fs::read_to_string(dir.path().join("a.wasm")).unwrap(), "1");
    write("sampan.toml", "[app]\nname = 1\n");
    running.wait_for_error("sampan.toml:2");
    write("sampan.toml", &manifest("echo 22 > a.wasm"));
    running.wait_for_error("a is new");
    assert_eq!(fs::read_to_string(dir.path().join("a.wasm")).unwrap(), "22\n");
    let id = rustix::process::Pid::from_child(&running.child);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(running.finish().code, 0);
}
