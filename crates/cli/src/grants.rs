//! Flags that grant a guest something, shared by every verb that runs guests.

use crate::fail::Fail;
use sampan_app::{Grants, Mount, NetRule, Origin, PortMap, parse_env_file};
use sampan_runtime::exit_code;
use std::path::PathBuf;

/// What the guest may touch.
#[derive(clap::Args, Debug, Default)]
#[command(next_help_heading = "Grants (nothing is granted by default)")]
pub struct GrantArgs {
    /// Let the guest use a folder or file of the host
    #[arg(short = 'v', long = "volume", value_name = "HOST:GUEST[:ro]")]
    pub mounts: Vec<Mount>,

    /// Mount everything read-only
    #[arg(long)]
    pub read_only: bool,

    /// Set an environment variable; without a value, pass the host's on
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,

    /// Read environment variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,

    /// Pass the whole environment of the host on
    #[arg(long)]
    pub inherit_env: bool,

    /// Let the guest listen on port GUEST, as port HOST of this machine
    #[arg(short = 'p', long = "publish", value_name = "[ADDRESS:]HOST:GUEST[/udp]")]
    pub ports: Vec<PortMap>,

    /// Let the guest connect by TCP, for example db.internal:5432, *.example.com:443, 10.0.0.0/8:*
    #[arg(long = "allow-tcp", value_name = "HOST:PORT")]
    pub tcp: Vec<NetRule>,

    /// Let the guest send UDP datagrams
    #[arg(long = "allow-udp", value_name = "HOST:PORT")]
    pub udp: Vec<NetRule>,

    /// Let the guest send HTTP requests to an origin, for example https://api.example.com
    #[arg(long = "allow-http", value_name = "ORIGIN")]
    pub http: Vec<Origin>,

    /// Answer Dapr's API in process, with the components of a folder [default: where `dapr init` puts them, else
    /// memory]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true)]
    pub dapr: Option<Option<PathBuf>>,

    /// Say on standard error which flag would have granted a refused call
    #[arg(long)]
    pub explain: bool,
}

impl GrantArgs {
    /// The plain grants; reads environment files and, where asked, the host's environment.
    pub fn resolve(&self) -> Result<Grants, Fail> {
        let mut mounts = self.mounts.clone();
        if self.read_only {
            mounts.iter_mut().for_each(|mount| mount.read_only = true);
        }
        Ok(Grants {
            mounts,
            env: self.environment()?,
            ports: self.ports.clone(),
            tcp: self.tcp.clone(),
            udp: self.udp.clone(),
            http: self.http.clone(),
            ..Grants::default()
        })
    }

    /// Later sources win: the host's environment, files, then `-e`.
    fn environment(&self) -> Result<Vec<(String, String)>, Fail> {
        let mut all: Vec<(String, String)> = Vec::new();
        let mut set = |name: String, value: String| {
            all.retain(|(known, _)| *known != name);
            all.push((name, value));
        };
        if self.inherit_env {
            for (name, value) in std::env::vars_os() {
                // WASI's environment is text; what is not cannot be passed on.
                if let (Ok(name), Ok(value)) = (name.into_string(), value.into_string()) {
                    set(name, value);
                }
            }
        }
        for path in &self.env_file {
            let fail = |what: String| {
                Fail::new(format!("cannot use the environment file {}: {what}", path.display()))
                    .help("write NAME=VALUE, one a line")
                    .code(exit_code::CANNOT_START)
            };
            let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
            let variables = parse_env_file(&text, |name| std::env::var(name).ok());
            for (name, value) in variables.map_err(|error| fail(error.to_string()))? {
                set(name, value);
            }
        }
        for text in &self.env {
            match text.split_once('=') {
                Some((name, value)) if !name.is_empty() => set(name.to_owned(), value.to_owned()),
                None if !text.is_empty() => {
                    if let Ok(value) = std::env::var(text) {
                        set(text.clone(), value);
                    }
                }
                _ => {
                    return Err(Fail::new(format!("`{text}` is not a variable"))
                        .help("write -e NAME=VALUE, or -e NAME to pass the host's value on")
                        .code(exit_code::CANNOT_START));
                }
            }
        }
        Ok(all)
    }
}
