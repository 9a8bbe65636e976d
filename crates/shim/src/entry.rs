//! Whether a container is a guest or an ordinary one: by the file that its first argument names.

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What every module and every component begins with.
const MAGIC: &[u8] = b"\0asm";

/// Files that are guests by their names: a module's text form, and manifests of apps.
fn is_by_name(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name == "sampan.toml" || name == "spin.toml" || path.extension().is_some_and(|end| end == "wat")
}

/// What a container starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    Guest,
    /// An ordinary program.
    Program,
    /// It is not in the root file system. A volume may bring it, as an ordinary program.
    Missing,
}

pub fn look(spec: &Spec, rootfs: &Path) -> Entry {
    let Some((path, mut file)) = find(spec, rootfs) else { return Entry::Missing };
    let mut head = [0; 4];
    let is_guest = is_by_name(&path) || (file.read_exact(&mut head).is_ok() && head == MAGIC);
    if is_guest { Entry::Guest } else { Entry::Program }
}

/// The file that the first argument names, as a path, or as a name in a folder of `PATH`.
fn find(spec: &Spec, rootfs: &Path) -> Option<(PathBuf, File)> {
    let process = spec.process().as_ref()?;
    let first = process.args().as_ref()?.first()?;
    // `path#function` enters another function than `_start`.
    let path = Path::new(first.split_once('#').map_or(first.as_str(), |(path, _)| path));
    let is_bare = path.components().count() == 1 && !path.is_absolute();
    let env = process.env().as_ref().map(Vec::as_slice).unwrap_or_default();
    let search = env
        .iter()
        .find_map(|variable| variable.strip_prefix("PATH="))
        .filter(|_| is_bare)
        .unwrap_or_default();
    let folders = search.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let candidates = folders.chain([process.cwd().clone()]).map(|folder| folder.join(path));
    candidates.filter_map(|path| open_inside(rootfs, &path).map(|file| (path, file))).next()
}

/// A regular file, with all links taken as the container would: none leads out of `rootfs`.
fn open_inside(rootfs: &Path, path: &Path) -> Option<File> {
    let root = open(rootfs, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    // What stands there may be a FIFO, which must not be waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = File::from(openat2(root, path, flags, Mode::empty(), ResolveFlags::IN_ROOT).ok()?);
    file.metadata().is_ok_and(|meta| meta.is_file()).then_some(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_entry_decides() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("rootfs");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("app.wasm"), b"\0asm\x01\0\0\0").unwrap();
        fs::write(root.join("bin/tool"), b"\0asm\x0d\0\x01\0").unwrap();
        fs::write(root.join("bin/sh"), b"\x7fELF").unwrap();
        fs::write(root.join("module.wat"), b"(module)").unwrap();
        fs::write(root.join("spin.toml"), b"").unwrap();
        fs::write(dir.path().join("outside.wasm"), b"\0asm\x01\0\0\0").unwrap();
        symlink("/app.wasm", root.join("link")).unwrap();
        symlink("../outside.wasm", root.join("escape")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, root.join("fifo"), Mode::RWXU).unwrap();
        for (arg, expected) in [
            ("/app.wasm", Entry::Guest),
            ("app.wasm", Entry::Guest),
            ("/app.wasm#function", Entry::Guest),
            ("tool", Entry::Guest),
            ("/module.wat", Entry::Guest),
            ("/spin.toml", Entry::Guest),
            ("link", Entry::Guest),
            ("sh", Entry::Program),
            ("/bin/sh", Entry::Program),
            ("escape", Entry::Missing),
            ("/fifo", Entry::Missing),
            ("/bin", Entry::Missing),
            ("/missing", Entry::Missing),
            ("", Entry::Missing),
        ] {
            let text = format!(
                r#"{{"process": {{"cwd": "/", "user": {{"uid": 0, "gid": 0}}, "args": ["{arg}"], "env": ["PATH=/bin"]}}}}"#
            );
            assert_eq!(look(&serde_json::from_str(&text).unwrap(), &root), expected, "{arg}");
        }
    }
}
