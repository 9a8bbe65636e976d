//! Who we are to a registry: from Docker's configuration (docker/cli, `config.json`: `auths`, `credHelpers`,
//! `credsStore`) and its helpers' protocol (docker/docker-credential-helpers).

use crate::PullError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if !helper.bytes().all(is_name) {
        return Err("that is not the name of a program".to_owned());
    }
    let mut command = Command::new(format!("docker-credential-{helper}"));
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| format!("cannot run it: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // One that does not want to know will say so.
        let _ = input.write_all(registry.as_bytes());
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
    if !status.success() {
        let text = String::from_utf8_lossy(&said);
        let text = text.trim();
        if text.contains("credentials not found") {
            return Ok(None);
        }
        return Err(format!("{status}: {}", text.chars().take(200).collect::<String>().escape_debug()));
    }
    let helped: Helped = serde_json::from_slice(&said).map_err(|_| "its answer is not understood")?;
    Ok(Some(match helped.username.as_str() {
        TOKEN_USER => Credentials::IdentityToken(helped.secret),
        _ => Credentials::Password { user: helped.username, password: helped.secret },
    }))
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
