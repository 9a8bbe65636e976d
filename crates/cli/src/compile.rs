//! `sampan compile`: native code ahead of time, in the wasm file or beside it, signed by this machine's key.

use crate::fail::{Fail, print_stdout};
use crate::progress::CompileProgress;
use sampan_engine::keys::Keys;
use sampan_engine::{LoadError, Loader, Optimize, Profile, Settings, Shipping, Source, beside};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Compile ahead of time, into a wasm file or beside it
///
/// Writes FILE.native, or with -o one wasm file with the native code inside. The code is signed with this machine's key. Here it is executed without compiling; elsewhere it is if
/// that machine trusts the key (`sampan key`), and otherwise ignored: the wasm itself runs everywhere.
#[derive(clap::Args)]
pub struct Args {
    /// FILE.wasm or FILE.wat
    file: PathBuf,

    /// Write one wasm file with the native code inside (it may be FILE itself) [default: FILE.native]
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    /// For servers, which run many guests in one process, instead of `sampan run`
    #[arg(long)]
    serve: bool,

    /// Optimise the native code: 0, 2 or s
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = crate::run::parse_optimize)]
    optimize: Optimize,

    /// Count instructions, for runs with --fuel
    #[arg(long)]
    fuel: bool,

    /// Another processor, for example aarch64-unknown-linux-gnu [default: this one]
    #[arg(long, value_name = "TRIPLE")]
    target: Option<String>,
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let mut settings = Settings::new(if args.serve { Profile::Server } else { Profile::Program });
    settings.optimize = args.optimize;
    settings.fuel = args.fuel;
    settings.target = args.target;
    let key = Keys::of_user().and_then(|keys| keys.load_or_create()).map_err(crate::key::fail)?;

    let source = Source::File(args.file.clone());
    let progress = CompileProgress::new(&source.name());
    let observe = |step| progress.observe(step);
    let loader =
        Loader { settings: &settings, cache: None, progress: &observe, trusted: &Vec::new, engines: None };
    let (shipping, output) = match args.output {
        Some(output) => (Shipping::Inside, output),
        None => (Shipping::Beside, beside(&args.file)),
    };
    let shipped = loader.ship(&source, shipping, &key).map_err(|error| match (error, &settings.target) {
        (LoadError::Engine(why), Some(target)) => Fail::new(format!("cannot compile for {target}: {why}"))
            .help("targets are x86_64, aarch64 and riscv64gc, each with -unknown-linux-gnu"),
        // Wrong input is no "cannot run" here: there is nothing of Docker's to imitate.
        (error, _) => Fail::from(error).code(1),
    })?;
    write(&output, &shipped)?;
    let mebibytes = shipped.len() as f64 / f64::from(1 << 20);
    print_stdout(&format!("{} ({mebibytes:.1} MiB)\n", output.display()))
}

/// All or nothing: an existing file is replaced only when the new one is complete.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Fail> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written =
        tempfile::Builder::new().permissions(readable_by_all()).tempfile_in(folder).and_then(|mut file| {
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)
        });
    written.map(drop).map_err(|error| {
        Fail::new(format!("cannot write {}: {error}", path.display())).help("name another file with -o")
    })
}

/// As any file that a compiler writes; what it is worth, its signature tells.
fn readable_by_all() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}
