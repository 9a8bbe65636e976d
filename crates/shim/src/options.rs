//! The runtime's options, in the three forms in which containerd passes them: none, runc's message, or a piece of
//! TOML from `config.toml` (CRI).

use crate::fail::{Context, Fail, Result};
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim::oci;
use toml::de::{DeTable, DeValue};

#[derive(Debug, Default, Clone, PartialEq)]
pub struct Options {
    /// Control groups are systemd's.
    pub systemd_cgroup: bool,
    pub no_pivot_root: bool,
    /// The shim itself goes into this control group.
    pub shim_cgroup: String,
}

const RUNC: &str = "containerd.runc.v1.Options";
const TOML: [&str; 2] = ["runtimeoptions.v1.Options", "cri.runtimeoptions.v1.Options"];

impl Options {
    pub fn knows(type_url: &str) -> bool {
        let name = short(type_url);
        name == RUNC || TOML.contains(&name)
    }

    /// Options of other runtimes mean nothing here.
    pub fn of_any(any: &Any) -> Result<Self> {
        match short(&any.type_url) {
            RUNC => {
                let options = oci::Options::parse_from_bytes(&any.value).context("the runtime's options")?;
                Ok(Options {
                    systemd_cgroup: options.systemd_cgroup,
                    no_pivot_root: options.no_pivot_root,
                    shim_cgroup: options.shim_cgroup,
                })
            }
            name if TOML.contains(&name) => {
                // containerd before 1.7 passes a file's name instead.
                let text = match (field(&any.value, CONFIG_BODY), field(&any.value, CONFIG_PATH)) {
                    (Some(body), _) if !body.is_empty() => String::from_utf8_lossy(body).into_owned(),
                    (_, Some(path)) if !path.is_empty() => {
                        let path = String::from_utf8_lossy(path);
                        std::fs::read_to_string(&*path).context(format!("the runtime's options in {path}"))?
                    }
                    _ => String::new(),
                };
                Options::of_toml(&text)
            }
            _ => Ok(Options::default()),
        }
    }

    /// Keys that mean nothing here are other runtimes'.
    fn of_toml(text: &str) -> Result<Self> {
        let table = DeTable::parse(text).context("the runtime's options in config.toml")?;
        let flag = |name: &str| match table.get_ref().get(name).map(|value| value.get_ref()) {
            None => Ok(false),
            Some(DeValue::Boolean(value)) => Ok(*value),
            Some(_) => Err(Fail::invalid(format!("`{name}` in config.toml is not true or false"))),
        };
        let shim_cgroup = table.get_ref().get("ShimCgroup").and_then(|value| value.get_ref().as_str());
        Ok(Options {
            systemd_cgroup: flag("SystemdCgroup")?,
            no_pivot_root: flag("NoPivotRoot")?,
            shim_cgroup: shim_cgroup.unwrap_or_default().to_owned(),
        })
    }
}

/// The message's name, without the server that some put in front of it.
fn short(type_url: &str) -> &str {
    type_url.rsplit('/').next().unwrap_or(type_url)
}

/// Fields of `runtimeoptions.v1.Options` (containerd, `api/types/runtimeoptions/v1/api.proto`), which the protocol's crate
/// does not have.
const CONFIG_PATH: u8 = 2;
const CONFIG_BODY: u8 = 3;

/// One field of that message. All its fields are strings or bytes, so the walk knows one wire type only.
fn field(mut bytes: &[u8], number: u8) -> Option<&[u8]> {
    const LENGTH_DELIMITED: u8 = 2;
    while let Some((&tag, rest)) = bytes.split_first() {
        if tag & 7 != LENGTH_DELIMITED {
            return None;
        }
        let (length, rest) = varint(rest)?;
        let (value, rest) = rest.split_at_checked(length)?;
        if tag >> 3 == number {
            return Some(value);
        }
        bytes = rest;
    }
    None
}

fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0usize;
    for (index, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any(type_url: &str, value: Vec<u8>) -> Any {
        Any { type_url: type_url.to_owned(), value, ..Any::default() }
    }

    fn of_cri(body: &str) -> Vec<u8> {
        let mut bytes = vec![0x0a, 1, b'x', 0x12, 0];
        bytes.extend([0x1a, (body.len() & 0x7f) as u8 | 0x80, (body.len() >> 7) as u8]);
        bytes.extend(body.as_bytes());
        bytes
    }

    #[test]
    fn all_three_forms() {
        let runc = oci::Options { systemd_cgroup: true, no_pivot_root: true, ..oci::Options::default() };
        let runc = any("containerd.runc.v1.Options", runc.write_to_bytes().unwrap());
        let cri =
            "SystemdCgroup = true\nNoPivotRoot = true\nBinaryName = \"\"\n# other keys are other runtimes'";
        for form in [
            runc.clone(),
            any("types.googleapis.com/containerd.runc.v1.Options", runc.value),
            any("runtimeoptions.v1.Options", of_cri(cri)),
            any("cri.runtimeoptions.v1.Options", of_cri(cri)),
        ] {
            let expected = Options { systemd_cgroup: true, no_pivot_root: true, shim_cgroup: String::new() };
            assert_eq!(Options::of_any(&form).unwrap(), expected, "{}", form.type_url);
        }
        assert_eq!(Options::of_any(&any("other", vec![1, 2])).unwrap(), Options::default());
    }

    #[test]
    fn a_file_of_options() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        std::fs::write(path, "SystemdCgroup = true").unwrap();
        let value = [&[0x12, path.len() as u8], path.as_bytes()].concat();
        assert!(Options::of_any(&any("runtimeoptions.v1.Options", value)).unwrap().systemd_cgroup);
        assert!(Options::of_any(&any("runtimeoptions.v1.Options", b"\x12\x05/none".to_vec())).is_err());
    }

    #[test]
    fn damaged_options() {
        for value in [vec![], vec![0x1a], vec![0x1a, 0xff, 0xff, 0xff, 0xff], vec![0x1a, 9, b'x'], vec![8, 1]]
        {
            let form = any("runtimeoptions.v1.Options", value.clone());
            assert_eq!(Options::of_any(&form).unwrap(), Options::default(), "{value:?}");
        }
        assert!(Options::of_any(&any("runtimeoptions.v1.Options", of_cri("SystemdCgroup = maybe"))).is_err());
        assert!(Options::of_any(&any("containerd.runc.v1.Options", vec![0xff])).is_err());
    }
}
