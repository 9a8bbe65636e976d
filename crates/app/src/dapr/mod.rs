//! Dapr's resources (components, subscriptions, policies, configurations, endpoints) as its YAML files say
//! them, validated. Nothing here opens or connects.
//!
//! <https://docs.dapr.io/reference/resource-specs/>

mod component;
mod configuration;
mod endpoint;
mod expand;
mod fields;
mod load;
mod resiliency;
mod settings;
mod subscription;
mod yaml;

pub use component::{DaprComponent, MetadataItem, MetadataValue};
pub use configuration::{AccessControl, ApiRule, AppPolicy, DaprConfiguration, OperationRule, SecretScope};
pub use endpoint::{EndpointTls, HttpEndpoint};
pub use expand::ExpandError;
pub use load::{load, parse};
pub use resiliency::{
    BackOff, BreakerPolicy, ComponentTarget, PolicyNames, Resiliency, RetryPolicy, StatusMatch,
};
pub use settings::{AppChannel, AppProtocol, DAPR_BODY_BYTES, Dapr};
pub use subscription::{Bulk, DaprSubscription, Rule};

use crate::Diagnostic;

/// All resources of a folder, in the order of the files' names and of the documents in them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub components: Vec<DaprComponent>,
    pub subscriptions: Vec<DaprSubscription>,
    pub resiliency: Vec<Resiliency>,
    pub configurations: Vec<DaprConfiguration>,
    pub endpoints: Vec<HttpEndpoint>,
    /// What was passed over, and what is doubtful.
    pub warnings: Vec<Diagnostic>,
}

impl Resources {
    /// The component of a name.
    pub fn component(&self, name: &str) -> Option<&DaprComponent> {
        self.components.iter().find(|component| component.name == name)
    }
}

/// Whether a resource with these scopes is there for an app: without scopes it is there for all.
pub fn in_scope(scopes: &[String], app_id: &str) -> bool {
    scopes.is_empty() || scopes.iter().any(|scope| scope == app_id)
}
