//! The manifest that a locked app of Spin was made from, as far as it matters: `spin.toml` of version 2, so that an app
//! from a registry is read as any other.
//!
//! Sources: spinframework/spin, `crates/locked-app/src/locked.rs` (what a locked app has), `crates/loader/src/local.rs`
//! (what it was made from), and <https://spinframework.dev/v3/manifest-reference>.

use super::spin::{App, Component, Trigger, Variable};
use serde_json::{Map, Value, json};
use std::fmt::Write;

/// The text. A component's code is at `code` of its id, and its files are in `assets/ID`.
pub fn manifest(app: &App, code: impl Fn(&Component) -> String) -> String {
    let mut text = String::from("# Made of the locked app of a registry.\nspin_manifest_version = 2\n");
    section(&mut text, "[application]", &application(&app.metadata));
    for (name, variable) in &app.variables {
        section(&mut text, &format!("[variables.{}]", quoted(name)), &self::variable(variable));
    }
    for trigger in &app.triggers {
        let Trigger { id, trigger_type, trigger_config } = trigger;
        let mut keys = trigger_config.clone();
        if !id.is_empty() {
            keys.insert("id".to_owned(), json!(id));
        }
        section(&mut text, &format!("[[trigger.{}]]", quoted(trigger_type)), &keys);
    }
    for one in &app.components {
        section(&mut text, &format!("[component.{}]", quoted(&one.id)), &component(one, code(one)));
    }
    text
}

/// Name, version, and what concerns all triggers of a kind.
fn application(metadata: &Map<String, Value>) -> Map<String, Value> {
    let mut keys = Map::new();
    let name = metadata.get("name").filter(|name| name.is_string());
    keys.insert("name".to_owned(), name.cloned().unwrap_or_else(|| json!("app")));
    if let Some(version) = metadata.get("version").filter(|version| version.is_string()) {
        keys.insert("version".to_owned(), version.clone());
    }
    // Older ones have that of their only kind, with its name in it.
    let of_one = |one: &Map<String, Value>| {
        let mut keys = one.clone();
        let kind = keys.remove("type")?;
        Some(json!({ (kind.as_str()?): keys }))
    };
    let of_all = metadata.get("triggers").cloned();
    let of_all = of_all.or_else(|| of_one(metadata.get("trigger")?.as_object()?));
    if let Some(triggers) = of_all.filter(Value::is_object) {
        keys.insert("trigger".to_owned(), triggers);
    }
    keys
}

fn variable(variable: &Variable) -> Map<String, Value> {
    let mut keys = Map::new();
    match &variable.default {
        Some(default) => keys.insert("default".to_owned(), json!(default)),
        None => keys.insert("required".to_owned(), json!(true)),
    };
    if variable.secret {
        keys.insert("secret".to_owned(), json!(true));
    }
    keys
}

fn component(component: &Component, code: String) -> Map<String, Value> {
    let mut keys = Map::new();
    keys.insert("source".to_owned(), json!(code));
    if !component.files.is_empty() {
        let folder = format!("assets/{}", component.id);
        keys.insert("files".to_owned(), json!([{ "destination": "/", "source": folder }]));
    }
    for (name, its) in [("environment", &component.env), ("variables", &component.config)] {
        if !its.is_empty() {
            keys.insert(name.to_owned(), json!(its));
        }
    }
    for (name, its) in [
        ("allowed_outbound_hosts", "allowed_outbound_hosts"),
        ("key_value_stores", "key_value_stores"),
        ("sqlite_databases", "databases"),
        ("ai_models", "ai_models"),
    ] {
        if let Some(list) = component.metadata.get(its).filter(|list| list.is_array()) {
            keys.insert(name.to_owned(), list.clone());
        }
    }
    keys
}

fn section(text: &mut String, head: &str, keys: &Map<String, Value>) {
    let _ = write!(text, "\n{head}\n");
    for (name, value) in keys.iter().filter(|(_, value)| !value.is_null()) {
        let _ = writeln!(text, "{} = {}", quoted(name), toml(value));
    }
}

/// A value on one line. TOML has no null, which stands for an absent key in JSON.
fn toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(list) => format!("[{}]", list.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(keys) => {
            let keys = keys.iter().filter(|(_, value)| !value.is_null());
            let keys = keys.map(|(name, value)| format!("{} = {}", quoted(name), toml(value)));
            format!("{{ {} }}", keys.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A basic string of TOML: what JSON escapes, TOML escapes alike, and DEL besides
/// (<https://toml.io/en/v1.0.0#string>).
fn quoted(text: &str) -> String {
    Value::from(text).to_string().replace('\u{7f}', "\\u007f")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_app_is_its_manifest_again() {
        let app = json!({
            "spin_lock_version": 1,
            "metadata": {
                "name": "shop \"1\"", "version": "1.2.3", "origin": "file:///x",
                "triggers": { "http": { "base": "/shop" } }, "trigger": { "type": "http", "base": "/shop" },
            },
            "variables": { "colour": { "default": "red\u{7f}\n" }, "key": { "secret": true } },
            "triggers": [
                { "id": "t1", "trigger_type": "http", "trigger_config": {
                    "component": "web", "route": "/...", "executor": { "type": "wagi", "argv": null } } },
                { "id": "", "trigger_type": "http",
                  "trigger_config": { "component": "in", "route": { "private": true } } },
            ],
            "components": [
                { "id": "web", "source": { "content_type": "application/wasm", "digest": "sha256:ab" },
                  "metadata": { "allowed_outbound_hosts": ["https://example.com"], "databases": ["default"] },
                  "env": { "A": "1" }, "config": { "c": "{{ colour }}" },
                  "files": [{ "digest": "sha256:cd", "path": "a.txt" }] },
                { "id": "in", "source": { "content_type": "application/wasm", "digest": "sha256:ab" } },
            ],
        });
        let app: App = serde_json::from_value(app).unwrap();
        let text = manifest(&app, |one| format!("code/{}", one.id));
        // Keys have no order.
        let section = |head: &str| {
            let (_, rest) =
                text.split_once(&format!("\n{head}\n")).unwrap_or_else(|| panic!("{head} in {text}"));
            let mut lines: Vec<&str> =
                rest.split("\n\n").next().unwrap_or_default().trim_end().split('\n').collect();
            lines.sort_unstable();
            lines
        };
        assert!(text.contains("\nspin_manifest_version = 2\n"), "{text}");
        assert_eq!(
            section("[application]"),
            [
                r#""name" = "shop \"1\"""#,
                r#""trigger" = { "http" = { "base" = "/shop" } }"#,
                r#""version" = "1.2.3""#
            ]
        );
        assert_eq!(section(r#"[variables."colour"]"#), [r#""default" = "red\u007f\n""#]);
        assert_eq!(section(r#"[variables."key"]"#), [r#""required" = true"#, r#""secret" = true"#]);
        assert_eq!(
            section(r#"[[trigger."http"]]"#),
            [
                r#""component" = "web""#,
                r#""executor" = { "type" = "wagi" }"#,
                r#""id" = "t1""#,
                r#""route" = "/...""#
            ]
        );
        assert!(text.contains(r#""route" = { "private" = true }"#), "{text}");
        assert_eq!(
            section(r#"[component."web"]"#),
            [
                r#""allowed_outbound_hosts" = ["https://example.com"]"#,
                r#""environment" = { "A" = "1" }"#,
                r#""files" = [{ "destination" = "/", "source" = "assets/web" }]"#,
                r#""source" = "code/web""#,
                r#""sqlite_databases" = ["default"]"#,
                r#""variables" = { "c" = "{{ colour }}" }"#,
            ]
        );
        assert_eq!(section(r#"[component."in"]"#), [r#""source" = "code/in""#]);
    }

    #[test]
    fn what_concerned_the_only_kind_of_trigger() {
        let metadata = json!({ "trigger": { "type": "redis", "address": "redis://localhost" } });
        let app: App = serde_json::from_value(json!({ "metadata": metadata })).unwrap();
        let text = manifest(&app, |one| one.id.clone());
        assert!(text.contains(r#""trigger" = { "redis" = { "address" = "redis://localhost" } }"#), "{text}");
        assert!(text.contains(r#""name" = "app""#), "{text}");
    }
}
