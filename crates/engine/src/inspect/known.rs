//! Which interfaces Sampan answers. This is for telling a person early; what is really linked decides when an
//! app is loaded.

use super::Item;
use crate::detect::SNAPSHOTS;

/// Packages in any patch release of these versions.
const RELEASED: &[&str] =
    &["wasi:cli", "wasi:clocks", "wasi:filesystem", "wasi:http", "wasi:io", "wasi:random", "wasi:sockets"];
/// Packages with their exact versions; without one for interfaces that have none.
const EXACT: &[(&str, &[&str])] = &[
    ("wasi:keyvalue", &["0.2.0-draft", "0.2.0-draft2"]),
    ("wasi:messaging", &["0.2.0-draft"]),
    ("wasi:config", &["0.2.0-draft-2024-09-27", "0.2.0-rc.1"]),
    ("wasi:otel", &["0.2.0-rc.2"]),
    ("fermyon:spin", &["", "2.0.0"]),
    ("spin:key-value", &["3.0.0"]),
    ("spin:variables", &["3.0.0"]),
    ("spin:redis", &["3.0.0"]),
    ("spin:mqtt", &["3.0.0"]),
    ("spin:mysql", &["3.0.0"]),
    ("spin:sqlite", &["3.0.0", "3.1.0"]),
    ("spin:postgres", &["3.0.0", "4.0.0", "4.1.0", "4.2.0"]),
];
/// Interfaces of core modules.
const MODULES: &[&str] = &["wasi_snapshot_preview1", "wasi_unstable", "wasi_experimental_http"];

pub(super) fn is_known(import: &Item) -> bool {
    let name = import.name.as_str();
    match import.kind {
        // What a component shares of types needs no answer.
        "type" => true,
        "module" if !name.contains(':') => MODULES.contains(&name) || is_own(name),
        _ => is_known_interface(name),
    }
}

/// A module in the component ABI imports functions of its own exports: `[export]wasi:http/…`, `$root`.
fn is_own(name: &str) -> bool {
    name.starts_with('[') || name == "$root"
}

fn is_known_interface(name: &str) -> bool {
    if is_own(name) {
        return true;
    }
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let Some((package, _)) = interface.split_once('/') else { return false };
    if RELEASED.contains(&package) {
        let patch = version.strip_prefix("0.2.").or_else(|| version.strip_prefix("0.3."));
        let released =
            patch.is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|b| b.is_ascii_digit()));
        return released || SNAPSHOTS.iter().any(|(snapshot, _)| *snapshot == version);
    }
    EXACT.iter().any(|(one, versions)| *one == package && versions.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces() {
        for (kind, name, known) in [
            ("module", "wasi_snapshot_preview1", true),
            ("module", "env", false),
            ("module", "key-value", false),
            ("module", "fermyon:spin/key-value@2.0.0", true),
            ("module", "[export]wasi:http/incoming-handler@0.2.0", true),
            ("instance", "wasi:io/streams@0.2.12", true),
            ("instance", "wasi:http/client@0.3.0", true),
            ("instance", "wasi:http/types@0.3.0-rc-2026-03-15", true),
            ("instance", "wasi:http/types@0.3.0-rc-2025-01-01", false),
            ("instance", "wasi:http/types@0.2.", false),
            ("instance", "wasi:http/types", false),
            ("instance", "wasi:nn/graph@0.2.0", false),
            ("instance", "wasi:keyvalue/store@0.2.0-draft2", true),
            ("instance", "wasi:keyvalue/store@0.2.0", false),
            ("instance", "wasi:messaging/producer@0.2.0-draft", true),
            ("instance", "wasi:messaging/producer@0.2.0", false),
            ("instance", "fermyon:spin/llm", true),
            ("instance", "spin:postgres/postgres@4.2.0", true),
            ("instance", "spin:postgres/postgres@5.0.0", false),
            ("instance", "acme:log/log", false),
            ("func", "log", false),
            ("type", "thing", true),
        ] {
            let import = Item { name: name.to_owned(), kind, ..Item::default() };
            assert_eq!(is_known(&import), known, "{kind} {name}");
        }
    }
}
