//! How containerd and a starting shim talk: what stands on standard input, and what `start` answers.
//!
//! containerd 2.3 and newer send `BootstrapParams` and read `BootstrapResult`. Older ones send the runtime's options,
//! or nothing, and read an address: a plain one means version 2 of the task API, which all of them know.
//! Source: containerd, `core/runtime/v2/README.md`, "Bootstrap protocol"; `pkg/shim/shim.go`.

use crate::args::Args;
use crate::fail::{Context, Fail, Result};
use crate::options::Options;
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::types::introspection::{RuntimeInfo, RuntimeVersion};
use std::ffi::OsStr;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

/// What containerd may send; its own bound is the same.
const INPUT_MAX: u64 = 10 << 20;

/// Where sockets of shims are, unless containerd says otherwise: short, because the path of a socket is.
const SOCKET_DIR: &str = "/run/containerd/s";

/// What `start` was asked.
pub struct Request {
    /// Of containerd's gRPC and TTRPC sockets.
    pub grpc_address: String,
    pub ttrpc_address: String,
    pub socket_dir: PathBuf,
    pub options: Options,
    /// containerd 2.3 or newer: answers in `BootstrapResult`, and the newest task API.
    modern: bool,
}

pub fn read(args: &Args) -> Result<Request> {
    decode(&read_stdin()?, args, std::env::var("TTRPC_ADDRESS").unwrap_or_default())
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut input = Vec::new();
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        stdin.lock().take(INPUT_MAX).read_to_end(&mut input).context("cannot read standard input")?;
    }
    Ok(input)
}

fn decode(input: &[u8], args: &Args, ttrpc_address: String) -> Result<Request> {
    // An `Any` decodes as `BootstrapParams` too: its two fields are strings there as well. The identity tells.
    let params = BootstrapParams::parse_from_bytes(input).ok().filter(|params| {
        !input.is_empty() && params.instance_id == args.id && params.namespace == args.namespace
    });
    let request = match params {
        Some(params) => Request {
            options: options_among(&params)?,
            grpc_address: params.containerd_grpc_address,
            ttrpc_address: params.containerd_ttrpc_address,
            socket_dir: params
                .socket_dir
                .filter(|dir| !dir.is_empty())
                .map_or(SOCKET_DIR.into(), PathBuf::from),
            modern: true,
        },
        None => Request {
            options: match Any::parse_from_bytes(input) {
                Ok(any) if !any.type_url.is_empty() => Options::of_any(&any)?,
                _ => Options::default(),
            },
            grpc_address: args.address.clone(),
            ttrpc_address,
            socket_dir: SOCKET_DIR.into(),
            modern: false,
        },
    };
    if request.ttrpc_address.is_empty() {
        return Err(Fail::invalid("containerd gave no address for events (TTRPC_ADDRESS)"));
    }
    Ok(request)
}

/// The runtime's options among the extensions of containerd's request.
fn options_among(params: &BootstrapParams) -> Result<Options> {
    let mut values = params.extensions.iter().filter_map(|extension| extension.value.as_ref());
    match values.find(|any| Options::knows(&any.type_url)) {
        Some(any) => Options::of_any(any),
        None => Ok(Options::default()),
    }
}

/// What `start` prints.
pub fn answer(request: &Request, address: &str) -> Result<Vec<u8>> {
    if !request.modern {
        return Ok(address.as_bytes().to_owned());
    }
    let result = BootstrapResult {
        version: containerd_shim_protos::TASK_API_VERSION,
        address: address.to_owned(),
        protocol: "ttrpc".to_owned(),
        ..BootstrapResult::default()
    };
    result.write_to_bytes().context("cannot encode the answer")
}

/// `-info`: what this runtime is. containerd sends options, which change nothing about it.
pub fn print_info(argv0: &OsStr) -> Result<()> {
    read_stdin()?;
    let name = Path::new(argv0).file_name().unwrap_or_default().to_string_lossy();
    let version =
        RuntimeVersion { version: env!("CARGO_PKG_VERSION").to_owned(), ..RuntimeVersion::default() };
    let info = RuntimeInfo {
        name: name.strip_prefix("containerd-shim-").unwrap_or(&name).to_owned(),
        version: Some(version).into(),
        ..RuntimeInfo::default()
    };
    print(&info.write_to_bytes().context("cannot encode the answer")?)
}

pub fn print(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(bytes).and_then(|()| stdout.flush()).context("cannot answer on standard output")
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_shim_protos::bootstrap_api::Extension;
    use containerd_shim_protos::shim::oci;

    fn args() -> Args {
        Args {
            namespace: "default".to_owned(),
            id: "one".to_owned(),
            address: "/a.sock".into(),
            ..Args::default()
        }
    }

    fn systemd() -> Any {
        let options = oci::Options { systemd_cgroup: true, ..oci::Options::default() };
        let value = options.write_to_bytes().unwrap();
        Any { type_url: "containerd.runc.v1.Options".to_owned(), value, ..Any::default() }
    }

    #[test]
    fn older_containerd_gets_a_plain_address() {
        let any = systemd().write_to_bytes().unwrap();
        for (input, systemd_cgroup) in [(&[][..], false), (&any, true), (b"\xff\xff", false)] {
            let request = decode(input, &args(), "/a.sock.ttrpc".to_owned()).unwrap();
            assert_eq!(request.options.systemd_cgroup, systemd_cgroup, "{input:?}");
            assert_eq!(request.grpc_address, "/a.sock");
            assert_eq!(answer(&request, "unix:///s").unwrap(), b"unix:///s");
        }
        assert!(decode(&[], &args(), String::new()).is_err(), "nowhere to send events");
    }

    #[test]
    fn newer_containerd_gets_a_message() {
        let params = BootstrapParams {
            instance_id: "one".to_owned(),
            namespace: "default".to_owned(),
            containerd_ttrpc_address: "/t".to_owned(),
            containerd_grpc_address: "/g".to_owned(),
            socket_dir: Some("/run/x".to_owned()),
            extensions: vec![Extension { value: Some(systemd()).into(), ..Extension::default() }],
            ..BootstrapParams::default()
        };
        let request = decode(&params.write_to_bytes().unwrap(), &args(), String::new()).unwrap();
        assert_eq!((request.grpc_address.as_str(), request.ttrpc_address.as_str()), ("/g", "/t"));
        assert_eq!(request.socket_dir, Path::new("/run/x"));
        assert!(request.options.systemd_cgroup);
        let result = BootstrapResult::parse_from_bytes(&answer(&request, "unix:///s").unwrap()).unwrap();
        assert_eq!(
            (result.version, result.address.as_str(), result.protocol.as_str()),
            (3, "unix:///s", "ttrpc")
        );
    }
}
