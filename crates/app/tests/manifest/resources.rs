//! Dapr's resources as its users write them, and what they mean. Long ones are seeds of the fuzz target, too.

use crate::Folder;
use sampan_app::Secret;
use sampan_app::dapr::{
    BackOff, Bulk, MetadataValue, PolicyNames, Resources, Rule, SecretScope, StatusMatch, load,
};
use std::time::Duration;

#[track_caller]
pub fn good(files: &[(&str, &str)]) -> Resources {
    let folder = Folder::new(files);
    match load(folder.path()) {
        Ok(resources) => resources,
        Err(findings) => panic!("{findings:#?}"),
    }
}

fn text(value: &MetadataValue) -> &str {
    match value {
        MetadataValue::Text(text) => text.reveal(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_component_with_every_kind_of_value() {
    let yaml = include_str!("../../../../fuzz/seeds/dapr_resources/component.yaml");
    let resources = good(&[("store.yaml", yaml)]);
    let [component] = &resources.components[..] else { panic!("{resources:#?}") };
    assert_eq!(component.name, "statestore");
    assert_eq!((component.kind.as_str(), component.version.as_str()), ("state.redis", "v1"));
    assert!(component.ignore_errors);
    assert_eq!(component.init_timeout, Duration::from_secs(90));
    assert_eq!(component.secret_store.as_deref(), Some("vault"));
    assert_eq!(component.scopes, ["orders", "cart"]);
    assert!(component.file.ends_with("store.yaml"), "{:?}", component.file);
    assert_eq!(component.line, 2);
    let value = |name: &str| {
        let item = component.metadata.iter().find(|item| item.name == name).expect(name);
        (&item.value, item.line)
    };
    assert_eq!(text(value("redisHost").0), "localhost:6379");
    assert_eq!(value("redisHost").1, 17);
    let key = |name: &str, key: &str| MetadataValue::SecretKey { name: name.into(), key: key.into() };
    assert_eq!(*value("redisPassword").0, key("redis", "password"));
    assert_eq!(*value("token").0, key("token", "token"), "without a key the name is it");
    assert_eq!(*value("fromEnv").0, MetadataValue::Env("REDIS_USER".into()));
    for (name, expected) in [
        ("enableTLS", "true"),
        ("quoted", "yes"),
        ("redisDB", "0"),
        ("actorStateStore", "true"),
        ("empty", ""),
        ("nothing", ""),
        ("indexes", r#"[{"deep":{"yes":[true,null]},"key":"a","n":1.5}]"#),
        ("lines", "one\ntwo\n"),
    ] {
        assert_eq!(text(value(name).0), expected, "{name}");
    }
    assert!(resources.warnings.is_empty(), "{:?}", resources.warnings);
    let shown = format!("{component:?}");
    assert!(!shown.contains("localhost:6379"), "values may be secrets: {shown}");
}

#[test]
fn a_component_by_its_defaults() {
    let yaml =
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: a}\nspec: {type: state.in-memory}";
    let resources = good(&[("a.yml", yaml)]);
    let component = resources.component("a").expect("a component");
    assert_eq!(component.version, "v1");
    assert!(!component.ignore_errors);
    assert_eq!(component.init_timeout, Duration::from_secs(5));
    assert_eq!((component.secret_store.as_deref(), component.scopes.len()), (None, 0));
}

#[test]
fn files_and_documents_in_their_order() {
    let component = |name: &str| {
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  type: a.b\n"
        )
    };
    let two = format!("---\n{}---\n---\n# nothing\n---\n{}...\n", component("c"), component("d"));
    let resources = good(&[
        ("b.yaml", &two),
        ("a.yml", &component("a")),
        ("C.YAML", &component("b")),
        ("notes.txt", "no: [yaml"),
        (".hidden.yaml", "no: [yaml"),
        ("empty.yaml", ""),
        ("sub/more.yaml", &component("not read")),
    ]);
    let names: Vec<_> = resources.components.iter().map(|one| (one.name.as_str(), one.line)).collect();
    assert_eq!(names, [("b", 1), ("a", 1), ("c", 2), ("d", 12)]);
}

#[test]
fn subscriptions_of_both_versions() {
    let yaml = include_str!("../../../../fuzz/seeds/dapr_resources/subscriptions.yaml");
    let resources = good(&[("a.yaml", yaml)]);
    let [plain, ruled, bulky] = &resources.subscriptions[..] else { panic!("{resources:#?}") };
    assert_eq!((plain.pubsub.as_str(), plain.topic.as_str()), ("bus", "orders"));
    assert_eq!(plain.default_path, "/orders");
    assert_eq!(plain.dead_letter_topic.as_deref(), Some("failed"));
    assert!(plain.raw_payload && plain.rules.is_empty() && plain.bulk.is_none());
    assert_eq!(plain.metadata["other"], "5");
    assert_eq!(plain.scopes, ["checkout"]);
    let rule = |expression: &str, path: &str| Rule { expression: expression.into(), path: path.into() };
    assert_eq!(ruled.rules, [rule("event.type == \"widget\"", "/widgets"), rule("", "/rest")]);
    assert_eq!(ruled.default_path, "/products");
    assert!(!ruled.raw_payload);
    assert_eq!(ruled.bulk, Some(Bulk { messages_max: 50, wait_max: Duration::from_millis(40) }));
    assert_eq!(bulky.bulk, Some(Bulk { messages_max: 100, wait_max: Duration::from_secs(1) }));
    assert!(resources.warnings.is_empty(), "{:?}", resources.warnings);
}

#[test]
fn policies_and_their_targets() {
    let yaml = include_str!("../../../../fuzz/seeds/dapr_resources/resiliency.yaml");
    let resources = good(&[("a.yaml", yaml)]);
    let [policies] = &resources.resiliency[..] else { panic!("{resources:#?}") };
    assert_eq!(policies.timeouts["general"], Duration::from_secs(5));
    assert_eq!(policies.timeouts["bare"], Duration::from_millis(250));
    let plain = &policies.retries["plain"];
    assert_eq!((plain.back_off, plain.retries_max), (BackOff::Constant(Duration::from_secs(5)), None));
    assert_eq!((&plain.http, &plain.grpc), (&None, &None));
    let often = &policies.retries["often"];
    assert_eq!(often.back_off, BackOff::Exponential { interval_max: Duration::from_secs(15) });
    assert_eq!(often.retries_max, Some(10));
    assert_eq!(often.http, Some(StatusMatch(vec![(429, 429), (500, 599)])));
    assert_eq!(often.grpc, Some(StatusMatch(vec![(14, 14)])));
    assert!(often.http.as_ref().is_some_and(|http| http.matches(503) && !http.matches(404)));
    let built_in = &policies.retries["DaprBuiltInServiceRetries"];
    assert_eq!(built_in.retries_max, Some(3), "an override is raised");
    assert_eq!(built_in.back_off, BackOff::Constant(Duration::from_millis(10)));
    let simple = &policies.breakers["simple"];
    assert_eq!((simple.requests_max, simple.trip.as_str()), (2, "consecutiveFailures > 8"));
    assert_eq!((simple.interval, simple.timeout), (Duration::from_secs(8), Duration::from_secs(45)));
    assert_eq!(policies.breakers["default"].trip, "consecutiveFailures > 5");
    let name = |text: &str| Some(text.to_owned());
    let other = PolicyNames { timeout: name("general"), retry: name("often"), breaker: name("simple") };
    assert_eq!(policies.apps["other"], other);
    let target = &policies.components["statestore"];
    assert_eq!(target.outbound.retry, name("DaprBuiltInInitializationRetries"));
    assert_eq!(target.inbound.timeout, name("bare"));
    assert_eq!(policies.scopes, ["checkout"]);
}

#[test]
fn configurations_and_endpoints() {
    let yaml = include_str!("../../../../fuzz/seeds/dapr_resources/configuration.yaml");
    let resources = good(&[("a.yaml", yaml)]);
    let [config] = &resources.configurations[..] else { panic!("{resources:#?}") };
    let [vault, env] = &config.secrets[..] else { panic!("{config:#?}") };
    let allows = |scope: &SecretScope, names: [&str; 3]| names.map(|name| scope.allows(name));
    assert_eq!(allows(vault, ["a", "b", "c"]), [true, false, false]);
    assert_eq!(allows(env, ["a", "b", "c"]), [true, false, true]);
    let access = config.access.as_ref().expect("access control");
    assert!(!access.default_allow);
    assert_eq!((access.policies[0].app_id.as_str(), access.policies[0].default_allow), ("cart", Some(true)));
    let operation = &access.policies[0].operations[0];
    assert_eq!((operation.path.as_str(), operation.allow), ("/op1/*", false));
    assert_eq!(operation.verbs, ["POST", "*"]);
    assert_eq!(config.api_allowed[0].protocol, "http");
    assert_eq!(config.denied_components, ["bindings.smtp"]);
    let [endpoint] = &resources.endpoints[..] else { panic!("{resources:#?}") };
    assert_eq!(endpoint.base_url, "https://api.github.com");
    assert_eq!(text(&endpoint.headers[0].value), "application/json");
    assert_eq!(endpoint.tls.root_ca, Some(MetadataValue::Text(Secret::new("PEM"))));
    assert!(endpoint.tls.certificate.is_some() && endpoint.tls.private_key.is_none());
    assert!(resources.warnings.is_empty(), "{:?}", resources.warnings);
}

#[test]
fn anchors_and_merged_maps() {
    let yaml = r#"
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: a, labels: &shared { name: redisHost, value: one } }
spec:
  type: state.redis
  metadata:
  - *shared
  - { <<: *shared, value: two }
"#;
    let resources = good(&[("a.yaml", yaml)]);
    let values: Vec<_> = resources.components[0].metadata.iter().map(|item| text(&item.value)).collect();
    assert_eq!(values, ["one", "two"]);
}

#[test]
fn what_is_not_known_is_passed_over() {
    let yaml = r#"
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: a, creationTimestamp: null, finalizers: [x] }
spec: { type: state.redis, somethingNew: { deep: 1 }, metadata: [{ name: x, value: y, comment: z }] }
---
apiVersion: apps/v1
kind: Deployment
---
apiVersion: dapr.io/v1alpha1
kind: Componant
---
apiVersion: dapr.io/v1alpha1
kind: WorkflowAccessPolicy
---
just: data
"#;
    let resources = good(&[("a.yaml", yaml)]);
    assert_eq!(resources.components.len(), 1);
    let said: Vec<_> = resources.warnings.iter().map(|one| one.message.as_str()).collect();
    assert_eq!(
        said,
        [
            "a resource of `apps/v1` is passed over",
            "a resource of kind `Componant` is passed over",
            "a resource of kind `WorkflowAccessPolicy` is passed over",
            "a document without a `kind` is passed over",
        ]
    );
    assert_eq!(resources.warnings[1].help.as_deref(), Some("did you mean `Component`?"));
}
