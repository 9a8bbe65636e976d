//! A client library: PyPI's `docker`.

use crate::Engine;
use sampan_testing::{finish, pip_packages};

#[test]
fn the_library_of_python() {
    let Some(packages) = pip_packages("docker", "7.1.0", &["docker==7.1.0"]) else { return };
    let engine = Engine::start();
    let mut python = engine.client("python3");
    python.arg("-c").arg(include_str!("library.py")).env("PYTHONPATH", packages);
    let finished = finish(&mut python, "");
    assert_eq!(finished.code, 0, "{}{}", finished.stdout, finished.stderr);
    assert!(finished.stdout.ends_with("all is well\n"), "{}", finished.stdout);
}
