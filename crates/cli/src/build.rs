//! `sampan build`: runs the build commands of an app's components, one after the other, as their output comes. What
//! makes an image is in `images/build.rs`.

use crate::fail::Fail;
use crate::images;
use crate::manifest::{self, ManifestArgs};
use crate::watch;
use sampan_app::{App, Build, Component, Severity};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

/// Build an app's components, each by its own command; or an image, by a Dockerfile or of a whole app (-t NAME)
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    manifest: ManifestArgs,

    /// Components to build [default: all that have a build command]; of an image, the folder, or - for an archive
    #[arg(value_name = "COMPONENT|FOLDER")]
    components: Vec<String>,

    /// Go on, and build again what changes
    #[arg(long, conflicts_with = "tag")]
    watch: bool,

    #[command(flatten)]
    image: images::build::Args,
}

/// Of the output of a captured build, so much of the end is kept.
const OUTPUT_MAX: usize = 64 << 10;

/// A build that came to no good end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    pub message: String,
    pub help: Option<String>,
    /// What the commands printed, if it was captured; the last part of it.
    pub output: String,
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    if let Some(done) = images::build::run(&args.image, &args.manifest, &args.components) {
        return done;
    }
    let (app, path) = read_app(&args.manifest)?;
    for name in &args.components {
        if !app.components.iter().any(|component| component.name == *name) {
            let names = Vec::from_iter(app.components.iter().map(|component| component.name.as_str()));
            let fail = Fail::new(format!("there is no component `{name}` in {}", app.manifest.display()));
            return Err(fail.help(format!("its components are: {}", names.join(", "))));
        }
    }
    let chosen =
        |component: &&Component| args.components.is_empty() || args.components.contains(&component.name);
    if args.watch {
        let names = app.components.iter().filter(chosen).map(|component| component.name.clone());
        return watch::follow(&app, &path, &args.manifest.env_file, names.collect());
    }
    match build_all(app.components.iter().filter(chosen))? {
        0 => eprintln!("nothing to build: no component has a build command"),
        1 => eprintln!("built 1 component"),
        count => eprintln!("built {count} components"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The app of a manifest; its findings are shown.
pub fn read_app(args: &ManifestArgs) -> Result<(App, std::path::PathBuf), Fail> {
    let stop = |diagnostics: Vec<sampan_app::Diagnostic>| {
        manifest::print(&diagnostics);
        let errors = diagnostics.iter().filter(|one| one.severity == Severity::Error).count();
        Fail::new(format!("the manifest has {errors} error{}", if errors == 1 { "" } else { "s" }))
            .help("correct what is named above; `sampan check` tells more")
    };
    let path = manifest::resolve(args.file.as_deref()).map_err(|one| stop(vec![one]))?;
    let (app, diagnostics) = manifest::read(&path, &args.env_file).map_err(stop)?;
    manifest::print(&diagnostics);
    Ok((app, path))
}

/// Builds what can be built, in order, until one fails; the number of components that were built.
pub fn build_all<'a>(components: impl Iterator<Item = &'a Component>) -> Result<usize, Fail> {
    let mut count = 0;
    for component in components {
        let Some(build) = &component.build else { continue };
        run_build(component, build, &mut Live).map_err(|error| {
            let fail = Fail::new(error.message);
            if let Some(help) = error.help { fail.help(help) } else { fail }
        })?;
        count += 1;
    }
    Ok(count)
}

/// How the output of a build is shown, and how its processes are run.
pub trait Output {
    fn begin(&mut self, component: &str, command: &str);
    fn run(&mut self, command: Command) -> io::Result<ExitStatus>;
    fn captured(&mut self) -> String;
}

/// As it comes, on the terminal.
struct Live;

impl Output for Live {
    fn begin(&mut self, component: &str, command: &str) {
        // Nobody is left to tell if the stream is closed.
        let _ = writeln!(io::stderr(), "building {component}: {command}");
    }

    fn run(&mut self, mut command: Command) -> io::Result<ExitStatus> {
        command.status()
    }

    fn captured(&mut self) -> String {
        String::new()
    }
}

/// Kept for later. `started` gets each process, so that it can be ended, and is told when it has ended.
pub struct Captured<F: FnMut(Option<u32>)> {
    pub output: Vec<u8>,
    pub started: F,
}

impl<F: FnMut(Option<u32>)> Output for Captured<F> {
    fn begin(&mut self, _component: &str, command: &str) {
        self.output.extend_from_slice(format!("$ {command}\n").as_bytes());
    }

    fn run(&mut self, mut command: Command) -> io::Result<ExitStatus> {
        let (mut reader, writer) = io::pipe()?;
        // A group of its own, so that what the shell starts can be ended with it.
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer).process_group(0);
        let mut child: Child = command.spawn()?;
        (self.started)(Some(child.id()));
        // The command holds the writing end, without which the reader would wait for ever.
        drop(command);
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            self.output.extend_from_slice(&buffer[..count]);
            let excess = self.output.len().saturating_sub(OUTPUT_MAX);
            self.output.drain(..excess);
        }
        (self.started)(None);
        child.wait()
    }

    fn captured(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.output)).into_owned()
    }
}

/// Runs the commands of one component.
pub fn run_build(component: &Component, build: &Build, output: &mut dyn Output) -> Result<(), BuildError> {
    let name = &component.name;
    let fail = |message: String, help: Option<String>, output: &mut dyn Output| {
        Err(BuildError { message, help, output: output.captured() })
    };
    if !build.workdir.is_dir() {
        let message = format!("cannot build `{name}`: {} is not a folder", build.workdir.display());
        return fail(message, Some("correct the `workdir` of its build".to_owned()), output);
    }
    for command in &build.commands {
        output.begin(name, command);
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(&build.workdir);
        match output.run(shell) {
            Err(error) => return fail(format!("cannot build `{name}`: sh: {error}"), None, output),
            Ok(status) if !status.success() => {
                let message = format!("the build of `{name}` failed: `{command}` ended with {status}");
                return fail(message, help(command, status, &build.workdir), output);
            }
            Ok(_) => {}
        }
    }
    // What is built for code that lies elsewhere are its files.
    if component.remote.is_none() && !component.source.is_file() {
        let message = format!("the build of `{name}` made no {}", component.source.display());
        let help = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(_) if component.source.iter().any(|part| part == "target") => {
                "CARGO_TARGET_DIR is set, so Cargo writes elsewhere; unset it, or change `source`"
            }
            _ => "`source` names the file that the build writes",
        };
        return fail(message, Some(help.to_owned()), output);
    }
    Ok(())
}

/// What to install, where that is the reason of a failure.
fn help(command: &str, status: ExitStatus, workdir: &Path) -> Option<String> {
    // A shell's answer to a command that is not there (POSIX, Shell Command Language 2.8.2).
    if status.code() == Some(127) {
        let tool = missing_tool(command, workdir)?;
        return Some(match tool {
            "cargo" | "rustc" | "rustup" => "install Rust: https://rustup.rs".to_owned(),
            "npm" | "npx" | "node" => "install Node.js 20 or newer: https://nodejs.org".to_owned(),
            "python3" | "python" | "pip" | "pip3" => {
                "install Python 3.10 or newer: https://python.org".to_owned()
            }
            "go" => "install Go: https://go.dev".to_owned(),
            tool => format!("install `{tool}`, or put its folder into PATH"),
        });
    }
    let words = Vec::from_iter(command.split_whitespace());
    let target = words.windows(2).find(|pair| pair[0] == "--target").map(|pair| pair[1]);
    let target = target.or_else(|| words.iter().find_map(|word| word.strip_prefix("--target=")));
    if let Some(target) = target.filter(|target| target.starts_with("wasm32-")) {
        let mut rustc = Command::new("rustc");
        let asked =
            rustc.args(["--print", "target-libdir", "--target", target]).current_dir(workdir).output();
        let folder = asked.ok().filter(|asked| asked.status.success());
        let folder = folder.map(|asked| String::from_utf8_lossy(&asked.stdout).trim().to_owned());
        if folder.is_some_and(|folder| !Path::new(&folder).is_dir()) {
            return Some(format!("Rust cannot compile for {target} yet: rustup target add {target}"));
        }
    }
    if words.windows(3).any(|three| three == ["python3", "-m", "venv"]) {
        return Some(
            "on Debian and Ubuntu, `venv` is a package of its own: apt install python3-venv".to_owned(),
        );
    }
    None
}

/// The first command of a line that the shell does not find.
fn missing_tool<'a>(command: &'a str, workdir: &Path) -> Option<&'a str> {
    let lines = command.split(['&', '|', ';', '\n']);
    let tools = lines.filter_map(|line| line.split_whitespace().find(|word| !word.contains('=')));
    tools.into_iter().find(|tool| {
        let mut shell = Command::new("sh");
        shell.args(["-c", "command -v -- \"$1\"", "sh", tool]).current_dir(workdir);
        let found = shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| !status.success())
    })
}
