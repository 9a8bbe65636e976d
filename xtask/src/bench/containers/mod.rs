//! Containers of guests beside those of runc, by the same containerd and in turn: how soon they start, what they hold,
//! what they leave behind; and how large images are beside native ones. It needs root, containerd, runc, a C compiler
//! and PHP (Debian: `apt-get install containerd runc gcc php-cgi`), and takes some minutes.

mod images;
mod memory;
mod rounds;
mod start;

use super::succeed;
use crate::Result;
use crate::paths::{root, target};
use sampan_testing::oci::Image;
use sampan_testing::servers::{Containerd, NAMESPACE};
use sampan_testing::{finish, temp_dir};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SHIM: &str = "io.containerd.sampan.v1";
const RUNC: &str = "io.containerd.runc.v2";

/// The same programs, for both: the guest that `cargo xtask guests` makes of them, and a static native one.
const PROGRAMS: [&str; 2] = ["hello-c", "sleep-c"];

/// A containerd, and Sampan's own containers, with the images of all programs.
struct World {
    server: Containerd,
    sampan: PathBuf,
    /// Data and cache of `sampan`, and the programs.
    folder: TempDir,
}

pub fn run(sampan: &Path) -> Result {
    let world = World::start(sampan)?;
    for program in ["containerd", "runc"] {
        let version = finish(Command::new(program).arg("--version"), "").stdout;
        println!("{}", version.lines().next().unwrap_or_default());
    }
    println!();
    start::run(&world)?;
    memory::run(&world)?;
    rounds::run(&world)?;
    images::run(&world)
}

impl World {
    fn start(sampan: &Path) -> Result<World> {
        crate::guests::build(&PROGRAMS.map(str::to_owned))?;
        let (sampan, folder) = (sampan.canonicalize()?, temp_dir());
        let server = Containerd::start_of(&sampan, &folder.path().join("cache"), false, &[]);
        let server = server.ok_or("the benchmark needs root, containerd and runc")?;
        let world = World { server, sampan, folder };
        for name in PROGRAMS {
            succeed(
                Command::new("cc")
                    .args(["-O2", "-static", "-s", "-o"])
                    .arg(world.native(name))
                    .arg(root().join("guests/c").join(name).with_extension("c")),
            )?;
            world.import(&native_image(name), &world.native(name))?;
            world.import(&wasm_image(name), &wasm(name))?;
            succeed(world.sampan(&["load", "-q", "-i"]).arg(world.server.archive()))?;
        }
        Ok(world)
    }

    fn import(&self, name: &str, file: &Path) -> Result {
        let files = vec![("program", fs::read(file)?)];
        self.server.import(&Image { name, files, entrypoint: vec!["/program"], ..Image::default() });
        Ok(())
    }

    fn native(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn sampan(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.sampan);
        command.env("SAMPAN_DATA_DIR", self.data()).env("SAMPAN_CACHE_DIR", self.folder.path().join("cache"));
        command.args(args);
        command
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn ctr(&self, args: &[&str]) -> Command {
        let mut command = self.server.command(NAMESPACE);
        command.args(args);
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Those that a failure left.
        for id in finish(&mut self.sampan(&["ps", "-aq"]), "").stdout.split_whitespace() {
            finish(&mut self.sampan(&["rm", "-f", id]), "");
        }
    }
}

fn wasm(name: &str) -> PathBuf {
    target().join("guests/c").join(name).with_extension("wasm")
}

fn wasm_image(name: &str) -> String {
    format!("docker.io/bench/{name}-wasm:1")
}

fn native_image(name: &str) -> String {
    format!("docker.io/bench/{name}-native:1")
}

/// Runs it to its end; its output is the answer.
fn output(command: &mut Command) -> Result<String> {
    let finished = finish(command, "");
    match finished.code {
        0 => Ok(finished.stdout),
        _ => Err(format!("{command:?} failed: {}{}", finished.stdout, finished.stderr).into()),
    }
}
