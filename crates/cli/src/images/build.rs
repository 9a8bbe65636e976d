//! `sampan build` of images: by a Dockerfile, or of a whole app.

use super::progress::Progress;
use super::{failed, platform, reference, runtime, store};
use crate::build::{build_all, read_app};
use crate::fail::{Fail, print_stdout};
use crate::manifest::{self, ManifestArgs};
use sampan_app::App;
use sampan_images::{
    BuildError, BuildEvent, BuildSettings, Image, ImageError, Images, Platform, PullSettings, Reference,
    Transfer, build, build_app, context_of, epoch_s, familiar,
};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;

/// What a folder may have to be built by; the first that is there.
const DOCKERFILES: [&str; 2] = ["Dockerfile", "Containerfile"];
const DOCKERFILE_MAX_BYTES: u64 = 1 << 20;

/// Flags of images alone.
#[derive(clap::Args)]
#[command(next_help_heading = "Images")]
pub struct Args {
    /// Make an image, and give it this name; more of them give it more names
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,

    /// A value for an ARG of the Dockerfile; without =VALUE, that of the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    build_arg: Vec<String>,

    /// The stage of the Dockerfile to stop at
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,

    /// What the image says it is for
    #[arg(long, value_name = "OS/ARCH", default_value = "wasi/wasm")]
    platform: String,

    /// A label of the image
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<String>,

    /// Make all layers anew
    #[arg(long)]
    no_cache: bool,

    /// Ask registries for newer versions of the images that it is built on
    #[arg(long)]
    pull: bool,

    /// Print the id of the image only
    #[arg(short, long)]
    quiet: bool,
}

/// What an image is made of.
enum Plan {
    Dockerfile { file: PathBuf, context: PathBuf },
    App(ManifestArgs),
}

/// Makes an image, if that is what is asked for: `None` if not.
pub fn run(args: &Args, given: &ManifestArgs, words: &[String]) -> Option<Result<ExitCode, Fail>> {
    let plan = match plan(args, given, words) {
        Ok(Some(plan)) => plan,
        Ok(None) => return None,
        Err(fail) => return Some(Err(fail)),
    };
    Some(made(args, plan))
}

/// By a name, by a Dockerfile, or by a folder that has one.
fn plan(args: &Args, given: &ManifestArgs, words: &[String]) -> Result<Option<Plan>, Fail> {
    let is_manifest =
        given.file.as_deref().is_some_and(|file| file.extension().is_some_and(|end| end == "toml"));
    let is_dockerfile = !is_manifest && given.file.as_deref().is_some_and(Path::is_file);
    let folder = words.first().map(PathBuf::from);
    let has_dockerfile =
        |folder: &Path| DOCKERFILES.iter().map(|name| folder.join(name)).find(|file| file.is_file());
    let is_archive = folder.as_deref() == Some(Path::new("-"));
    let asked = !args.tag.is_empty() || is_dockerfile || is_archive || args.target.is_some();
    if !asked && !folder.as_deref().is_some_and(|folder| folder.is_dir() && has_dockerfile(folder).is_some())
    {
        return Ok(None);
    }
    if words.len() > 1 {
        return Err(
            Fail::new("an image is made of one folder").help("name one, and -t NAME for each of its names")
        );
    }
    let context = folder.unwrap_or_else(|| PathBuf::from("."));
    if is_manifest {
        return Ok(Some(Plan::App(ManifestArgs {
            file: given.file.clone(),
            env_file: given.env_file.clone(),
        })));
    }
    if let Some(file) = given.file.clone().filter(|file| !file.is_dir()) {
        return Ok(Some(Plan::Dockerfile { file, context }));
    }
    let context = given.file.clone().unwrap_or(context);
    if is_archive {
        return Ok(Some(Plan::Dockerfile { file: PathBuf::from(DOCKERFILES[0]), context }));
    }
    if let Some(file) = has_dockerfile(&context) {
        return Ok(Some(Plan::Dockerfile { file, context }));
    }
    if manifest::resolve(Some(&context)).is_ok() {
        return Ok(Some(Plan::App(ManifestArgs { file: Some(context), env_file: given.env_file.clone() })));
    }
    Err(Fail::new(format!("there is no Dockerfile and no manifest in {}", context.display()))
        .help("name a Dockerfile with -f, or the folder that has one"))
}

fn made(args: &Args, plan: Plan) -> Result<ExitCode, Fail> {
    let images = store()?;
    let (file, app, context) = match plan {
        Plan::App(given) => {
            let (app, path) = read_app(&given)?;
            build_all(app.components.iter())?;
            (path, Some(app), Context::Folder(PathBuf::new()))
        }
        Plan::Dockerfile { file, context } if context == Path::new("-") => {
            let folder = context_of(io::stdin().lock(), &images).map_err(failed)?;
            (folder.path().join(file), None, Context::Archive(folder))
        }
        Plan::Dockerfile { file, context } => (file, None, Context::Folder(context)),
    };
    if app.is_none() && !context.path().is_dir() {
        return Err(Fail::new(format!("{} is no folder", context.path().display()))
            .help("name the folder with the files that the Dockerfile copies"));
    }
    let image = image(args, &images, &file, app.as_ref(), context.path())?;
    if args.quiet {
        return print_stdout(&format!("{}\n", image.id));
    }
    let names = args.tag.iter().map(|tag| reference(tag).map(|name| familiar(&name.to_string()).to_owned()));
    let names = names.collect::<Result<Vec<_>, _>>()?.join(" ");
    print_stdout(&format!("{}\n", format!("{} {names}", image.id).trim_end()))
}

/// Where the files are.
enum Context {
    Folder(PathBuf),
    /// Unpacked, until the build ends.
    Archive(TempDir),
}

impl Context {
    fn path(&self) -> &Path {
        match self {
            Context::Folder(path) => path,
            Context::Archive(folder) => folder.path(),
        }
    }
}

fn image(
    args: &Args,
    images: &Images,
    file: &Path,
    app: Option<&App>,
    context: &Path,
) -> Result<Image, Fail> {
    let text = match app {
        Some(_) => String::new(),
        None => text_of(file)?,
    };
    let base = |wanted: &Reference, platform: Option<&Platform>| bring(images, wanted, platform, args);
    let observe = |event: BuildEvent<'_>| show(&event, args.quiet);
    let platform = platform(Some(&args.platform))?.unwrap_or_else(|| Platform::new("wasi", "wasm"));
    let settings = BuildSettings {
        dockerfile: file.to_owned(),
        text,
        names: args.tag.iter().map(|tag| reference(tag)).collect::<Result<_, _>>()?,
        arguments: arguments(&args.build_arg),
        target: args.target.clone(),
        platform,
        labels: labels(&args.label)?,
        no_cache: args.no_cache,
        epoch_s: epoch_s(),
        base: &base,
        observe: &observe,
    };
    let built = match app {
        Some(app) => build_app(images, app, &settings),
        None => build(images, context, &settings),
    };
    built.map_err(|error| match error {
        BuildError::Dockerfile(diagnostic) => Fail::shown(manifest::rendered(&[*diagnostic])),
        BuildError::Image(error) => failed(error),
    })
}

fn text_of(file: &Path) -> Result<String, Fail> {
    let unreadable = |error: io::Error| {
        Fail::new(format!("cannot read {}: {error}", file.display())).help("name the Dockerfile with -f")
    };
    if fs::metadata(file).map_err(unreadable)?.len() > DOCKERFILE_MAX_BYTES {
        return Err(Fail::new(format!("{} is too long for a Dockerfile", file.display())));
    }
    fs::read_to_string(file).map_err(unreadable)
}

/// `KEY=VALUE`, or `KEY` with the value that the environment has.
fn arguments(given: &[String]) -> BTreeMap<String, String> {
    let one = |text: &String| match text.split_once('=') {
        Some((key, value)) => Some((key.to_owned(), value.to_owned())),
        None => std::env::var(text).ok().map(|value| (text.clone(), value)),
    };
    given.iter().filter_map(one).collect()
}

fn labels(given: &[String]) -> Result<BTreeMap<String, String>, Fail> {
    let one = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Fail::new(format!("`{text}` is no label")).help("write KEY=VALUE")),
    };
    given.iter().map(one).collect()
}

/// An image that a build needs: the one that is here, else what its registry has.
fn bring(
    images: &Images,
    wanted: &Reference,
    platform: Option<&Platform>,
    args: &Args,
) -> Result<Image, ImageError> {
    if !args.pull
        && let Ok(image) = images.find(&wanted.to_string())
        && platform.is_none_or(|platform| platform.is_met_by(&image.platform))
    {
        return Ok(image);
    }
    let progress = Progress::new(args.quiet);
    let transfer = Transfer::of_user(progress.observer())?;
    let settings = PullSettings { platform: platform.cloned(), transfer };
    let runtime = runtime().map_err(|fail| ImageError::Malformed(fail.message))?;
    runtime.block_on(images.pull(wanted, &settings))
}

fn show(event: &BuildEvent<'_>, quiet: bool) {
    let text = match event {
        BuildEvent::Warning(diagnostic) => manifest::rendered(std::slice::from_ref(diagnostic)),
        _ if quiet => return,
        BuildEvent::Step { number, total, text } => format!("#{number}/{total} {text}\n"),
        BuildEvent::Cached { number } => format!("#{number} CACHED\n"),
    };
    // Nobody is left to tell if the stream is closed.
    let _ = io::stderr().write_all(text.as_bytes());
}
