//! The container's description (`config.json` of the OCI runtime specification): what of it is changed before it runs.

use crate::fail::{Context, Fail, Result};
use libcgroups::common::{CgroupSetup, get_cgroup_setup};
use oci_spec::runtime::{Capability, LinuxNamespaceType, Spec};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Annotations that put containers into one shim, the first that is there.
/// Source: containerd, `cmd/containerd-shim-runc-v2/manager/manager_linux.go`, `groupLabels`.
const GROUPS: [&str; 2] = ["io.containerd.runc.v2.group", "io.kubernetes.cri.sandbox-id"];

/// Which shim a container belongs to: that of its pod, or its own.
pub fn group(config: &Path, id: &str) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Annotated {
        #[serde(default)]
        annotations: HashMap<String, String>,
    }
    let bytes = std::fs::read(config).context(format!("cannot read {}", config.display()))?;
    let spec: Annotated = serde_json::from_slice(&bytes)
        .context(format!("{} is no description of a container", config.display()))?;
    let named = GROUPS.iter().find_map(|name| spec.annotations.get(*name));
    Ok(named.map_or(id, String::as_str).to_owned())
}

pub fn load(path: &Path) -> Result<Spec> {
    Spec::load(path).context(format!("cannot use {}", path.display()))
}

/// Where the root file system is, if nobody asks to mount one: Docker's daemon has mounted it in a folder of its own. A
/// relative path begins at the bundle.
pub fn root(spec: &Spec, bundle: &Path) -> Result<PathBuf> {
    let root = spec.root().as_ref().ok_or_else(|| Fail::invalid("config.json has no `root`"))?;
    Ok(bundle.join(root.path()))
}

/// The process's arguments, environment and so on are the user's; these are ours.
pub fn adapt(spec: &mut Spec, rootfs: &Path, is_guest: bool) -> Result<()> {
    let root = spec.root_mut().as_mut().ok_or_else(|| Fail::invalid("config.json has no `root`"))?;
    root.set_path(rootfs.to_owned());
    if is_guest {
        protect_proc(spec);
    }
    if borrows_admin(spec) {
        lend_admin(spec);
    }
    if needs_nodev(spec) {
        drop_mknod(spec);
    }
    expand_slice(spec);
    Ok(())
}

/// Control groups of version 2 confine devices by programs that libcontainer is built without (they need libbpf). There,
/// a container that may not use all devices gets none but those in its `/dev`: it may not make nodes, and those in
/// its image do not work.
pub fn needs_nodev(spec: &Spec) -> bool {
    matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified)) && !may_use_all_devices(spec)
}

fn may_use_all_devices(spec: &Spec) -> bool {
    let resources = spec.linux().as_ref().and_then(|linux| linux.resources().as_ref());
    let devices = resources.and_then(|resources| resources.devices().as_ref());
    let all =
        |device: &&oci_spec::runtime::LinuxDeviceCgroup| device.major().is_none() && device.minor().is_none();
    devices.into_iter().flatten().rfind(all).is_some_and(|device| device.allow())
}

fn drop_mknod(spec: &mut Spec) {
    let Some(process) = spec.process_mut() else { return };
    let Some(mut sets) = process.capabilities().clone() else { return };
    let without = |set: &Option<std::collections::HashSet<Capability>>| {
        let set = set.clone()?;
        Some(set.into_iter().filter(|capability| *capability != Capability::Mknod).collect())
    };
    sets.set_bounding(without(sets.bounding()));
    sets.set_permitted(without(sets.permitted()));
    sets.set_effective(without(sets.effective()));
    sets.set_inheritable(without(sets.inheritable()));
    sets.set_ambient(without(sets.ambient()));
    process.set_capabilities(Some(sets));
}

/// A guest runs inside our process, and its `/proc/self` is ours: through `/proc/self/mem` it could write over the
/// code that confines it. Nothing on a file system that is mounted read-only can be opened for writing.
fn protect_proc(spec: &mut Spec) {
    for mount in spec.mounts_mut().iter_mut().flatten() {
        if mount.typ().as_deref() == Some("proc") {
            let mut options = mount.options().clone().unwrap_or_default();
            options.retain(|option| option != "rw");
            options.push("ro".to_owned());
            mount.set_options(Some(options));
        }
    }
}

/// Without `no_new_privs` only CAP_SYS_ADMIN may install a filter of system calls, and libcontainer has taken it away
/// by the time when it hands over. So the process gets to keep it until then.
pub fn borrows_admin(spec: &Spec) -> bool {
    let filtered = spec.linux().as_ref().is_some_and(|linux| linux.seccomp().is_some());
    let process = spec.process().as_ref();
    let may_not_gain = process.and_then(|process| process.no_new_privileges()).unwrap_or(false);
    let effective = process.and_then(|process| process.capabilities().as_ref()?.effective().as_ref());
    let has = effective.is_some_and(|set| set.contains(&Capability::SysAdmin));
    filtered && !may_not_gain && !has
}

fn lend_admin(spec: &mut Spec) {
    let Some(process) = spec.process_mut() else { return };
    let mut sets = process.capabilities().clone().unwrap_or_default();
    let with = |set: &Option<std::collections::HashSet<Capability>>| {
        let mut set = set.clone().unwrap_or_default();
        set.insert(Capability::SysAdmin);
        Some(set)
    };
    sets.set_bounding(with(sets.bounding()));
    sets.set_permitted(with(sets.permitted()));
    sets.set_effective(with(sets.effective()));
    process.set_capabilities(Some(sets));
}

/// With control groups of version 1, systemd's notation `slice:prefix:name` becomes the folder that systemd would use:
/// there, libcontainer knows folders only.
fn expand_slice(spec: &mut Spec) {
    if matches!(get_cgroup_setup(), Ok(CgroupSetup::Unified) | Err(_)) {
        return;
    }
    if let Some(linux) = spec.linux_mut()
        && let Some(path) = linux.cgroups_path().as_ref().and_then(|path| slice_folder(path.to_str()?))
    {
        linux.set_cgroups_path(Some(path));
    }
}

/// Source: `systemd.slice(5)`: the slice `a-b.slice` lies in `a.slice`.
fn slice_folder(path: &str) -> Option<PathBuf> {
    let mut parts = path.split(':');
    let (slice, prefix, name) = (parts.next()?, parts.next()?, parts.next()?);
    let stem = slice.strip_suffix(".slice").unwrap_or("system");
    let mut folder = PathBuf::from("/");
    for (at, _) in stem.match_indices('-').chain([(stem.len(), "")]) {
        folder.push(format!("{}.slice", &stem[..at]));
    }
    folder.push(if prefix.is_empty() { name.to_owned() } else { format!("{prefix}-{name}.scope") });
    Some(folder)
}

/// Whether the container's processes die with its first.
pub fn has_own_pids(spec: &Spec) -> bool {
    let namespaces = spec.linux().as_ref().and_then(|linux| linux.namespaces().as_ref());
    namespaces.into_iter().flatten().any(|one| one.typ() == LinuxNamespaceType::Pid && one.path().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(text: &str) -> Spec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn containers_of_a_pod_share_a_shim() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config.json");
        for (text, expected) in [
            (r#"{}"#, Some("me")),
            (r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "pod"}}"#, Some("pod")),
            (
                r#"{"annotations": {"io.kubernetes.cri.sandbox-id": "pod", "io.containerd.runc.v2.group": "mine"}}"#,
                Some("mine"),
            ),
            ("{", None),
        ] {
            std::fs::write(&config, text).unwrap();
            assert_eq!(group(&config, "me").ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_root_may_be_elsewhere() {
        for (root, expected) in [
            (r#""root": {"path": "rootfs"}"#, Some("/b/rootfs")),
            (
                r#""root": {"path": "/var/lib/docker/overlay2/x/merged"}"#,
                Some("/var/lib/docker/overlay2/x/merged"),
            ),
            (r#""hostname": "x""#, None),
        ] {
            let found = root_of(&format!("{{{root}}}"));
            assert_eq!(found.as_deref(), expected.map(Path::new), "{root}");
        }
    }

    fn root_of(text: &str) -> Option<PathBuf> {
        root(&spec(text), Path::new("/b")).ok()
    }

    #[test]
    fn a_guest_cannot_write_below_proc() {
        let text = r#"{"root": {"path": "rootfs"}, "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "rw"]},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}]}"#;
        for (is_guest, expected) in [(true, vec!["nosuid", "ro"]), (false, vec!["nosuid", "rw"])] {
            let mut spec = spec(text);
            adapt(&mut spec, Path::new("/b/rootfs"), is_guest).unwrap();
            let mounts = spec.mounts().as_ref().unwrap();
            assert_eq!(mounts[0].options().as_ref().unwrap(), &expected);
            assert_eq!(mounts[1].options(), &None);
            assert_eq!(spec.root().as_ref().unwrap().path(), Path::new("/b/rootfs"));
        }
    }

    #[test]
    fn a_filter_needs_a_capability_or_no_new_privileges() {
        for (process, expected) in [
            (r#""noNewPrivileges": true"#, false),
            (r#""noNewPrivileges": false, "capabilities": {"effective": ["CAP_SYS_ADMIN"]}"#, false),
            (r#""capabilities": {"effective": ["CAP_CHOWN"], "bounding": ["CAP_CHOWN"]}"#, true),
        ] {
            let mut spec = spec(&format!(
                r#"{{"root": {{"path": "r"}}, "linux": {{"seccomp": {{"defaultAction": "SCMP_ACT_ALLOW"}}}},
                     "process": {{"cwd": "/", "user": {{"uid": 0, "gid": 0}}, {process}}}}}"#
            ));
            assert_eq!(borrows_admin(&spec), expected, "{process}");
            adapt(&mut spec, Path::new("/r"), false).unwrap();
            assert!(!borrows_admin(&spec), "{process}");
        }
    }

    #[test]
    fn privileged_containers_have_all_devices() {
        for (devices, expected) in [
            (
                r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 3}]"#,
                false,
            ),
            (r#"[{"allow": false, "access": "rwm"}, {"allow": true, "access": "rwm"}]"#, true),
            (r#"[]"#, false),
        ] {
            let text = format!(
                r#"{{"linux": {{"resources": {{"devices": {devices}}}}}, "process": {{"cwd": "/",
                     "user": {{"uid": 0, "gid": 0}}, "capabilities": {{"bounding": ["CAP_MKNOD", "CAP_CHOWN"]}}}}}}"#
            );
            let mut spec = spec(&text);
            assert_eq!(may_use_all_devices(&spec), expected, "{devices}");
            drop_mknod(&mut spec);
            let sets = spec.process().as_ref().unwrap().capabilities().clone().unwrap();
            assert_eq!(
                sets.bounding().as_ref().unwrap(),
                &std::collections::HashSet::from([Capability::Chown])
            );
        }
    }

    #[test]
    fn slices_become_folders() {
        for (path, folder) in [
            (
                "kubepods-burstable-pod1.slice:cri-containerd:abc",
                Some(
                    "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-abc.scope",
                ),
            ),
            ("system.slice:docker:x", Some("/system.slice/docker-x.scope")),
            (":docker:x", Some("/system.slice/docker-x.scope")),
            ("/default/x", None),
        ] {
            assert_eq!(slice_folder(path).as_deref(), folder.map(Path::new), "{path}");
        }
    }
}
