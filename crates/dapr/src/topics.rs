//! Which app may publish and subscribe to which topics of a broker: the metadata `publishingScopes`,
//! `subscriptionScopes`, `allowedTopics` and `protectedTopics` of a component
//! (dapr/dapr `pkg/scopes/scopes.go`).

use std::collections::BTreeSet;

/// The rules of one broker for one app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicRules {
    /// `None`: the app is not named, so every topic that is not protected.
    publish: Option<BTreeSet<String>>,
    subscribe: Option<BTreeSet<String>>,
    /// Empty: all.
    allowed: BTreeSet<String>,
    /// Only for apps whose scopes name them.
    protected: BTreeSet<String>,
}

impl TopicRules {
    /// Reads the four metadata values; the scopes have the form `app1=topic1,topic2;app2=topic3`.
    pub fn new<'a>(app_id: &str, text: impl Fn(&str) -> Option<&'a str>) -> Self {
        let scope = |name| text(name).and_then(|scopes| scope_of(scopes, app_id));
        let set = |name| text(name).map(topics).unwrap_or_default();
        TopicRules {
            publish: scope("publishingScopes"),
            subscribe: scope("subscriptionScopes"),
            allowed: set("allowedTopics"),
            protected: set("protectedTopics"),
        }
    }

    pub fn may_publish(&self, topic: &str) -> bool {
        self.may(topic, self.publish.as_ref())
    }

    pub fn may_subscribe(&self, topic: &str) -> bool {
        self.may(topic, self.subscribe.as_ref())
    }

    fn may(&self, topic: &str, scope: Option<&BTreeSet<String>>) -> bool {
        let allowed = self.allowed.is_empty() || self.allowed.contains(topic);
        let in_scope = scope.map_or(!self.protected.contains(topic), |scope| scope.contains(topic));
        allowed && in_scope
    }
}

fn scope_of(scopes: &str, app_id: &str) -> Option<BTreeSet<String>> {
    let mut of_apps = scopes.split(';').filter_map(|one| one.split_once('='));
    of_apps.find(|(app, _)| app.trim() == app_id).map(|(_, list)| topics(list))
}

fn topics(list: &str) -> BTreeSet<String> {
    list.split(',').map(str::trim).filter(|topic| !topic.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(app: &str, publish: &'static str, allowed: &'static str, protected: &'static str) -> TopicRules {
        TopicRules::new(app, |name| {
            let text = match name {
                "publishingScopes" => publish,
                "allowedTopics" => allowed,
                "protectedTopics" => protected,
                _ => "",
            };
            (!text.is_empty()).then_some(text)
        })
    }

    #[test]
    fn scopes_allowed_and_protected_topics_count_together() {
        let table = [
            ("a", "", "", "", true),
            ("a", "a=t1,t", "", "", true),
            ("a", "a=t1", "", "", false),
            ("a", "a=", "", "", false),
            ("b", "a=t", "", "", true),
            ("b", "a=t", "", "t", false),
            ("a", "a=t;b=", "", "t", true),
            ("a", "", "t, u", "", true),
            ("a", "", "u", "", false),
            ("a", "a=t", "u", "", false),
        ];
        for (app, publish, allowed, protected, expected) in table {
            let rules = rules(app, publish, allowed, protected);
            assert_eq!(rules.may_publish("t"), expected, "{app} {publish} {allowed} {protected}");
        }
    }
}
