//! What is composed, and what is not.

use super::*;
use sampan_testing::guest_for;

/// A component that answers `test:a/b@1.0.0` with a number.
const DEPENDENCY: &str = r#"(component
    (core module $m (func (export "f") (result i32) i32.const 7))
    (core instance $i (instantiate $m))
    (func $f (result u32) (canon lift (core func $i "f")))
    (instance $b (export "f" (func $f)))
    (export "test:a/b@1.0.0" (instance $b)))"#;

/// One that hands it on.
const MAIN: &str = r#"(component
    (import "test:a/b@1.0.0" (instance $b (export "f" (func (result u32)))))
    (alias export $b "f" (func $f))
    (export "f" (func $f)))"#;

fn dependency<'a>(name: &'a str, wasm: &'a str) -> Dependency<'a> {
    Dependency { name, wasm: wasm.as_bytes(), export: None, inherits: false }
}

/// The component's own imports and exports.
fn names(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let mut validator = Validator::new_with_features(WasmFeatures::all());
    let component = Component::from_bytes(&mut validator, "x", wasm).unwrap();
    let imports = component.imports().map(|(_, name, _)| name.to_owned()).collect();
    (imports, component.exports().map(|(_, name, ..)| name.to_owned()).collect())
}

#[test]
fn names_of_dependencies() {
    for (name, import, is_answered) in [
        ("a:b/c@1.0.0", "a:b/c@1.0.0", true),
        ("a:b/c", "a:b/c@1.0.0", true),
        ("a:b/c", "a:b/c", true),
        ("a:b", "a:b/c@1.0.0", true),
        ("a:b@1.0.0", "a:b/d@1.0.0", true),
        ("c", "c", true),
        ("a:b/c@1.0.0", "a:b/c@1.0.1", false),
        ("a:b/c@1.0.0", "a:b/c", false),
        ("a:b/c", "a:b/cc", false),
        ("a:b@1.0.0", "a:b/c", false),
        ("a:b", "a:bb/c", false),
        ("c", "a:b/c", false),
        ("a", "a:b/c", false),
    ] {
        assert_eq!(answers(name, import), is_answered, "{name} {import}");
    }
}

#[test]
fn an_import_is_answered_inside() {
    for name in ["test:a/b@1.0.0", "test:a/b", "test:a@1.0.0", "test:a"] {
        let composed = compose(MAIN.as_bytes(), &[dependency(name, DEPENDENCY)]).unwrap();
        assert_eq!(names(&composed), (vec![], vec!["f".to_owned()]), "{name}");
    }
    let other = DEPENDENCY.replace("test:a/b", "test:c/d");
    let under = Dependency { export: Some("test:c/d@1.0.0"), ..dependency("test:a", &other) };
    assert_eq!(names(&compose(MAIN.as_bytes(), &[under]).unwrap()).0, Vec::<String>::new());
}

#[test]
fn what_does_not_fit() {
    let text = DEPENDENCY.replace("u32", "s32");
    let core = "(module)";
    let cases: [(&[Dependency<'_>], &str); 7] = [
        (&[dependency("test:x", DEPENDENCY)], "`test:x` answers no import"),
        (&[dependency("test:a", DEPENDENCY), dependency("test:a/b", DEPENDENCY)], "both answer the import"),
        (&[dependency("test:a", MAIN)], "has no export `test:a/b@1.0.0`"),
        (&[Dependency { export: Some("g"), ..dependency("test:a", DEPENDENCY) }], "has no export `g`"),
        (&[dependency("test:a", &text)], "does not fit the import `test:a/b@1.0.0`"),
        (&[dependency("test:a", core)], "the dependency `test:a` is no component: it is"),
        (&[dependency("test:a", "(component")], "the dependency `test:a` is no component: expected"),
    ];
    for (dependencies, what) in cases {
        let error = compose(MAIN.as_bytes(), dependencies).unwrap_err();
        assert!(error.to_string().contains(what), "{what}: {error}");
    }
    let error = compose(b"(module)", &[dependency("test:a", DEPENDENCY)]).unwrap_err();
    assert!(error.to_string().starts_with("it is no component"), "{error}");
}

#[test]
fn what_a_dependency_imports_is_answered_too_unless_it_inherits() {
    let [main, plug] =
        ["dependent", "dependency"].map(|name| std::fs::read(guest_for("wasm32-wasip2", name)).unwrap());
    let own = names(&main).0;
    for inherits in [false, true] {
        let dependency = Dependency { name: "test:probe", wasm: &plug, export: None, inherits };
        let composed = compose(&main, &[dependency]).unwrap();
        let (imports, exports) = names(&composed);
        // What only the dependency wants.
        let sockets = imports.iter().any(|import| import.starts_with("wasi:sockets/tcp@"));
        assert_eq!(sockets, inherits, "{imports:?}");
        let given = |import: &&String| !own.contains(import) && !inherits;
        let more: Vec<&String> = imports.iter().filter(given).collect();
        assert!(more.iter().all(|import| deny::is_given(import)), "{more:?}");
        assert!(exports[0].starts_with("wasi:http/incoming-handler@0.2"), "{exports:?}");
    }
}

#[test]
fn what_cannot_be_refused_is_said() {
    let plain = DEPENDENCY.replacen("(component", "(component (import \"p\" (func))", 1);
    let error = compose(MAIN.as_bytes(), &[dependency("test:a", &plain)]).unwrap_err();
    assert!(error.to_string().contains("imports `p`, which is in no interface"), "{error}");
    assert!(error.help().contains("inherit_configuration"), "{}", error.help());
}
