//! A second wall around the guests of images: the kernel's own (Linux, userspace-api/landlock.rst). An image is a
//! stranger's, and a manifest in it may name any path; the process that serves it can open the container's files, its
//! mounts, what name look-ups and TLS need, and nothing else.

use super::{is_app, wrong};
use crate::fail::Fail;
use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use oci_spec::runtime::Spec;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// What a process needs of its machine, to be read.
const READ: [&str; 14] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/localtime",
    "/etc/ssl",
    "/etc/pki",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/zoneinfo",
    "/run/systemd/resolve",
    "/proc",
    "/sys",
];
const WRITE: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/urandom", "/dev/random", "/dev/tty"];

/// Of kernel 5.19; a newer one forbids no less.
const RULES: ABI = ABI::V2;

/// Takes away from this process what does not belong to the container. A kernel without Landlock leaves it as it is, but
/// for images with a manifest, which are refused then.
pub fn to_container(spec: &Spec, rootfs: &Path, folder: &Path) -> Result<(), Fail> {
    let mounts = spec.mounts().iter().flatten().filter_map(|mount| mount.source().clone());
    let own: Vec<PathBuf> = [rootfs.to_owned(), folder.to_owned()].into_iter().chain(mounts).collect();
    to_folders(&own, is_app(spec))
}

/// The same for whoever needs these folders alone; `needed` says that nothing may run without.
pub fn to_folders(own: &[PathBuf], needed: bool) -> Result<(), Fail> {
    match restrict(own).map_err(wrong)? {
        RulesetStatus::NotEnforced if needed => {
            Err(wrong("it is an app with a manifest, and this kernel cannot keep it to its files")
                .help("use a kernel with Landlock (5.13 or later), or unpack the app and use `sampan up -f`"))
        }
        _ => Ok(()),
    }
}

fn restrict(own: &[PathBuf]) -> Result<RulesetStatus, RulesetError> {
    let (read, all) = (AccessFs::from_read(RULES), AccessFs::from_all(RULES));
    let mut rules =
        Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all)?.create()?;
    for path in READ {
        rules = allow(rules, Path::new(path), read)?;
    }
    for path in WRITE {
        rules = allow(rules, Path::new(path), all)?;
    }
    for path in own.iter().chain(caches().iter()) {
        rules = allow(rules, path, all)?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

/// Where native code is kept, made now because a rule needs it, and the keys that say which is trusted.
fn caches() -> Vec<PathBuf> {
    let cache = sampan_engine::cache::Cache::of_user().map(|cache| cache.path().to_owned());
    if let Some(folder) = &cache {
        // Where it cannot be made, code is compiled each time, with a warning.
        let _ = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    let keys = crate::key::folder();
    cache.into_iter().chain(keys).collect()
}

/// What is not there needs no rule.
fn allow(
    rules: RulesetCreated,
    path: &Path,
    access: landlock::BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(path) {
        Ok(opened) => rules.add_rule(PathBeneath::new(opened, access)),
        Err(_) => Ok(rules),
    }
}
