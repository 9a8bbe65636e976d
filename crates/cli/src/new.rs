//! `sampan new`: a folder with an app that builds and serves, to begin with.

use crate::fail::{Fail, print_stdout};
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Start an app from a template
#[derive(clap::Args)]
pub struct Args {
    /// The app's name, and that of its folder: small letters, digits, single hyphens
    #[arg(required_unless_present = "list")]
    name: Option<String>,

    /// What to begin with
    #[arg(short, long, value_name = "TEMPLATE", value_parser = names(), required_unless_present = "list")]
    template: Option<String>,

    /// The folder to make [default: NAME]
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,

    /// List the templates
    #[arg(long)]
    list: bool,
}

struct Template {
    name: &'static str,
    about: &'static str,
    /// Where a file goes, and its text, in which `__NAME__` stands for the app's name, and `__CRATE__`
    /// for what Cargo makes of it in the names of files.
    files: &'static [(&'static str, &'static str)],
    /// Whether the component's interfaces are given to the compiler as WIT.
    wit: bool,
}

/// The files of a template. `.gitignore` has another name in our own tree, where it must not count.
macro_rules! files {
    ($template:literal: $($file:literal),+) => {
        &[
            (".gitignore", include_str!(concat!("../../../templates/", $template, "/gitignore"))),
            $(($file, include_str!(concat!("../../../templates/", $template, "/", $file)))),+
        ]
    };
}

macro_rules! wit {
    ($($file:literal),+) => {
        &[$((concat!("wit/deps/", $file), include_str!(concat!("../../../templates/wit/", $file)))),+]
    };
}

const TEMPLATES: [Template; 5] = [
    Template {
        name: "rust",
        about: "a wasi:http component in Rust, with wstd",
        files: files!("rust": "Cargo.toml", "README.md", "sampan.toml", "src/lib.rs"),
        wit: false,
    },
    Template {
        name: "javascript",
        about: "a wasi:http component in JavaScript, with componentize-js from npm",
        files: files!("javascript": "README.md", "app.js", "build.mjs", "package.json", "sampan.toml"),
        wit: true,
    },
    Template {
        name: "python",
        about: "a wasi:http component in Python, with componentize-py from PyPI",
        files: files!("python": "README.md", "app.py", "requirements.txt", "sampan.toml"),
        wit: true,
    },
    Template {
        name: "php",
        about: "PHP scripts, run by php-cgi.wasm from npm",
        files: files!("php": "README.md", "package.json", "public/index.php", "public/style.css", "sampan.toml"),
        wit: false,
    },
    Template {
        name: "static",
        about: "a website of files",
        files: files!("static": "README.md", "public/index.html", "public/style.css", "sampan.toml"),
        wit: false,
    },
];

const WIT: &[(&str, &str)] =
    wit!("cli.wit", "clocks.wit", "filesystem.wit", "http.wit", "io.wit", "random.wit", "sockets.wit");
const WORLD: &str = include_str!("../../../templates/app.wit");

/// A name becomes that of a folder, a package and a component.
const NAME_MAX: usize = 64;

fn names() -> clap::builder::PossibleValuesParser {
    let value = |template: &Template| clap::builder::PossibleValue::new(template.name).help(template.about);
    TEMPLATES.iter().map(value).collect::<Vec<_>>().into()
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    if args.list {
        let line = |template: &Template| format!("{:<12}{}\n", template.name, template.about);
        return print_stdout(&TEMPLATES.iter().map(line).collect::<String>());
    }
    let (name, template) = (args.name.unwrap_or_default(), args.template.unwrap_or_default());
    check_name(&name)?;
    let template = TEMPLATES.iter().find(|one| one.name == template);
    let template =
        template.ok_or_else(|| Fail::new("there is no such template").help("see sampan new --list"))?;
    let folder = args.dir.unwrap_or_else(|| PathBuf::from(&name));
    create(&folder, &name, template).map_err(|error| {
        let fail = Fail::new(format!("cannot make {}: {error}", folder.display()));
        match error.kind() {
            io::ErrorKind::DirectoryNotEmpty
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory => {
                fail.help("choose another name, or another folder with --dir; nothing is ever overwritten")
            }
            _ => fail,
        }
    })?;
    let build =
        if template.files.iter().any(|(_, text)| text.contains(".build]")) { "sampan build && " } else { "" };
    print_stdout(&format!(
        "made {name} from the template {}; next:\n  cd {} && {build}sampan up\n",
        template.name,
        quoted(&folder)
    ))
}

fn check_name(name: &str) -> Result<(), Fail> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(plain)
        && name.split('-').all(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        && name.len() <= NAME_MAX;
    if good {
        return Ok(());
    }
    let suggestion = suggestion(name);
    let fail = Fail::new(format!("`{}` is no name for an app", name.escape_debug()));
    Err(fail.help(match suggestion.is_empty() {
        true => "write small letters and digits, words joined by single hyphens, such as my-app".to_owned(),
        false => {
            format!("write words of small letters and digits joined by single hyphens, such as {suggestion}")
        }
    }))
}

/// The nearest name that would do.
fn suggestion(name: &str) -> String {
    let last = name.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default().to_ascii_lowercase();
    let words = last.split(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit());
    let words = words.map(|word| word.trim_start_matches(|c: char| c.is_ascii_digit()));
    let text = Vec::from_iter(words.filter(|word| !word.is_empty())).join("-");
    text.chars().take(NAME_MAX).collect::<String>().trim_end_matches('-').to_owned()
}

fn create(folder: &Path, name: &str, template: &Template) -> io::Result<()> {
    match fs::read_dir(folder).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return Err(io::ErrorKind::DirectoryNotEmpty.into()),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir_all(folder)?,
        Err(error) => return Err(error),
    }
    let world = [("wit/app.wit", WORLD)];
    let wit = WIT.iter().chain(&world).filter(|_| template.wit);
    for (path, text) in template.files.iter().chain(wit) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // Nobody else's file is overwritten, also if it came this moment.
        let mut file = fs::File::options().write(true).create_new(true).open(path)?;
        let text = text.replace("__NAME__", name).replace("__CRATE__", &name.replace('-', "_"));
        file.write_all(text.as_bytes())?;
    }
    Ok(())
}

/// A path as one writes it in a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_alphanumeric() || "-_./".contains(c);
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
