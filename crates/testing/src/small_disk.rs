//! A disk that is soon full: a file system in memory, gone with the test.

use crate::{skip, temp_dir};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

pub struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// Room for so many MiB; `None` (after saying so) where this user may not mount.
    #[track_caller]
    pub fn mount(size_mib: u64) -> Option<SmallDisk> {
        let disk = SmallDisk { folder: temp_dir() };
        let size = format!("size={size_mib}m");
        let size = std::ffi::CString::new(size).expect("no zero in it");
        match mount("none", disk.path(), "tmpfs", MountFlags::empty(), Some(size.as_c_str())) {
            Ok(()) => Some(disk),
            Err(error) => skip(&format!("a small disk cannot be mounted ({error}); root can")),
        }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves no room at all, until [`SmallDisk::free`].
    pub fn fill(&self) {
        let mut file = File::options().create(true).append(true).open(self.ballast()).expect("a file");
        // The last pieces are small, so that nothing fits any more.
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }

    /// Leaves room for a few files, and for nothing large.
    pub fn fill_but(&self, left_kib: u64) {
        self.fill();
        let file = File::options().write(true).open(self.ballast()).expect("the ballast");
        let size = file.metadata().expect("its size").len();
        file.set_len(size.saturating_sub(left_kib << 10)).expect("a shorter ballast");
    }

    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("room again");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Who still has a file there keeps it until he ends.
        let _ = unmount(self.path(), UnmountFlags::DETACH);
    }
}
