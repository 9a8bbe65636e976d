//! Which of the API an app offers: `spec.api` of its `Configuration`
//! (<https://docs.dapr.io/operations/configuration/api-allowlist/>).

use sampan_app::dapr::{ApiRule, DaprConfiguration};

/// Without rules, everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    allowed: Vec<ApiRule>,
    denied: Vec<ApiRule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Grpc,
}

impl Offer {
    pub fn new(configurations: &[DaprConfiguration]) -> Self {
        Offer {
            allowed: configurations.iter().flat_map(|one| one.api_allowed.clone()).collect(),
            denied: configurations.iter().flat_map(|one| one.api_denied.clone()).collect(),
        }
    }

    /// Whether there are no rules, so that nobody need ask.
    pub fn is_everything(&self) -> bool {
        self.allowed.is_empty() && self.denied.is_empty()
    }

    /// Whether a part of the API is offered: `state`, `publish`, `invoke`…; the version as it stands in the path.
    pub fn has(&self, name: &str, version: &str, protocol: Protocol) -> bool {
        let is = |rule: &ApiRule| {
            rule.name == name
                && (rule.version.is_empty() || plain(&rule.version) == plain(version))
                && match protocol {
                    Protocol::Http => matches!(rule.protocol.as_str(), "" | "http"),
                    Protocol::Grpc => matches!(rule.protocol.as_str(), "" | "grpc"),
                }
        };
        let allowed = self.allowed.is_empty() || self.allowed.iter().any(is);
        allowed && !self.denied.iter().any(is)
    }
}

/// `v1.0-alpha1` of HTTP, `v1alpha1` of gRPC and `v1` of either are written alike.
fn plain(version: &str) -> String {
    version.replace(".0", "").replace('-', "")
}

/// The part of the API to which a method of the gRPC service belongs, and its version.
pub fn of_method(method: &str) -> (&'static str, &'static str) {
    let version = if method.ends_with("Alpha1") { "v1alpha1" } else { "v1" };
    let name = match method.trim_end_matches("Alpha1") {
        "InvokeService" => "invoke",
        "GetState"
        | "GetBulkState"
        | "SaveState"
        | "QueryState"
        | "DeleteState"
        | "DeleteBulkState"
        | "ExecuteStateTransaction" => "state",
        "PublishEvent" | "BulkPublishEvent" => "publish",
        "SubscribeTopicEvents" => "subscribe",
        "InvokeBinding" => "bindings",
        "GetSecret" | "GetBulkSecret" => "secrets",
        "GetConfiguration" | "SubscribeConfiguration" | "UnsubscribeConfiguration" => "configuration",
        "TryLock" => "lock",
        "Unlock" => "unlock",
        "GetMetadata" | "SetMetadata" => "metadata",
        "Shutdown" => "shutdown",
        _ => "",
    };
    (name, version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(name: &str, version: &str, protocol: &str) -> ApiRule {
        ApiRule { name: name.to_owned(), version: version.to_owned(), protocol: protocol.to_owned() }
    }

    fn offer(allowed: &[ApiRule], denied: &[ApiRule]) -> Offer {
        Offer { allowed: allowed.to_vec(), denied: denied.to_vec() }
    }

    #[test]
    fn a_list_of_what_is_allowed_leaves_out_the_rest() {
        let offer = offer(&[rule("state", "v1", "http"), rule("lock", "", "")], &[]);
        assert!(offer.has("state", "v1.0", Protocol::Http));
        assert!(!offer.has("state", "v1.0-alpha1", Protocol::Http));
        assert!(!offer.has("state", "v1", Protocol::Grpc));
        assert!(offer.has("lock", "v1alpha1", Protocol::Grpc));
        assert!(!offer.has("publish", "v1.0", Protocol::Http));
        assert!(Offer::default().has("anything", "v1.0", Protocol::Http));
    }

    #[test]
    fn what_is_denied_is_not_there() {
        let offer = offer(&[], &[rule("state", "v1.0-alpha1", "")]);
        assert!(offer.has("state", "v1.0", Protocol::Http));
        assert!(!offer.has("state", "v1.0-alpha1", Protocol::Http));
        let (name, version) = of_method("QueryStateAlpha1");
        assert!(!offer.has(name, version, Protocol::Grpc));
        let (name, version) = of_method("GetState");
        assert!(offer.has(name, version, Protocol::Grpc));
    }
}
