//! `--invoke`: functions of modules and components with typed arguments and results.

use crate::{assert_error, run};
use sampan_testing::{guest, guest_for};

fn module(function: &str, args: &[&str]) -> sampan_testing::Finished {
    let path = guest("reactor");
    let path = path.to_str().unwrap();
    run(["--invoke", function, path].iter().chain(args))
}

fn component(function: &str, args: &[&str]) -> sampan_testing::Finished {
    let path = guest_for("wasm32-wasip2", "invoke");
    let path = path.to_str().unwrap();
    run(["--invoke", function, path].iter().chain(args))
}

#[test]
fn functions_of_a_module_take_and_give_numbers() {
    for (function, args, result) in [
        ("add", &["40", "2"][..], "42"),
        ("add", &["-1", "0x10"], "15"),
        ("add", &["4294967295", "1"], "0"),
        ("multiply", &["4294967296", "4"], "17179869184"),
        ("half", &["5"], "2.5"),
        ("root", &["2.25"], "1.5"),
    ] {
        let finished = module(function, args);
        assert_eq!(
            (finished.stdout.trim(), finished.code),
            (result, 0),
            "{function} {args:?}: {}",
            finished.stderr
        );
    }
}

#[test]
fn functions_of_a_component_take_and_give_wave() {
    for (function, args, result) in [
        ("greet", &["\"Ada\""][..], "\"hello Ada\""),
        ("sum", &["[1, 2, 39]"], "42"),
        ("first", &["[\"a\", \"b\"]"], "some(\"a\")"),
        ("first", &["[]"], "none"),
        ("divide", &["7", "2"], "ok(3)"),
        ("divide", &["7", "0"], "err(\"7 / 0 has no result\")"),
        ("swap", &["(7, 'x')"], "('x', 7)"),
        ("not", &["true"], "false"),
    ] {
        let finished = component(function, args);
        assert_eq!(
            (finished.stdout.trim(), finished.code),
            (result, 0),
            "{function} {args:?}: {}",
            finished.stderr
        );
    }
}

#[test]
fn wrong_calls_are_explained() {
    assert_error(&module("nosuch", &[]), 126, "exports no function `nosuch`");
    assert_error(&module("add", &["1"]), 126, "takes 2 arguments, 1 were given");
    assert_error(&module("add", &["1", "two"]), 126, "`two` is not a value of type i32");
    assert_error(&module("add", &["1", "4294967296"]), 126, "`4294967296` is not a value of type i32");
    assert_error(&component("nosuch", &[]), 126, "exports no function `nosuch`");
    assert_error(&component("greet", &["Ada"]), 126, "`name` is not a value of its type");
    assert_error(&component("greet", &[]), 126, "takes 1 arguments, 0 were given");
}

#[test]
fn a_library_without_invoke_names_its_functions() {
    let finished = run([guest("reactor")]);
    assert_error(&finished, 126, "nothing to start");
    assert!(finished.stderr.contains("add"), "{}", finished.stderr);
    assert_error(&run([guest_for("wasm32-wasip2", "invoke")]), 126, "not a command");
}
