//! The target `wasm32-wasi`, which Rust has called `wasm32-wasip1` since 1.78 and no longer knows by its old
//! name since 1.84: <https://blog.rust-lang.org/2024/04/09/updates-to-rusts-wasi-targets.html>

use super::findings::{Findings, Span};
use crate::Component;
use std::path::{Path, PathBuf};

const OLD: &str = "wasm32-wasi";
const NEW: &str = "wasm32-wasip1";

/// Understands builds for the old name as builds for the new one, and says so.
pub(super) fn rename(component: &mut Component, source: Option<Span>, table: Span, f: &mut Findings) {
    let mut renamed_command = false;
    for command in component.build.iter_mut().flat_map(|build| &mut build.commands) {
        let new = rename_words(command);
        renamed_command |= new != *command;
        *command = new;
    }
    let new_source = rename_segment(&component.source);
    let renamed_source = new_source.as_ref().is_some_and(|new| {
        let (old_exists, new_exists) = (component.source.exists(), new.exists());
        // What a build will make counts as existing, unless only the old file is there.
        if renamed_command { new_exists || !old_exists } else { new_exists && !old_exists }
    });
    if let Some(new) = new_source.filter(|_| renamed_source) {
        component.source = new;
    }
    let message = match (renamed_command, renamed_source) {
        (false, false) => return,
        (true, true) => {
            "the build for `wasm32-wasi` is understood as one for `wasm32-wasip1`, and its file is taken"
        }
        (true, false) => "the build for `wasm32-wasi` is understood as one for `wasm32-wasip1`",
        (false, true) => {
            "the file of the target `wasm32-wasip1` is taken, as that of `wasm32-wasi` does not exist"
        }
    };
    let help = format!("Rust calls the target {NEW} today: write that in `build` and `source`");
    f.warn(source.unwrap_or(table), message, help);
}

/// Replaces the old name where it stands alone: `--target wasm32-wasi`, `target/wasm32-wasi/release`.
fn rename_words(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    let part_of_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    while let Some(at) = rest.find(OLD) {
        let (before, after) = (&rest[..at], &rest[at + OLD.len()..]);
        let alone = !before.ends_with(part_of_name) && !after.starts_with(part_of_name);
        out.push_str(before);
        out.push_str(if alone { NEW } else { OLD });
        rest = after;
    }
    out + rest
}

fn rename_segment(path: &Path) -> Option<PathBuf> {
    let old = |part: &std::path::Component<'_>| part.as_os_str() == OLD;
    if !path.components().any(|part| old(&part)) {
        return None;
    }
    Some(path.components().map(|part| if old(&part) { NEW.as_ref() } else { part.as_os_str() }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_name_alone_is_renamed() {
        for (old, new) in [
            ("cargo build --target wasm32-wasi --release", "cargo build --target wasm32-wasip1 --release"),
            ("cp target/wasm32-wasi/release/a.wasm .", "cp target/wasm32-wasip1/release/a.wasm ."),
            ("cargo build --target=wasm32-wasi", "cargo build --target=wasm32-wasip1"),
            ("--target wasm32-wasip1", "--target wasm32-wasip1"),
            ("--target wasm32-wasip1-threads", "--target wasm32-wasip1-threads"),
            ("my-wasm32-wasi wasm32-wasi-x", "my-wasm32-wasi wasm32-wasi-x"),
            ("", ""),
        ] {
            assert_eq!(rename_words(old), new);
        }
        assert_eq!(rename_segment(Path::new("/a/wasm32-wasi/b")), Some("/a/wasm32-wasip1/b".into()));
        assert_eq!(rename_segment(Path::new("/a/wasm32-wasip1/b")), None);
    }
}
