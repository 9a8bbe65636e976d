//! Packages of other releases of Debian, unpacked beside this system: newer versions of servers that are written in Go,
//! which need little of it.

use crate::packages::{kept, run};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The folder in which these packages of a suite (`trixie`) are unpacked, as they would lie below `/`. Their dependencies
/// are not.
#[track_caller]
pub fn debian_packages(suite: &str, packages: &[&str]) -> Option<PathBuf> {
    kept("debian", &packages.join("-"), suite, |folder| {
        let apt = folder.join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(apt.join(part)).map_err(|error| error.to_string())?;
        }
        let source = format!("deb [signed-by={KEYS}] {} {suite} main\n", mirror()?);
        fs::write(apt.join("sources"), source).map_err(|error| error.to_string())?;
        run(apt_get(&apt).arg("update"))?;
        run(apt_get(&apt).arg("download").args(packages).current_dir(&apt))?;
        for entry in fs::read_dir(&apt).map_err(|error| error.to_string())?.flatten() {
            if entry.path().extension().is_some_and(|end| end == "deb") {
                run(Command::new("dpkg-deb").arg("-x").arg(entry.path()).arg(folder))?;
            }
        }
        fs::remove_dir_all(apt).map_err(|error| error.to_string())
    })
}

/// Where this system's own packages come from.
fn mirror() -> Result<String, String> {
    let mut command = Command::new("apt-get");
    command.args(["indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"]);
    let output = command.output().map_err(|error| format!("apt-get: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let found = text.lines().find_map(|line| line.strip_prefix("Debian main "));
    found.map(str::to_owned).ok_or_else(|| "no source of apt is Debian's".to_owned())
}

/// `apt-get` with sources, lists and cache in a folder of its own: the system's are not touched.
fn apt_get(folder: &Path) -> Command {
    let mut command = Command::new("apt-get");
    for (name, value) in
        [("Dir::Etc::sourcelist", "sources"), ("Dir::State::lists", "lists"), ("Dir::Cache", "cache")]
    {
        command.arg("-o").arg(format!("{name}={}", folder.join(value).display()));
    }
    // The account for downloads cannot write into this folder.
    command.args(["-qq", "-o", "Dir::Etc::sourceparts=-", "-o", "APT::Sandbox::User=root"]);
    command
}
