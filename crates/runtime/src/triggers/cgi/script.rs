//! Which script a path means: as web servers find the file for `php-cgi`.

use percent_encoding::percent_decode_str;
use sampan_app::Mount;
use std::path::{Path, PathBuf};

/// What a script's name ends with. Other files are not run, whatever they contain: an uploaded picture may
/// hold code.
const SUFFIX: &str = ".php";
/// Served for a folder, and for whatever is not there.
const INDEX: &str = "index.php";
/// A path has at most so many segments; each may cost a look at the disk.
const SEGMENTS_MAX: usize = 64;

/// The script for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// The file, as the guest sees it.
    pub file: String,
    /// The file's path below the document root, beginning with `/`.
    pub path: String,
    /// What follows the script's path in the request's, empty or beginning with `/`.
    pub path_info: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Script(Script),
    /// A folder was asked for as if it were a file: its path with a slash is the right one.
    AddSlash,
    /// Nothing, or a file that is no script.
    Nothing,
}

/// The document root, seen from both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    pub guest: String,
    pub host: PathBuf,
}

impl Root {
    /// The document root of a component: `None` where none of its mounts holds it.
    pub fn new(document_root: Option<&str>, mounts: &[Mount]) -> Option<Root> {
        let guest = match (document_root, mounts) {
            (Some(root), _) => root,
            (None, [only]) => &only.guest,
            (None, _) => "/",
        };
        let guest = guest.trim_end_matches('/');
        // The mount nearest to the root is the one that the guest sees.
        let below = |mount: &'_ &Mount| {
            let rest = guest.strip_prefix(mount.guest.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mount = mounts.iter().filter(below).max_by_key(|mount| mount.guest.len())?;
        let rest = guest.strip_prefix(mount.guest.trim_end_matches('/')).unwrap_or_default();
        // A mount that names no way out cannot be left by one.
        if Path::new(rest).components().any(|part| part == std::path::Component::ParentDir) {
            return None;
        }
        Some(Root { guest: guest.to_owned(), host: mount.host.join(rest.trim_start_matches('/')) })
    }

    /// The script for a path as the client sent it.
    ///
    /// Blocks for as long as looking up a file takes: microseconds, less than handing it to a thread. What is
    /// found decides only which name the guest gets; the guest opens it beneath its own folders.
    pub fn find(&self, path: &str) -> Found {
        let Some(segments) = segments(path) else { return Found::Nothing };
        let (mut so_far, mut host) = (String::new(), self.host.clone());
        for (index, segment) in segments.iter().enumerate() {
            so_far = format!("{so_far}/{segment}");
            host.push(segment);
            if segment.ends_with(SUFFIX) && host.is_file() {
                let mut path_info: String =
                    segments[index + 1..].iter().flat_map(|segment| ["/", segment]).collect();
                if path.ends_with('/') {
                    path_info.push('/');
                }
                return Found::Script(self.script(so_far, path_info));
            }
        }
        if host.is_dir() {
            let index = host.join(INDEX).is_file();
            return match (index, path.ends_with('/')) {
                (true, true) => Found::Script(self.script(format!("{so_far}/{INDEX}"), String::new())),
                (true, false) => Found::AddSlash,
                (false, _) => self.front_controller(),
            };
        }
        // Files beside the scripts are for the static route in front.
        if host.is_file() { Found::Nothing } else { self.front_controller() }
    }

    /// The script of the root answers for paths that are no files, as `try_files` of nginx and the rules that
    /// WordPress writes for Apache say it. It finds the path in `REQUEST_URI`.
    fn front_controller(&self) -> Found {
        match self.host.join(INDEX).is_file() {
            true => Found::Script(self.script(format!("/{INDEX}"), String::new())),
            false => Found::Nothing,
        }
    }

    fn script(&self, path: String, path_info: String) -> Script {
        Script { file: format!("{}{path}", self.guest), path, path_info }
    }
}

/// The names between the slashes, decoded; `None` for a path that could mean a place above its beginning, or
/// that no file can have.
fn segments(path: &str) -> Option<Vec<String>> {
    let decoded = percent_decode_str(path).decode_utf8().ok()?;
    if decoded.contains(['\0', '\\']) {
        return None;
    }
    let segments: Vec<_> =
        decoded.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    if segments.len() > SEGMENTS_MAX || segments.contains(&"..") {
        return None;
    }
    Some(segments.into_iter().map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> (tempfile::TempDir, Root) {
        let folder = tempfile::tempdir().unwrap();
        for file in ["secret.php", "site/index.php", "site/a.php", "site/admin/index.php", "site/x.css"] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "<?php").unwrap();
        }
        std::fs::create_dir(folder.path().join("site/empty")).unwrap();
        std::fs::create_dir(folder.path().join("site/folder.php")).unwrap();
        let mount = Mount { host: folder.path().join("site"), guest: "/docroot".into(), read_only: true };
        let root = Root::new(None, &[mount]).unwrap();
        (folder, root)
    }

    #[test]
    fn paths() {
        let (_folder, root) = site();
        for (path, script, info) in [
            ("/", "/index.php", ""),
            ("/a.php", "/a.php", ""),
            ("/a.php/x/y", "/a.php", "/x/y"),
            ("/a.php/x/", "/a.php", "/x/"),
            ("/a.php/a.php", "/a.php", "/a.php"),
            ("//a%2Ephp", "/a.php", ""),
            ("/./a.php", "/a.php", ""),
            ("/admin/", "/admin/index.php", ""),
            ("/2026/11/hello-world/", "/index.php", ""),
            ("/missing.php", "/index.php", ""),
            ("/x.css/a.php", "/index.php", ""),
            ("/empty/", "/index.php", ""),
            ("/folder.php/", "/index.php", ""),
        ] {
            let Found::Script(found) = root.find(path) else { panic!("{path}: nothing found") };
            assert_eq!((&*found.path, &*found.path_info), (script, info), "{path}");
            assert_eq!(found.file, format!("/docroot{script}"), "{path}");
        }
        assert_eq!(root.find("/admin"), Found::AddSlash);
    }

    #[test]
    fn nothing_outside_and_no_other_file() {
        let (_folder, root) = site();
        for path in [
            "/../secret.php",
            "/%2e%2e/secret.php",
            "/a/..%2f..%2fsecret.php",
            "/..",
            "/x.css",
            "/a.php%00.css",
            "/..\\secret.php",
            "/%ff.php",
            "/a.php/../../secret.php",
        ] {
            assert_eq!(root.find(path), Found::Nothing, "{path}");
        }
        let deep = "/a".repeat(SEGMENTS_MAX + 1);
        assert_eq!(root.find(&deep), Found::Nothing);
    }

    #[test]
    fn without_a_front_controller_what_is_missing_is_missing() {
        let (folder, root) = site();
        std::fs::remove_file(folder.path().join("site/index.php")).unwrap();
        assert_eq!(root.find("/missing"), Found::Nothing);
        assert_eq!(root.find("/"), Found::Nothing);
    }

    #[test]
    fn the_root_is_in_the_nearest_mount() {
        let mount =
            |host: &str, guest: &str| Mount { host: host.into(), guest: guest.into(), read_only: true };
        let mounts = [mount("/srv/all", "/"), mount("/srv/site", "/site")];
        let host = |root: &str| Root::new(Some(root), &mounts).map(|root| root.host);
        assert_eq!(host("/site/public"), Some("/srv/site/public".into()));
        assert_eq!(host("/sites"), Some("/srv/all/sites".into()));
        assert_eq!(host("/site/../x"), None);
        assert_eq!(Root::new(Some("/docroot"), &[mount("/x", "/other")]), None);
    }
}
