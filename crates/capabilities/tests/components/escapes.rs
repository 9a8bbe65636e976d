//! A mounted directory is all that a guest reaches, whatever the path, and a read-only one stays as it is.

use crate::run::{check, engine, lines, mount, mounts, run_module, steps};
use rustix::fs::{Mode, OFlags, RenameFlags};
use sampan_app::{Grants, Program};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use wasmtime::Module;

/// Both versions of wasi:filesystem, which take the same steps.
const GUESTS: [&str; 2] = ["paths-p2", "paths-p3"];

/// A tree with a mounted part, `root`, and a secret beside it that links point at.
fn tree() -> tempfile::TempDir {
    let folder = sampan_testing::temp_dir();
    let path = folder.path();
    fs::create_dir_all(path.join("root/sub")).unwrap();
    fs::create_dir(path.join("outside")).unwrap();
    fs::write(path.join("root/a.txt"), "inside").unwrap();
    fs::write(path.join("root/sub/b.txt"), "below").unwrap();
    fs::write(path.join("outside/secret.txt"), "secret").unwrap();
    symlink(path.join("outside"), path.join("root/absolute")).unwrap();
    symlink("../outside", path.join("root/up")).unwrap();
    symlink("..", path.join("root/parent")).unwrap();
    symlink("sub", path.join("root/fine")).unwrap();
    symlink("/proc/self/root", path.join("root/magic")).unwrap();
    symlink("/proc/self/cwd", path.join("root/cwd")).unwrap();
    folder
}

#[test]
fn no_path_leads_out() {
    for guest in GUESTS {
        let tree = tree();
        let secret = tree.path().join("outside/secret.txt");
        let absolute = secret.to_str().unwrap();
        let magic = format!("magic{absolute}");
        let open = |path: &str| format!("0 open {path} r");
        let paths = [
            absolute,
            "../outside/secret.txt",
            "..",
            "sub/../../outside/secret.txt",
            "./.././outside/secret.txt",
            "absolute/secret.txt",
            "up/secret.txt",
            "parent/outside/secret.txt",
            "fine/../../outside/secret.txt",
            "/etc/passwd",
            "//etc/passwd",
            magic.as_str(),
            "cwd/Cargo.toml",
        ];
        let mut table: Vec<(String, &str)> =
            paths.iter().map(|path| (open(path), "open: NotPermitted")).collect();
        table.push((open("fine/b.txt"), "open: below"));
        table.push((open("sub/../a.txt"), "open: inside"));
        table.push((open("a.txt/../../outside/secret.txt"), "open: NotDirectory"));
        // From a directory below the preopen, its parent is as closed as the preopen's.
        table.push(("0/sub open ../../outside/secret.txt r".to_owned(), "open: NotPermitted"));
        table.push(("0/sub open ../a.txt r".to_owned(), "open: NotPermitted"));
        // Nor do the calls that read or change metadata.
        for (step, answer) in [
            ("0 stat ../outside/secret.txt", "stat: NotPermitted"),
            ("0 stat up/secret.txt", "stat: NotPermitted"),
            ("0 hash absolute/secret.txt", "hash: NotPermitted"),
            ("0 times up/secret.txt", "times: NotPermitted"),
            ("0 readlink ../root/up", "readlink: NotPermitted"),
            ("0 readlink up", "readlink: ../outside"),
            ("0 lstat up", "lstat: SymbolicLink"),
        ] {
            table.push((step.to_owned(), answer));
        }
        let table: Vec<(&str, &str)> = table.iter().map(|(step, answer)| (step.as_str(), *answer)).collect();
        check(guest, mounts([mount(tree.path().join("root"), "/data", false)]), &table);
    }
}

#[test]
fn nothing_that_the_guest_makes_leads_out() {
    for guest in GUESTS {
        let tree = tree();
        let grants = mounts([
            mount(tree.path().join("root"), "/data", false),
            mount(tree.path().join("root/sub"), "/sub", false),
        ]);
        check(
            guest,
            grants,
            &[
                ("0 symlink /etc absolute2", "symlink: NotPermitted"),
                ("0 symlink ../outside own", "symlink: Ok"),
                ("0 open own/secret.txt r", "open: NotPermitted"),
                ("0 open own/new wc", "open: NotPermitted"),
                ("0 link ../outside/secret.txt 0 stolen", "link: NotPermitted"),
                ("0 link up/secret.txt 0 stolen", "link: NotPermitted"),
                ("0 rename ../outside/secret.txt 0 stolen", "rename: NotPermitted"),
                ("0 rename up/secret.txt 0 stolen", "rename: NotPermitted"),
                ("0 rename a.txt 0 ../outside/a.txt", "rename: NotPermitted"),
                ("0 rename a.txt 0 up/a.txt", "rename: NotPermitted"),
                ("0 link a.txt 0 ../outside/a.txt", "link: NotPermitted"),
                ("0 unlink up/secret.txt", "unlink: NotPermitted"),
                ("0 mkdir up/new", "mkdir: NotPermitted"),
                ("0 rmdir ../outside", "rmdir: NotPermitted"),
                ("0 symlink x ../outside/link", "symlink: NotPermitted"),
                // A link that fits where it was made leads out where it is moved to.
                ("0 symlink ../../outside sub/deep", "symlink: Ok"),
                ("1 open deep/secret.txt r", "open: NotPermitted"),
                ("1 symlink b.txt near", "symlink: Ok"),
                ("1 open near r", "open: below"),
                ("0 rename a.txt 1 moved", "rename: Ok"),
                ("1 open moved r", "open: inside"),
            ],
        );
        let outside: Vec<_> = fs::read_dir(tree.path().join("outside")).unwrap().flatten().collect();
        assert_eq!(outside.len(), 1, "{outside:?}");
        assert_eq!(fs::read_to_string(tree.path().join("outside/secret.txt")).unwrap(), "secret");
    }
}

#[test]
fn a_mounted_proc_has_no_way_out() {
    for guest in GUESTS {
        let grants = mounts([mount("/proc/self", "/p", true)]);
        for path in ["root/etc/passwd", "cwd/Cargo.toml", "fd/0", "exe", "task/../root/etc/passwd"] {
            let line = lines(guest, grants.clone(), &[&format!("0 open {path} r")]).remove(0);
            let closed = ["open: NotPermitted", "open: Loop", "open: NoEntry"];
            assert!(closed.contains(&line.as_str()), "{guest}: {path}: {line}");
        }
    }
}

#[test]
fn a_read_only_mount_stays_as_it_is() {
    for guest in GUESTS {
        let tree = tree();
        let before = describe(&tree.path().join("root"));
        let grants = mounts([
            mount(tree.path().join("root"), "/data", true),
            mount(tree.path().join("outside"), "/rw", false),
        ]);
        check(
            guest,
            grants,
            &[
                ("0 open a.txt r", "open: inside"),
                ("0 open a.txt w", "open: NotPermitted"),
                ("0 open a.txt rw", "open: NotPermitted"),
                ("0 open a.txt rt", "open: NotPermitted"),
                ("0 open new rc", "open: NotPermitted"),
                ("0 open new rwce", "open: NotPermitted"),
                ("0/sub open b.txt w", "open: NotPermitted"),
                ("0/sub open new wc", "open: NotPermitted"),
                ("0 mkdir new", "mkdir: NotPermitted"),
                ("0 rmdir sub", "rmdir: NotPermitted"),
                ("0 unlink a.txt", "unlink: NotPermitted"),
                ("0/sub unlink b.txt", "unlink: NotPermitted"),
                ("0 symlink a.txt new", "symlink: NotPermitted"),
                ("0 link a.txt 0 new", "link: NotPermitted"),
                ("0 link a.txt 1 stolen", "link: NotPermitted"),
                ("1 link secret.txt 0 new", "link: NotPermitted"),
                ("0 rename a.txt 0 new", "rename: NotPermitted"),
                ("0 rename a.txt 1 stolen", "rename: NotPermitted"),
                ("1 rename secret.txt 0 new", "rename: NotPermitted"),
                ("0 times a.txt", "times: NotPermitted"),
                ("0 times .", "times: NotPermitted"),
            ],
        );
        assert_eq!(describe(&tree.path().join("root")), before, "{guest}");
    }
}

/// A module of preview 1, whose paths take another way to the same directories.
fn module_lines(grants: Grants, todo: &[&str]) -> Vec<String> {
    let module = Module::from_file(engine(), sampan_testing::guest("files")).expect("a module");
    let args = steps(todo);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = run_module(&module, Program { grants, ..Program::default() }, &args);
    output.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn no_path_of_a_module_leads_out() {
    let tree = tree();
    let secret = tree.path().join("outside/secret.txt");
    let todo = [
        "symlink ../outside /data/own",
        &format!("cat {}", secret.display()),
        "cat /data/../outside/secret.txt",
        "cat /data/sub/../../outside/secret.txt",
        "cat /data/absolute/secret.txt",
        "cat /data/up/secret.txt",
        "cat /data/own/secret.txt",
        "cat /data/parent/outside/secret.txt",
        "cat /data/magic/etc/passwd",
        "cat /etc/passwd",
        "stat /data/up/secret.txt",
        "write /data/up/new x",
        "mkdir /data/up/new",
        "rm /data/up/secret.txt",
        "mv /data/up/secret.txt /data/stolen",
        "mv /data/a.txt /data/up/a.txt",
        "link /data/up/secret.txt /data/stolen",
        "symlink /etc /data/etc",
    ];
    let lines = module_lines(mounts([mount(tree.path().join("root"), "/data", false)]), &todo);
    assert_eq!(lines[0], "symlink: ok");
    for (step, line) in todo.iter().zip(&lines).skip(1) {
        assert!(line.ends_with(": PermissionDenied") || line.ends_with(": NotFound"), "{step}: {line}");
    }
    assert_eq!(fs::read_dir(tree.path().join("outside")).unwrap().count(), 1);
}

#[test]
fn a_read_only_mount_stays_as_it_is_for_a_module() {
    let tree = tree();
    let before = describe(&tree.path().join("root"));
    let todo = [
        "write /data/a.txt x",
        "append /data/a.txt x",
        "create-new /data/new",
        "patch /data/a.txt 0 x",
        "truncate /data/a.txt 0",
        "mkdir /data/new",
        "rm /data/a.txt",
        "rmdir /data/sub",
        "mv /data/a.txt /data/new",
        "mv /data/a.txt /rw/stolen",
        "mv /rw/secret.txt /data/new",
        "link /data/a.txt /data/new",
        "link /data/a.txt /rw/stolen",
        "link /rw/secret.txt /data/new",
        "symlink a.txt /data/new",
        "touch /data/a.txt 1000",
        "cat /data/a.txt",
    ];
    let grants = mounts([
        mount(tree.path().join("root"), "/data", true),
        mount(tree.path().join("outside"), "/rw", false),
    ]);
    let lines = module_lines(grants, &todo);
    let (last, changes) = lines.split_last().unwrap();
    for (step, line) in todo.iter().zip(changes) {
        assert!(line.ends_with(": PermissionDenied"), "{step}: {line}");
    }
    assert_eq!(last, "cat: inside");
    assert_eq!(describe(&tree.path().join("root")), before);
}

/// Names, kinds, sizes and times of everything below a folder.
fn describe(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let data = entry.path().symlink_metadata().unwrap();
        let modified = data.modified().unwrap();
        all.push(format!("{:?} {:?} {} {modified:?}", entry.path(), data.file_type(), data.len()));
        if data.is_dir() {
            all.extend(describe(&entry.path()));
        }
    }
    all.sort();
    all
}

/// Enough for the scheduler of any machine.
const MAX_ROUNDS: usize = 200;

#[test]
fn no_moment_of_a_changing_tree_leads_out() {
    for guest in GUESTS {
        let tree = tree();
        let root = tree.path().join("root");
        fs::create_dir_all(root.join("turn/deep")).unwrap();
        fs::create_dir_all(tree.path().join("outside/deep")).unwrap();
        fs::write(root.join("turn/secret.txt"), "inside").unwrap();
        fs::write(root.join("turn/deep/secret.txt"), "inside").unwrap();
        fs::write(tree.path().join("outside/deep/secret.txt"), "secret").unwrap();
        symlink("../outside", root.join("other")).unwrap();

        let todo =
            ["0 open turn/secret.txt r", "0 open turn/deep/secret.txt r", "0 stat turn/deep/../secret.txt"];
        let todo: Vec<&str> = todo.iter().copied().cycle().take(3000).collect();
        let mut met = BTreeSet::new();
        // The scheduler may leave the tree as it is for a whole round.
        for _round in 0..MAX_ROUNDS {
            let answers = turn_while(&root, || lines(guest, mounts([mount(&root, "/data", false)]), &todo));
            let ends = |answer: &str| answers.iter().any(|line| line.ends_with(answer));
            assert!(!ends("secret"), "a path led out");
            met.extend(["inside", "NotPermitted"].into_iter().filter(|answer| ends(answer)));
            if met.len() == 2 {
                break;
            }
        }
        // Of the folder, and of the link in its place.
        assert_eq!(met.into_iter().collect::<Vec<_>>(), ["NotPermitted", "inside"]);
    }
}

/// Exchanges `turn` and `other` in `root` until `work` is done, so that there is something of the name at
/// every moment.
fn turn_while<T>(root: &Path, work: impl FnOnce() -> T) -> T {
    struct Stop<'a>(&'a AtomicBool);
    impl Drop for Stop<'_> {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let here = rustix::fs::open(root, OFlags::PATH, Mode::empty()).unwrap();
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(&here, "turn", &here, "other", RenameFlags::EXCHANGE).unwrap();
            }
        });
        let _stop_even_if_work_panics = Stop(&stop);
        work()
    })
}
