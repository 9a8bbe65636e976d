//! Dapr's resources: any text is understood or refused, findings lie within the text, and no secret is shown.

#![no_main]

use sampan_app::dapr::{MetadataValue, parse};
use sampan_app::{Severity, render};
use std::path::Path;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let findings = match parse(Path::new("/no/such/folder/a.yaml"), text) {
        Ok(resources) => {
            for component in &resources.components {
                assert!(!component.name.is_empty() && component.kind.contains('.'));
                assert!(component.line >= 1 && component.metadata.iter().all(|item| item.line >= 1));
                if let Ok(expanded) = component.expand("app", "default") {
                    assert_eq!(expanded.metadata.len(), component.metadata.len());
                }
            }
            for subscription in &resources.subscriptions {
                assert!(!subscription.rules.is_empty() || !subscription.default_path.is_empty());
                assert!(subscription.bulk.is_none_or(|bulk| bulk.messages_max > 0));
            }
            for target in resources.resiliency.iter().flat_map(|one| one.apps.values()) {
                let timeouts = || resources.resiliency.iter().flat_map(|one| one.timeouts.keys());
                assert!(target.timeout.iter().all(|name| timeouts().any(|known| known == name)));
            }
            let values = resources.components.iter().flat_map(|one| &one.metadata);
            for item in values {
                if let MetadataValue::Text(secret) = &item.value {
                    assert_eq!(format!("{secret:?}"), "…");
                }
            }
            assert!(resources.warnings.iter().all(|one| one.severity == Severity::Warning));
            resources.warnings
        }
        Err(findings) => {
            assert!(findings.iter().any(|one| one.severity == Severity::Error));
            findings
        }
    };
    for one in &findings {
        assert!(!one.message.is_empty());
        if let Some(span) = &one.span {
            assert!(text.get(span.clone()).is_some(), "{one:?}");
        }
        one.place(text);
    }
    assert_eq!(render(&findings, false).is_empty(), findings.is_empty());
});
