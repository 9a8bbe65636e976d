//! Triggers of topics and of the time, and Spin's Redis trigger.

use crate::{Folder, bad, good};
use sampan_app::dapr::Rule;
use sampan_app::{Broker, ScheduleTrigger, Secret, TopicTrigger};

const COMPONENT: &str = "[component.api]\nsource = \"a.wasm\"\n";
const BROKER: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: pubsub }\n\
                      spec: { type: pubsub.redis }\n";

/// With a broker of Dapr's.
fn with_broker(triggers: &str) -> Folder {
    let text = format!("[dapr]\ncomponents = \"c\"\n{COMPONENT}{triggers}");
    Folder::new(&[("sampan.toml", &text), ("c/pubsub.yaml", BROKER)])
}

#[test]
fn topics() {
    let folder = with_broker(
        "[[trigger.topic]]\ntopic = \"pubsub/orders\"\nto = \"api\"\n\
         [[trigger.topic]]\ntopic = \"pubsub/a/b\"\nto = \"api\"\npath = \"/events\"\ndead_letter = \"failed\"\n\
         retries = 3\nrules = [{ match = \"event.type == 'x'\", path = \"/x\" }]\n",
    );
    let (app, warnings) = folder.read("sampan.toml").expect("a good manifest");
    assert!(warnings.is_empty(), "{warnings:?}");
    let plain = TopicTrigger {
        broker: Broker::Named("pubsub".into()),
        topic: "orders".into(),
        component: "api".into(),
        path: "/".into(),
        rules: Vec::new(),
        dead_letter: None,
        retries: None,
    };
    let full = TopicTrigger {
        topic: "a/b".into(),
        path: "/events".into(),
        rules: vec![Rule { expression: "event.type == 'x'".into(), path: "/x".into() }],
        dead_letter: Some("failed".into()),
        retries: Some(3),
        ..plain.clone()
    };
    assert_eq!(app.topic_triggers, [plain, full]);
}

#[test]
fn schedules() {
    let text = format!(
        "{COMPONENT}[[trigger.schedule]]\ncron = \"*/15 9-17 * * MON-FRI\"\nto = \"api\"\npath = \"/tick\"\n\
         name = \"office\"\n[[trigger.schedule]]\ncron = \"@every 15m\"\nto = \"api\"\n\
         [[trigger.schedule]]\ncron = \"0 0 3 * * *\"\nto = \"api\"\n[[trigger.schedule]]\ncron = \"@daily\"\n\
         to = \"api\"\n"
    );
    let (app, warnings) = good("sampan.toml", &text);
    assert!(warnings.is_empty(), "a schedule reaches its component: {warnings:?}");
    let schedule = |name: &str, cron: &str, path: &str| ScheduleTrigger {
        name: name.into(),
        cron: cron.into(),
        component: "api".into(),
        path: path.into(),
    };
    let expected = [
        schedule("office", "*/15 9-17 * * MON-FRI", "/tick"),
        schedule("api-2", "@every 15m", "/"),
        schedule("api-3", "0 0 3 * * *", "/"),
        schedule("api-4", "@daily", "/"),
    ];
    assert_eq!(app.schedule_triggers, expected);
}

#[test]
fn what_is_wrong() {
    for (trigger, marked, message, help) in [
        ("[[trigger.topic]]\nto = \"api\"", "[[trigger.topic]]", "has no `topic`", "BROKER/TOPIC"),
        (
            "[[trigger.topic]]\ntopic = \"orders\"\nto = \"api\"",
            "\"orders\"",
            "names no topic of a broker",
            "",
        ),
        (
            "[[trigger.topic]]\ntopic = \"x/orders\"\nto = \"api\"",
            "\"x/orders\"",
            "no broker `x`",
            "messaging",
        ),
        ("[[trigger.schedule]]\ncron = \"@daily\"", "[[trigger.schedule]]", "has no `to`", ""),
        (
            "[[trigger.schedule]]\ncron = \"@daily\"\nto = \"aip\"",
            "\"aip\"",
            "no component `aip`",
            "did you mean `api`?",
        ),
        ("[[trigger.schedule]]\ncron = \"@dialy\"\nto = \"api\"", "\"@dialy\"", "no schedule", "\"@daily\""),
        ("[[trigger.schedule]]\ncron = \"@every x\"\nto = \"api\"", "\"@every x\"", "no schedule", "15m"),
        ("[[trigger.schedule]]\ncron = \"* * *\"\nto = \"api\"", "\"* * *\"", "`* * *` is no schedule", ""),
        (
            "[[trigger.schedule]]\ncron = \"@daily\"\nto = \"api\"\npath = \"x\"",
            "\"x\"",
            "`x` is not a path",
            "/orders",
        ),
        (
            "[[trigger.schedule]]\ncron = \"@daily\"\nto = \"api\"\nname = \"a\"\n\
             [[trigger.schedule]]\ncron = \"@daily\"\nto = \"api\"\nname = \"a\"",
            "[[trigger.schedule]]",
            "two schedules `a`",
            "`name`",
        ),
        ("[[trigger.topci]]\nto = \"api\"", "topci", "unknown key `topci` in `trigger`", "`topic`"),
    ] {
        let text = format!("{COMPONENT}{trigger}\n");
        let findings = bad("sampan.toml", &text);
        let [(at, said, helped)] = &findings[..] else { panic!("{text}\n{findings:#?}") };
        assert_eq!(at, marked, "{text}");
        assert!(said.contains(message) && helped.contains(help), "{text}\n{said}\n{helped}");
    }
    for (trigger, message) in [
        ("topic = \"pubsub/\"", "`` is not a topic"),
        ("topic = \"pubsub/a\"\ndead_letter = \"\"", "`` is not a topic"),
        ("topic = \"pubsub/a\"\nretries = -1", "from 0 to 1000000"),
        ("topic = \"pubsub/a\"\nrules = [{ path = \"/a\" }]", "has no `match`"),
        ("topic = \"pubsub/a\"\nrules = [{ match = \"true\", path = \"a b\" }]", "`a b` is not a path"),
        ("topic = \"pubsbu/a\"", "no broker `pubsbu`"),
    ] {
        let folder = with_broker(&format!("[[trigger.topic]]\nto = \"api\"\n{trigger}\n"));
        let findings = folder.read("sampan.toml").expect_err(trigger);
        assert!(findings.len() == 1 && findings[0].message.contains(message), "{trigger}\n{findings:#?}");
    }
}

fn channel(topic: &str, component: &str, url: &str) -> TopicTrigger {
    TopicTrigger {
        broker: Broker::RedisChannel { url: Secret::new(url) },
        topic: topic.into(),
        component: component.into(),
        path: "/".into(),
        rules: Vec::new(),
        dead_letter: None,
        retries: None,
    }
}

#[test]
fn redis_of_spin_2() {
    let text = "spin_manifest_version = 2\n[application]\nname = \"x\"\n[application.trigger.redis]\n\
        address = \"redis://{{ host }}:6379\"\n[variables]\nhost = { default = \"cache\" }\n\
        [[trigger.redis]]\nchannel = \"messages\"\ncomponent = \"one\"\n\
        [[trigger.redis]]\nid = \"t\"\nchannel = \"more\"\ncomponent = { source = \"b.wasm\" }\n\
        address = \"rediss://other\"\n[component.one]\nsource = \"a.wasm\"\n";
    let (app, warnings) = good("spin.toml", text);
    assert!(warnings.is_empty(), "{warnings:?}");
    let expected =
        [channel("messages", "one", "redis://cache:6379"), channel("more", "t-component", "rediss://other")];
    assert_eq!(app.topic_triggers, expected);

    for (from, to, marked, message) in [
        ("address = \"redis://{{ host }}:6379\"\n", "", "[[trigger.redis]]", "no address of Redis"),
        ("\"rediss://other\"", "\"http://x\"", "\"http://x\"", "no address of Redis"),
        ("channel = \"messages\"\n", "", "[[trigger.redis]]", "has no `channel`"),
        ("component = \"one\"", "component = \"noe\"", "\"noe\"", "no component `noe`"),
        ("channel = \"messages\"", "chanel = \"m\"\nchannel = \"m\"", "chanel", "unknown key"),
    ] {
        assert!(text.contains(from), "{from}");
        let findings = bad("spin.toml", &text.replacen(from, to, 1));
        let found = findings.iter().find(|(_, said, _)| said.contains(message));
        assert_eq!(found.map(|(at, ..)| at.as_str()), Some(marked), "{from}\n{findings:#?}");
    }
}

#[test]
fn redis_of_spin_1() {
    let text = "spin_manifest_version = \"1\"\nname = \"x\"\n\
        trigger = { type = \"redis\", address = \"redis://localhost:6379\" }\n\
        [[component]]\nid = \"echo\"\nsource = \"a.wasm\"\n[component.trigger]\nchannel = \"messages\"\n";
    let (app, warnings) = good("spin.toml", text);
    assert!(warnings.is_empty(), "{warnings:?}");
    assert_eq!(app.topic_triggers, [channel("messages", "echo", "redis://localhost:6379")]);

    let findings = bad("spin.toml", &text.replace(", address = \"redis://localhost:6379\"", ""));
    assert!(findings.len() == 1 && findings[0].1.contains("no address of Redis"), "{findings:#?}");
}
