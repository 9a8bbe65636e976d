//! What a component imports is found, or named in an error.

use crate::run::{engine, run, run_component};
use sampan_app::{Grants, Program};
use sampan_capabilities::{UnknownImports, link_component};
use wasmtime::component::Component;

fn unknown(text: &str) -> UnknownImports {
    let component = Component::new(engine(), text).expect("a component");
    let error = link_component(engine(), &component).err().expect("the import is unknown");
    error.downcast().expect("a typed error")
}

#[test]
fn every_unknown_interface_is_named_at_once() {
    let error = unknown(
        r#"(component
            (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func (param "status" (result))))))
            (import "example:shop/cart@1.0.0" (instance (export "add" (func))))
            (import "wasi:nn/graph@0.2.0" (instance (export "load" (func))))
            (import "wasi:cli/exit@0.4.0" (instance (export "exit" (func (param "status" (result))))))
            (import "plain" (func)))"#,
    );
    let names = ["example:shop/cart@1.0.0", "wasi:nn/graph@0.2.0", "wasi:cli/exit@0.4.0", "plain"];
    assert_eq!(error.0, names);
    assert!(names.iter().all(|name| error.to_string().contains(name)), "{error}");
}

#[test]
fn a_prerelease_is_told_apart_from_its_release() {
    for (version, track) in [("0.2.0-rc-2023-11-10", "0.2"), ("0.3.0-rc-2025-09-16", "0.3")] {
        let error = unknown(&format!(
            r#"(component (import "wasi:cli/exit@{version}" (instance (export "exit" (func)))))"#
        ));
        assert_eq!(error.0, [format!("wasi:cli/exit@{version}")]);
        assert!(error.help().contains(&format!("pre-release of WASI {track}")), "{}", error.help());
    }
}

#[test]
fn every_patch_version_of_a_track_is_the_same_interface() {
    for version in ["0.2.0", "0.2.3", "0.2.12", "0.2.99", "0.3.0", "0.3.7"] {
        let text = format!(
            r#"(component (import "wasi:cli/exit@{version}" (instance (export "exit" (func (param "status" (result)))))))"#
        );
        let component = Component::new(engine(), text).expect("a component");
        let linker = link_component(engine(), &component).expect("a known interface");
        linker.instantiate_pre(&component).expect("a definition of the right type");
    }
}

#[test]
fn nothing_is_defined_that_is_not_imported() {
    let component = Component::new(engine(), "(component)").expect("a component");
    let mut linker = link_component(engine(), &component).expect("nothing to define");
    // A second definition of the same name would be an error.
    linker
        .instance("wasi:cli/exit@0.2.12")
        .expect("not defined")
        .func_wrap("exit", |_, (): ()| Ok(()))
        .expect("free");
}

#[test]
fn an_interface_of_types_needs_nobody() {
    let component = Component::new(
        engine(),
        r#"(component (import "example:shop/types@1.0.0" (instance (type (;0;) (enum "red" "green")) (export "colour" (type (eq 0))))))"#,
    )
    .expect("a component");
    let linker = link_component(engine(), &component).expect("nothing to define");
    linker.instantiate_pre(&component).expect("nothing is missing");
}

#[test]
fn exit_codes_pass_through() {
    for code in ["0", "1", "42", "255"] {
        assert_eq!(run("hello-p3", Grants::default(), &["exit", code]).code.to_string(), code);
        let text = EXIT_WITH_CODE.replace("CODE", code);
        let component = Component::new(engine(), text).expect("a component");
        assert_eq!(run_component(&component, Program::default()).code.to_string(), code);
    }
    // Without `exit-with-code` a guest of 0.2 can only say that it failed.
    assert_eq!(run("exit", Grants::default(), &["0"]).code, 0);
    assert_eq!(run("exit", Grants::default(), &["42"]).code, 1);
}

/// A command of 0.2 that ends by `exit-with-code`.
const EXIT_WITH_CODE: &str = r#"(component
    (import "wasi:cli/exit@0.2.12"
        (instance $exit (export "exit-with-code" (func (param "status-code" u8)))))
    (core func $exit-with-code (canon lower (func $exit "exit-with-code")))
    (core module $program
        (import "" "exit" (func $exit (param i32)))
        (func (export "run") (result i32) (call $exit (i32.const CODE)) (i32.const 0)))
    (core instance $it (instantiate $program
        (with "" (instance (export "exit" (func $exit-with-code))))))
    (func $run (result (result)) (canon lift (core func $it "run")))
    (instance $command (export "run" (func $run)))
    (export "wasi:cli/run@0.2.12" (instance $command)))"#;
