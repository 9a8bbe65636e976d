//! `results` of filters: what becomes of an exchange by what its filter says.

use crate::{bad, good};
use sampan_app::OnResult;

fn manifest(results: &str) -> String {
    format!(
        "[component.api]\nsource = \"a.wasm\"\n[filter.sale]\nsource = \"f.wasm\"\nresults = {results}\n\
         [[route]]\npath = \"/\"\nto = \"api\"\nfilters = [\"sale\"]\n"
    )
}

#[test]
fn results_lead_somewhere() {
    let text = manifest("{ wasmResult1 = \"end\", wasmResult9 = \"continue\", outOfVM = \"component:api\" }");
    let (app, warnings) = good("sampan.toml", &text);
    assert_eq!(warnings, Vec::<String>::new());
    let results = &app.filters["sale"].results;
    assert_eq!(results["wasmResult1"], OnResult::End);
    assert_eq!(results["wasmResult9"], OnResult::Continue);
    assert_eq!(results["outOfVM"], OnResult::To("api".to_owned()));
}

#[test]
fn results_that_are_wrong() {
    for (results, marked, message, help) in [
        (
            "{ wasmresult1 = \"end\" }",
            "wasmresult1",
            "`wasmresult1` is no result",
            "did you mean `wasmResult1`?",
        ),
        ("{ wasmResult10 = \"end\" }", "wasmResult10", "is no result of a filter", "did you mean"),
        ("{ wasmResult1 = \"stop\" }", "\"stop\"", "`stop` is nowhere to go on", "\"continue\""),
        (
            "{ wasmResult1 = \"component:x\" }",
            "\"component:x\"",
            "there is no component `x`",
            "component:NAME",
        ),
        ("{ wasmResult1 = \"upstream:x\" }", "\"upstream:x\"", "there is no upstream `x`", "upstream:NAME"),
        ("{ wasmResult1 = 5 }", "5", "expected a string", ""),
    ] {
        let findings = bad("sampan.toml", &manifest(results));
        let [(at, said, helped)] = &findings[..] else { panic!("{results}: {findings:#?}") };
        assert_eq!(at, marked, "{results}");
        assert!(said.contains(message), "{results}: {said}");
        assert!(helped.contains(help), "{results}: {helped}");
    }
}
