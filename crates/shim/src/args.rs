//! The command line, as containerd writes it: flags in Go's form, and at most one action.
//!
//! Source: containerd, `core/runtime/v2/README.md`, "Commands".

use crate::fail::{Fail, Result};
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Debug, Default, PartialEq)]
pub struct Args {
    pub namespace: String,
    pub id: String,
    /// Of containerd's gRPC socket.
    pub address: String,
    pub bundle: PathBuf,
    pub debug: bool,
    /// Where the server listens; ours, from `start` to the server.
    pub socket: String,
    pub action: Action,
}

#[derive(Debug, Default, PartialEq)]
pub enum Action {
    /// The server itself, which `start` starts.
    #[default]
    Serve,
    Start,
    Delete,
    Info,
    Version,
    /// Makes one container's process.
    Launch(Launch),
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Launch {
    /// A descriptor to talk to the server.
    pub channel: i32,
    /// The first attempt has compiled the guest, which took threads: when that began, in nanoseconds since 1970.
    pub again: Option<u64>,
}

impl Args {
    pub fn parse(all: impl IntoIterator<Item = OsString>) -> Result<Self> {
        let mut args = Args::default();
        let mut all = all.into_iter();
        while let Some(arg) = all.next() {
            let arg = text(arg)?;
            let Some(flag) = arg.strip_prefix('-') else {
                args.action = match arg.as_str() {
                    "start" => Action::Start,
                    "delete" => Action::Delete,
                    "launch" => Action::Launch(Launch { channel: number(all.next())?, again: None }),
                    "relaunch" => Action::Launch(Launch {
                        channel: number(all.next())?,
                        again: Some(number(all.next())?),
                    }),
                    _ => return Err(Fail::invalid(format!("unknown action `{arg}`"))),
                };
                continue;
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            match name {
                // Go's flags for a truth value take it only behind `=`.
                "debug" => args.debug = value.is_none_or(|value| value == "true"),
                "v" => args.action = Action::Version,
                "info" => args.action = Action::Info,
                _ => {
                    let value = match value {
                        Some(value) => value,
                        None => {
                            text(all.next().ok_or_else(|| Fail::invalid(format!("-{name} needs a value")))?)?
                        }
                    };
                    args.set(name, value)?;
                }
            }
        }
        Ok(args)
    }

    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = value,
            "bundle" => self.bundle = value.into(),
            "socket" => self.socket = value,
            // Events are sent over TTRPC, not by containerd's own program.
            "publish-binary" => {}
            _ => return Err(Fail::invalid(format!("unknown flag `-{name}`"))),
        }
        Ok(())
    }
}

fn text(arg: OsString) -> Result<String> {
    arg.into_string().map_err(|arg| Fail::invalid(format!("the argument `{}` is not UTF-8", arg.display())))
}

/// A descriptor behind the standard streams, or a time.
fn number<T: std::str::FromStr + PartialOrd + From<u8>>(arg: Option<OsString>) -> Result<T> {
    let number = arg.and_then(|arg| arg.to_str()?.parse().ok()).filter(|number| *number > T::from(2));
    number.ok_or_else(|| Fail::invalid("`launch` is for the shim's own use"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Args> {
        Args::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn command_lines_of_containerd() {
        let args = parse(
            "-namespace k8s.io -address /run/containerd/containerd.sock -publish-binary /usr/bin/containerd \
             -id abc -debug start",
        )
        .unwrap();
        assert_eq!((args.namespace.as_str(), args.id.as_str(), args.debug), ("k8s.io", "abc", true));
        assert_eq!((args.address.as_str(), args.action), ("/run/containerd/containerd.sock", Action::Start));

        let args = parse("-namespace=default -id=x -bundle /b -debug=false delete").unwrap();
        assert_eq!((args.bundle, args.debug, args.action), ("/b".into(), false, Action::Delete));
        assert_eq!(parse("-info").unwrap().action, Action::Info);
        assert_eq!(parse("-v").unwrap().action, Action::Version);
        assert_eq!(parse("-namespace n -id i -socket unix:///s").unwrap().action, Action::Serve);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in ["-unknown x", "restart", "-id", "launch", "launch x", "launch 1", "relaunch 7"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
