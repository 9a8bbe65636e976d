//! What is mounted in an app's container, mounted in truth: a manifest names folders and files of the image in many
//! places (grants, static routes, stores), and each means what the user has put there. Other guests see their mounts
//! as folders that they are granted, which needs no rights.

use super::{within, wrong};
use crate::fail::Fail;
use oci_spec::runtime::Spec;
use rustix::fs::StatVfsMountFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, MountPropagationFlags, mount_bind_recursive, mount_change, mount_remount};
use rustix::thread::UnshareFlags;
use std::fs;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Takes this process, which must have one thread, to a mount namespace of its own where the container's mounts are in
/// its root. They are gone with the process.
///
/// # Errors
/// If the kernel grants no such namespace, or there is no place for a mount.
pub fn enter(spec: &Spec, rootfs: &Path) -> Result<(), Fail> {
    let mounts = super::words::mounts(spec);
    if mounts.is_empty() {
        return Ok(());
    }
    separate().map_err(|error| {
        wrong(format!("this user may mount nothing ({error}), and an app's volumes are mounted"))
            .help("run it as root, allow user namespaces, or leave `-v` and `--tmpfs` out")
    })?;
    for mount in mounts {
        let placed = place(rootfs, &mount.guest, &mount.host, mount.read_only);
        placed.map_err(|error| {
            wrong(format!("{} cannot be mounted at {}: {error}", mount.host.display(), mount.guest))
        })?;
    }
    Ok(())
}

fn separate() -> Result<(), Errno> {
    match unshare(UnshareFlags::NEWNS) {
        // A user who may not has these rights in a user namespace of its own, where there is one to be had.
        Err(Errno::PERM) => {
            let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
            unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
            let (user, group) = (user.as_raw(), group.as_raw());
            for (file, text) in [
                ("setgroups", "deny".to_owned()),
                ("uid_map", format!("{user} {user} 1")),
                ("gid_map", format!("{group} {group} 1")),
            ] {
                let written = fs::write(Path::new("/proc/self").join(file), text);
                written.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
            }
        }
        done => done?,
    }
    // Nothing of it is seen outside.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
}

fn unshare(flags: UnshareFlags) -> Result<(), Errno> {
    // SAFETY: only a table of file descriptors that threads no longer share would be unsafe, and it is not among these.
    #[expect(unsafe_code)]
    unsafe {
        rustix::thread::unshare_unsafe(flags)
    }
}

fn place(rootfs: &Path, target: &str, source: &Path, read_only: bool) -> Result<(), Errno> {
    let relative = target.trim_start_matches('/');
    let at = within(rootfs, relative)?;
    mount_bind_recursive(source, format!("/proc/self/fd/{}", at.as_raw_fd()))?;
    if read_only {
        // Opened anew: what was opened before is what the mount lies over.
        let over = within(rootfs, relative)?;
        // What the user's own file system forbids stays forbidden; a user namespace may not even ask for it.
        let held = rustix::fs::fstatvfs(&over)?.f_flag;
        let kept = [
            (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
            (StatVfsMountFlags::NODEV, MountFlags::NODEV),
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
        ];
        let kept = kept.into_iter().filter(|(flag, _)| held.contains(*flag)).map(|(_, flag)| flag);
        let flags = kept.fold(MountFlags::BIND | MountFlags::RDONLY, |all, flag| all | flag);
        mount_remount(format!("/proc/self/fd/{}", over.as_raw_fd()), flags, "")?;
    }
    Ok(())
}
