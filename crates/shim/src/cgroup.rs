//! Where a container's control groups are, and what is done to all processes in them.
//!
//! Sources: Linux, `Documentation/admin-guide/cgroup-v1/` and `cgroup-v2.rst`; `cgroups(7)`.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";

/// The folders of one group.
#[derive(Debug, Clone, PartialEq)]
pub enum Cgroup {
    /// A folder for each controller.
    V1(HashMap<String, PathBuf>),
    V2(PathBuf),
    /// The container has none of its own. Whatever else is in its group is not the container's to count or to kill.
    Shared,
}

impl Cgroup {
    /// Those of a container's process. Read while it is there: a dead process is in none.
    pub fn of(pid: i32) -> io::Result<Self> {
        let read = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup"));
        let is_unified = Path::new(ROOT).join("cgroup.controllers").exists();
        let of = |text: &str| parse(text, Path::new(ROOT), is_unified);
        Ok(of(&read(&pid.to_string())?).without(&of(&read("self")?), Path::new(ROOT)))
    }

    /// Only what is neither another's (ours) nor everybody's.
    fn without(self, others: &Cgroup, root: &Path) -> Self {
        match (self, others) {
            (Cgroup::V1(mut folders), Cgroup::V1(others)) => {
                folders.retain(|name, folder| {
                    others.get(name) != Some(folder) && *folder != root.join(name).join("")
                });
                if folders.is_empty() { Cgroup::Shared } else { Cgroup::V1(folders) }
            }
            (Cgroup::V2(folder), Cgroup::V2(other)) if folder != *other && folder != root.join("") => {
                Cgroup::V2(folder)
            }
            _ => Cgroup::Shared,
        }
    }

    /// Processes of the group and of groups in it.
    pub fn pids(&self) -> Vec<i32> {
        let folder = match self {
            Cgroup::V1(folders) => {
                ["pids", "memory", "cpuacct", "devices"].iter().find_map(|name| folders.get(*name))
            }
            Cgroup::V2(folder) => Some(folder),
            Cgroup::Shared => None,
        };
        let mut pids = Vec::new();
        if let Some(folder) = folder {
            collect(folder, 0, &mut pids);
        }
        pids
    }

    /// SIGKILL to all that is in it, until nothing is: a process may fork meanwhile.
    pub fn kill_all(&self) {
        const ROUNDS_MAX: usize = 100;
        for _ in 0..ROUNDS_MAX {
            let pids = self.pids();
            if pids.is_empty() {
                return;
            }
            for pid in pids {
                signal(pid, libc::SIGKILL);
            }
            // The dead must be waited for by their parents before the next look.
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    /// Lets frozen processes go on, so that they can be killed.
    pub fn thaw(&self) {
        let (folder, file, value) = match self {
            Cgroup::V1(folders) => (folders.get("freezer"), "freezer.state", "THAWED"),
            Cgroup::V2(folder) => (Some(folder), "cgroup.freeze", "0"),
            Cgroup::Shared => return,
        };
        if let Some(folder) = folder {
            // There is nothing to thaw where it cannot be written.
            let _ = fs::write(folder.join(file), value);
        }
    }
}

/// Sends a signal to a process that may be gone.
pub fn signal(pid: i32, number: i32) {
    // SAFETY: `kill` touches no memory.
    unsafe { libc::kill(pid, number) };
}

/// Lines are `hierarchy:controllers:path`; those of version 2 are `0::path`.
fn parse(text: &str, root: &Path, is_unified: bool) -> Cgroup {
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':');
        parts.next()?;
        Some((parts.next()?, parts.next()?.trim_start_matches('/')))
    });
    if is_unified {
        let path = lines.filter(|(controllers, _)| controllers.is_empty()).map(|(_, path)| path).next();
        return Cgroup::V2(root.join(path.unwrap_or_default()));
    }
    let mut folders = HashMap::new();
    for (controllers, path) in lines.filter(|(controllers, _)| !controllers.is_empty()) {
        for controller in controllers.split(',') {
            // Controllers that share a hierarchy have a link for each name.
            let mounted = controller.strip_prefix("name=").unwrap_or(controller);
            folders.insert(mounted.to_owned(), root.join(mounted).join(path));
        }
    }
    Cgroup::V1(folders)
}

fn collect(folder: &Path, depth: usize, pids: &mut Vec<i32>) {
    const DEPTH_MAX: usize = 16;
    let text = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
    pids.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
    if depth == DEPTH_MAX {
        return;
    }
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), depth + 1, pids);
        }
    }
}

/// Puts a process into the group at `path`, made if it is not there, in all hierarchies.
pub fn join(path: &str, pid: u32) -> io::Result<()> {
    let relative = path.trim_start_matches('/');
    let folders: Vec<PathBuf> = if Path::new(ROOT).join("cgroup.controllers").exists() {
        vec![Path::new(ROOT).join(relative)]
    } else {
        fs::read_dir(ROOT)?.flatten().map(|entry| entry.path().join(relative)).collect()
    };
    for folder in folders {
        fs::create_dir_all(&folder)?;
        fs::OpenOptions::new()
            .write(true)
            .open(folder.join("cgroup.procs"))?
            .write_all(pid.to_string().as_bytes())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions() {
        let text = "5:cpu,cpuacct:/default/one\n4:memory:/default/one\n1:name=systemd:/x\n0::/unified\n";
        let root = Path::new("/sys/fs/cgroup");
        let Cgroup::V1(folders) = parse(text, root, false) else { panic!() };
        assert_eq!(folders["cpuacct"], root.join("cpuacct/default/one"));
        assert_eq!(folders["memory"], root.join("memory/default/one"));
        assert_eq!(folders["systemd"], root.join("systemd/x"));
        assert_eq!(folders.len(), 4);
        assert_eq!(parse(text, root, true), Cgroup::V2(root.join("unified")));
        assert_eq!(parse("garbage", root, true), Cgroup::V2(root.join("")));
    }

    #[test]
    fn groups_of_others_are_left_alone() {
        let root = Path::new("/sys/fs/cgroup");
        let own = |text: &str, unified| {
            parse(text, root, unified)
                .without(&parse("4:memory:/us\n3:pids:/\n0::/us\n", root, unified), root)
        };
        for (text, unified, is_shared) in [
            ("4:memory:/us\n3:pids:/\n", false, true),
            ("4:memory:/\n", false, true),
            ("4:memory:/us/one\n", false, false),
            ("0::/us\n", true, true),
            ("0::/\n", true, true),
            ("0::/us/one\n", true, false),
        ] {
            let found = own(text, unified);
            assert_eq!(found == Cgroup::Shared, is_shared, "{text}: {found:?}");
        }
        // What cannot be counted is not killed either.
        assert!(Cgroup::Shared.pids().is_empty());
    }

    #[test]
    fn processes_of_groups_inside_count() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("inner")).unwrap();
        fs::write(dir.path().join("cgroup.procs"), "1\n22\n").unwrap();
        fs::write(dir.path().join("inner/cgroup.procs"), "333\n").unwrap();
        assert_eq!(Cgroup::V2(dir.path().to_owned()).pids(), [1, 22, 333]);
    }
}
