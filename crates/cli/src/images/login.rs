//! `sampan login` and `sampan logout`.

use super::{refused, runtime};
use crate::fail::{Fail, print_stdout};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use sampan_images::Transfer;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

/// Where names without a registry are.
const DOCKER_HUB: &str = "docker.io";
/// A token may be a long line.
const PASSWORD_MAX_BYTES: u64 = 64 << 10;

/// Show a registry who you are, and keep that where Docker keeps it
#[derive(clap::Args)]
pub struct LoginArgs {
    /// The registry, HOST or HOST:PORT
    #[arg(default_value = DOCKER_HUB)]
    registry: String,

    #[arg(short, long)]
    username: Option<String>,

    /// The password; other users of this machine may see it: rather pipe it to --password-stdin
    #[arg(short, long)]
    password: Option<String>,

    /// Read the password from standard input
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,
}

/// Forget who you are to a registry
#[derive(clap::Args)]
pub struct LogoutArgs {
    #[arg(default_value = DOCKER_HUB)]
    registry: String,
}

pub fn login(args: &LoginArgs) -> Result<ExitCode, Fail> {
    let needs = |what: &str| {
        Fail::new(format!("there is no terminal to ask for the {what}"))
            .help("give -u NAME, and pipe the password to --password-stdin")
    };
    let user = match &args.username {
        Some(user) => user.clone(),
        None if args.password_stdin || !io::stdin().is_terminal() => return Err(needs("user's name")),
        None => ask("Username: ", false)?,
    };
    let password = match &args.password {
        Some(password) => password.clone(),
        None if args.password_stdin => read(io::stdin().lock())?,
        None if !io::stdin().is_terminal() => return Err(needs("password")),
        None => ask("Password: ", true)?,
    };
    if user.is_empty() || password.is_empty() {
        return Err(Fail::new("the name and the password must not be empty"));
    }
    let transfer = quiet()?;
    let logged = sampan_images::login(&args.registry, &user, &password, &transfer);
    runtime()?.block_on(logged).map_err(refused)?;
    print_stdout("Login Succeeded\n")
}

pub fn logout(args: &LogoutArgs) -> Result<ExitCode, Fail> {
    let known = sampan_images::logout(&args.registry, &quiet()?).map_err(refused)?;
    let what = if known { "Removed the credentials for" } else { "There are no credentials for" };
    print_stdout(&format!("{what} {}\n", args.registry))
}

fn quiet() -> Result<Transfer, Fail> {
    Transfer::of_user(Arc::new(|_, _| {})).map_err(refused)
}

/// Asks at the terminal; what is secret is not shown there.
fn ask(question: &str, is_secret: bool) -> Result<String, Fail> {
    let unreadable = |error: io::Error| Fail::new(format!("cannot read from the terminal: {error}"));
    let (stdin, mut stderr) = (io::stdin(), io::stderr());
    stderr.write_all(question.as_bytes()).map_err(unreadable)?;
    let before = tcgetattr(&stdin).map_err(|error| unreadable(error.into()))?;
    if is_secret {
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| unreadable(error.into()))?;
    }
    let answer = read(stdin.lock());
    if is_secret {
        tcsetattr(&stdin, OptionalActions::Flush, &before).map_err(|error| unreadable(error.into()))?;
        // The end of the line was not shown either.
        stderr.write_all(b"\n").map_err(unreadable)?;
    }
    answer
}

/// The first line.
fn read(from: impl BufRead) -> Result<String, Fail> {
    let mut line = String::new();
    let read = from.take(PASSWORD_MAX_BYTES).read_line(&mut line);
    read.map_err(|error| Fail::new(format!("cannot read it: {error}")))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}
