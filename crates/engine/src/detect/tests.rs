//! Every kind from a few lines of text format, every guess, and bytes that nobody meant.

use super::*;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let kind = detect(&wasm(text)).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(kind.describe(), expected, "{text}");
    assert_eq!(kind.is_component(), text.starts_with("(component"), "{text}");
}

const PREVIEW1: &str = r#"(import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))"#;
const PREVIEW0: &str = r#"(import "wasi_unstable" "proc_exit" (func (param i32)))"#;
const START: &str = r#"(func (export "_start"))"#;

#[test]
fn modules_that_run_by_themselves() {
    check(&format!("(module {PREVIEW1} {START})"), "a command for WASI preview 1");
    check(&format!("(module {PREVIEW0} {START})"), "a command for WASI preview 0");
    check(&format!("(module {PREVIEW0} {PREVIEW1} {START})"), "a command for WASI previews 0 and 1");
    check(&format!("(module {START})"), "a command that uses no WASI");
    check(
        &format!(r#"(module {PREVIEW1} (memory (export "memory") 1) (func $main) (start $main))"#),
        "a command for WASI preview 1, run by its start section",
    );
    check(
        r#"(module (memory (export "memory") 1) (func $main) (start $main))"#,
        "a command that uses no WASI, run by its start section",
    );
    check(
        &format!(r#"(module {PREVIEW1} (func (export "f")) (func $main) (start $main))"#),
        "a command for WASI preview 1, run by its start section",
    );
}

#[test]
fn modules_whose_exports_are_called() {
    let initialize = r#"(func (export "_initialize"))"#;
    check(
        &format!("(module {PREVIEW1} {initialize})"),
        "a reactor for WASI preview 1 (its exports can be called)",
    );
    check("(module)", "a module that uses no WASI (its exports can be called)");
    check(
        r#"(module (func $init) (func (export "f")) (start $init))"#,
        "a module that uses no WASI (its exports can be called)",
    );
    // A start *global* starts nothing.
    check(
        r#"(module (global (export "_start") i32 (i32.const 0)))"#,
        "a module that uses no WASI (its exports can be called)",
    );
    check(
        &format!(
            r#"(module {PREVIEW1} {initialize} (func (export "wasi:http/incoming-handler@0.2.0#handle")))"#
        ),
        "a module in the component ABI, wrapped when it is loaded \
         (exports wasi:http/incoming-handler@0.2.0#handle)",
    );
}

#[test]
fn plug_ins() {
    let proxy = |version: &str| format!(r#"(module {START} (func (export "proxy_abi_version_{version}")))"#);
    check(&proxy("0_1_0"), "a proxy-wasm 0.1.0 filter");
    check(&proxy("0_2_0"), "a proxy-wasm 0.2.0 filter");
    check(&proxy("0_2_1"), "a proxy-wasm 0.2.1 filter");
    check(&proxy("0_9_0"), "a proxy-wasm filter of an unknown version (0.9.0)");
    check(
        r#"(module (func (export "proxy_abi_version_0_2_0")) (func (export "proxy_abi_version_0_1_0"))
            (func (export "proxy_abi_version_7")))"#,
        "a proxy-wasm 0.2.0 filter",
    );
    check(
        r#"(module (func (export "proxy_on_request_headers")))"#,
        "a proxy-wasm filter that does not say which version",
    );
    check(
        &format!(r#"(module (import "http_handler" "log" (func)) {START} (func (export "handle_request")))"#),
        "an http-wasm filter",
    );
    check(
        r#"(module (func (export "handle_request")) (func (export "handle_response")))"#,
        "an http-wasm filter",
    );
    check(r#"(module (import "easegress" "host_rand" (func (result f64))))"#, "an Easegress filter");
    check(r#"(module (func (export "wasm_run")) (func (export "wasm_alloc")))"#, "an Easegress filter");
}

/// A component that exports an empty instance under a name.
fn exporting(name: &str) -> String {
    format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#)
}

#[test]
fn components_that_are_started() {
    check(&exporting("wasi:cli/run@0.2.6"), "a command component for WASI 0.2 (exports wasi:cli/run@0.2.6)");
    check(&exporting("wasi:cli/run@0.3.0"), "a command component for WASI 0.3 (exports wasi:cli/run@0.3.0)");
    check(
        &exporting("wasi:http/incoming-handler@0.2.12"),
        "an HTTP component for WASI 0.2 (exports wasi:http/incoming-handler@0.2.12)",
    );
    check(
        &exporting("wasi:http/handler@0.3.1"),
        "an HTTP component for WASI 0.3 (exports wasi:http/handler@0.3.1)",
    );
    check(
        r#"(component (import "wasi:http/handler@0.3.0" (instance $i))
            (export "wasi:http/handler@0.3.0" (instance $i)))"#,
        "an HTTP middleware component for WASI 0.3 (exports wasi:http/handler@0.3.0)",
    );
    // Both releases: the older one, whose engine is faster.
    check(
        r#"(component (instance $i) (export "wasi:cli/run@0.3.0" (instance $i))
            (instance $j) (export "wasi:cli/run@0.2.0" (instance $j)))"#,
        "a command component for WASI 0.2 (exports wasi:cli/run@0.2.0)",
    );
}

#[test]
fn components_of_known_snapshots() {
    for (export, release) in [
        ("wasi:http/incoming-handler@0.2.0-rc-2023-10-18", "0.2"),
        ("wasi:http/incoming-handler@0.2.0-rc-2023-11-10", "0.2"),
        ("wasi:http/handler@0.3.0-rc-2026-03-15", "0.3"),
    ] {
        check(&exporting(export), &format!("an HTTP component for WASI {release} (exports {export})"));
    }
    let import = r#"(component (import "wasi:clocks/types@0.3.0-rc-2026-03-15" (instance)))"#;
    assert!(matches!(detect(&wasm(import)), Ok(Kind::Component { needs_0_3: true, .. })));
}

#[test]
fn components_of_no_release() {
    for export in [
        "wasi:http/incoming-handler@0.2.0-rc-2023-12-05",
        "wasi:http/handler@0.3.0-rc-2026-01-06",
        "wasi:cli/run@0.2.0-rc-2023-12-05",
        "wasi:cli/run@0.4.0",
        "wasi:cli/run",
    ] {
        check(
            &exporting(export),
            &format!("a component for a version of WASI that is no release (exports {export})"),
        );
    }
    check(
        &exporting("fermyon:spin/inbound-http"),
        "an HTTP component for Spin 1 (exports fermyon:spin/inbound-http)",
    );
}

#[test]
fn other_components() {
    check("(component)", "a component without exports");
    check(
        r#"(component (type $i (instance)) (export "run" (type $i)))"#,
        "a package of WIT interfaces, without code",
    );
    check(
        r#"(component (type $i (instance)) (export "t" (type $i)) (instance $j) (export "j" (instance $j)))"#,
        "a component (exports t, j)",
    );
    check(&exporting("acme:shop/prices"), "a component (exports acme:shop/prices)");
    let many: String =
        (0..6).map(|n| format!(r#"(instance $i{n}) (export "f{n}" (instance $i{n}))"#)).collect();
    check(&format!("(component {many})"), "a component (exports f0, f1, f2, f3, …)");
}

#[test]
fn names_of_the_file_cannot_flood_or_steer_a_terminal() {
    for text in [
        r#"(module (func (export "a:b#\1b[31m\e2\80\ae")))"#.to_owned(),
        format!(r#"(module (func (export "a:b#{}")))"#, "x".repeat(50_000)),
        r#"(module (func (export "proxy_abi_version_\07")))"#.to_owned(),
    ] {
        let words = detect(&wasm(&text)).unwrap().describe();
        let steers = |c: char| c.is_control() || c == '\u{202e}';
        assert!(words.chars().count() < 400 && !words.contains(steers), "{words:?}");
    }
    let long = format!("wasi:cli/run@0.2.{}", "1".repeat(1_000));
    // Written in binary: the text format refuses such a version.
    let mut bytes = b"\0asm\x0d\0\x01\0\x05\x03\x01\x01\x00".to_vec();
    let export = [&[1, 0][..], &[0xf9, 0x07], long.as_bytes(), &[5, 0, 0]].concat();
    assert_eq!(long.len(), 1017, "0x3f9 in LEB128 below");
    bytes.push(11);
    bytes.extend([(export.len() & 0x7f) as u8 | 0x80, (export.len() >> 7) as u8]);
    bytes.extend(export);
    let kind = detect(&bytes);
    assert!(matches!(&kind, Ok(Kind::PreReleaseComponent { export }) if export.len() == 200), "{kind:?}");
}

#[test]
fn a_0_2_component_that_imports_0_3_needs_its_engine() {
    let text = |import: &str| {
        format!(
            r#"(component (import "{import}" (instance)) (instance $i) (export "wasi:cli/run@0.2.0" (instance $i)))"#
        )
    };
    for (import, expected) in [
        ("wasi:random/random@0.2.0", false),
        ("wasi:random/random@0.3.0", true),
        ("wasi:random/random@0.3.0-rc-2026-03-15", true),
        ("wasi:random/random@0.3.0-rc-2026-01-06", false),
        ("acme:random/random@0.3.0", false),
        ("spin:redis/redis@3.0.0", true),
        ("spin:postgres/postgres@3.0.0", false),
    ] {
        let Ok(Kind::CliComponent(world)) = detect(&wasm(&text(import))) else { panic!("{import}") };
        assert_eq!((world.release, world.needs_0_3), (Release::V0_2, expected), "{import}");
    }
    // So does one that exports nothing else.
    for (export, expected) in
        [("spin:redis/inbound-redis@3.0.0", true), ("wasi:messaging/incoming-handler@0.2.0-draft", false)]
    {
        let Ok(Kind::Component { needs_0_3, .. }) = detect(&wasm(&exporting(export))) else {
            panic!("{export}")
        };
        assert_eq!(needs_0_3, expected, "{export}");
    }
}

#[test]
fn what_is_not_wasm_is_named() {
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    let cases: &[(&[u8], Guess)] = &[
        (b"\x7fELF\x02\x01\x01\x00rest", Guess::Elf),
        (b"\x7fELF\x02\x01\x01\xc8rest", Guess::WasmtimeArtifact),
        (b"\xcf\xfa\xed\xfe", Guess::MachO),
        (b"\xca\xfe\xba\xbe\0\0\0\x02", Guess::MachO),
        (b"\xca\xfe\xba\xbe\0\0\0\x41", Guess::JavaClass),
        (b"MZ\x90", Guess::WindowsProgram),
        (b"\x1f\x8b\x08", Guess::Gzip),
        (b"PK\x03\x04", Guess::Zip),
        (&tar, Guess::Tar),
        (b"%PDF-1.7", Guess::Pdf),
        (b"  <!DOCTYPE HTML><p>", Guess::Html),
        (b"{\"a\": 1}", Guess::Json),
        (b"#!/bin/sh\n", Guess::Script),
        (b"version https://git-lfs.github.com/spec/v1\n", Guess::GitLfsPointer),
        ("Grüße".as_bytes(), Guess::Text),
        (b"\x00\x01\x02\x03", Guess::Binary),
        (b"\xff", Guess::Binary),
    ];
    for (bytes, guess) in cases {
        assert_eq!(detect(bytes), Err(DetectError::NotWasm(*guess)), "{}", bytes.escape_ascii());
    }
    // The cut of the prefix goes through a character.
    let long = format!("x{}", "é".repeat(words::TEXT_PREFIX_BYTES));
    assert_eq!(detect(long.as_bytes()), Err(DetectError::NotWasm(Guess::Text)));
}

#[test]
fn text_format_is_told_from_text() {
    for text in
        ["(module)", " \n\t(component)", ";; note\n(module)", "(; a (; b ;) ;)\n(module)", "\u{feff}(func)"]
    {
        assert_eq!(detect(text.as_bytes()), Err(DetectError::TextFormat), "{text}");
    }
    for text in [";; note", "(; never closed", "module", ";) (module)"] {
        assert_eq!(detect(text.as_bytes()), Err(DetectError::NotWasm(Guess::Text)), "{text}");
    }
}

#[test]
fn damage_is_located() {
    let whole = wasm(&format!(r#"(module {PREVIEW1} {START} (func (export "f")) (data "\00"))"#));
    assert_eq!(detect(b""), Err(DetectError::Empty));
    for end in 1..whole.len() {
        match detect(&whole[..end]) {
            Err(DetectError::Truncated { offset }) => assert_eq!(offset, end as u64),
            // The cut fell between two sections: less, but whole.
            Ok(_) => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
    assert_eq!(detect(b"\0asm\x0a\0\x01\0"), Err(DetectError::Version { version: 10, layer: 1 }));
    let mut unknown = b"\0asm\x01\0\0\0".to_vec();
    unknown.extend([0x63, 0]);
    assert!(
        matches!(detect(&unknown), Err(DetectError::Malformed { offset: 10, .. })),
        "{:?}",
        detect(&unknown)
    );
    let mut huge = b"\0asm\x01\0\0\0".to_vec();
    huge.extend([0, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(detect(&huge), Err(DetectError::Truncated { offset: 14 }));
}

#[test]
fn function_bodies_and_nested_modules_are_stepped_over() {
    // Bodies and nested modules of rubbish: the compiler will refuse them, detection does not look.
    let mut module = wasm(&format!("(module {START})"));
    let body = module.len() - 1;
    module[body] = 0xff;
    assert_eq!(detect(&module), Ok(Kind::Command(Preview::None)));
    let mut component = wasm("(component (core module))");
    let nested = component.windows(4).rposition(|four| four == MAGIC).unwrap();
    component[nested] = 0xff;
    assert!(matches!(detect(&component), Ok(Kind::Component { .. })));
}

/// The same bytes in every run: a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % bound
    }
}

#[test]
fn mutated_files_never_panic() {
    let seeds = [
        wasm(&format!(r#"(module {PREVIEW1} (memory (export "memory") 1) {START} (data "x"))"#)),
        wasm(&exporting("wasi:http/incoming-handler@0.2.0")),
        wasm(r#"(component (core module (func (export "f"))) (component (import "a" (func))))"#),
    ];
    let mut random = Random(7);
    let mut refused = 0;
    for round in 0..30_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(3) {
                0 => bytes[at] = random.below(256) as u8,
                1 => bytes.insert(at, random.below(256) as u8),
                _ => bytes.truncate(at.max(1)),
            }
        }
        match detect(&bytes) {
            Ok(kind) => drop(kind.describe()),
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty());
            }
        }
    }
    assert!(refused > 1000, "the mutations hardly reach the parser: {refused}");
}
