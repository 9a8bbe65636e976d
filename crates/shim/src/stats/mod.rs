//! What a container has used, in the encoding of the machine's control groups: moby and CRI branch on the type.
//!
//! Sources: containerd's `cgroups` library, `cgroup1/` and `cgroup2/`, whose messages these are; Linux,
//! `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`.

mod network;
mod v1;
mod v2;

use crate::cgroup::Cgroup;
use containerd_shim_protos::protobuf::MessageFull;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// `pid` is the container's first process.
pub fn read(cgroup: &Cgroup, pid: u32) -> Any {
    let network = network::read(Path::new("/proc"), pid);
    match cgroup {
        Cgroup::V1(folders) => any(&v1::read(folders, network)),
        Cgroup::V2(folder) => any(&v2::read(folder, network)),
        Cgroup::Shared => any(&v1::read(&HashMap::new(), network)),
    }
}

fn any<M: MessageFull>(message: &M) -> Any {
    Any {
        type_url: M::descriptor().full_name().to_owned(),
        // These messages have no required fields, which is all that could be wrong.
        value: message.write_to_bytes().unwrap_or_default(),
        ..Any::default()
    }
}

/// A file with one number; `max` and a file that is not there are no number.
fn number(folder: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

/// A limit: `max` is none, which the messages write as the largest number.
fn limit(folder: &Path, file: &str) -> u64 {
    number(folder, file).unwrap_or(u64::MAX)
}

/// A file of lines `name number`.
fn table(folder: &Path, file: &str) -> HashMap<String, u64> {
    let text = fs::read_to_string(folder.join(file)).unwrap_or_default();
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.trim().parse().ok()?))).collect()
}

/// `major:minor`.
fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
