//! Which manifest a verb means, and how its findings are shown.

use sampan_app::{Diagnostic, Read, Surroundings, find_manifest, read_manifest, render};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Flags of the verbs that read one manifest.
#[derive(clap::Args, Debug)]
pub struct ManifestArgs {
    /// The manifest, or its folder [default: sampan.toml or spin.toml here]
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,

    /// Read values of variables from a file: lines NAME=VALUE
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
}

/// The manifest that a flag names, or that lies here.
pub fn resolve(file: Option<&Path>) -> Result<PathBuf, Diagnostic> {
    match file {
        None => find_manifest(Path::new("")),
        Some(folder) if folder.is_dir() => find_manifest(folder),
        Some(file) => Ok(file.to_owned()),
    }
}

/// Reads a manifest with the variables of this process's environment.
pub fn read(path: &Path, env_files: &[PathBuf]) -> Read {
    let env = |name: &str| std::env::var(name).ok();
    let mut surroundings = Surroundings::new(&env);
    surroundings.variables_files = env_files.to_vec();
    read_manifest(path, &surroundings)
}

/// Reads the manifest of a container with the variables of its environment. An app of Spin gets the variable `x` also
/// from `X`, as Spin's shim has it (spinframework/containerd-shim-spin, `containerd-shim-spin/src/utils.rs`).
pub fn read_contained(path: &Path, env: &[(String, String)]) -> Read {
    let value = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let is_spin = path.file_name().is_some_and(|name| name == "spin.toml");
    let lookup = |name: &str| {
        let bare = name.strip_prefix("SPIN_VARIABLE_").filter(|_| is_spin);
        value(name).or_else(|| value(bare?))
    };
    read_manifest(path, &Surroundings::new(&lookup))
}

/// Prints findings on standard error.
pub fn print(diagnostics: &[Diagnostic]) {
    // Nobody is left to tell if the stream is closed.
    let _ = std::io::stderr().write_all(rendered(diagnostics).as_bytes());
}

/// Findings as text for standard error, in colour where a person sees them.
pub fn rendered(diagnostics: &[Diagnostic]) -> String {
    let color =
        std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|no| no.is_empty());
    render(diagnostics, color)
}
