//! Who we are to a registry: from Docker's configuration (docker/cli, `config.json`: `auths`, `credHelpers`,
//! `credsStore`) and its helpers' protocol (docker/docker-credential-helpers).

use crate::PullError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// A configuration is a page; what a helper says, a line.
const CONFIG_MAX_BYTES: u64 = 1 << 20;
const HELPER_MAX_BYTES: u64 = 64 << 10;
/// A helper may ask a service of the desktop, and its user.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);
/// Docker's name for its own registry in this file.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";
/// The user's name with which helpers mark an identity token.
const TOKEN_USER: &str = "<token>";

/// Never printed: it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    Password {
        user: String,
        password: String,
    },
    /// For which a server of tokens gives one.
    IdentityToken(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Config {
    auths: HashMap<String, Auth>,
    cred_helpers: HashMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    auth: String,
    username: String,
    password: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Helped {
    username: String,
    secret: String,
}

/// The configuration of this user: `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`.
pub fn of_user() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let folder = variable("DOCKER_CONFIG").or_else(|| variable("HOME").map(|home| home.join(".docker")));
    folder.map(|folder| folder.join("config.json"))
}

/// The credentials for a registry. Reads files and runs a helper, which may take a while.
pub fn find(config: &Path, registry: &str) -> Result<Option<Credentials>, PullError> {
    let wrong = |what: String| PullError::Credentials(format!("{}: {what}", config.display()));
    let mut bytes = Vec::new();
    match File::open(config).and_then(|file| file.take(CONFIG_MAX_BYTES).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error.to_string())),
        Ok(_) => {}
    }
    // Where in the text it is wrong, and not what stands there.
    let read: Config = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("it is not understood (line {})", error.line())))?;
    let key = if registry == "docker.io" { DOCKER_HUB } else { registry };
    let helpers = read.cred_helpers.iter();
    let helper = helpers.filter(|(name, _)| host(name) == host(key)).map(|(_, helper)| helper).next();
    if let Some(helper) = helper.or(read.creds_store.as_ref().filter(|helper| !helper.is_empty())) {
        let helped = ask(helper, key).map_err(|why| wrong(format!("docker-credential-{helper}: {why}")))?;
        if helped.is_some() {
            return Ok(helped);
        }
    }
    let exact = read.auths.get(key);
    let found =
        exact.or_else(|| read.auths.iter().find(|(name, _)| host(name) == host(key)).map(|(_, auth)| auth));
    match found {
        None => Ok(None),
        Some(auth) => stored(auth).map_err(|why| wrong(format!("the entry for {registry}: {why}"))),
    }
}

/// `https://ghcr.io/v2/` is written for `ghcr.io`.
fn host(key: &str) -> &str {
    let key = key.trim_start_matches("https://").trim_start_matches("http://");
    key.split('/').next().unwrap_or(key)
}

fn stored(auth: &Auth) -> Result<Option<Credentials>, &'static str> {
    if !auth.identitytoken.is_empty() {
        return Ok(Some(Credentials::IdentityToken(auth.identitytoken.clone())));
    }
    if !auth.username.is_empty() {
        let (user, password) = (auth.username.clone(), auth.password.clone());
        return Ok(Some(Credentials::Password { user, password }));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let bytes = STANDARD.decode(&auth.auth).map_err(|_| "`auth` is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "`auth` is not text")?;
    let (user, password) = text.split_once(':').ok_or("`auth` has no colon")?;
    // Docker writes zero bytes at the end (docker/cli, configfile/file.go).
    let (user, password) = (user.to_owned(), password.trim_end_matches('\0').to_owned());
    Ok(Some(Credentials::Password { user, password }))
}

/// `docker-credential-HELPER get`: the registry on standard input, JSON on standard output.
fn ask(helper: &str, registry: &str) -> Result<Option<Credentials>, String> {
    let (status, said) = run_helper(helper, "get", registry.as_bytes())?;
    if !status.success() {
        let text = String::from_utf8_lossy(&said);
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(complaint(status, &said));
    }
    let helped: Helped = serde_json::from_slice(&said).map_err(|_| "its answer is not understood")?;
    Ok(Some(match helped.username.as_str() {
        TOKEN_USER => Credentials::IdentityToken(helped.secret),
        _ => Credentials::Password { user: helped.username, password: helped.secret },
    }))
}

/// What a helper says of its failure, for a line of a terminal.
fn complaint(status: ExitStatus, said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    format!("{status}: {}", text.trim().chars().take(200).collect::<String>().escape_debug())
}

/// Runs a helper, and what it says on standard output.
fn run_helper(helper: &str, verb: &str, input: &[u8]) -> Result<(ExitStatus, Vec<u8>), String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !helper.bytes().all(is_name) {
        return Err("that is not the name of a program".to_owned());
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    command.arg(verb).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cannot run it: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not want to know will say so.
        let _ = stdin.write_all(input);
    }
    let output = child.stdout.take().map(|output| output.take(HELPER_MAX_BYTES));
    let (sender, said) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = output.map(|mut output| output.read_to_end(&mut bytes));
        // Nobody waits for what comes too late.
        let _ = sender.send(matches!(read, Some(Ok(_))).then_some(bytes));
    });
    let said = said.recv_timeout(HELPER_TIMEOUT);
    if said.is_err() {
        // It may have ended meanwhile.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| error.to_string())?;
    let said = said.map_err(|_| format!("it says nothing within {HELPER_TIMEOUT:?}"))?.unwrap_or_default();
    Ok((status, said))
}

/// The configuration as it stands, with everything that is not ours.
fn whole(config: &Path) -> Result<Map<String, Value>, String> {
    let mut bytes = Vec::new();
    match File::open(config).and_then(|file| file.take(CONFIG_MAX_BYTES).read_to_end(&mut bytes)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
        Err(error) => return Err(error.to_string()),
        Ok(_) => {}
    }
    serde_json::from_slice(&bytes).map_err(|error| format!("it is not understood (line {})", error.line()))
}

/// The helper that keeps the credentials of a registry, if the configuration names one.
fn helper_of(whole: &Map<String, Value>, key: &str) -> Option<String> {
    let helpers = whole.get("credHelpers").and_then(Value::as_object);
    let mut helpers = helpers.into_iter().flatten();
    let its = helpers.find(|(name, _)| host(name) == host(key)).and_then(|(_, helper)| helper.as_str());
    let its = its.or_else(|| whole.get("credsStore").and_then(Value::as_str));
    its.filter(|helper| !helper.is_empty()).map(str::to_owned)
}

/// Keeps the credentials for a registry, where Docker would.
pub fn store(config: &Path, registry: &str, user: &str, password: &str) -> Result<(), PullError> {
    let wrong = |what: String| PullError::Credentials(format!("{}: {what}", config.display()));
    let key = if registry == "docker.io" { DOCKER_HUB } else { registry };
    let mut all = whole(config).map_err(wrong)?;
    if let Some(helper) = helper_of(&all, key) {
        let input = json!({ "ServerURL": key, "Username": user, "Secret": password }).to_string();
        let stored = run_helper(&helper, "store", input.as_bytes());
        let stored = stored.and_then(
            |(status, said)| {
                if status.success() { Ok(()) } else { Err(complaint(status, &said)) }
            },
        );
        return stored.map_err(|why| wrong(format!("docker-credential-{helper}: {why}")));
    }
    let auths = all.entry("auths").or_insert_with(|| json!({}));
    let auths = auths.as_object_mut().ok_or_else(|| wrong("`auths` is no object".to_owned()))?;
    auths.insert(key.to_owned(), json!({ "auth": STANDARD.encode(format!("{user}:{password}")) }));
    write(config, &all).map_err(|error| wrong(error.to_string()))
}

/// Forgets the credentials for a registry; whether there were any.
pub fn erase(config: &Path, registry: &str) -> Result<bool, PullError> {
    let wrong = |what: String| PullError::Credentials(format!("{}: {what}", config.display()));
    let key = if registry == "docker.io" { DOCKER_HUB } else { registry };
    let mut all = whole(config).map_err(wrong)?;
    let mut known = false;
    if let Some(helper) = helper_of(&all, key) {
        let erased = run_helper(&helper, "erase", key.as_bytes());
        known = erased.map_err(|why| wrong(format!("docker-credential-{helper}: {why}")))?.0.success();
    }
    if let Some(auths) = all.get_mut("auths").and_then(Value::as_object_mut) {
        let before = auths.len();
        auths.retain(|name, _| host(name) != host(key));
        if auths.len() < before {
            write(config, &all).map_err(|error| wrong(error.to_string()))?;
            known = true;
        }
    }
    Ok(known)
}

/// For this user's eyes only.
fn write(config: &Path, all: &Map<String, Value>) -> io::Result<()> {
    // A link of the user's own stays one.
    let config = config.canonicalize().unwrap_or_else(|_| config.to_owned());
    let folder = config.parent().ok_or(io::ErrorKind::InvalidInput)?;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let mut text = serde_json::to_string_pretty(all)?;
    text.push('\n');
    // A new file is made with the mode 0600.
    crate::layout::write_whole(&config, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() })
    }

    fn find_in(text: &str, registry: &str) -> Result<Option<Credentials>, PullError> {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.json");
        std::fs::write(&config, text).unwrap();
        find(&config, registry)
    }

    #[test]
    fn entries_are_found_by_their_host() {
        // me:pass:word
        let auth = "{\"auth\": \"bWU6cGFzczp3b3Jk\"}";
        for (key, registry, found) in [
            ("ghcr.io", "ghcr.io", true),
            ("https://ghcr.io/v2/", "ghcr.io", true),
            ("https://index.docker.io/v1/", "docker.io", true),
            ("localhost:5000", "localhost:5000", true),
            ("localhost:5000", "localhost:5001", false),
            ("ghcr.io", "evil-ghcr.io", false),
        ] {
            let text = format!("{{\"auths\": {{\"{key}\": {auth}}}, \"detachKeys\": \"x\"}}");
            let credentials = find_in(&text, registry).unwrap();
            assert!(credentials == found.then(|| password("me", "pass:word")).flatten(), "{key} {registry}");
        }
        let token = "{\"auths\": {\"a.b\": {\"auth\": \"\", \"identitytoken\": \"t\"}}}";
        assert!(find_in(token, "a.b").unwrap() == Some(Credentials::IdentityToken("t".to_owned())));
        assert!(find_in("{}", "a.b").unwrap().is_none());
        assert!(find(Path::new("/no/such/file"), "a.b").unwrap().is_none());
    }

    #[test]
    fn what_is_wrong_is_said_without_secrets() {
        for (text, what) in [
            ("{\"auths\": {\"a.b\": \"hunter2\"}}", "line 1"),
            ("hunter2", "line 1"),
            ("{\"auths\": {\"a.b\": {\"auth\": \"hunter2!\"}}}", "`auth` is not base64"),
            ("{\"auths\": {\"a.b\": {\"auth\": \"aHVudGVyMg==\"}}}", "no colon"),
            ("{\"credsStore\": \"../x\"}", "not the name of a program"),
            ("{\"credsStore\": \"no-such-helper\"}", "cannot run it"),
        ] {
            let Err(error) = find_in(text, "a.b") else { panic!("{text}") };
            let said = error.to_string();
            assert!(said.contains(what) && !said.contains("hunter2"), "{text}: {said}");
        }
    }
}
