//! Keys that sign native code: this machine's own, and the public keys that its user trusts.
//!
//! They are files below `$XDG_CONFIG_HOME/sampan/keys` (by default `~/.config/sampan/keys`):
//!
//! - `machine.key`: the signing key, Ed25519 in PKCS#8, readable by its owner alone. It is made when it is first
//!   needed, and its public half is always trusted.
//! - `trusted/NAME.pub`: one line each, `sampan-ed25519 HEX COMMENT`.
//!
//! Who can write these files decides which native code runs with the user's rights. So a file, or a folder
//! that holds some, is refused if others own it or may write to it; this is checked on the open descriptor.

use crate::artifact::{PublicKey, hex};
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const MACHINE_KEY: &str = "machine.key";
const TRUSTED: &str = "trusted";
const ALGORITHM: &str = "sampan-ed25519";
/// Our files have about a hundred bytes.
const MAX_FILE_BYTES: u64 = 4096;
/// A bound on work at every start, far above what a person keeps.
const MAX_TRUSTED_KEYS: usize = 1000;
const MAX_NAME_BYTES: usize = 64;

/// The folder that holds the keys.
#[derive(Clone, Debug)]
pub struct Keys {
    folder: PathBuf,
}

/// A public key and what it is known as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    /// The file's name without `.pub`; [`MACHINE`] for this machine's own.
    pub name: String,
    pub key: PublicKey,
    /// From the file; may be empty.
    pub comment: String,
}

/// The name under which this machine's own key is listed.
pub const MACHINE: &str = "machine";

/// What is trusted, and the files that could not be used: worth a warning, never trust.
#[derive(Debug, Default)]
pub struct Listed {
    pub keys: Vec<TrustedKey>,
    pub problems: Vec<KeyError>,
}

impl Listed {
    pub fn public_keys(&self) -> Vec<PublicKey> {
        self.keys.iter().map(|trusted| trusted.key).collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("no place for keys is known; set HOME or XDG_CONFIG_HOME")]
    NoHome,
    #[error("cannot {verb} {}: {error}", path.display())]
    Io { verb: &'static str, path: PathBuf, error: std::io::Error },
    #[error("{} belongs to another user (uid {uid}) and is not used; remove it, or `chown` it to yourself", path.display())]
    Owner { path: PathBuf, uid: u32 },
    #[error("others may {verb} {} (mode {mode:03o}), so it is not used; run `chmod {fix} {0}`", path.display())]
    Mode { path: PathBuf, mode: u32, verb: &'static str, fix: &'static str },
    #[error("{} is not {expected}", path.display())]
    Kind { path: PathBuf, expected: &'static str },
    #[error("{} is not a signing key of Sampan; remove it and a new one will be made", .0.display())]
    SigningKey(PathBuf),
    #[error("this machine has a key already ({})", .0.display())]
    Exists(PathBuf),
    #[error("{place}: {error}")]
    Text { place: String, error: PublicKeyError },
    #[error(
        "`{0}` cannot be a key's name; use 1 to {MAX_NAME_BYTES} of A-Z a-z 0-9 . _ -, no dot first, not `{MACHINE}`"
    )]
    Name(String),
    #[error("another key is trusted as `{0}`; choose another name, or `sampan key untrust {0}` first")]
    Taken(String),
    #[error("no key is trusted as `{0}`; `sampan key list` shows those that are")]
    Unknown(String),
    #[error("more than {MAX_TRUSTED_KEYS} keys are trusted; the rest is ignored")]
    TooMany,
    #[error("the system gave no random numbers")]
    Random,
}

/// Why a text is no public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    #[error("a public key is one line: `{ALGORITHM}`, 64 hexadecimal digits, and a comment if you like")]
    Form,
    #[error("the comment of a public key may not contain control characters")]
    Comment,
}

impl Keys {
    /// The folder of this user.
    ///
    /// # Errors
    /// [`KeyError::NoHome`].
    pub fn of_user() -> Result<Self, KeyError> {
        let (config, home) = (std::env::var_os("XDG_CONFIG_HOME"), std::env::var_os("HOME"));
        user_folder(config, home).map(Keys::at).ok_or(KeyError::NoHome)
    }

    pub fn at(folder: PathBuf) -> Self {
        Keys { folder }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// This machine's signing key; made if there is none.
    ///
    /// # Errors
    /// If the file cannot be read or made, is not a key, or others may read or write it.
    pub fn load_or_create(&self) -> Result<Ed25519KeyPair, KeyError> {
        if let Some(key) = self.load()? {
            return Ok(key);
        }
        match self.make() {
            Ok(key) => Ok(key),
            // Another process was faster: one key for both.
            Err(KeyError::Exists(path)) => self.load()?.ok_or(KeyError::SigningKey(path)),
            Err(error) => Err(error),
        }
    }

    /// Makes this machine's signing key.
    ///
    /// # Errors
    /// [`KeyError::Exists`] if there is one; or as [`Keys::load_or_create`].
    pub fn make(&self) -> Result<Ed25519KeyPair, KeyError> {
        let path = self.folder.join(MACHINE_KEY);
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Random)?;
        let key = parse_signing_key(pkcs8.as_ref(), &path)?;
        make_folder(&self.folder)?;
        match write_new(&path, pkcs8.as_ref())? {
            true => Ok(key),
            false => Err(KeyError::Exists(path)),
        }
    }

    fn load(&self) -> Result<Option<Ed25519KeyPair>, KeyError> {
        if !check_folder(&self.folder)? {
            return Ok(None);
        }
        let path = self.folder.join(MACHINE_KEY);
        let Some(bytes) = read_checked(&path, Secrecy::Secret)? else { return Ok(None) };
        parse_signing_key(&bytes, &path).map(Some)
    }

    /// The trusted keys: this machine's own first (if it has been made), then by name.
    ///
    /// Nothing here fails: what cannot be read is not trusted, and is told in [`Listed::problems`].
    pub fn list(&self) -> Listed {
        let mut listed = Listed::default();
        match self.load() {
            Ok(Some(pair)) => listed.keys.push(TrustedKey {
                name: MACHINE.to_owned(),
                key: PublicKey::of(&pair),
                comment: "this machine".to_owned(),
            }),
            Ok(None) => {}
            Err(error) => listed.problems.push(error),
        }
        if let Err(error) = self.list_trusted(&mut listed) {
            listed.problems.push(error);
        }
        listed
    }

    fn list_trusted(&self, listed: &mut Listed) -> Result<(), KeyError> {
        let folder = self.folder.join(TRUSTED);
        if !check_folder(&self.folder)? || !check_folder(&folder)? {
            return Ok(());
        }
        let read = |error| KeyError::Io { verb: "read", path: folder.clone(), error };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(read)? {
            let name = entry.map_err(read)?.file_name();
            // What has another name was not put there by `trust`.
            let name = name.to_str().and_then(|name| name.strip_suffix(".pub"));
            names.extend(name.filter(|name| is_valid_name(name)).map(str::to_owned));
            if names.len() > MAX_TRUSTED_KEYS {
                names.pop();
                listed.problems.push(KeyError::TooMany);
                break;
            }
        }
        names.sort_unstable();
        for name in names {
            match self.read_trusted(&name) {
                Ok(Some(key)) => listed.keys.push(key),
                Ok(None) => {}
                Err(error) => listed.problems.push(error),
            }
        }
        Ok(())
    }

    fn read_trusted(&self, name: &str) -> Result<Option<TrustedKey>, KeyError> {
        let path = self.trusted_path(name);
        let Some(bytes) = read_checked(&path, Secrecy::Public)? else { return Ok(None) };
        let (key, comment) = parse_public_key(&String::from_utf8_lossy(&bytes))
            .map_err(|error| KeyError::Text { place: path.display().to_string(), error })?;
        Ok(Some(TrustedKey { name: name.to_owned(), key, comment }))
    }

    fn trusted_path(&self, name: &str) -> PathBuf {
        self.folder.join(TRUSTED).join(format!("{name}.pub"))
    }

    /// Trusts a public key, given as the text of its file, under a name.
    ///
    /// # Errors
    /// If the text is no key, the name is not allowed or means another key, or the file cannot be written.
    pub fn trust(&self, name: &str, text: &str) -> Result<TrustedKey, KeyError> {
        check_name(name)?;
        let (key, comment) = parse_public_key(text)
            .map_err(|error| KeyError::Text { place: "the key to be trusted".to_owned(), error })?;
        make_folder(&self.folder)?;
        make_folder(&self.folder.join(TRUSTED))?;
        let new = TrustedKey { name: name.to_owned(), key, comment };
        let text = format_public_key(&new.key, &new.comment);
        let written = write_new(&self.trusted_path(name), text.as_bytes())?;
        if !written && self.read_trusted(name)?.is_none_or(|old| old.key != new.key) {
            return Err(KeyError::Taken(name.to_owned()));
        }
        Ok(new)
    }

    /// Takes the trust back.
    ///
    /// # Errors
    /// [`KeyError::Unknown`], or if the file cannot be removed.
    pub fn untrust(&self, name: &str) -> Result<(), KeyError> {
        check_name(name)?;
        let path = self.trusted_path(name);
        match std::fs::remove_file(&path) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(KeyError::Unknown(name.to_owned())),
            Err(error) => Err(KeyError::Io { verb: "remove", path, error }),
        }
    }
}

/// As <https://specifications.freedesktop.org/basedir-spec/latest/> has it: a relative path is ignored.
fn user_folder(config: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |path: OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let config =
        config.and_then(absolute).or_else(|| home.and_then(absolute).map(|home| home.join(".config")))?;
    Some(config.join("sampan/keys"))
}

/// The text in which a public key is handed to others.
pub fn format_public_key(key: &PublicKey, comment: &str) -> String {
    let hex = hex(&key.0);
    let comment = comment.trim();
    let space = if comment.is_empty() { "" } else { " " };
    format!("{ALGORITHM} {hex}{space}{comment}\n")
}

/// Reads [`format_public_key`]'s text: the key and the comment.
///
/// # Errors
/// [`PublicKeyError`].
pub fn parse_public_key(text: &str) -> Result<(PublicKey, String), PublicKeyError> {
    let rest = text.trim().strip_prefix(ALGORITHM).ok_or(PublicKeyError::Form)?;
    let rest = rest.strip_prefix([' ', '\t']).ok_or(PublicKeyError::Form)?.trim_start();
    let (hex, comment) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    if hex.len() != 64 || !hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(PublicKeyError::Form);
    }
    if comment.contains(char::is_control) {
        return Err(PublicKeyError::Comment);
    }
    let mut key = [0; 32];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).map_err(|_| PublicKeyError::Form)?;
    }
    Ok((PublicKey(key), comment.trim().to_owned()))
}

fn parse_signing_key(pkcs8: &[u8], path: &Path) -> Result<Ed25519KeyPair, KeyError> {
    Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| KeyError::SigningKey(path.to_owned()))
}

fn check_name(name: &str) -> Result<(), KeyError> {
    if is_valid_name(name) { Ok(()) } else { Err(KeyError::Name(name.escape_debug().to_string())) }
}

/// Safe as a file name, whatever the caller got it from.
fn is_valid_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && !name.starts_with('.')
        && name != MACHINE
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrecy {
    /// Others may not even read it.
    Secret,
    /// Others may not write it.
    Public,
}

/// Makes a folder, and those above it, for the owner alone; then checks it.
fn make_folder(folder: &Path) -> Result<(), KeyError> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|error| KeyError::Io {
        verb: "make the folder",
        path: folder.to_owned(),
        error,
    })?;
    check_folder(folder).map(drop)
}

/// Whether the folder exists.
fn check_folder(folder: &Path) -> Result<bool, KeyError> {
    let Some(opened) = open(folder)? else { return Ok(false) };
    let is_folder = check_owner(&opened, folder, Secrecy::Public)?.is_dir();
    if is_folder { Ok(true) } else { Err(KeyError::Kind { path: folder.to_owned(), expected: "a folder" }) }
}

/// The contents of a file of ours, or `None` if there is none.
fn read_checked(path: &Path, secrecy: Secrecy) -> Result<Option<Vec<u8>>, KeyError> {
    let Some(file) = open(path)? else { return Ok(None) };
    if !check_owner(&file, path, secrecy)?.is_file() {
        return Err(KeyError::Kind { path: path.to_owned(), expected: "a file" });
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes).map_err(|error| KeyError::Io {
        verb: "read",
        path: path.to_owned(),
        error,
    })?;
    Ok(Some(bytes))
}

/// Without waiting for the other end, if somebody put a named pipe there.
fn open(path: &Path) -> Result<Option<File>, KeyError> {
    match OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(KeyError::Io { verb: "open", path: path.to_owned(), error }),
    }
}

/// The superuser may own it too: it decides what runs here anyway.
fn check_owner(file: &File, path: &Path, secrecy: Secrecy) -> Result<std::fs::FileType, KeyError> {
    let metadata =
        file.metadata().map_err(|error| KeyError::Io { verb: "examine", path: path.to_owned(), error })?;
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if uid != 0 && uid != rustix::process::geteuid().as_raw() {
        return Err(KeyError::Owner { path: path.to_owned(), uid });
    }
    let refuse = |verb, fix| KeyError::Mode { path: path.to_owned(), mode, verb, fix };
    if mode & 0o022 != 0 {
        return Err(refuse("write to", "go-w"));
    }
    if secrecy == Secrecy::Secret && mode & 0o077 != 0 {
        return Err(refuse("read", "600"));
    }
    Ok(metadata.file_type())
}

/// Writes a file that was not there: whole or not at all, readable by the owner alone. `false` if it was there.
fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, KeyError> {
    let failed = |error| KeyError::Io { verb: "write", path: path.to_owned(), error };
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(failed)?;
    match file.persist_noclobber(path) {
        Ok(_) => {}
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(error.error)),
    }
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
    Ok(true)
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
