//! A mounted file: found by its guest path, with the rights of its mount, and nothing of its neighbours.

use crate::run::{check, lines, mount, mounts, run, run_program};
use sampan_app::Program;
use std::fs;
use std::os::unix::fs::symlink;

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

#[test]
fn the_c_library_finds_it() {
    let tree = tree();
    symlink("app.toml", tree.path().join("real/link")).unwrap();
    let grants = mounts([
        mount(tree.path().join("real/link"), "/etc/app.toml", false),
        mount(tree.path().join("data"), "/data", true),
        mount(tree.path().join("real/key.pem"), "/data/conf/key", true),
    ]);
    let args = "cat /etc/app.toml -- append /etc/app.toml ! -- cat /etc/app.toml -- stat /data/conf/key \
                -- cat /data/conf/key -- cat /etc/key.pem -- rm /etc/app.toml -- cat /data/other.txt";
    let output = run("files", grants, &args.split(' ').collect::<Vec<_>>());
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines[..3], ["cat: settings", "append: ok", "cat: settings!"]);
    assert!(lines[3].starts_with("stat: file 6 "), "{lines:?}");
    assert_eq!(lines[4..], ["cat: secret", "cat: NotFound", "rm: ResourceBusy", "cat: other"]);
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
    let output = run_program("files", program, &"cat x -- cat app.toml".split(' ').collect::<Vec<_>>());
    assert_eq!(output.stdout, "cat: here\ncat: settings\n");
}
