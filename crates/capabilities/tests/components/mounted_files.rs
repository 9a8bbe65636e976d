//! A mounted file: found by its guest path, with the rights of its mount, and nothing of its neighbours.

use crate::run::{Output, check, engine, lines, mount, mounts, run_module, run_program};
use sampan_app::Program;
use std::fs;
use std::os::unix::fs::symlink;
use wasmtime::Module;

const GUESTS: [&str; 2] = ["paths-p2", "paths-p3"];

/// A directory with a file that is mounted and a neighbour that is not, and a directory to mount.
fn tree() -> tempfile::TempDir {
    let folder = sampan_testing::temp_dir();
    fs::create_dir(folder.path().join("real")).unwrap();
    fs::create_dir_all(folder.path().join("data/conf")).unwrap();
    fs::write(folder.path().join("real/app.toml"), "settings").unwrap();
    fs::write(folder.path().join("real/key.pem"), "secret").unwrap();
    fs::write(folder.path().join("data/other.txt"), "other").unwrap();
    folder
}

#[test]
fn alone_it_lies_in_an_empty_directory() {
    for guest in GUESTS {
        let tree = tree();
        let file = tree.path().join("real/app.toml");
        check(
            guest,
            mounts([mount(&file, "/etc/app/app.toml", true), mount(&file, "/etc/app/again", false)]),
            &[
                ("preopens", "preopens: /etc/app"),
                ("0 open app.toml r", "open: settings"),
                ("0 open ./x/../app.toml r", "open: settings"),
                ("0 open app.toml rn", "open: settings"),
                ("0 open app.toml rw", "open: NotPermitted"),
                ("0 stat app.toml", "stat: 8 bytes"),
                ("0 hash app.toml", "hash: Ok"),
                ("0 times app.toml", "times: NotPermitted"),
                ("0 open again rw", "open: guestngs"),
                ("0 times again", "times: Ok"),
                ("0 open again rwce", "open: Exist"),
                ("0 open again rd", "open: NotDirectory"),
                ("0 open key.pem r", "open: NoEntry"),
                ("0 open ../app/key.pem r", "open: NotPermitted"),
                ("0 open app.toml/../key.pem r", "open: NoEntry"),
                ("0 open again/ r", "open: NoEntry"),
                ("0 open new wc", "open: NotPermitted"),
                ("0 mkdir new", "mkdir: NotPermitted"),
                ("0 unlink again", "unlink: Busy"),
                ("0 rename again 0 new", "rename: Busy"),
                ("0 rename new 0 again", "rename: Busy"),
                ("0 link again 0 new", "link: Busy"),
                ("0 symlink x again", "symlink: Busy"),
                ("0 list", "list: "),
            ],
        );
        assert_eq!(fs::read_to_string(&file).unwrap(), "guestngs");
    }
}

#[test]
fn in_a_mounted_directory_it_is_added_to_what_is_there() {
    for guest in GUESTS {
        let tree = tree();
        let grants = mounts([
            mount(tree.path().join("real/app.toml"), "/data/conf/app.toml", true),
            mount(tree.path().join("data"), "/data", false),
        ]);
        check(
            guest,
            grants,
            &[
                ("preopens", "preopens: /data"),
                ("0 open conf/app.toml r", "open: settings"),
                ("0 open conf/app.toml w", "open: NotPermitted"),
                ("0 open conf/key.pem r", "open: NoEntry"),
                ("0 open other.txt r", "open: other"),
                ("0 open conf/new rwc", "open: guest"),
                // Saving by renaming must not end beside the mounted file, where nobody reads it.
                ("0 rename conf/new 0 conf/app.toml", "rename: Busy"),
            ],
        );
        assert_eq!(fs::read_to_string(tree.path().join("real/app.toml")).unwrap(), "settings");
    }
}

#[test]
fn what_replaces_it_on_the_host_grants_no_more() {
    for guest in GUESTS {
        let tree = tree();
        let file = tree.path().join("real/app.toml");
        let grants = mounts([mount(&file, "/etc/app.toml", false)]);
        fs::remove_file(&file).unwrap();
        fs::write(&file, "new").unwrap();
        check(guest, grants.clone(), &[("0 open app.toml r", "open: new")]);
    }
}

#[test]
fn a_link_in_its_place_is_not_followed() {
    for guest in GUESTS {
        let tree = tree();
        let file = tree.path().join("real/app.toml");
        let grants =
            mounts([mount(&file, "/etc/app.toml", false), mount(tree.path().join("real"), "/real", false)]);
        // The guest swaps the file itself, through a directory that it may write.
        let answers = lines(
            guest,
            grants,
            &[
                "1 open app.toml r",
                "0 unlink app.toml",
                "0 symlink key.pem app.toml",
                "1 open app.toml r",
                "1 open app.toml rwc",
                "1 stat app.toml",
                "0 unlink app.toml",
                "0 mkdir app.toml",
                "1 open app.toml r",
            ],
        );
        assert_eq!(answers[0], "open: settings");
        assert_eq!(answers[3], "open: Loop");
        assert_eq!(answers[4], "open: Loop");
        assert_eq!(answers[5], "stat: 7 bytes", "the link itself");
        assert_eq!(answers[8], "open: IsDirectory");
    }
}

fn files_module() -> Module {
    Module::from_file(engine(), sampan_testing::guest("files")).expect("a module")
}

/// The guest `files`, as a component and as a module of preview 1.
fn run_both(program: &Program, args: &str) -> [Output; 2] {
    let args: Vec<&str> = args.split(' ').collect();
    [run_program("files", program.clone(), &args), run_module(&files_module(), program.clone(), &args)]
}

#[test]
fn the_c_library_finds_it() {
    let tree = tree();
    symlink("app.toml", tree.path().join("real/link")).unwrap();
    let grants = mounts([
        mount(tree.path().join("real/link"), "/etc/app.toml", false),
        mount(tree.path().join("data"), "/data", true),
        mount(tree.path().join("real/key.pem"), "/data/conf/key", true),
    ]);
    let args = "write /etc/app.toml text -- append /etc/app.toml ! -- cat /etc/app.toml \
                -- stat /data/conf/key -- cat /data/conf/key -- write /data/conf/key x -- cat /etc/key.pem \
                -- rm /etc/app.toml -- mv /etc/app.toml /etc/new -- write /etc/new x -- cat /data/other.txt \
                -- touch /etc/app.toml 1000 -- stat /etc/app.toml -- mkdir /etc/app.toml -- ls /etc";
    let program = Program { grants, ..Program::default() };
    for output in run_both(&program, args) {
        let lines: Vec<&str> = output.stdout.lines().collect();
        assert_eq!(lines[..3], ["write: ok", "append: ok", "cat: text!"]);
        assert!(lines[3].starts_with("stat: file 6 "), "{lines:?}");
        let expected = [
            "cat: secret",
            "write: PermissionDenied",
            "cat: NotFound",
            "rm: ResourceBusy",
            "mv: ResourceBusy",
            "write: PermissionDenied",
            "cat: other",
            "touch: ok",
            "stat: file 5 1000",
            "mkdir: ResourceBusy",
            "ls: ",
        ];
        assert_eq!(lines[4..], expected);
    }
}

#[test]
fn the_c_library_meets_what_was_put_in_its_place() {
    let tree = tree();
    let real = tree.path().join("real");
    let grants = mounts([mount(real.join("app.toml"), "/etc/app.toml", false), mount(&real, "/real", false)]);
    let program = Program { grants, ..Program::default() };
    let args = "rm /real/app.toml -- symlink key.pem /real/app.toml -- cat /etc/app.toml \
                -- rm /real/app.toml -- mkdir /real/app.toml -- cat /etc/app.toml -- rmdir /real/app.toml \
                -- write /real/app.toml again -- cat /etc/app.toml";
    for output in run_both(&program, args) {
        let lines: Vec<&str> = output.stdout.lines().collect();
        assert_eq!((lines[2], lines[5]), ("cat: FilesystemLoop", "cat: IsADirectory"));
        assert_eq!(lines[8], "cat: again");
    }
}

#[test]
fn the_working_directory_is_where_relative_paths_begin() {
    let tree = tree();
    fs::write(tree.path().join("data/conf/x"), "here").unwrap();
    let grants = mounts([
        mount(tree.path().join("data"), "/data", true),
        mount(tree.path().join("real/app.toml"), "/data/conf/app.toml", true),
    ]);
    let program = Program { grants, workdir: Some("/data/conf".to_owned()), ..Program::default() };
    for output in run_both(&program, "cat x -- cat app.toml -- cat /data/other.txt -- cat ../other.txt") {
        let lines: Vec<&str> = output.stdout.lines().collect();
        assert_eq!(lines[..3], ["cat: here", "cat: settings", "cat: other"]);
        assert_ne!(lines[3], "cat: other", "the directory above is reached by its own path");
    }
}

/// Exits with the number of preopens that `fd_prestat_get` admits, or 100 and more if a file can be opened
/// through a descriptor beyond them, or if one beyond them can be listed.
const COUNT_PREOPENS: &str = r#"(module
    (import "GENERATION" "fd_prestat_get" (func $prestat (param i32 i32) (result i32)))
    (import "GENERATION" "path_open"
        (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (import "GENERATION" "fd_readdir" (func $list (param i32 i32 i32 i64 i32) (result i32)))
    (import "GENERATION" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (data (i32.const 512) "key.pem")
    (func (export "_start") (local $fd i32) (local $code i32)
        (local.set $fd (i32.const 3))
        (block $end (loop $next
            (br_if $end (call $prestat (local.get $fd) (i32.const 0)))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (br $next)))
        (local.set $code (i32.sub (local.get $fd) (i32.const 3)))
        (loop $beyond
            (if (i32.eqz (call $open (local.get $fd) (i32.const 0) (i32.const 512) (i32.const 7)
                    (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
                (then (call $exit (i32.const 100))))
            (if (i32.eqz (call $list (local.get $fd) (i32.const 1024) (i32.const 1024) (i64.const 0) (i32.const 0)))
                (then (call $exit (i32.const 101))))
            (local.set $fd (i32.add (local.get $fd) (i32.const 1)))
            (br_if $beyond (i32.lt_u (local.get $fd) (i32.const 40))))
        (call $exit (local.get $code))))"#;

#[test]
fn its_real_directory_is_no_descriptor_of_a_module() {
    let tree = tree();
    let grants = mounts([
        mount(tree.path().join("real/app.toml"), "/etc/app.toml", false),
        mount(tree.path().join("data"), "/data", false),
        mount(tree.path().join("real/app.toml"), "/data/app.toml", false),
    ]);
    let program = Program { grants, ..Program::default() };
    for generation in ["wasi_snapshot_preview1", "wasi_unstable"] {
        let text = COUNT_PREOPENS.replace("GENERATION", generation);
        let module = Module::new(engine(), text).expect("a module");
        assert_eq!(run_module(&module, program.clone(), &[]).code, 2, "{generation}: /data and /etc");
    }
}
