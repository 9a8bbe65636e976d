//! Reports of small files written here, what hostile ones may do to a report and a terminal, and its layout.

use super::*;
use crate::artifact::Native as NativeCode;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;
use std::fmt::Write;

fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn report(text: &str) -> Report {
    inspect(&wasm(text), &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// A custom section with a name and contents.
fn custom(name: &str, contents: &[u8]) -> Vec<u8> {
    let size = 1 + name.len() + contents.len();
    assert!(size < 1 << 14 && name.len() < 128);
    let mut out = vec![0, (size & 0x7f) as u8 | 0x80, (size >> 7) as u8, name.len() as u8];
    out.extend(name.as_bytes());
    out.extend(contents);
    out
}

/// Names and types, one a line, what is inside indented.
fn listing(items: &[Item]) -> String {
    let mut out = String::new();
    for item in items {
        let _ = writeln!(out, "{}: {}", item.name, item.ty.as_deref().unwrap_or(item.kind));
        for line in listing(&item.items).lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    out
}

#[test]
fn modules() {
    let report = report(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))
            (import "env" "memory" (memory 2 4))
            (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
            (import "env" "g" (global (mut i64)))
            (table (export "table") 1 2 funcref)
            (func (export "_start"))
            (func (export "two") (param f64) (result i32 i64) unreachable)
            (func $s) (start $s))"#,
    );
    assert_eq!((report.kind, &*report.description), ("command", "a command for WASI preview 1"));
    assert!(report.start_section);
    assert_eq!(
        listing(&report.imports),
        "wasi_snapshot_preview1: module\n  fd_write: func(i32, i32, i32, i32) -> i32\n  proc_exit: func(i32)\n\
         env: module\n  memory: memory(2..4 pages)\n  g: global(mut i64)\n"
    );
    assert_eq!(
        listing(&report.exports),
        "table: table(1..2 funcref)\n_start: func()\ntwo: func(f64) -> (i32, i64)\n"
    );
    let memory =
        Memory { minimum_bytes: 131_072, maximum_bytes: Some(262_144), shared: false, memory64: false };
    assert_eq!(report.memories, [memory]);
    let code = report.sections.iter().find(|section| section.name == "code").unwrap();
    assert_eq!(code.count, Some(3));
    assert_eq!(report.notes, [""; 0]);
}

#[test]
fn components() {
    let report = report(
        r#"(component
            (import "acme:shop/store@1.0.0" (instance
                (export "item" (type $item (sub resource)))
                (type $record (record (field "name" string) (field "tags" (list string))))
                (export "entry" (type $entry (eq $record)))
                (type $result (result (own $item) (error string)))
                (export "[method]item.open"
                    (func (param "self" (borrow $item)) (param "e" $entry) (result $result)))
                (export "find" (func (result (option $entry))))))
            (core module $m (func (export "f") (param i32) (result i32) local.get 0))
            (core instance $i (instantiate $m))
            (func $f (param "x" u32) (result u32) (canon lift (core func $i "f")))
            (export "twice" (func $f)))"#,
    );
    assert_eq!((&*report.description, &*report.notes), ("a component (exports twice)", &[][..]));
    assert_eq!(
        listing(&report.imports),
        "acme:shop/store@1.0.0: instance\n  item: resource\n  entry: record { name: string, tags: list<string> }\n  \
         [method]item.open: func(self: borrow<item>, e: entry) -> result<item, string>\n  \
         find: func() -> option<entry>\n"
    );
    assert_eq!(listing(&report.exports), "twice: func(x: u32) -> u32\n");
    let nested: Vec<_> = report.nested.iter().map(|one| (one.kind, one.depth, &one.name)).collect();
    assert_eq!(nested, [("module", 1, &Some("m".to_owned()))]);
    assert!(report.nested[0].sections.iter().any(|section| section.name == "code"));
}

#[test]
fn async_functions_streams_and_the_other_types() {
    let report = report(
        r#"(component (import "a" (instance
            (type $enum (enum "x" "y"))
            (export "e" (type $e (eq $enum)))
            (type $variant (variant (case "n") (case "v" f32)))
            (export "v" (type $v (eq $variant)))
            (export "f" (func async
                (param "s" (stream u8)) (param "t" (future)) (result (tuple bool char))))
            (export "g" (func (param "a" $v) (result (result))))
            (export "h" (func (result (result (error $e))))))))"#,
    );
    assert_eq!(
        listing(&report.imports[0].items),
        "e: enum { x, y }\n\
         v: variant { n, v: f32 }\n\
         f: async func(s: stream<u8>, t: future) -> tuple<bool, char>\n\
         g: func(a: v) -> result\n\
         h: func() -> result<_, e>\n"
    );
}

#[test]
fn who_made_it() {
    let mut bytes =
        wasm(r#"(module (@producers (language "Rust" "") (processed-by "rustc" "1.95.0 (abc)")))"#);
    bytes.extend(custom("target_features", b"\x02+\x04simd-\x03old"));
    bytes.extend(custom(".debug_info", &[0; 100]));
    bytes.extend(custom(".debug_line", &[0; 20]));
    let report = inspect(&bytes, &[]).unwrap();
    let producers: Vec<_> =
        report.producers.iter().map(|one| (&*one.role, &*one.name, &*one.version)).collect();
    assert_eq!(producers, [("language", "Rust", ""), ("processed-by", "rustc", "1.95.0 (abc)")]);
    assert_eq!(report.target_features, ["simd"]);
    assert_eq!(report.debug.dwarf_bytes, 120);
    let text = render_text(&report, 80);
    assert!(text.contains("Made with   rustc 1.95.0\n"), "{text}");

    let script = r#"(module (import "env" "abort" (func (param i32 i32 i32 i32))))"#;
    assert_eq!(self::report(script).language_guess, Some("AssemblyScript"));
    assert_eq!(self::report(r#"(module (import "env" "abort" (func)))"#).language_guess, None);
    let mut go = wasm(r#"(module (func $f (export "f")))"#);
    go.extend(custom("go:buildid", b"x"));
    let report = inspect(&go, &[]).unwrap();
    assert_eq!(report.language_guess, Some("Go"));
    assert!(report.debug.function_names, "the text format gave $f a name");
    // Who says it is believed.
    go.extend(custom("producers", b"\x01\x08language\x01\x02Go\x041.27"));
    assert_eq!(inspect(&go, &[]).unwrap().language_guess, None);
}

#[track_caller]
fn check_grants(text: &str, expected: &[(&str, &str)]) {
    let report = report(text);
    let grants: Vec<_> = report.grants.iter().map(|grant| (grant.flag, grant.imports.join(","))).collect();
    let expected: Vec<_> = expected.iter().map(|(flag, imports)| (*flag, imports.to_string())).collect();
    assert_eq!(grants, expected, "{text}");
}

#[test]
fn grants_are_guessed() {
    let preview1 = |names: &[&str]| {
        let imports: String = names
            .iter()
            .map(|name| format!(r#"(import "wasi_snapshot_preview1" "{name}" (func))"#))
            .collect();
        format!("(module {imports})")
    };
    check_grants(&preview1(&["fd_write", "fd_prestat_get", "proc_exit", "my_sock_connect"]), &[]);
    check_grants(
        &preview1(&["path_open", "fd_readdir", "path_rename", "path_link", "environ_get"]),
        &[("-v HOST:GUEST[:ro]", "path_open,fd_readdir,path_rename"), ("-e NAME=VALUE", "environ_get")],
    );
    check_grants(
        &preview1(&["sock_listen", "sock_connect_v2", "sock_send_to"]),
        &[
            ("-p HOST:GUEST", "sock_listen"),
            ("--allow-tcp HOST:PORT", "sock_connect_v2"),
            ("--allow-udp HOST:PORT", "sock_send_to"),
        ],
    );
    check_grants(
        r#"(module (import "wasi_unstable" "path_open" (func)) (import "wasi_experimental_http" "req" (func)))"#,
        &[("-v HOST:GUEST[:ro]", "path_open"), ("--allow-http ORIGIN", "wasi_experimental_http")],
    );
    let component = |interface: &str, function: &str| {
        format!(r#"(component (import "{interface}" (instance (export "{function}" (func)))))"#)
    };
    check_grants(
        &component("wasi:http/outgoing-handler@0.2.6", "handle"),
        &[("--allow-http ORIGIN", "handle")],
    );
    check_grants(&component("wasi:http/client@0.3.0", "send"), &[("--allow-http ORIGIN", "send")]);
    check_grants(&component("wasi:cli/environment@0.2.0", "get-arguments"), &[]);
    check_grants(
        &component("wasi:cli/environment@0.3.0", "get-environment"),
        &[("-e NAME=VALUE", "get-environment")],
    );
    check_grants(&component("acme:http/client@0.3.0", "send"), &[]);
    check_grants(
        r#"(component (import "wasi:sockets/tcp@0.2.0" (instance
            (export "tcp-socket" (type (sub resource))) (type (borrow 0))
            (export "[method]tcp-socket.start-connect" (func (param "self" 1))))))"#,
        &[("--allow-tcp HOST:PORT", "tcp-socket.start-connect")],
    );
}

#[test]
fn grants_of_apps_are_guessed() {
    let component =
        |interface: &str| format!(r#"(component (import "{interface}" (instance (export "f" (func)))))"#);
    for (interface, needs) in [
        ("wasi:keyvalue/store@0.2.0-draft2", Need::Keyvalue),
        ("spin:key-value/key-value@3.0.0", Need::Keyvalue),
        ("fermyon:spin/sqlite@2.0.0", Need::Sql),
        ("spin:postgres/postgres@4.2.0", Need::Postgres),
        ("fermyon:spin/mysql", Need::Mysql),
        ("spin:redis/redis@3.0.0", Need::Redis),
        ("spin:mqtt/mqtt@3.0.0", Need::Mqtt),
        ("wasi:config/store@0.2.0-rc.1", Need::Variables),
    ] {
        let report = report(&component(interface));
        let found: Vec<_> = report.grants.iter().map(|grant| grant.needs).collect();
        assert_eq!(found, [needs], "{interface}");
        assert_eq!(unknown_imports(&report), Vec::<&str>::new());
    }
    check_grants(
        &component("wasi:messaging/producer@0.2.0-draft").replace("\"f\"", "\"send\""),
        &[("grant.messaging", "send")],
    );
    // A handler of messages asks them for their data, and publishes none.
    check_grants(&component("wasi:messaging/types@0.2.0-draft"), &[]);
    // Types alone are not called.
    let types =
        r#"(component (import "spin:redis/redis@3.0.0" (instance (export "c" (type (sub resource))))))"#;
    assert_eq!(report(types).grants, []);
    // What Spin's SDKs 3 to 5 make: a core module that imports interfaces.
    let module = r#"(module
        (import "fermyon:spin/key-value@2.0.0" "[method]store.get" (func))
        (import "wasi:http/outgoing-handler@0.2.0" "handle" (func))
        (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func))
        (import "acme:log/log" "log" (func)))"#;
    let report = report(module);
    let found: Vec<_> = report.grants.iter().map(|grant| grant.needs).collect();
    assert_eq!(found, [Need::Files, Need::Http, Need::Keyvalue]);
    assert_eq!(unknown_imports(&report), ["acme:log/log"]);
}

#[test]
fn threads_are_noted() {
    let report = report(
        r#"(module (import "wasi" "thread-spawn" (func (param i32) (result i32)))
            (import "env" "memory" (memory 1 2 shared)))"#,
    );
    assert!(report.notes[0].contains("wasi-threads"), "{:?}", report.notes);
    assert!(report.memories[0].shared);
}

#[test]
fn native_code_is_shown_with_its_signature() {
    let key =
        Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref())
            .unwrap();
    let code = NativeCode {
        target: "x86_64-unknown-linux-gnu",
        profile: "program",
        settings: "O2",
        engine: "wasmtime-48.0.8",
        payload: b"code",
    };
    let body = wasm(r#"(module (func (export "_start")))"#);
    let mut bytes = artifact::append(&body, &code, &key).unwrap();
    bytes.extend(custom("wasmedge", b"\x03\x01\x02rest"));
    // Another tool came later, so the code is no longer of this wasm.
    let public = PublicKey::of(&key);
    let report = inspect(&bytes, &[public]).unwrap();
    assert_eq!(report.native[0].maker, "wasmedge");
    assert_eq!(report.native[0].target, "aarch64 linux (format 3)");
    assert!(!report.native[0].trusted && !report.native[1].trusted);
    assert!(report.native[1].problem.as_ref().unwrap().contains("different WebAssembly"));

    let bytes = artifact::append(&body, &code, &key).unwrap();
    let [trusted] = &inspect(&bytes, &[public]).unwrap().native[..] else { panic!() };
    assert!(trusted.trusted && trusted.problem.is_none());
    assert_eq!(trusted.signed.as_ref().unwrap().key_id, public.id().to_string());
    let report = inspect(&bytes, &[]).unwrap();
    assert!(!report.native[0].trusted);
    assert!(render_text(&report, 80).contains("which is not trusted here"), "{}", render_text(&report, 80));
    assert_eq!(report.wasm_sha256, inspect(&body, &[]).unwrap().wasm_sha256);

    let of = artifact::wasm_digest(&body);
    let beside = artifact::append_to(artifact::EMPTY_MODULE, &of, &code, &key).unwrap();
    let report = inspect(&beside, &[public]).unwrap();
    assert_eq!(report.kind, "artifact");
    assert!(report.native[0].trusted);
}

#[test]
fn an_invalid_file_still_shows_names() {
    let mut bytes = wasm(r#"(module (import "a" "b" (func)) (func (export "f")))"#);
    // The type index of the import.
    let at = bytes.windows(3).position(|three| three == b"\x01b\0").unwrap() + 3;
    bytes[at] = 9;
    let report = inspect(&bytes, &[]).unwrap();
    assert_eq!(listing(&report.imports), "a: module\n  b: func\n");
    assert!(report.notes[0].contains("not valid"), "{:?}", report.notes);
    assert_eq!(inspect(b"{}", &[]), Err(DetectError::NotWasm(detect::Guess::Json)));
    let cut = &wasm("(component (core module (func)))");
    assert!(matches!(inspect(&cut[..cut.len() - 1], &[]), Err(DetectError::Truncated { .. })));
}

#[test]
fn hostile_names_and_numbers_stay_bounded() {
    let imports: String = (0..6_000).map(|n| format!(r#"(import "m" "f{n}" (func))"#)).collect();
    let report = self::report(&format!("(module {imports})"));
    assert_eq!(report.imports[0].items.len(), 5_000);
    assert_eq!(report.left_out, 1_000);
    assert!(render_text(&report, 80).contains("1000 entries more were left out"));

    let many: String = (0..300).map(|_| "(core module)").collect();
    let report = self::report(&format!("(component {many})"));
    assert_eq!((report.nested.len(), report.left_out), (200, 100));

    // Each type holds the one before it twice: its text would have 2^15 parts.
    let doubling: String = (0..15).map(|n| format!("(type $t{} (tuple $t{n} $t{n}))", n + 1)).collect();
    let report = self::report(&format!(
        r#"(component (import "i" (instance (type $t0 string) {doubling} (export "f" (func (result $t15))))))"#
    ));
    let ty = report.imports[0].items[0].ty.clone().unwrap_or_default();
    assert!(ty.len() < 1_000 && ty.contains('…'), "{ty}");

    let report = self::report(r#"(module (func (export "\1b[31mred\n\e2\80\ae")))"#);
    let text = render_text(&report, 80);
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains(r"\u{1b}[31mred\n\u{202e}"), "{text}");
}

#[test]
fn text_fits_the_terminal() {
    let text = render_text(
        &report(
            r#"(component
                (import "acme:shop/a-rather-long-interface-name@1.0.0" (instance
                    (export "one-function-with-a-long-name" (func))
                    (export "another-function-with-a-long-name" (func))))
                (core module $m (func (export "f") (param i32 i32)))
                (core instance $i (instantiate $m))
                (func $f (param "a-long-name" u32) (param "another-long-name" u32)
                    (canon lift (core func $i "f")))
                (export "a-function-name" (func $f)))"#,
        ),
        60,
    );
    let (body, sizes) = text.split_once("Size by section\n").unwrap();
    let (_, lists) = body.split_once("\n\n").unwrap();
    assert_eq!(
        lists,
        "\
Imports
  acme:shop/a-rather-long-interface-name@1.0.0
    one-function-with-a-long-name,
    another-function-with-a-long-name

Exports
  a-function-name  func(a-long-name: u32, another-long-name:
                   u32)

"
    );
    assert!(sizes.lines().all(|line| line.starts_with("  ")), "{sizes}");
    for width in [0, 40, 60, 80, 200] {
        let text = render_text(&report(r#"(module (func (export "_start")))"#), width);
        let longest = text.lines().filter(|line| !line.contains("SHA-256")).map(str::len).max();
        assert!(longest <= Some(width.max(76)), "{width}: {text}");
    }
}

#[test]
fn json_has_the_same_facts() {
    let json = serde_json::to_value(report(
        r#"(module (import "m" "f" (func (param i64))) (memory 1) (func (export "_start")))"#,
    ))
    .unwrap();
    assert_eq!(json["kind"], "command");
    assert_eq!(json["imports"][0]["items"][0]["type"], "func(i64)");
    assert_eq!(json["memories"][0]["minimum_bytes"], 65_536);
    assert_eq!(json["exports"][0]["name"], "_start");
}

#[test]
fn mutated_files_never_panic() {
    let mut made = wasm(
        r#"(module (@producers (language "Rust" "1")) (import "a" "b" (func)) (memory 1 2)
        (table 1 funcref) (func $n (export "_start")) (data "x"))"#,
    );
    made.extend(custom("target_features", b"\x02+\x04simd-\x03old"));
    made.extend(custom("wasmedge", b"\x03\x01\x02rest"));
    let component = wasm(
        r#"(component (import "i" (instance (export "r" (type (sub resource))) (type (list 0))))
            (core module $m (func (export "f"))) (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f"))) (export "twice" (func $f)))"#,
    );
    let seeds = [made, component];
    let mut state = 3_u64;
    let mut below = |bound: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % bound
    };
    let (mut read, mut refused) = (0, 0);
    for round in 0..20_000 {
        let mut bytes = seeds[round % seeds.len()].clone();
        for _ in 0..=below(3) {
            let at = below(bytes.len());
            match below(3) {
                0 => bytes[at] = below(256) as u8,
                1 => bytes.insert(at, below(256) as u8),
                _ => drop(bytes.remove(at)),
            }
        }
        match inspect(&bytes, &[]) {
            Ok(report) => {
                read += 1;
                assert!(render_text(&report, 80).len() < 100_000);
            }
            Err(_) => refused += 1,
        }
    }
    assert!(read > 1000 && refused > 1000, "one-sided: {read} read, {refused} refused");
}

#[test]
fn a_module_that_is_wrapped_shows_the_interfaces_of_the_component() {
    let bytes = std::fs::read(sampan_testing::guest("spin-inbound")).expect("the guest");
    let found = inspect(&bytes, &[]).expect("a report");
    assert_eq!(found.kind, "unwrapped-component");
    let names = |items: &[Item]| items.iter().map(|item| item.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found.exports), ["fermyon:spin/inbound-http"]);
    assert!(names(&found.imports).contains(&"fermyon:spin/http".to_owned()), "{:?}", found.imports);
    assert!(found.grants.iter().any(|grant| grant.flag == "--allow-http ORIGIN"), "{:?}", found.grants);
    assert!(found.notes.iter().any(|note| note.contains("wrapped")), "{:?}", found.notes);

    let old = report(r#"(module (func (export "handle-http-request")))"#);
    assert!(old.notes.iter().any(|note| note.starts_with("It cannot be loaded: ")), "{:?}", old.notes);
}
