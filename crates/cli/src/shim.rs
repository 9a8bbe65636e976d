//! `containerd-shim-sampan-v1`: what makes guests of the shim's processes.

use oci_spec::runtime::Spec;
use sampan_app::{Entry, Grants, Limits, Mount, PortMap, Program};
use sampan_engine::cache::Cache;
use sampan_engine::{Loaded, Loader, Profile, Settings, Source};
use sampan_runtime::command::{self, Options};
use sampan_runtime::standard_streams;
use sampan_shim::{Guests, Run};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

pub fn main() -> ExitCode {
    sampan_shim::main(Guests { prepare })
}

fn prepare(spec: &Spec, rootfs: &Path) -> Result<Run, String> {
    let process = spec.process().clone().ok_or("config.json has no process")?;
    let args = process.args().clone().unwrap_or_default();
    let first = args.first().ok_or("config.json has no arguments")?;
    let path = rootfs.join(first.trim_start_matches('/'));
    let loaded = load(path)?;
    let env = process.env().iter().flatten().filter_map(|pair| pair.split_once('='));
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let workdir = process.cwd().to_string_lossy().into_owned();
    Ok(Box::new(move |root| {
        let mounts = vec![Mount { host: root.to_owned(), guest: "/".to_owned(), read_only: false }];
        let program = Program {
            args,
            grants: Grants { mounts, env, ports: Vec::<PortMap>::new(), ..Grants::default() },
            limits: Limits::default(),
            workdir: Some(workdir),
            entry: Entry::Command,
            explain: false,
        };
        let options = Options { wasi: standard_streams(), coredump: None, local: None, exit_on_signals: true };
        let outcome = command::run(loaded, &program, options);
        if let Some(failure) = outcome.failure {
            eprintln!("error: {}", failure.message);
        }
        outcome.exit_code
    }))
}

fn load(path: PathBuf) -> Result<Loaded, String> {
    let settings = Settings::new(Profile::Program);
    let root = std::env::var_os("SAMPAN_CACHE_DIR").map_or("/var/cache/sampan".into(), PathBuf::from);
    let cache = Cache::at(root.join("artifacts"), 1 << 30);
    let loader = Loader {
        settings: &settings,
        cache: Some(&cache),
        progress: &|_| {},
        trusted: &crate::key::trusted,
        engines: None,
    };
    loader.load(&Source::File(path)).map_err(|error| error.to_string())
}
