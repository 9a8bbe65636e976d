//! Who may invoke the app: `accessControl` of a Configuration, as dapr/dapr `pkg/acl` reads it.

use crate::http::answer::decode;
use crate::paths::clean;
use sampan_app::dapr::{AccessControl, OperationRule};

/// Whether an app may call a path of the app that the rules are for.
pub fn allows(rules: &AccessControl, caller: &str, verb: &str, path: &str) -> bool {
    let Some(policy) = rules.policies.iter().find(|policy| policy.app_id == caller) else {
        return rules.default_allow;
    };
    // What the app may take for the same path is the same here: `/a/../b`, `//b` and `/%62` are `/b`.
    let Some(path) = decode(&path.replace('+', "%2B")) else { return false };
    let path = clean(&path);
    let said = policy.operations.iter().find(|operation| matches(operation, verb, &path));
    said.map_or_else(|| policy.default_allow.unwrap_or(rules.default_allow), |operation| operation.allow)
}

fn matches(operation: &OperationRule, verb: &str, path: &str) -> bool {
    let verb_matches = operation.verbs.iter().any(|one| one == "*" || one.eq_ignore_ascii_case(verb));
    verb_matches && path_matches(operation.path.trim_matches('/'), path.trim_matches('/'))
}

/// `*` stands for one part of a path, `**` for all that follow.
fn path_matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (Some("**"), _) | (None, None) => return true,
            (Some("*"), Some(_)) => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sampan_app::dapr::AppPolicy;

    #[test]
    fn rules() {
        let rule = |path: &str, verb: &str, allow| OperationRule {
            path: path.to_owned(),
            verbs: vec![verb.to_owned()],
            allow,
        };
        let policy = AppPolicy {
            app_id: "shop".to_owned(),
            default_allow: Some(false),
            operations: vec![
                rule("/open", "GET", true),
                rule("/any/*/end", "*", true),
                rule("/tree/closed", "*", false),
                rule("/tree/**", "*", true),
            ],
            ..AppPolicy::default()
        };
        let rules = AccessControl { default_allow: true, policies: vec![policy], ..AccessControl::default() };
        let table = [
            ("shop", "GET", "/open", true),
            ("shop", "POST", "/open", false),
            ("shop", "GET", "/closed", false),
            ("shop", "GET", "/open/../closed", false),
            ("shop", "GET", "/any/1/end", true),
            ("shop", "GET", "/any/1/2/end", false),
            ("shop", "GET", "/tree/a/b", true),
            ("shop", "GET", "/tree/%63losed", false),
            ("shop", "GET", "/tree/x/../closed", false),
            ("shop", "GET", "/tree/%FF", false),
            ("other", "GET", "/closed", true),
        ];
        for (caller, verb, path, expected) in table {
            assert_eq!(allows(&rules, caller, verb, path), expected, "{caller} {verb} {path}");
        }
    }
}
