//! From Dapr's component files to descriptions of backends: secrets are filled in, and what the capabilities
//! open by themselves (state, brokers) joins the app's own stores under the same names.

use sampan_app::dapr::{DaprComponent, MetadataValue, Resources, in_scope};
use sampan_app::{App, KeyValueStore, MessagingStore, Secret};
use sampan_capabilities::bindings::component::BindingDescription;
use sampan_capabilities::configuration::component::ConfigurationDescription;
use sampan_capabilities::lock::component::LockDescription;
use sampan_capabilities::messaging::component::Consumption;
use sampan_capabilities::secrets::{self, SecretError, Secrets};
use sampan_capabilities::{Properties, PropertyError, bindings, configuration, keyvalue, lock, messaging};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Kubernetes' namespace of what is not in Kubernetes, as Dapr has it.
pub const NAMESPACE: &str = "default";

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct PlanError {
    pub what: String,
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    pub help: Option<String>,
}

/// The components of one app, described; what is not the capabilities' own to open is opened later.
#[derive(Default)]
pub struct Plan {
    pub secrets: BTreeMap<String, Secrets>,
    pub configuration: BTreeMap<String, ConfigurationDescription>,
    pub locks: BTreeMap<String, (LockDescription, String)>,
    pub outputs: BTreeMap<String, BindingDescription>,
    pub inputs: BTreeMap<String, (BindingDescription, Route)>,
    /// What a broker's file says beside where the broker is.
    pub brokers: BTreeMap<String, (Properties, Consumption)>,
    pub listed: Vec<Listed>,
    /// Components that are left out because their files say `ignoreErrors`, and why.
    pub left_out: Vec<PlanError>,
}

/// A component as the metadata API shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub kind: String,
    pub version: String,
    pub capabilities: Vec<&'static str>,
}

/// Where events of an input binding go, and whether this was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub path: String,
    /// Otherwise the app is asked whether it wants them.
    pub said: bool,
}

/// Plans the components of an app, and adds to the app the stores and brokers that they are. Secret stores are
/// opened here: other files refer to them.
pub async fn plan(app: &mut App, app_id: &str, resources: &Resources) -> Result<Plan, PlanError> {
    let mut plan = Plan::default();
    let mut components = Vec::new();
    for component in &resources.components {
        if !in_scope(&component.scopes, app_id) {
            continue;
        }
        let expanded = component.expand(app_id, NAMESPACE);
        components.push(expanded.map_err(|error| failed(component, error.to_string(), None))?);
    }
    // Files may refer to secret stores that come after them.
    components.sort_by_key(|component| !component.kind.starts_with("secretstores."));
    for component in &components {
        let planned = one(app, app_id, component, &mut plan).await;
        match planned {
            Ok(capabilities) => plan.listed.push(Listed {
                name: component.name.clone(),
                kind: component.kind.clone(),
                version: component.version.clone(),
                capabilities,
            }),
            Err(error) if component.ignore_errors => plan.left_out.push(error),
            Err(error) => return Err(error),
        }
    }
    Ok(plan)
}

/// Gives a component to the building block whose it is.
async fn one(
    app: &mut App,
    app_id: &str,
    component: &DaprComponent,
    plan: &mut Plan,
) -> Result<Vec<&'static str>, PlanError> {
    let (name, kind, lazy) = (&component.name, component.kind.as_str(), component.ignore_errors);
    let properties = properties(app_id, component, &plan.secrets).await?;
    let wrong = |error: PropertyError| wrong(component, error);
    if let Some(description) = secrets::component::describe(kind, &properties).map_err(wrong)? {
        let opened = secrets::component::open(name, &description).await;
        let opened = opened.map_err(|error| failed(component, error.what, error.help))?;
        plan.secrets.insert(name.clone(), opened);
        return Ok(Vec::new());
    }
    let state = keyvalue::component::describe(kind, &component.version, &properties).map_err(wrong)?;
    if let Some(backend) = state {
        let strategy = properties.text("keyPrefix").unwrap_or("appid");
        let key_prefix = key_prefix(strategy, app_id, name);
        app.keyvalue.insert(name.clone(), KeyValueStore { backend, lazy, key_prefix });
        return Ok(Vec::new());
    }
    if let Some(backend) = messaging::component::describe(kind, &properties).map_err(wrong)? {
        app.messaging.insert(name.clone(), MessagingStore { backend, lazy });
        let consumption = messaging::component::consumption(kind, &properties).map_err(wrong)?;
        plan.brokers.insert(name.clone(), (properties, consumption));
        return Ok(Vec::new());
    }
    if let Some(description) = configuration::component::describe(kind, &properties).map_err(wrong)? {
        plan.configuration.insert(name.clone(), description);
        return Ok(Vec::new());
    }
    if let Some(description) = lock::component::describe(kind, &properties).map_err(wrong)? {
        let strategy = properties.text("keyPrefix").unwrap_or("appid");
        plan.locks.insert(name.clone(), (description, key_prefix(strategy, app_id, name)));
        return Ok(Vec::new());
    }
    let described = bindings::component::describe(kind, &properties).map_err(wrong)?;
    let Some(description) = described else { return Err(unknown_type(component)) };
    if !matches!(description, BindingDescription::Cron(_)) {
        plan.outputs.insert(name.clone(), description);
        return Ok(vec!["OUTPUT_BINDING"]);
    }
    let route = Route {
        path: format!("/{}", properties.text("route").unwrap_or(name).trim_start_matches('/')),
        // An explicit direction is not asked about.
        said: properties.text("direction").is_some_and(|direction| direction.contains("input")),
    };
    plan.inputs.insert(name.clone(), (description, route));
    Ok(vec!["INPUT_BINDING"])
}

fn unknown_type(component: &DaprComponent) -> PlanError {
    let what = format!("component {}: there is no type {} here", component.name, component.kind);
    let help = "docs/dapr.md lists the types; `ignoreErrors: true` goes on without the component";
    failed(component, what, Some(help.to_owned()))
}

fn failed(component: &DaprComponent, what: String, help: Option<String>) -> PlanError {
    PlanError { what, file: component.file.clone(), line: component.line, help }
}

fn wrong(component: &DaprComponent, error: PropertyError) -> PlanError {
    let item = component.metadata.iter().find(|item| item.name.eq_ignore_ascii_case(&error.name));
    PlanError {
        what: format!("component {}: {}", component.name, error.what),
        file: component.file.clone(),
        line: item.map_or(component.line, |item| item.line),
        help: Some(error.help),
    }
}

/// The metadata with its final values.
async fn properties(
    app_id: &str,
    component: &DaprComponent,
    stores: &BTreeMap<String, Secrets>,
) -> Result<Properties, PlanError> {
    let mut values = Vec::new();
    for item in &component.metadata {
        let at = |what: String, help: &str| PlanError {
            what: format!("component {}: {what}", component.name),
            file: component.file.clone(),
            line: item.line,
            help: Some(help.to_owned()),
        };
        let value = match &item.value {
            MetadataValue::Text(text) => text.clone(),
            MetadataValue::Env(name) => variable(name).ok_or_else(|| {
                at(format!("the environment has no variable {name}"), "set it, or write the value itself")
            })?,
            MetadataValue::SecretKey { name, key } => {
                let store = component.secret_store.as_deref().unwrap_or("kubernetes");
                let secrets = stores.get(store).ok_or_else(|| {
                    at(
                        format!("there is no secret store {store}"),
                        "name one in `auth.secretStore`, and add its component",
                    )
                })?;
                let found = secrets.get(name, &BTreeMap::new()).await;
                let found = found.or_else(|error| match error {
                    SecretError::NotFound(_) => Ok(BTreeMap::new()),
                    other => Err(at(format!("the secret {name}: {other}"), "look at the secret store")),
                })?;
                let text = found.get(key).or_else(|| found.get(name)).ok_or_else(|| {
                    at(format!("the secret store {store} has no {name} with the key {key}"), "add it there")
                })?;
                Secret::new(text.as_str())
            }
        };
        values.push((item.name.clone(), value));
    }
    Ok(Properties::new(app_id, values))
}

/// A variable of the environment, but none of those by which Dapr itself is trusted.
fn variable(name: &str) -> Option<Secret> {
    let ours = name.to_ascii_uppercase();
    if ours.starts_with("DAPR_") || ours == "APP_API_TOKEN" {
        return None;
    }
    std::env::var(name).ok().map(Secret::new)
}

/// What stands before an app's keys in a store, by the component's `keyPrefix`
/// (dapr/dapr `pkg/components/state/state_config.go`).
pub fn key_prefix(strategy: &str, app_id: &str, store: &str) -> String {
    match strategy.to_ascii_lowercase().as_str() {
        "none" => String::new(),
        "appid" => format!("{app_id}||"),
        "name" => format!("{store}||"),
        "namespace" => format!("{NAMESPACE}.{app_id}||"),
        literal => format!("{literal}||"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_those_of_dapr() {
        let table = [
            ("appid", "app||"),
            ("none", ""),
            ("name", "store||"),
            ("namespace", "default.app||"),
            ("AppID", "app||"),
            ("Mine", "mine||"),
        ];
        for (strategy, expected) in table {
            assert_eq!(key_prefix(strategy, "app", "store"), expected, "{strategy}");
        }
    }

    #[test]
    fn no_component_reads_the_tokens() {
        for name in ["DAPR_API_TOKEN", "dapr_api_token", "APP_API_TOKEN"] {
            assert!(variable(name).is_none(), "{name}");
        }
        assert!(variable("PATH").is_some());
    }
}
