//! Command-line tools of Cargo's registry, compiled by this test for preview 1: ripgrep, sd and uutils' coreutils.

use crate::{finish, mount, output, sampan_run};
use sampan_testing::{crate_program, temp_dir};
use std::fs;

/// A folder as people have them: nested, ignored and hidden files, one that is no text.
fn tree() -> tempfile::TempDir {
    let tree = temp_dir();
    let files: [(&str, &[u8]); 6] = [
        ("README", b"A sampan is a boat.\n"),
        ("src/hull.rs", b"fn hull() {}\n// keel, then hull\n"),
        ("src/deep/er/mast.rs", b"fn mast() { hull() }\n"),
        (".gitignore", b"built\n"),
        ("built/hull.o", b"hull\n"),
        ("image", b"\0\x01hull\xff"),
    ];
    for (name, content) in files {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    fs::create_dir(tree.path().join(".git")).unwrap();
    tree
}

fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort();
    lines
}

#[test]
fn ripgrep_searches_a_mount() {
    let Some(bin) = crate_program("ripgrep", "15.2.0", "wasm32-wasip1", &[]) else { return };
    let tree = tree();
    let rg = |args: &[&str]| {
        let mut command = sampan_run([mount(tree.path(), "/tree:ro")]);
        command.arg(bin.join("rg.wasm")).args(args);
        command
    };
    let found = output(&mut rg(&["-n", r"\bhull\b", "/tree"]), "");
    let expected = [
        "/tree/src/deep/er/mast.rs:1:fn mast() { hull() }",
        "/tree/src/hull.rs:1:fn hull() {}",
        "/tree/src/hull.rs:2:// keel, then hull",
    ];
    assert_eq!(lines(&found), expected);
    let files = output(&mut rg(&["--files", "--no-ignore", "-g", "*.{o,rs}", "--sort=path", "/tree"]), "");
    let expected = ["/tree/built/hull.o", "/tree/src/deep/er/mast.rs", "/tree/src/hull.rs"];
    assert_eq!(files.lines().collect::<Vec<_>>(), expected);

    let replaced =
        output(&mut rg(&["-o", "-i", r"(?P<word>BO\w+)", "-r", "[$word]", "-"]), "a boat\nno\nBob\n");
    assert_eq!(replaced, "[boat]\n[Bob]\n");
    let nothing = finish(&mut rg(&["rudder", "/tree"]), "");
    assert_eq!((nothing.code, &*nothing.stdout, &*nothing.stderr), (1, "", ""));
    let outside = finish(&mut rg(&["root", "/etc/passwd"]), "");
    assert_eq!((outside.code, &*outside.stdout), (2, ""), "{outside:?}");
    assert!(outside.stderr.contains("/etc/passwd"), "{outside:?}");
}

#[test]
fn sd_replaces_in_streams_and_files() {
    let Some(bin) = crate_program("sd", "1.0.0", "wasm32-wasip1", &[]) else { return };
    let mut command = sampan_run([""; 0]);
    command.arg(bin.join("sd.wasm")).args([r"(\w+), (\w+)", "$2 $1"]);
    assert_eq!(output(&mut command, "hull, sampan\nmast\n"), "sampan hull\nmast\n");
}

/// 24 of coreutils' programs.
const UTILITIES: &str = "base32,base64,basename,cat,comm,cp,cut,dirname,echo,head,join,ls,mkdir,mv,nl,od,printf,\
                         rm,seq,sha256sum,sort,tr,uniq,wc";

#[test]
fn coreutils_read_and_change_a_mount() {
    let flags = ["--no-default-features", "--features", UTILITIES];
    let Some(bin) = crate_program("coreutils", "0.12.0", "wasm32-wasip1", &flags) else { return };
    let tree = tree();
    // At the root, because `cp -r` and `mkdir -p` ask for every folder from there.
    let run = |line: &str, input: &str| {
        let mut command = sampan_run([mount(tree.path(), "/")]);
        let finished = finish(command.arg(bin.join("coreutils.wasm")).args(line.split(' ')), input);
        (finished.code, finished.stdout, finished.stderr)
    };
    let cases = [
        ("base32", "oar", "N5QXE===\n"),
        ("base64 -d", "b2Fy", "oar"),
        ("basename /a/b.rs .rs", "", "b\n"),
        ("cat -n - /README", "one\n", "     1\tone\n     2\tA sampan is a boat.\n"),
        ("comm -12 - /.gitignore", "built\nzinc\n", "built\n"),
        ("cut -d, -f2", "a,b\nc,d\n", "b\nd\n"),
        ("dirname /a/b.rs", "", "/a\n"),
        ("echo -n one two", "", "one two"),
        ("head -n 1 /src/hull.rs", "", "fn hull() {}\n"),
        ("join - /.gitignore", "built 1\n", "built 1\n"),
        ("ls -a /src", "", ".\n..\ndeep\nhull.rs\n"),
        ("nl", "a\n", "     1\ta\n"),
        ("od -An -tx1", "boat", " 62 6f 61 74\n"),
        ("printf %03d|%s 7 oar", "", "007|oar"),
        ("seq 8 2 12", "", "8\n10\n12\n"),
        ("sort -n -r", "1\n10\n9\n", "10\n9\n1\n"),
        ("tr a-z A-Z", "boat", "BOAT"),
        ("uniq -c", "a\na\nb\n", "      2 a\n      1 b\n"),
        ("wc -l -c /README", "", " 1 20 /README\n"),
    ];
    for (line, input, expected) in cases {
        assert_eq!(run(line, input), (0, expected.to_owned(), String::new()), "{line}");
    }
    let (_, sum, _) = run("sha256sum /README", "");
    assert_eq!(sum, "5c8e81bf145a35f20f2f6d235162898d436041cc9154d373c98926814877e9f1  /README\n");

    // Those that change files.
    for line in ["mkdir -p /new/er", "cp -r /src /new/copy", "mv /README /new/README"] {
        assert_eq!(run(line, ""), (0, String::new(), String::new()), "{line}");
    }
    let copied = |name: &str| fs::read_to_string(tree.path().join("new").join(name)).unwrap();
    assert_eq!(copied("copy/deep/er/mast.rs"), "fn mast() { hull() }\n");
    assert_eq!(copied("README"), "A sampan is a boat.\n");
    assert_eq!(run("rm -r /new", "").0, 0);
    assert!(!tree.path().join("new").exists() && !tree.path().join("README").exists());

    let (code, out, said) = run("cat /../etc/passwd", "");
    assert_eq!((code, &*out), (1, ""));
    assert!(said.contains("/../etc/passwd"), "{said}");
}
