//! The mounts that make a container's root file system, as containerd describes them.
//!
//! Source: containerd, `core/mount/mount_linux.go`.

use crate::fail::{Context, Fail, Result};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount,
};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Mount {
    pub kind: String,
    pub source: String,
    pub target: String,
    pub options: Vec<String>,
}

/// One page, with the zero at its end, is what the kernel takes (`mount(2)`).
const DATA_MAX: usize = 4095;

/// Mounts all of them on each other at `rootfs`. Changes the working directory, so it is for the helper only.
pub fn mount_all(mounts: &[Mount], rootfs: &Path, nodev: bool) -> Result<()> {
    for one in mounts {
        if let Err(fail) = mount_one(one, rootfs, nodev) {
            unmount_all(rootfs);
            return Err(fail);
        }
    }
    Ok(())
}

fn mount_one(one: &Mount, rootfs: &Path, nodev: bool) -> Result<()> {
    let target = inside(rootfs, &one.target)?;
    let mut parsed = Options::of(&one.options);
    parsed.flags.set(MountFlags::NODEV, nodev || parsed.flags.contains(MountFlags::NODEV));
    if one.kind == "overlay" && parsed.data.len() > DATA_MAX {
        parsed.shorten()?;
    }
    let failed = || format!("cannot mount {} at {}", one.kind, target.display());
    let data =
        CString::new(parsed.data).map_err(|_| Fail::invalid("an option of a mount has a zero in it"))?;
    let is_bind = parsed.flags.contains(MountFlags::BIND);
    let kind = if is_bind { "" } else { &one.kind };
    mount(&*one.source, &target, kind, parsed.flags, Some(data.as_c_str())).context(failed())?;
    if is_bind && parsed.flags.intersects(!(MountFlags::BIND | MountFlags::REC)) {
        // The first call of a bind mount ignores all other flags.
        mount_remount(&target, parsed.flags - MountFlags::REC, "").context(failed())?;
    }
    if let Some(propagation) = parsed.propagation {
        mount_change(&target, propagation).context(failed())?;
    }
    Ok(())
}

/// `target` is empty, or a path below the root file system.
fn inside(rootfs: &Path, target: &str) -> Result<PathBuf> {
    let relative = Path::new(target.trim_start_matches('/'));
    if relative.components().any(|part| !matches!(part, std::path::Component::Normal(_))) {
        return Err(Fail::invalid(format!("a mount's target `{target}` leaves the container")));
    }
    Ok(if target.is_empty() { rootfs.to_owned() } else { rootfs.join(relative) })
}

struct Options {
    flags: MountFlags,
    propagation: Option<MountPropagationFlags>,
    /// What the file system itself reads.
    data: String,
}

impl Options {
    fn of(options: &[String]) -> Self {
        let mut parsed = Options { flags: MountFlags::empty(), propagation: None, data: String::new() };
        for option in options {
            if let Some((flag, is_set)) = flag(option) {
                parsed.flags.set(flag, is_set);
            } else if let Some(propagation) = propagation(option) {
                parsed.propagation = Some(propagation);
            } else if option != "loop" {
                if !parsed.data.is_empty() {
                    parsed.data.push(',');
                }
                parsed.data.push_str(option);
            }
        }
        parsed
    }

    /// Many layers make a long list of folders. They lie in one, which becomes the working directory.
    fn shorten(&mut self) -> Result<()> {
        let lower = self.data.split(',').find_map(|option| option.strip_prefix("lowerdir="));
        let lower = lower.unwrap_or_default().to_owned();
        let folders: Vec<&Path> = lower.split(':').map(Path::new).collect();
        let mut common = folders.first().and_then(|first| first.parent()).unwrap_or(Path::new("/"));
        while !folders.iter().all(|folder| folder.starts_with(common)) {
            common = common.parent().unwrap_or(Path::new("/"));
        }
        std::env::set_current_dir(common).context("the folder of the layers")?;
        let short =
            folders.iter().map(|folder| folder.strip_prefix(common).unwrap_or(folder).to_string_lossy());
        let short: Vec<_> = short.collect();
        self.data = self.data.replace(&lower, &short.join(":"));
        if self.data.len() > DATA_MAX {
            return Err(Fail::invalid(format!(
                "the image has {} layers, more than the kernel can mount",
                folders.len()
            )));
        }
        Ok(())
    }
}

/// The flag of an option, and whether the option sets it.
fn flag(option: &str) -> Option<(MountFlags, bool)> {
    Some(match option {
        "ro" => (MountFlags::RDONLY, true),
        "rw" => (MountFlags::RDONLY, false),
        "bind" => (MountFlags::BIND, true),
        "rbind" => (MountFlags::BIND | MountFlags::REC, true),
        "nosuid" => (MountFlags::NOSUID, true),
        "suid" => (MountFlags::NOSUID, false),
        "nodev" => (MountFlags::NODEV, true),
        "dev" => (MountFlags::NODEV, false),
        "noexec" => (MountFlags::NOEXEC, true),
        "exec" => (MountFlags::NOEXEC, false),
        "noatime" => (MountFlags::NOATIME, true),
        "atime" => (MountFlags::NOATIME, false),
        "nodiratime" => (MountFlags::NODIRATIME, true),
        "diratime" => (MountFlags::NODIRATIME, false),
        "relatime" => (MountFlags::RELATIME, true),
        "norelatime" => (MountFlags::RELATIME, false),
        "strictatime" => (MountFlags::STRICTATIME, true),
        "nostrictatime" => (MountFlags::STRICTATIME, false),
        "sync" => (MountFlags::SYNCHRONOUS, true),
        "async" => (MountFlags::SYNCHRONOUS, false),
        "dirsync" => (MountFlags::DIRSYNC, true),
        "defaults" => (MountFlags::empty(), true),
        _ => return None,
    })
}

fn propagation(option: &str) -> Option<MountPropagationFlags> {
    use MountPropagationFlags as Flags;
    Some(match option {
        "private" => Flags::PRIVATE,
        "rprivate" => Flags::PRIVATE | Flags::REC,
        "shared" => Flags::SHARED,
        "rshared" => Flags::SHARED | Flags::REC,
        "slave" => Flags::DOWNSTREAM,
        "rslave" => Flags::DOWNSTREAM | Flags::REC,
        "unbindable" => Flags::UNBINDABLE,
        "runbindable" => Flags::UNBINDABLE | Flags::REC,
        _ => return None,
    })
}

/// Whatever is mounted there, until nothing is. A busy one is taken away from view, and goes with its last user.
pub fn unmount_all(rootfs: &Path) {
    const MOUNTS_MAX: usize = 128;
    for _ in 0..MOUNTS_MAX {
        if unmount(rootfs, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_flags_or_data() {
        let options =
            ["ro", "nosuid", "rbind", "rprivate", "index=off", "rw", "lowerdir=/a:/b"].map(str::to_owned);
        let parsed = Options::of(&options);
        assert_eq!(parsed.flags, MountFlags::NOSUID | MountFlags::BIND | MountFlags::REC);
        assert_eq!(parsed.propagation, Some(MountPropagationFlags::PRIVATE | MountPropagationFlags::REC));
        assert_eq!(parsed.data, "index=off,lowerdir=/a:/b");
    }

    #[test]
    fn targets_stay_inside() {
        let root = Path::new("/b/rootfs");
        assert_eq!(inside(root, "").unwrap(), root);
        assert_eq!(inside(root, "/data/x").unwrap(), Path::new("/b/rootfs/data/x"));
        for target in ["..", "/../x", "a/../../x"] {
            assert!(inside(root, target).is_err(), "{target}");
        }
    }
}
