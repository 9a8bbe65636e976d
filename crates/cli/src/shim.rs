//! `containerd-shim-sampan-v1`: what makes guests of the shim's processes.

use crate::guest;
use oci_spec::runtime::{LinuxIdMapping, Spec};
use rustix::fs::Uid;
use sampan_images::{Descriptor, Images};
use sampan_shim::{Files, Guests, Open, Run, Target};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where containers' native code is kept, unless `SAMPAN_CACHE_DIR` says otherwise: containerd's user may have no home.
const CACHE: &str = "/var/cache/sampan";

pub fn main() -> ExitCode {
    sampan_shim::main(Guests { prepare, artifact })
}

/// Files of images that containerd does not unpack, beside the native code that is made of them.
fn artifact(target: &Target, open: Open<'_>) -> Result<Option<Files>, String> {
    let digest = target.digest.parse().map_err(|error| format!("{error}"))?;
    let target = Descriptor {
        media_type: target.media_type.clone(),
        digest,
        size: target.size,
        platform: None,
        annotations: BTreeMap::new(),
    };
    let images = Images::at(cache_folder().join("artifacts"));
    let found = images.artifact(&target, &mut |one| open(&one.digest.to_string()));
    let found = found.map_err(|error| error.to_string())?;
    Ok(found.map(|found| Files { folder: found.folder, entry: found.entry }))
}

fn cache_folder() -> PathBuf {
    std::env::var_os("SAMPAN_CACHE_DIR").map_or(CACHE.into(), PathBuf::from)
}

fn prepare(spec: &Spec, rootfs: &Path) -> Result<Run, String> {
    let cache = cache_folder();
    use_cache(&cache);
    // Volumes are mounted in the container already: they are below its `/`, and not where they are on the host.
    let mut spec = spec.clone();
    spec.set_mounts(None);
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or_default();
    let guest = guest::prepare(&spec, rootfs).map_err(|fail| fail.text().trim_end().to_owned())?;

    // What serves compiles its code when it runs, in the container, from where the cache is reached through this only.
    let cache = match host_user(&spec) {
        user if user == rustix::process::geteuid().as_raw() => File::open(&cache).ok(),
        user => cache_of(user, &cache).ok(),
    };
    Ok(Box::new(move |root| {
        if let Some(cache) = &cache {
            use_cache(Path::new(&format!("/proc/self/fd/{}", cache.as_raw_fd())));
        }
        let ended = guest.run(root, read_only, None);
        ended.unwrap_or_else(|fail| {
            let code = fail.code;
            fail.print();
            code
        })
    }))
}

/// Who the guest is outside of its container.
fn host_user(spec: &Spec) -> u32 {
    let user = spec.process().as_ref().map_or(0, |process| process.user().uid());
    let mappings = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().as_ref());
    let of = |mapping: &&LinuxIdMapping| {
        (mapping.container_id()..mapping.container_id().saturating_add(mapping.size())).contains(&user)
    };
    match mappings.into_iter().flatten().find(of) {
        Some(mapping) => mapping.host_id().saturating_add(user - mapping.container_id()),
        None => user,
    }
}

/// The cache of a user who may not read root's, and whose code root would not trust. It lies where only root comes by:
/// to anybody else it is open through the descriptor alone.
fn cache_of(user: u32, cache: &Path) -> io::Result<File> {
    let users = cache.join("users");
    DirBuilder::new().recursive(true).mode(0o700).create(&users)?;
    let own = users.join(user.to_string());
    DirBuilder::new().recursive(true).mode(0o700).create(&own)?;
    let own = File::open(own)?;
    rustix::fs::fchown(&own, Some(Uid::from_raw(user)), None)?;
    Ok(own)
}

fn use_cache(folder: &Path) {
    // SAFETY: the shim calls this in processes that have one thread.
    unsafe { std::env::set_var("SAMPAN_CACHE_DIR", folder) };
}
