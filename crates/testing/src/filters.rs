//! Proxy-wasm filters, each by its language's own tools: one filter in every language (`guests/polyglot`), and the
//! AssemblyScript of `examples/`. Kept like packages, and built again when their source changes.

use crate::packages::{cache, copy_folder, go_build, go_root, kept, npm_build, run};
use crate::spin::digest;
use crate::{guest, pypi_package, root, skip};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The languages of [`polyglot`].
pub const LANGUAGES: [&str; 5] = ["rust", "assemblyscript", "go", "cpp", "zig"];

/// The filter that `guests/polyglot/README.md` describes, in this language.
#[track_caller]
pub fn polyglot(language: &str) -> Option<PathBuf> {
    let source = root().join("guests/polyglot").join(language);
    match language {
        "rust" => Some(guest("polyglot-rust")),
        "assemblyscript" => assemblyscript(&source),
        "go" => {
            let go = go_root()?;
            let arguments = ["-buildmode=c-shared", "-o", "filter.wasm", "main.go"];
            built(&source, |folder| go_build(&go, folder, &arguments))
        }
        "cpp" => cpp(&source),
        "zig" => zig(&source),
        _ => panic!("guests/polyglot has nothing in `{language}`"),
    }
}

/// A filter in AssemblyScript: a folder whose `package.json` builds `filter.wasm`.
#[track_caller]
pub fn assemblyscript(source: &Path) -> Option<PathBuf> {
    built(source, npm_build)
}

#[track_caller]
fn cpp(source: &Path) -> Option<PathBuf> {
    let found = Command::new("clang++").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        return skip("clang++ is not installed (Debian: apt-get install clang lld libc++-dev-wasm32)");
    }
    built(source, |folder| {
        let mut clang = Command::new("clang++");
        // A library: the host calls `_initialize`, not `_start`.
        clang.args(["--target=wasm32-wasi", "--sysroot=/usr", "-mexec-model=reactor", "-fno-exceptions"]);
        clang.args(["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-o", "filter.wasm", "filter.cc"]);
        run(clang.current_dir(folder))
    })
}

#[track_caller]
fn zig(source: &Path) -> Option<PathBuf> {
    let zig = pypi_package("ziglang", "0.17.0")?.join("ziglang/zig");
    built(source, |folder| {
        // Python's zipfile does not keep the permission.
        run(Command::new("chmod").arg("u+x").arg(&zig))?;
        let mut build = Command::new(&zig);
        build.args(["build-exe", "filter.zig", "-target", "wasm32-wasi", "-O", "ReleaseSmall"]);
        build.args(["-fno-entry", "-rdynamic", "-mexec-model=reactor", "-femit-bin=filter.wasm"]);
        build.arg("--cache-dir").arg(folder.join("cache"));
        build.arg("--global-cache-dir").arg(cache().join("zig"));
        run(build.current_dir(folder))
    })
}

/// `filter.wasm` of a copy of `source`, in which `build` makes it.
#[track_caller]
fn built(source: &Path, build: impl FnOnce(&Path) -> Result<(), String>) -> Option<PathBuf> {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let folder = kept("filters", &name, &digest(source), |folder| {
        copy_folder(&source.join("."), folder)?;
        build(folder)
    })?;
    Some(folder.join("filter.wasm"))
}
