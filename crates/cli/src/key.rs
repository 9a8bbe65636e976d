//! `sampan key`: whose native code this machine executes.

use crate::fail::{Fail, print_stdout};
use sampan_engine::artifact::PublicKey;
use sampan_engine::keys::{KeyError, Keys, MACHINE, format_public_key};
use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;

/// Show, make and trust the keys that sign native code
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the keys whose native code is executed here
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make this machine's key, if there is none
    Make,
    /// Print this machine's public key, for others to trust
    Show,
    /// Trust a public key, from a file or - for standard input
    Trust {
        /// What to call it here
        name: String,
        /// A file with the text that `sampan key show` printed
        file: PathBuf,
    },
    /// Stop trusting a key
    Untrust { name: String },
}

/// The keys that loading asks for. A key that cannot be used is said, and not trusted.
pub fn trusted() -> Vec<PublicKey> {
    let Ok(keys) = Keys::of_user() else { return Vec::new() };
    let listed = keys.list();
    for problem in &listed.problems {
        eprintln!("warning: {problem}");
    }
    listed.public_keys()
}

/// Where keys are kept.
pub fn folder() -> Option<PathBuf> {
    Some(Keys::of_user().ok()?.folder().to_owned())
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let keys = Keys::of_user().map_err(fail)?;
    match args.action.unwrap_or(Action::List { json: false }) {
        Action::List { json } => list(&keys, json),
        Action::Make => {
            keys.make().map_err(fail)?;
            print_stdout(&format!("made {}\n", keys.folder().join("machine.key").display()))
        }
        Action::Show => {
            let pair = keys.load_or_create().map_err(fail)?;
            print_stdout(&format_public_key(&PublicKey::of(&pair), ""))
        }
        Action::Trust { name, file } => {
            let trusted = keys.trust(&name, &read(&file)?).map_err(fail)?;
            print_stdout(&format!(
                "native code signed by {} ({name}) is now executed here\n",
                trusted.key.id()
            ))
        }
        Action::Untrust { name } => {
            keys.untrust(&name).map_err(fail)?;
            print_stdout(&format!("native code of {name} is no longer executed here\n"))
        }
    }
}

fn list(keys: &Keys, json: bool) -> Result<ExitCode, Fail> {
    let listed = keys.list();
    for problem in &listed.problems {
        eprintln!("warning: {problem}");
    }
    if json {
        let all: Vec<_> = listed
            .keys
            .iter()
            .map(|one| {
                let public = format_public_key(&one.key, "");
                let (id, public) = (one.key.id().to_string(), public.trim());
                serde_json::json!({"name": one.name, "id": id, "public": public, "comment": one.comment})
            })
            .collect();
        return print_stdout(&format!("{:#}\n", serde_json::Value::Array(all)));
    }
    let mut text = format!("{:<18}{:<20}COMMENT\n", "ID", "NAME");
    for one in &listed.keys {
        text.push_str(format!("{:<18}{:<20}{}", one.key.id().to_string(), one.name, one.comment).trim_end());
        text.push('\n');
    }
    if !listed.keys.iter().any(|one| one.name == MACHINE) {
        text.push_str("this machine has no key yet; `sampan compile` makes one\n");
    }
    print_stdout(&text)
}

fn read(path: &PathBuf) -> Result<String, Fail> {
    let mut text = String::new();
    // A key is one line: more is not read.
    const MOST_BYTES: u64 = 4096;
    let read = if path.as_os_str() == "-" {
        std::io::stdin().take(MOST_BYTES).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MOST_BYTES).read_to_string(&mut text))
    };
    read.map_err(|error| {
        Fail::new(format!("cannot read the key {}: {error}", path.display()))
            .help("`sampan key show` on the other machine prints it")
    })?;
    Ok(text)
}

pub fn fail(error: KeyError) -> Fail {
    Fail::new(error.to_string())
        .help("keys are kept below $XDG_CONFIG_HOME/sampan/keys, by default ~/.config/sampan/keys")
}
