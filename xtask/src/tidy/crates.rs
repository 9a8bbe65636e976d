//! Which crate may use which: one table, compared with Cargo's metadata.

use super::Problem;
use crate::Result;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Splitting further needs a measured reason.
const CRATES_MAX: usize = 16;

/// The composition root: may use every crate but the tests' helpers.
const ALL: &[&str] = &["*"];

/// What each crate may use, beside `telemetry`, which everybody may. Names are those of folders.
const MAY_USE: &[(&str, &[&str])] = &[
    ("app", &[]),
    ("engine", &[]),
    ("service", &[]),
    ("telemetry", &[]),
    ("testing", &[]),
    ("capabilities", &["app", "service"]),
    ("images", &["app"]),
    ("runtime", &["app", "capabilities", "engine", "service"]),
    ("filters", &["app", "capabilities", "engine", "runtime", "service"]),
    ("gateway", &["app", "service"]),
    ("dapr", &["app", "capabilities", "service"]),
    ("containers", &["app", "images", "service"]),
    ("dashboard", &["capabilities", "containers", "dapr", "filters", "gateway", "runtime", "service"]),
    // containerd's shim is the same binary under another name, and gets from `cli` what runs its guests: it starts
    // processes, and has no engine in them.
    ("shim", &[]),
    ("cli", ALL),
];

/// A crate of ours and what it uses of ours.
#[derive(Debug, Default)]
pub struct Crate {
    /// Without the prefix `sampan-`.
    pub name: String,
    /// From the root, with `/`.
    pub manifest: String,
    pub uses: Vec<String>,
    /// In tests only.
    pub tests_use: Vec<String>,
}

/// The crates below `crates/`.
pub fn from_cargo(root: &Path) -> Result<Vec<Crate>> {
    let metadata = Command::new("cargo")
        .args(["metadata", "--no-deps", "--format-version=1"])
        .current_dir(root)
        .output()?;
    if !metadata.status.success() {
        return Err(String::from_utf8_lossy(&metadata.stderr).into_owned().into());
    }
    let metadata: Value = serde_json::from_slice(&metadata.stdout)?;
    let packages = metadata["packages"].as_array().ok_or("cargo metadata names no packages")?;
    Ok(packages.iter().filter_map(|package| from_package(root, package)).collect())
}

fn from_package(root: &Path, package: &Value) -> Option<Crate> {
    let manifest = Path::new(package["manifest_path"].as_str()?);
    let manifest = manifest.strip_prefix(root.canonicalize().ok()?).ok()?.to_str()?.to_owned();
    if !manifest.starts_with("crates/") {
        return None;
    }
    let mut one = Crate { name: short(package["name"].as_str()?).to_owned(), manifest, ..Crate::default() };
    for dependency in package["dependencies"].as_array()? {
        let name = dependency["name"].as_str()?;
        if !name.starts_with("sampan-") {
            continue;
        }
        let list = if dependency["kind"] == "dev" { &mut one.tests_use } else { &mut one.uses };
        list.push(short(name).to_owned());
    }
    Some(one)
}

fn short(name: &str) -> &str {
    name.strip_prefix("sampan-").unwrap_or(name)
}

pub fn problems(crates: &[Crate]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if crates.len() > CRATES_MAX {
        let what =
            format!("{} crates; at most {CRATES_MAX} unless a measurement asks for more", crates.len());
        problems.push(Problem::new("Cargo.toml", 0, what));
    }
    for one in crates {
        let mut report = |what: String| problems.push(Problem::new(&one.manifest, 0, what));
        if one.manifest != format!("crates/{}/Cargo.toml", one.name) {
            report(format!("the crate `{}` belongs in crates/{}", one.name, one.name));
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == one.name) else {
            report("not in the table of directions in xtask/src/tidy/crates.rs".to_owned());
            continue;
        };
        for used in one.uses.iter().filter(|used| !may_use(&one.name, allowed, used)) {
            report(format!("`{}` may not use `{used}`", one.name));
        }
        let in_tests = |used: &&String| *used != "testing" && !may_use(&one.name, allowed, used);
        for used in one.tests_use.iter().filter(in_tests) {
            report(format!("the tests of `{}` may not use `{used}`", one.name));
        }
    }
    problems
}

fn may_use(name: &str, allowed: &[&str], used: &str) -> bool {
    let everybodys = used == "telemetry" && name != "testing";
    let by_root = allowed == ALL && used != "testing";
    everybodys || by_root || allowed.contains(&used)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, uses: &[&str], tests_use: &[&str]) -> Crate {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect();
        Crate {
            name: name.to_owned(),
            manifest: format!("crates/{name}/Cargo.toml"),
            uses: owned(uses),
            tests_use: owned(tests_use),
        }
    }

    #[test]
    fn directions() {
        for (name, uses, tests_use, count) in [
            ("runtime", &["app", "engine", "telemetry"][..], &["testing"][..], 0),
            ("cli", &["runtime", "engine"], &["testing"], 0),
            ("capabilities", &["engine"], &[], 1),
            ("app", &["engine", "service"], &[], 2),
            ("engine", &[], &["runtime"], 1),
            ("runtime", &["testing"], &[], 1),
            ("cli", &["shim"], &["testing"], 0),
            ("cli", &["shim", "testing"], &[], 1),
            ("shim", &["engine"], &[], 1),
            ("testing", &["app", "telemetry"], &[], 2),
            ("novelty", &[], &[], 1),
        ] {
            let found = problems(&[one(name, uses, tests_use)]);
            assert_eq!(found.len(), count, "{name} {uses:?} {tests_use:?}: {found:?}");
        }
    }

    #[test]
    fn a_crate_lies_in_the_folder_of_its_name() {
        let stray = Crate { manifest: "crates/apps/Cargo.toml".to_owned(), ..one("app", &[], &[]) };
        assert_eq!(problems(&[stray]).len(), 1);
    }

    #[test]
    fn the_number_of_crates_is_bounded() {
        let many: Vec<_> = (0..=CRATES_MAX).map(|_| one("app", &[], &[])).collect();
        assert_eq!(problems(&many).len(), 1);
    }

    #[test]
    fn this_workspace_is_read() {
        let crates = from_cargo(crate::paths::root()).unwrap();
        let runtime = crates.iter().find(|one| one.name == "runtime").unwrap();
        assert!(runtime.uses.iter().any(|used| used == "engine"), "{runtime:?}");
    }
}
