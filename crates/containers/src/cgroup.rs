//! A container's control group, of either version (Linux, Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst): limits of
//! memory and processor time that the kernel keeps. Without the right to make one, the engine's own limits hold.

use crate::record::Config;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

const ROOT: &str = "/sys/fs/cgroup";
/// All of ours are in a group of this name.
const PARENT: &str = "sampan";
/// The guest meets its own limit, as an error that it can handle, before the kernel ends it: the rest of the process
/// needs some memory too.
const MEMORY_BESIDE_GUEST_BYTES: u64 = 32 << 20;
const CPU_PERIOD_US: u64 = 100_000;

/// A group that exists for as long as this.
#[derive(Debug)]
pub struct Cgroup {
    /// One for each hierarchy.
    folders: Vec<PathBuf>,
    unified: bool,
}

pub fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// Why limits of the kernel cannot be had, if so.
pub fn unavailable() -> Option<String> {
    let folders: Vec<PathBuf> = if is_unified() {
        vec![Path::new(ROOT).join("cgroup.subtree_control")]
    } else {
        ["memory", "cpu"].iter().map(|controller| Path::new(ROOT).join(controller)).collect()
    };
    let wrong = |path: &PathBuf| match rustix::fs::access(path, rustix::fs::Access::WRITE_OK) {
        Ok(()) => None,
        Err(error) => Some(format!("{}: {}", path.display(), io::Error::from(error))),
    };
    folders.iter().find_map(wrong)
}

impl Cgroup {
    /// Makes a group with the container's limits and puts the process in; `None` where no limit is asked for, or it
    /// cannot be.
    pub fn join(id: &str, config: &Config, pid: u32) -> Option<Self> {
        if config.memory_bytes.is_none() && config.cpu_millis.is_none() {
            return None;
        }
        match Self::make(id, config) {
            Ok(group) => {
                group.add(pid);
                Some(group)
            }
            Err(error) => {
                crate::complain(format_args!("the kernel's limits cannot be set: {error}"));
                None
            }
        }
    }

    fn make(id: &str, config: &Config) -> io::Result<Self> {
        let root = Path::new(ROOT);
        let unified = is_unified();
        let memory = config.memory_bytes.map(|bytes| bytes.saturating_add(MEMORY_BESIDE_GUEST_BYTES));
        let quota_us = config.cpu_millis.map(|millis| (millis * CPU_PERIOD_US / 1000).max(1000));
        let folders = if unified {
            let parent = root.join(PARENT);
            fs::create_dir_all(&parent)?;
            for folder in [root, &parent] {
                fs::write(folder.join("cgroup.subtree_control"), "+memory +cpu +pids")?;
            }
            vec![parent.join(id)]
        } else {
            ["memory", "cpu"].iter().map(|controller| root.join(controller).join(PARENT).join(id)).collect()
        };
        for folder in &folders {
            fs::create_dir_all(folder)?;
        }
        let group = Cgroup { folders, unified };
        let (of_memory, of_cpu) = if unified { (0, 0) } else { (0, 1) };
        if let Some(bytes) = memory {
            let name = if unified { "memory.max" } else { "memory.limit_in_bytes" };
            fs::write(group.folders[of_memory].join(name), bytes.to_string())?;
        }
        if let Some(quota) = quota_us {
            let folder = &group.folders[of_cpu];
            if unified {
                fs::write(folder.join("cpu.max"), format!("{quota} {CPU_PERIOD_US}"))?;
            } else {
                fs::write(folder.join("cpu.cfs_period_us"), CPU_PERIOD_US.to_string())?;
                fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string())?;
            }
        }
        Ok(group)
    }

    /// Puts another process in.
    pub fn add(&self, pid: u32) {
        for folder in &self.folders {
            // It may have ended already.
            let _ = fs::write(folder.join("cgroup.procs"), pid.to_string());
        }
    }

    pub fn ran_out_of_memory(&self) -> bool {
        let name = if self.unified { "memory.events" } else { "memory.oom_control" };
        let Some(text) = self.folders.first().and_then(|folder| fs::read_to_string(folder.join(name)).ok())
        else {
            return false;
        };
        text.lines().any(|line| line.strip_prefix("oom_kill ").is_some_and(|count| count.trim() != "0"))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for folder in &self.folders {
            // Only an empty one can be removed; nothing of ours is in it any more.
            let _ = fs::remove_dir(folder);
        }
    }
}
