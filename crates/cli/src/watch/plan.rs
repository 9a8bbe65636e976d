//! Which change of which file means what for an app. Knows paths, and touches no file.

use globset::{GlobBuilder, GlobMatcher};
use sampan_app::{App, Component};
use std::path::{Component as Part, Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    Manifest,
    /// What the component is made of.
    Rebuild(String),
    /// The wasm file itself.
    Source(String),
    /// What the component reads.
    Asset(String),
}

/// Folders that hold what tools write, by name. They are looked into only where a pattern names them.
const OUTPUTS: [&str; 8] =
    ["target", "node_modules", ".venv", "__pycache__", ".git", ".sampan", ".cache", ".mypy_cache"];

pub struct Plan {
    manifest: PathBuf,
    variables: PathBuf,
    components: Vec<Watched>,
}

struct Watched {
    name: String,
    source: Option<PathBuf>,
    dependencies: Vec<PathBuf>,
    patterns: Vec<Pattern>,
    assets: Vec<PathBuf>,
}

/// `src/**/*.rs`: a folder that is named, and what is wanted below it.
struct Pattern {
    base: PathBuf,
    /// `None`: the base itself, and all below if it is a folder.
    below: Option<GlobMatcher>,
}

/// A place to watch.
pub enum Root<'a> {
    /// One name in its folder, which may not exist yet.
    File(&'a Path),
    /// A folder and those below it; `enter` says which.
    Tree { folder: &'a Path, enter: Box<dyn Fn(&str) -> bool + 'a> },
}

impl Plan {
    pub fn new(app: &App) -> Plan {
        let watched = |component: &Component| Watched {
            name: component.name.clone(),
            // What is kept from elsewhere never changes; where it comes from cannot be watched.
            source: match component.remote {
                Some(_) => None,
                None => Some(normal(&component.source)),
            },
            dependencies: component
                .dependencies
                .iter()
                .filter(|dependency| dependency.remote.is_none())
                .map(|dependency| normal(&dependency.source))
                .collect(),
            patterns: component
                .build
                .iter()
                .flat_map(|build| build.watch.iter().filter_map(|glob| Pattern::new(&build.workdir, glob)))
                .collect(),
            // What a guest may write would change all the time.
            assets: component
                .grants
                .mounts
                .iter()
                .filter(|mount| mount.read_only)
                .map(|mount| normal(&mount.host))
                .collect(),
        };
        Plan {
            manifest: normal(&app.manifest),
            variables: normal(&app.root.join(".env")),
            components: app.components.iter().map(watched).collect(),
        }
    }

    /// What a change of this path means.
    pub fn changes(&self, path: &Path) -> Vec<Change> {
        let mut changes = Vec::new();
        if path == self.manifest || path == self.variables {
            changes.push(Change::Manifest);
        }
        for component in &self.components {
            let name = || component.name.clone();
            if component.source.as_deref() == Some(path) {
                changes.push(Change::Source(name()));
            } else if component.patterns.iter().any(|pattern| pattern.matches(path)) {
                changes.push(Change::Rebuild(name()));
            } else if component.dependencies.iter().any(|dependency| dependency == path)
                || component.assets.iter().any(|asset| path.starts_with(asset))
                    && !in_output(path, &component.assets)
            {
                changes.push(Change::Asset(name()));
            }
        }
        changes
    }

    pub fn source(&self, name: &str) -> Option<&Path> {
        self.components
            .iter()
            .find(|component| component.name == name)
            .and_then(|component| component.source.as_deref())
    }

    pub fn sources(&self) -> impl Iterator<Item = &Path> {
        self.components.iter().filter_map(|component| component.source.as_deref())
    }

    /// Everything that must be watched for [`Plan::changes`] to hear of it.
    pub fn roots(&self) -> Vec<Root<'_>> {
        let mut roots = vec![Root::File(&self.manifest), Root::File(&self.variables)];
        for component in &self.components {
            roots.extend(component.source.as_deref().map(Root::File));
            roots.extend(component.dependencies.iter().map(|file| Root::File(file)));
            roots.extend(component.patterns.iter().map(|pattern| Root::Tree {
                folder: &pattern.base,
                enter: Box::new(|name| pattern.enters(name)),
            }));
            let plain = |name: &str| !OUTPUTS.contains(&name);
            let assets = component.assets.iter();
            roots.extend(assets.map(|folder| Root::Tree { folder, enter: Box::new(plain) }));
        }
        roots
    }
}

impl Pattern {
    /// `None` for what the manifest's reader has refused already.
    fn new(workdir: &Path, glob: &str) -> Option<Pattern> {
        let is_plain = |part: &&str| !part.contains(['*', '?', '[', '{', '\\']);
        let parts = Vec::from_iter(glob.split('/'));
        let plain = parts.iter().take_while(|part| is_plain(part)).count();
        let base = normal(&workdir.join(parts[..plain].join("/")));
        let below = match parts[plain..].join("/") {
            rest if rest.is_empty() => None,
            rest => Some(GlobBuilder::new(&rest).literal_separator(true).build().ok()?.compile_matcher()),
        };
        Some(Pattern { base, below })
    }

    fn matches(&self, path: &Path) -> bool {
        let Ok(relative) = path.strip_prefix(&self.base) else { return false };
        let mut folders = relative.parent().into_iter().flat_map(Path::iter);
        folders.all(|name| name.to_str().is_some_and(|name| self.enters(name)))
            && self.below.as_ref().is_none_or(|glob| glob.is_match(relative))
    }

    /// Whether folders of this name below the base are looked into.
    fn enters(&self, name: &str) -> bool {
        let named = |glob: &GlobMatcher| glob.glob().glob().split('/').any(|part| part == name);
        !OUTPUTS.contains(&name) || self.below.as_ref().is_some_and(named)
    }
}

fn in_output(path: &Path, assets: &[PathBuf]) -> bool {
    let relative = assets.iter().find_map(|asset| path.strip_prefix(asset).ok());
    relative.is_some_and(|relative| {
        relative.iter().any(|name| name.to_str().is_some_and(|name| OUTPUTS.contains(&name)))
    })
}

/// Without `.` and `..`, by name alone, so that it compares with what the system reports.
pub fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Part::CurDir => {}
            Part::ParentDir => drop(normal.pop()),
            part => normal.push(part),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_app::{Build, Mount};

    #[test]
    fn what_a_path_means() {
        let mount = |host: &str, read_only| Mount { host: host.into(), guest: "/x".into(), read_only };
        let mut api =
            Component { name: "api".into(), source: "/app/target/api.wasm".into(), ..Component::default() };
        let watch = ["src/**/*.rs", "Cargo.toml", "../shared/*.rs", "wit", "./target/gen/*.rs", "**/*.json"];
        let watch = watch.map(String::from).to_vec();
        api.build = Some(Build { commands: Vec::new(), workdir: "/app/./api".into(), watch });
        api.grants.mounts = vec![mount("/app/assets", true), mount("/app/data", false)];
        let web = Component { name: "web".into(), source: "/app/web.wasm".into(), ..Component::default() };
        let app = App {
            manifest: "/app/sampan.toml".into(),
            root: "/app".into(),
            components: vec![api, web],
            ..App::default()
        };
        let plan = Plan::new(&app);
        let (rebuild, asset) = (vec![Change::Rebuild("api".into())], vec![Change::Asset("api".into())]);
        let table = [
            ("/app/sampan.toml", vec![Change::Manifest]),
            ("/app/.env", vec![Change::Manifest]),
            ("/app/target/api.wasm", vec![Change::Source("api".into())]),
            ("/app/web.wasm", vec![Change::Source("web".into())]),
            ("/app/api/src/main.rs", rebuild.clone()),
            ("/app/api/src/a/b.rs", rebuild.clone()),
            ("/app/api/Cargo.toml", rebuild.clone()),
            ("/app/shared/a.rs", rebuild.clone()),
            ("/app/api/wit/deps/a.wit", rebuild.clone()),
            ("/app/api/target/gen/a.rs", rebuild.clone()),
            ("/app/api/deep/a.json", rebuild),
            ("/app/assets/css/a.css", asset),
            ("/app/shared/deep/a.rs", vec![]),
            ("/app/api/src/main.c", vec![]),
            ("/app/api/target/debug/a.json", vec![]),
            ("/app/api/node_modules/a/package.json", vec![]),
            ("/app/assets/.git/index", vec![]),
            ("/app/data/db.sqlite", vec![]),
            ("/app/other", vec![]),
        ];
        for (path, expected) in table {
            assert_eq!(plan.changes(Path::new(path)), expected, "{path}");
        }
    }
}
