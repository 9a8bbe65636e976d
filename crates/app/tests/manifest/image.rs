//! `image`: code from a registry, in place of `source`.

use crate::{bad, good};
use sampan_app::Outline;
use std::path::PathBuf;

const APP: &str = "[component.api]\nimage = \"ghcr.io/acme/api:1.2\"\n\
     [filter.auth]\nimage = \"acme/auth\"\ncanary = { image = \"acme/auth:2\", share = \"5%\" }\n\
     [[route]]\npath = \"/\"\nto = \"api\"\nfilters = [\"auth\"]\n";

#[test]
fn references_are_in_the_app() {
    let (app, warnings) = good("sampan.toml", APP);
    assert_eq!(warnings.len(), 0);
    let component = &app.components[0];
    assert_eq!(component.remote.as_ref().unwrap().to_string(), "image ghcr.io/acme/api:1.2");
    assert_eq!(component.source, PathBuf::new());
    let filter = &app.filters["auth"];
    assert_eq!(filter.image.as_ref().unwrap().to_string(), "docker.io/acme/auth:latest");
    let canary = filter.canary.as_ref().unwrap();
    assert_eq!(canary.image.as_ref().unwrap().tag.as_deref(), Some("2"));
    assert_eq!(canary.source, None);
}

#[test]
fn the_outline_has_their_places() {
    let outline = Outline::of(APP);
    for (place, text) in [
        (&outline.components["api"], "\"ghcr.io/acme/api:1.2\""),
        (&outline.filters["auth"], "\"acme/auth\""),
        (&outline.canaries["auth"], "\"acme/auth:2\""),
    ] {
        assert_eq!(&APP[place.clone()], text);
    }
}

#[test]
fn what_is_wrong_is_marked() {
    let digest = format!("image = \"a@sha256:{}\"", "0".repeat(63));
    let marked_digest = digest.trim_start_matches("image = ");
    for (keys, marked, message, help) in [
        ("image = \"https://ghcr.io/a\"", "\"https://ghcr.io/a\"", "begins with a scheme", "leave out"),
        ("image = \"ghcr.io/Acme/a\"", "\"ghcr.io/Acme/a\"", "upper-case", "lower case"),
        ("image = \"\"", "\"\"", "it is empty", "REGISTRY/NAME:TAG"),
        ("image = 1", "1", "expected a string, found an integer", ""),
        (&digest, marked_digest, "its digest is not valid", "64"),
        ("image = \"a\"\nsource = \"a.wasm\"", "image", "has both `source` and `image`", "remove one"),
        ("image = \"a\"\nbuild = \"make\"", "build", "makes a file", "by `source`"),
        ("source = \"https://a/b.wasm\"", "\"https://a/b.wasm\"", "is a file of this machine", "image ="),
        ("source = \"\"", "\"\"", "`source` is empty", ""),
    ] {
        for table in ["[component.b]", "[filter.b]"] {
            let findings = bad("sampan.toml", &format!("{table}\n{keys}\n"));
            let [(at, said, helped)] = findings.as_slice() else { panic!("{table} {keys}: {findings:#?}") };
            assert_eq!(at, marked, "{table} {keys}");
            assert!(said.contains(message), "{keys}: {said}");
            assert!(helped.contains(help), "{keys}: {helped}");
        }
    }
    for table in ["[component.b]", "[filter.b]"] {
        let findings = bad("sampan.toml", table);
        assert!(
            findings[0].1.contains("has no `source`") && findings[0].2.contains("`image ="),
            "{findings:?}"
        );
    }
    let canary = |keys: &str| {
        bad("sampan.toml", &format!("[filter.b]\nsource = \"b\"\ncanary = {{ share = \"5%\", {keys} }}\n"))
    };
    let both = canary("source = \"c\", image = \"d\"");
    assert!(both.len() == 1 && both[0].1.contains("`filter.b.canary` has both"), "{both:?}");
    let wrong = canary("image = \"D\"");
    assert!(wrong.len() == 1 && wrong[0].1.contains("upper-case"), "{wrong:?}");
}
