//! What tests share: guests, the `sampan` binary, programs from package registries, small servers, and
//! ways to wait for an event. Knows nothing of the other crates.

mod browser;
mod collector;
mod debian;
mod examples;
mod filters;
mod guests;
mod http;
mod net;
pub mod oci;
mod packages;
mod process;
pub mod servers;
mod small_disk;
mod spin;

pub use browser::{Browser, Element};
pub use collector::{CollectedSpan, Collector};
pub use debian::debian_packages;
pub use examples::{dapr_example, dapr_library_guest, npm_example};
pub use filters::{LANGUAGES, assemblyscript, polyglot};
pub use guests::{guest, guest_for, wat};
pub use http::{HttpServer, Request, Response, http_get, http_send};
pub use net::{TcpServer, allow_many_files, free_port};
pub use packages::{
    crate_examples, crate_program, crate_source, crate_user, edited_crate_examples, go_program, kept_project,
    npm_install, npm_package, pip_packages, pypi_package, skip,
};
pub use process::{Finished, Running, finish, sampan};
pub use small_disk::SmallDisk;
pub use spin::{spin_app, spin_javascript_app, spin_python_app};

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a test waits for an event before it fails. Long, because a loaded machine is slow and nothing
/// ever waits for so long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An empty folder that is removed when the value is dropped.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("sampan-test-").tempdir().expect("a temporary folder")
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/testing is two below the root")
}

/// Cargo's target folder, from where the test binary is: Cargo marks it with a CACHEDIR.TAG.
pub fn target() -> PathBuf {
    let program = std::env::current_exe().expect("the test binary's path");
    let tagged = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").exists());
    tagged.map_or_else(|| root().join("target"), Path::to_path_buf)
}

/// Holds off other test binaries, which Cargo and nextest may run beside this one, until it is dropped.
fn lock(path: &Path) -> File {
    fs::create_dir_all(path.parent().expect("a lock file lies in a folder")).expect("the lock's folder");
    let file = File::options().read(true).create(true).append(true).open(path).expect("the lock file");
    file.lock().expect("a lock");
    file
}
