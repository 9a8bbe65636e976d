//! `kind: Component`: <https://docs.dapr.io/reference/resource-specs/component-schema/>.

use super::fields::{Fields, Text, duration, text, wrong_type};
use super::load::Document;
use super::yaml::{Node, Value};
use crate::Secret;
use crate::manifest::findings::{Findings, quoted};
use std::path::PathBuf;
use std::time::Duration;

/// How long a component may take to be ready, where its file does not say.
pub(super) const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A building block's backend: which it is, and its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DaprComponent {
    pub name: String,
    /// `state.redis`
    pub kind: String,
    /// `v1`
    pub version: String,
    /// Go on without the component if it cannot be reached.
    pub ignore_errors: bool,
    pub init_timeout: Duration,
    pub metadata: Vec<MetadataItem>,
    /// App ids that may use it; empty means all.
    pub scopes: Vec<String>,
    /// `auth.secretStore`: where [`MetadataValue::SecretKey`] is looked up.
    pub secret_store: Option<String>,
    pub file: PathBuf,
    /// Of the document, from 1.
    pub line: usize,
}

/// A setting of a component, or a header of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataItem {
    pub name: String,
    pub value: MetadataValue,
    /// From 1.
    pub line: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataValue {
    Text(Secret),
    /// `secretKeyRef`
    SecretKey {
        name: String,
        key: String,
    },
    /// `envRef`
    Env(String),
}

pub(super) fn read(
    mut resource: Fields<'_>,
    document: &Document<'_>,
    f: &mut Findings,
) -> Option<DaprComponent> {
    let name = resource_name(&mut resource, f);
    let (scopes, secret_store) = (resource.strings("scopes", f), secret_store(&mut resource, f));
    let spec = resource.require_fields("spec", "add `spec:` with `type: state.redis` and `version: v1`", f);
    resource.finish(f);
    let mut spec = spec?;
    let kind = spec.require("type", "add the component's type, such as `type: state.redis`", f);
    let kind = kind.and_then(|kind| component_type(kind, f));
    let version = spec.string("version", f).filter(|version| !version.is_empty());
    let ignore_errors = spec.boolean("ignoreErrors", f).unwrap_or(false);
    let init_timeout = spec.text("initTimeout", f).and_then(|text| init_timeout(text, f));
    // The lines hold passwords.
    f.hide(true);
    let metadata = items("spec.metadata", spec.items("metadata", f), document, f);
    f.hide(false);
    spec.finish(f);
    Some(DaprComponent {
        name: name?,
        kind: kind?,
        version: version.unwrap_or_else(|| "v1".to_owned()),
        ignore_errors,
        init_timeout: init_timeout.unwrap_or(INIT_TIMEOUT),
        metadata,
        scopes,
        secret_store,
        file: document.file.to_owned(),
        line: document.line,
    })
}

/// `metadata.name`
pub(super) fn resource_name(resource: &mut Fields<'_>, f: &mut Findings) -> Option<String> {
    let help = "add `metadata:` with `name: NAME`";
    let mut metadata = resource.require_fields("metadata", help, f)?;
    let name = metadata.require("name", "add `name: NAME`", f);
    // What Kubernetes knows beside it.
    metadata.ignore(&["namespace", "labels", "annotations", "uid"]);
    metadata.finish(f);
    name.map(|name| name.text.to_owned())
}

/// `auth.secretStore`
pub(super) fn secret_store(resource: &mut Fields<'_>, f: &mut Findings) -> Option<String> {
    let mut auth = resource.fields("auth", f)?;
    let store = auth.string("secretStore", f);
    auth.finish(f);
    store.filter(|store| !store.is_empty())
}

fn component_type(kind: Text<'_>, f: &mut Findings) -> Option<String> {
    let valid = kind.text.split_once('.').is_some_and(|(block, name)| !block.is_empty() && !name.is_empty());
    if !valid {
        f.error_help(
            kind.span,
            format!("{} is not a component's type", quoted(kind.text)),
            "write the building block and the backend, such as `state.redis` or `pubsub.redis`",
        );
    }
    valid.then(|| kind.text.to_owned())
}

fn init_timeout(text: Text<'_>, f: &mut Findings) -> Option<Duration> {
    if text.text.bytes().all(|b| b.is_ascii_digit()) {
        let message = format!("`spec.initTimeout`: {} has no unit", quoted(text.text));
        f.error_help(text.span, message, "write a number with its unit, such as \"5s\"");
        return None;
    }
    duration("spec.initTimeout", text, f)
}

/// Names with values, as components have settings and endpoints have headers.
pub(super) fn items(
    path: &str,
    nodes: &[Node],
    document: &Document<'_>,
    f: &mut Findings,
) -> Vec<MetadataItem> {
    let item = |node| {
        let mut fields = Fields::new(path, node, f)?;
        let name = fields.require("name", "add `name: NAME`", f);
        let value = metadata_value(&mut fields, f);
        fields.finish(f);
        let (name, value) = (name?, value?);
        let line = document.line_of(name.span);
        Some(MetadataItem { name: name.text.to_owned(), value, line })
    };
    nodes.iter().filter_map(item).collect()
}

/// `value`, `secretKeyRef` or `envRef`; without any it is empty.
pub(super) fn metadata_value(fields: &mut Fields<'_>, f: &mut Findings) -> Option<MetadataValue> {
    let value = fields.get("value").map(plain_text).unwrap_or_default();
    let env = fields.string("envRef", f).filter(|name| !name.is_empty());
    let secret = fields.fields("secretKeyRef", f);
    if let Some(env) = env {
        return Some(MetadataValue::Env(env));
    }
    let Some(mut secret) = secret else { return Some(MetadataValue::Text(Secret::new(value))) };
    let name = secret.require("name", "name the secret", f);
    let key = secret.string("key", f).filter(|key| !key.is_empty());
    secret.finish(f);
    let name = name?.text.to_owned();
    let key = key.unwrap_or_else(|| name.clone());
    Some(MetadataValue::SecretKey { name, key })
}

/// A value as Dapr hands it to a component: truths as `true` and `false`, lists and maps as JSON.
fn plain_text(node: &Node) -> String {
    match &node.value {
        Value::Null => String::new(),
        Value::Scalar { text, .. } => match node.boolean() {
            Some(truth) => truth.to_string(),
            None => text.clone(),
        },
        Value::List(_) | Value::Map(_) => json(node).to_string(),
    }
}

/// The depth of nodes is bounded.
fn json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Scalar { text, plain } => match (node.boolean(), serde_json::from_str(text)) {
            (Some(truth), _) => truth.into(),
            (None, Ok(serde_json::Value::Number(number))) if *plain => number.into(),
            _ => text.as_str().into(),
        },
        Value::List(items) => items.iter().map(json).collect(),
        Value::Map(entries) => entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect(),
    }
}

/// A map of names and texts.
pub(super) fn texts(fields: Fields<'_>, f: &mut Findings) -> Vec<(String, String)> {
    let path = fields.path.clone();
    let entry = |(key, node): &(super::yaml::Key, Node)| match &node.value {
        Value::Null => Some((key.text.clone(), String::new())),
        Value::Scalar { .. } => Some((key.text.clone(), text(&path, node, f)?.text.to_owned())),
        _ => {
            wrong_type(&format!("{path}.{}", key.text), node, "a text", f);
            None
        }
    };
    fields.into_entries().iter().filter_map(entry).collect()
}
