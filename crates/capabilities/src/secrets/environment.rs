//! Secrets from the variables of this process, as Dapr's `secretstores.local.env` (dapr/components-contrib,
//! secretstores/local/env/envstore.go).

use super::Values;
use sampan_app::Secret;
use std::collections::BTreeMap;

/// The variables as they were when the store was opened.
pub struct Environment {
    /// By the name that a request uses, without the prefix.
    variables: BTreeMap<String, Secret>,
}

impl Environment {
    /// Takes those that begin with the prefix, but none that would open Dapr's own doors.
    pub fn new(prefix: &str, variables: impl Iterator<Item = (String, String)>) -> Self {
        let granted = variables.filter(|(name, _)| is_allowed(name));
        let named = granted.filter_map(|(name, value)| {
            let name = name.strip_prefix(prefix).filter(|name| !name.is_empty())?;
            Some((name.to_owned(), Secret::new(value)))
        });
        Environment { variables: named.collect() }
    }

    /// A variable that is not set, or refused, is an empty one: that is what Dapr answers.
    pub fn get(&self, name: &str) -> Values {
        let value = self.variables.get(name).cloned().unwrap_or_default();
        Values::from([(name.to_owned(), value)])
    }

    pub fn all(&self) -> BTreeMap<String, Values> {
        let each = self.variables.iter();
        each.map(|(name, value)| (name.clone(), Values::from([(name.clone(), value.clone())]))).collect()
    }
}

/// Tokens of the API and of the app are in the environment of everything that speaks Dapr.
fn is_allowed(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    !name.starts_with("DAPR_") && name != "APP_API_TOKEN"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(prefix: &str) -> Vec<String> {
        let all =
            ["PATH", "DAPR_API_TOKEN", "dapr_lower", "APP_API_TOKEN", "App_Api_Token", "DAPRX", "X_A", "X_"];
        let variables = all.into_iter().map(|name| (name.to_owned(), "v".to_owned()));
        Environment::new(prefix, variables).all().into_keys().collect()
    }

    #[test]
    fn tokens_are_not_among_the_secrets() {
        assert_eq!(names(""), ["DAPRX", "PATH", "X_", "X_A"]);
        assert_eq!(names("X_"), ["A"]);
        // The name with its prefix is what counts.
        assert!(names("DAPR_").is_empty() && names("APP_API_").is_empty());
        assert_eq!(names("DAPR"), ["X"]);
        let one = Environment::new("", [("DAPR_API_TOKEN".to_owned(), "hunter2".to_owned())].into_iter());
        assert_eq!(one.get("DAPR_API_TOKEN")["DAPR_API_TOKEN"].reveal(), "");
    }
}
