//! The filter of guests/polyglot in every language.

use crate::site::Site;
use crate::{Ask, get, shown, upstream};
use sampan_testing::servers::{Envoy, EnvoyFilter};
use sampan_testing::{LANGUAGES, polyglot};
use std::net::SocketAddr;

const ASKS: [Ask; 6] = [
    get("/text"),
    get("/json?query=1"),
    get("/missing"),
    get("/empty"),
    Ask { method: "POST", path: "/echo", headers: &[("x-added", "by client")], body: "some body" },
    Ask { method: "HEAD", path: "/text", headers: &[], body: "" },
];

/// What each must do, in its own words.
fn check(language: &str, greeting: &str, address: SocketAddr, chain: usize) -> Vec<String> {
    let answers = ASKS.map(|ask| ask.send(address, chain));
    let texts = answers.iter().map(shown).collect();
    for (ask, answer) in ASKS.iter().zip(&answers) {
        assert_eq!(answer.header("hello"), Some(greeting), "{language} {}", ask.path);
        assert_eq!(answer.header("x-wasm-processed"), Some(language), "{language} {}", ask.path);
    }
    let seen = format!(
        "GET /text\nhost: chain-{chain}.test\nx-added: {language}\nx-asked: one\nx-asked: two\n\
         x-replaced: {language}\n"
    );
    assert_eq!(answers[0].text(), format!("{} by {language}", seen.to_uppercase()), "{language}");
    assert_eq!(answers[1].text(), "{\"a\":\"b\"}", "{language}");
    assert_eq!((answers[2].status, answers[2].text()), (404, format!("THERE IS NOTHING by {language}")));
    assert_eq!((answers[3].status, answers[3].text().as_str()), (204, ""), "{language}");
    assert!(answers[4].text().ends_with(&format!("SOME BODY by {language}")), "{}", answers[4].text());
    assert_eq!(answers[5].status, 200, "{language}");
    texts
}

fn filters() -> Option<Vec<EnvoyFilter>> {
    let mut filters = Vec::new();
    for language in LANGUAGES {
        filters.push(EnvoyFilter {
            wasm: polyglot(language)?,
            root_id: "polyglot".to_owned(),
            vm_id: format!("vm-{language}"),
            vm_configuration: format!("vm of {language}"),
            configuration: if language == "zig" { String::new() } else { format!("from {language}") },
        });
    }
    Some(filters)
}

fn greeting(filter: &EnvoyFilter) -> &str {
    if filter.configuration.is_empty() { "world!" } else { &filter.configuration }
}

#[test]
fn every_language_does_the_same_in_sampan_as_in_envoy() {
    let Some(filters) = filters() else { return };
    let upstream = upstream();
    let chains: Vec<Vec<EnvoyFilter>> = filters.iter().map(|filter| vec![filter.clone()]).collect();
    let Some(mut envoy) = Envoy::start(&chains, &[("upstream", upstream.address)]) else { return };
    let mut site = Site::start(&chains, &[("upstream", upstream.address)]);
    for ((language, filter), number) in LANGUAGES.iter().zip(&filters).zip(0..) {
        let theirs = check(language, greeting(filter), envoy.addresses[number], number);
        let ours = check(language, greeting(filter), site.address, number);
        assert_eq!(ours, theirs, "{language}");
        for line in [
            format!("{language}: started with `vm of {language}`"),
            format!("{language}: configured with `{}`", filter.configuration),
        ] {
            envoy.process.wait_for_error(&line);
            site.process.wait_for_error(&line);
        }
    }
}
