//! `sampan run`: a program, from its source to its exit code.

use crate::containers::{self, ContainerArgs};
use crate::dapr::Beside;
use crate::fail::Fail;
use crate::grants::GrantArgs;
use crate::progress::CompileProgress;
use sampan_app::{Entry, Limits, Program, parse_duration, parse_size};
use sampan_engine::cache::Cache;
use sampan_engine::{
    LoadError, Loaded, Loader, MAX_WASM_BYTES, Obtained, Optimize, Profile, Settings, Source,
};
use sampan_runtime::command::{self, Options};
use sampan_runtime::{Outcome, exit_code, standard_streams};
use std::ffi::OsString;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Run a WebAssembly program: a module, a component, or an image as a container
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// The program (FILE.wasm, FILE.wat, - for standard input, or an image) and its arguments
    // One list, so that a flag behind the program is the program's, also where Sampan has one of that name.
    #[arg(value_names = ["SOURCE", "ARGS"], required = true, trailing_var_arg = true)]
    command: Vec<OsString>,

    #[command(flatten)]
    pub grants: GrantArgs,

    #[command(flatten)]
    pub limits: LimitArgs,

    #[command(flatten)]
    pub options: OptionArgs,

    #[command(flatten)]
    pub container: ContainerArgs,
}

const AFTER_HELP: &str = "\
Exit codes: the program's own; 124 --timeout; 125 wrong flags or grants;
126 not a runnable program; 127 no such file; 130 and 143 interrupted;
134 trap; 137 --memory; 139 stack exhausted; 152 --cpu-time; 153 --fuel.";

/// How much the guest may use.
#[derive(clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct LimitArgs {
    /// All memory of the guest, for example 64m
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size)]
    pub memory: Option<u64>,

    /// Time until the guest is stopped, for example 200ms, 5s
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    pub timeout: Option<Duration>,

    /// Processor time until the guest is stopped
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    cpu_time: Option<Duration>,

    /// Instructions until the guest is stopped, about
    #[arg(long, value_name = "COUNT")]
    pub fuel: Option<u64>,

    /// Call stack of the guest [default: 4m]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    stack: Option<u64>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Running")]
pub struct OptionArgs {
    /// Working directory of the guest, inside a mount
    #[arg(short, long, value_name = "GUEST")]
    pub workdir: Option<String>,

    /// Call this exported function; its arguments follow the source
    #[arg(long, value_name = "FUNCTION")]
    invoke: Option<String>,

    /// The program's own name, its argument 0 [default: the file's name]
    #[arg(long, value_name = "NAME")]
    argv0: Option<String>,

    /// Optimise the native code: 0, 2 or s
    #[arg(short = 'O', value_name = "LEVEL", default_value = "2", value_parser = parse_optimize)]
    optimize: Optimize,

    /// Neither use nor keep native code
    #[arg(long)]
    no_cache: bool,

    /// Write a core dump here if the guest traps
    #[arg(long, value_name = "FILE")]
    coredump: Option<PathBuf>,

    /// Say on standard error what each step took
    #[arg(long)]
    timing: bool,

    /// Pass standard input on to a container; to a program it always is
    #[arg(short, long)]
    pub interactive: bool,

    /// Give a container a terminal; a program always has this one
    #[arg(short, long)]
    pub tty: bool,

    /// Remove the container when it ends; of a program nothing is left anyhow
    #[arg(long)]
    pub rm: bool,
}

/// `-O`: the levels of compilers that users know.
pub fn parse_optimize(text: &str) -> Result<Optimize, String> {
    match text {
        "0" => Ok(Optimize::None),
        "1" | "2" | "3" => Ok(Optimize::Speed),
        "s" | "z" => Ok(Optimize::SpeedAndSize),
        _ => Err("write 0, 2 or s".to_owned()),
    }
}

pub fn run(mut args: Args) -> Result<ExitCode, Fail> {
    if containers::is_for_container(&args) {
        return containers::run(args);
    }
    // 1. What was asked for.
    args.take_dapr_folder();
    let (path, guest_args) = command(&args)?;
    let mut program = program(&args, path, guest_args)?;
    let dapr = match &args.grants.dapr {
        Some(folder) => Some(Beside::open(folder.as_deref(), &mut program)?),
        None => None,
    };
    let settings = settings(&args)?;
    let source = source(path)?;

    // 2. Code: mapped from the cache, or compiled once.
    let loaded = load(&source, &settings, args.options.no_cache)?;
    let timing = args.options.timing.then(|| Timing::of(&loaded));

    // 3. Run it, and tell how it ended.
    let coredump = args.options.coredump.clone();
    let local = dapr.as_ref().map(Beside::local);
    let options =
        Options { wasi: standard_streams(), coredump, local, exit_on_signals: true, counters: None };
    let outcome = command::run(loaded, &program, options);
    if let Some(timing) = timing {
        eprint!("{}", timing.text(&outcome));
    }
    finish(outcome).map(ExitCode::from)
}

impl Args {
    /// What is to be run.
    pub fn source(&self) -> &Path {
        // One at least is required.
        self.command.first().map_or(Path::new(""), Path::new)
    }

    /// What follows the source.
    ///
    /// # Errors
    /// If it is not text.
    pub fn rest(&self) -> Result<Vec<String>, Fail> {
        self.command.iter().skip(1).map(text).collect()
    }

    /// `--dapr FOLDER SOURCE`: the value is optional, so the folder was read as the program. No folder is one.
    fn take_dapr_folder(&mut self) {
        let is_folder = self.command.len() > 1 && Path::new(&self.command[0]).is_dir();
        if is_folder && self.grants.dapr == Some(None) {
            self.grants.dapr = Some(Some(self.command.remove(0).into()));
        }
    }
}

/// Where the program is, and its arguments.
fn command(args: &Args) -> Result<(&Path, Vec<String>), Fail> {
    Ok((args.source(), args.rest()?))
}

fn text(arg: &OsString) -> Result<String, Fail> {
    arg.clone().into_string().map_err(|arg| {
        Fail::new(format!("the argument `{}` is not UTF-8", arg.display()))
            .help("WASI passes text only")
            .code(exit_code::CANNOT_START)
    })
}

fn program(args: &Args, source: &Path, guest_args: Vec<String>) -> Result<Program, Fail> {
    let entry = match &args.options.invoke {
        Some(function) => Entry::Invoke { function: function.clone(), args: guest_args.clone() },
        None => Entry::Command,
    };
    let name = args.options.argv0.clone().unwrap_or_else(|| program_name(source));
    // What an invoked function takes is not what the program would read as its arguments.
    let rest = if args.options.invoke.is_some() { Vec::new() } else { guest_args };
    Ok(Program {
        args: std::iter::once(name).chain(rest).collect(),
        grants: args.grants.resolve()?,
        limits: Limits {
            memory_bytes: args.limits.memory,
            timeout: args.limits.timeout,
            cpu_time: args.limits.cpu_time,
            fuel: args.limits.fuel,
            stack_bytes: args.limits.stack,
        },
        workdir: args.options.workdir.clone(),
        entry,
        explain: args.grants.explain,
    })
}

/// The last part of the path, as a shell would pass the name of a program found on its path.
fn program_name(source: &Path) -> String {
    match source.file_name() {
        Some(name) if source != Path::new("-") => name.to_string_lossy().into_owned(),
        _ => "stdin".to_owned(),
    }
}

/// Frames of the guest must fit on the stack that the process can have.
const MAX_STACK_BYTES: u64 = 1 << 30;

fn settings(args: &Args) -> Result<Settings, Fail> {
    let mut settings = Settings::new(Profile::Program);
    settings.optimize = args.options.optimize;
    settings.fuel = args.limits.fuel.is_some();
    settings.coredump = args.options.coredump.is_some();
    if let Some(bytes) = args.limits.stack {
        if bytes > MAX_STACK_BYTES {
            return Err(Fail::new("--stack is larger than 1g")
                .help("a stack of 16m is deep already")
                .code(exit_code::CANNOT_START));
        }
        settings.stack_bytes = bytes as usize;
    }
    if settings.small_address_space {
        eprintln!(
            "sampan: little address space (ulimit -v): memory accesses are checked in code, which is slower"
        );
    }
    Ok(settings)
}

fn source(path: &Path) -> Result<Source, Fail> {
    if path != Path::new("-") {
        return Ok(Source::File(path.to_owned()));
    }
    let mut bytes = Vec::new();
    let mut stdin = std::io::stdin().lock().take(MAX_WASM_BYTES + 1);
    stdin.read_to_end(&mut bytes).map_err(|error| {
        Fail::new(format!("cannot read the program from standard input: {error}"))
            .code(exit_code::NOT_RUNNABLE)
    })?;
    let name = "standard input".to_owned();
    if bytes.len() as u64 > MAX_WASM_BYTES {
        return Err(LoadError::TooLarge { name }.into());
    }
    Ok(Source::Bytes { name, bytes })
}

pub fn load(source: &Source, settings: &Settings, no_cache: bool) -> Result<Loaded, Fail> {
    let cache = if no_cache { None } else { Cache::of_user() };
    let progress = CompileProgress::new(&source.name());
    let observe = |step| progress.observe(step);
    let loader = Loader {
        settings,
        cache: cache.as_ref(),
        progress: &observe,
        trusted: &crate::key::trusted,
        engines: None,
    };
    let loaded = loader.load(source)?;
    for notice in &loaded.ignored {
        eprintln!("warning: {notice}");
    }
    if let (Some(error), Some(cache)) = (&loaded.not_kept, &cache) {
        eprintln!("warning: compiled code is not kept in {}: {error}", cache.path().display());
        eprintln!("help: make the folder writable, or set SAMPAN_CACHE_DIR, or say --no-cache");
    }
    Ok(loaded)
}

pub fn finish(outcome: Outcome) -> Result<u8, Fail> {
    if let Some(failure) = outcome.failure {
        return Err(Fail::from(failure).code(outcome.exit_code));
    }
    for result in outcome.results {
        crate::fail::print_stdout(&format!("{result}\n"))?;
    }
    Ok(outcome.exit_code)
}

/// What `--timing` prints.
struct Timing {
    read: Duration,
    code: Duration,
    obtained: Obtained,
}

impl Timing {
    fn of(loaded: &Loaded) -> Self {
        Timing { read: loaded.read_time, code: loaded.code_time, obtained: loaded.obtained }
    }

    fn text(&self, outcome: &Outcome) -> String {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let code = match self.obtained {
            Obtained::Compiled => "compile",
            Obtained::Cached => "cache hit",
            Obtained::Shipped => "shipped",
        };
        format!(
            "timing: {:<12}{:>10.3} ms\ntiming: {code:<12}{:>10.3} ms\ntiming: {:<12}{:>10.3} ms\n\
             timing: {:<12}{:>10.3} ms\ntiming: peak memory {:.1} MiB of the process, {:.1} MiB of the guest\n",
            "load",
            ms(self.read),
            ms(self.code),
            "instantiate",
            ms(outcome.instantiate_time),
            "run",
            ms(outcome.run_time),
            peak_process_kib().unwrap_or_default() as f64 / 1024.0,
            outcome.peak_guest_bytes as f64 / f64::from(1 << 20),
        )
    }
}

/// The most memory that this process ever had resident, as Linux counts it (`proc_pid_status(5)`, VmHWM).
fn peak_process_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}
