//! `kind: Configuration`, as far as it concerns secrets, invocation, and which of the API is served:
//! <https://docs.dapr.io/reference/resource-specs/configuration-schema/>. The rest is passed over.

use super::component::resource_name;
use super::fields::Fields;
use super::load::Document;
use crate::manifest::findings::{Findings, quoted};
use std::path::PathBuf;

/// Parts of a configuration that are read by nobody here.
const IGNORED: [&str; 14] = [
    "tracing",
    "metric",
    "metrics",
    "mtls",
    "httpPipeline",
    "appHttpPipeline",
    "nameResolution",
    "features",
    "logging",
    "wasm",
    "workflow",
    "jobs",
    "memory",
    "actors",
];

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaprConfiguration {
    pub name: String,
    /// `secrets.scopes`
    pub secrets: Vec<SecretScope>,
    /// Who may invoke this app.
    pub access: Option<AccessControl>,
    /// `api.allowed`: empty allows all.
    pub api_allowed: Vec<ApiRule>,
    pub api_denied: Vec<ApiRule>,
    /// `components.deny`: types such as `bindings.smtp` or `state.redis/v1`.
    pub denied_components: Vec<String>,
    pub file: PathBuf,
    /// Of the document, from 1.
    pub line: usize,
}

/// Which secrets of a store may be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretScope {
    pub store: String,
    pub default_allow: bool,
    pub allowed: Vec<String>,
    pub denied: Vec<String>,
}

impl SecretScope {
    /// Whether a secret may be read: a list of allowed ones leaves out all others, else what is denied is not,
    /// else the default counts.
    pub fn allows(&self, secret: &str) -> bool {
        let is_in = |list: &[String]| list.iter().any(|one| one == secret);
        if !self.allowed.is_empty() {
            return is_in(&self.allowed);
        }
        self.default_allow && !is_in(&self.denied)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessControl {
    pub default_allow: bool,
    pub trust_domain: String,
    pub policies: Vec<AppPolicy>,
}

/// What one caller may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppPolicy {
    pub app_id: String,
    /// `None`: as [`AccessControl::default_allow`] says.
    pub default_allow: Option<bool>,
    pub trust_domain: String,
    pub namespace: String,
    pub operations: Vec<OperationRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperationRule {
    /// A path, which may end in `/*` or `/**`.
    pub path: String,
    /// Upper case; `*` is any.
    pub verbs: Vec<String>,
    pub allow: bool,
}

/// A part of the API: `{ name: state, version: v1.0, protocol: http }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiRule {
    pub name: String,
    /// Empty means all.
    pub version: String,
    /// `http` or `grpc`; empty means both.
    pub protocol: String,
}

pub(super) fn read(
    mut resource: Fields<'_>,
    document: &Document<'_>,
    f: &mut Findings,
) -> Option<DaprConfiguration> {
    let mut read =
        DaprConfiguration { file: document.file.to_owned(), line: document.line, ..Default::default() };
    let name = resource_name(&mut resource, f);
    let spec = resource.fields("spec", f);
    resource.finish(f);
    read.name = name?;
    let Some(mut spec) = spec else { return Some(read) };
    if let Some(mut secrets) = spec.fields("secrets", f) {
        let scopes = secrets.items("scopes", f);
        read.secrets = scopes.iter().filter_map(|node| secret_scope(node, f)).collect();
        secrets.finish(f);
    }
    read.access = spec.fields("accessControl", f).map(|access| access_control(access, f));
    if let Some(mut api) = spec.fields("api", f) {
        let mut rules =
            |key, f: &mut Findings| api.items(key, f).iter().filter_map(|node| api_rule(node, f)).collect();
        (read.api_allowed, read.api_denied) = (rules("allowed", f), rules("denied", f));
        api.finish(f);
    }
    if let Some(mut components) = spec.fields("components", f) {
        read.denied_components = components.strings("deny", f);
        components.finish(f);
    }
    spec.ignore(&IGNORED);
    spec.finish(f);
    Some(read)
}

/// `allow` or `deny`, with whatever capitals.
fn allow(fields: &mut Fields<'_>, key: &'static str, f: &mut Findings) -> Option<bool> {
    let text = fields.text(key, f).filter(|text| !text.text.is_empty())?;
    match text.text.to_ascii_lowercase().as_str() {
        "allow" => Some(true),
        "deny" => Some(false),
        _ => {
            let message = format!("`{}` is neither allow nor deny", fields.path_of(key));
            f.error_help(text.span, message, format!("it says {}", quoted(text.text)));
            // Whatever was meant, nothing is opened by it.
            Some(false)
        }
    }
}

fn secret_scope(node: &super::yaml::Node, f: &mut Findings) -> Option<SecretScope> {
    let mut scope = Fields::new("spec.secrets.scopes", node, f)?;
    let store = scope.require("storeName", "name the secret store", f);
    let default_allow = allow(&mut scope, "defaultAccess", f).unwrap_or(true);
    let (allowed, denied) = (scope.strings("allowedSecrets", f), scope.strings("deniedSecrets", f));
    scope.finish(f);
    Some(SecretScope { store: store?.text.to_owned(), default_allow, allowed, denied })
}

fn access_control(mut access: Fields<'_>, f: &mut Findings) -> AccessControl {
    let default_allow = allow(&mut access, "defaultAction", f).unwrap_or(false);
    let trust_domain = access.string("trustDomain", f).unwrap_or_else(|| "public".to_owned());
    let policies = access.items("policies", f).iter().filter_map(|node| app_policy(node, f)).collect();
    access.finish(f);
    AccessControl { default_allow, trust_domain, policies }
}

fn app_policy(node: &super::yaml::Node, f: &mut Findings) -> Option<AppPolicy> {
    let mut policy = Fields::new("spec.accessControl.policies", node, f)?;
    let app_id = policy.require("appId", "name the app that calls", f);
    let default_allow = allow(&mut policy, "defaultAction", f);
    let trust_domain = policy.string("trustDomain", f).unwrap_or_else(|| "public".to_owned());
    let namespace = policy.string("namespace", f).unwrap_or_else(|| "default".to_owned());
    let operations = policy.items("operations", f).iter().filter_map(|node| operation(node, f)).collect();
    policy.finish(f);
    Some(AppPolicy { app_id: app_id?.text.to_owned(), default_allow, trust_domain, namespace, operations })
}

fn operation(node: &super::yaml::Node, f: &mut Findings) -> Option<OperationRule> {
    let mut rule = Fields::new("spec.accessControl.policies.operations", node, f)?;
    let name = rule.require("name", "name a path, such as `/op1` or `/op2/*`", f);
    let verbs = rule.strings("httpVerb", f);
    let allow = allow(&mut rule, "action", f).unwrap_or(false);
    rule.finish(f);
    let path = format!("/{}", name?.text.trim_start_matches('/'));
    Some(OperationRule { path, verbs: verbs.iter().map(|verb| verb.to_ascii_uppercase()).collect(), allow })
}

fn api_rule(node: &super::yaml::Node, f: &mut Findings) -> Option<ApiRule> {
    let mut rule = Fields::new("spec.api", node, f)?;
    let name = rule.require("name", "name a part of the API, such as `state`", f);
    let version = rule.string("version", f).unwrap_or_default();
    let protocol = rule.string("protocol", f).unwrap_or_default().to_ascii_lowercase();
    rule.finish(f);
    Some(ApiRule { name: name?.text.to_owned(), version, protocol })
}
