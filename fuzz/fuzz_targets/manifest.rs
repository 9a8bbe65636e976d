//! Manifests of both kinds: any text is understood or refused, findings lie within the text, and what an app
//! refers to is there.

#![no_main]

use sampan_app::{App, Severity, Surroundings, Target, parse_manifest, render};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let env = |name: &str| name.ends_with("_X").then(|| "hunter2".to_owned());
    // No such folder, so that nothing of this machine is read for `files`.
    let path = Path::new("/no/such/folder/sampan.toml");
    let findings = match parse_manifest(path, text, &Surroundings::new(&env)) {
        Ok((app, warnings)) => {
            assert!(warnings.iter().all(|one| one.severity == Severity::Warning));
            check(&app);
            warnings
        }
        Err(findings) => {
            assert!(findings.iter().any(|one| one.severity == Severity::Error));
            findings
        }
    };
    for one in &findings {
        assert!(!one.message.is_empty());
        // A folder of Dapr's resources that happens to be there has findings of its own.
        if let Some(span) = one.span.as_ref().filter(|_| one.file == path) {
            assert!(text.get(span.clone()).is_some(), "{one:?}");
            assert!(one.place(text).is_some_and(|place| place.line >= 1 && place.column >= 1));
        }
        // A text that is not the one that was read.
        one.place(&text[..text.floor_char_boundary(text.len() / 2)]);
    }
    assert_eq!(render(&findings, false).is_empty(), findings.is_empty());
});

fn check_target(to: &Target, app: &App) {
    let is_component = |name: &String| app.components.iter().any(|component| component.name == *name);
    match to {
        Target::Component(name) => assert!(is_component(name)),
        Target::Upstream(name) => assert!(app.upstreams.contains_key(name)),
        Target::Split(split) => {
            assert!(split.targets.iter().map(|(_, weight)| u64::from(*weight)).sum::<u64>() > 0);
            split.targets.iter().for_each(|(target, _)| check_target(target, app));
        }
        Target::Static(folder) => assert!(folder.or.as_ref().is_none_or(is_component)),
        Target::Redirect { status, .. } => assert!((300..400).contains(status)),
        Target::Respond { status, .. } => assert!((200..600).contains(status)),
    }
}

fn check(app: &App) {
    for route in &app.routes {
        assert!(route.path.starts_with('/'));
        check_target(&route.to, app);
        assert!(route.filters.iter().all(|one| app.filters.contains_key(&one.filter)));
    }
    for component in &app.components {
        assert!(component.source.is_absolute());
        let grants = &component.grants;
        let of_dapr =
            |name: &str| app.dapr.as_ref().is_some_and(|dapr| dapr.resources.component(name).is_some());
        let is_there = |name: &String| app.keyvalue.contains_key(name) || of_dapr(name);
        assert!(grants.keyvalue.iter().all(|grant| is_there(&grant.store)));
        assert!(grants.dapr.is_empty() || app.dapr.is_some());
        assert!(grants.sql.iter().all(|grant| app.sql.contains_key(&grant.store)));
        assert!(grants.mounts.iter().all(|mount| mount.host.is_absolute()));
    }
    let topics = app.topic_triggers.iter().map(|trigger| (&trigger.component, &trigger.path));
    let schedules = app.schedule_triggers.iter().map(|trigger| (&trigger.component, &trigger.path));
    for (component, path) in topics.chain(schedules) {
        assert!(path.starts_with('/') && app.components.iter().any(|one| one.name == *component));
    }
    assert!(!format!("{app:?}").is_empty());
}
