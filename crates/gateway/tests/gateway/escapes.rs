//! What must never be served: files outside of the folder, hidden ones, and things that are no files.

use crate::{folder, get, route, router};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use sampan_app::{StaticFolder, Target};
use sampan_gateway::Router;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

fn serve(folder: StaticFolder) -> Router {
    router(&[route("/files/...", Target::Static(folder))])
}

#[test]
fn no_path_leads_out() {
    let dir = sampan_testing::temp_dir();
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    let inside = dir.path().join("public");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(inside.join("a.txt"), "public").unwrap();
    let router = serve(folder(&inside));
    assert_eq!(get(&router, "/files/a.txt").text(), "public");
    let refused = [
        "/files/../secret.txt",
        "/files/%2e%2e/secret.txt",
        "/files/.%2E/secret.txt",
        "/files/sub/../../secret.txt",
        "/files/a.txt%00.png",
        "/files/%00",
        "/files/%",
        "/files/..",
    ];
    for target in refused {
        assert_eq!(get(&router, target).status, 400, "{target}");
    }
    let absolute = format!("/files/{}", dir.path().join("secret.txt").display());
    let encoded = absolute.replace("/", "%2f").replacen("%2ffiles%2f", "/files/", 1);
    let long = format!("/files/{}", "a/".repeat(3000));
    let missing = [
        "/files/%2e%2e%2fsecret.txt",
        "/files/..%2fsecret.txt",
        "/files/..%5csecret.txt",
        "/files/sub%2f..%2f..%2fsecret.txt",
        "/files/%252e%252e/secret.txt",
        "/files//a.txt",
        &absolute,
        &encoded,
        &long,
        &format!("/files/{}", "a".repeat(300)),
    ];
    for target in missing {
        let got = get(&router, target);
        assert_eq!(got.status, 404, "{target}: {}", got.text());
    }
}

#[test]
fn links_are_followed_inside_only() {
    let dir = sampan_testing::temp_dir();
    fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    let inside = dir.path().join("public");
    fs::create_dir_all(inside.join("sub")).unwrap();
    fs::write(inside.join("a.txt"), "public").unwrap();
    let link = |to: &str, name: &str| symlink(to, inside.join(name)).unwrap();
    link("a.txt", "good");
    link("../a.txt", "sub/up");
    link("sub", "folder");
    link("../secret.txt", "out");
    link("..", "parent");
    link("/etc", "etc");
    link("/proc/self/fd", "magic");
    link("loop", "loop");
    symlink(inside.join("a.txt"), inside.join("absolute")).unwrap();
    let router = serve(folder(&inside));
    for target in ["good", "sub/up", "folder/up"] {
        assert_eq!(get(&router, &format!("/files/{target}")).text(), "public", "{target}");
    }
    for target in ["out", "parent/secret.txt", "etc/passwd", "magic/0", "loop", "absolute", "parent/"] {
        assert_eq!(get(&router, &format!("/files/{target}")).status, 404, "{target}");
    }
    // The folder itself may be a link, which a deployment moves.
    symlink(&inside, dir.path().join("current")).unwrap();
    let router = serve(folder(&dir.path().join("current")));
    assert_eq!(get(&router, "/files/a.txt").text(), "public");
    let next = dir.path().join("next");
    fs::create_dir(&next).unwrap();
    fs::write(next.join("a.txt"), "next").unwrap();
    fs::remove_file(dir.path().join("current")).unwrap();
    symlink(&next, dir.path().join("current")).unwrap();
    assert_eq!(get(&router, "/files/a.txt").text(), "next");
}

/// None of them may be waited for: the test would not end.
#[test]
fn only_regular_files() {
    let dir = sampan_testing::temp_dir();
    mknodat(CWD, dir.path().join("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
    fs::create_dir_all(dir.path().join("folder/index.html")).unwrap();
    let router = serve(folder(dir.path()));
    for target in ["fifo", "socket", "folder/", "folder", "folder/index.html", ""] {
        assert_eq!(get(&router, &format!("/files/{target}")).status, 404, "{target}");
    }
}

#[test]
fn hidden_files_do_not_exist() {
    let dir = sampan_testing::temp_dir();
    for name in
        ["a.txt", ".env", ".git/config", "x.php", "private/deep/b.txt", ".well-known/security.txt", "k.KEY"]
    {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "text").unwrap();
    }
    let hide = ["*.php", "private/**", "*.[kK][eE][yY]"].map(String::from).to_vec();
    let router = serve(StaticFolder { hide, ..folder(dir.path()) });
    for target in ["a.txt", ".well-known/security.txt"] {
        assert_eq!(get(&router, &format!("/files/{target}")).status, 200, "{target}");
    }
    let hidden = [
        ".env",
        "%2eenv",
        ".git/config",
        ".git/",
        "x.php",
        "x%2ephp",
        "x.php/",
        "private/deep/b.txt",
        "k.KEY",
    ];
    for target in hidden {
        assert_eq!(get(&router, &format!("/files/{target}")).status, 404, "{target}");
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_sent_breaks_off() {
    use http_body_util::BodyExt;
    use sampan_service::Handler;
    let dir = sampan_testing::temp_dir();
    let path = dir.path().join("large.bin");
    fs::write(&path, vec![1; 1 << 20]).unwrap();
    let router = serve(folder(dir.path()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let request = http::Request::get("/files/large.bin").body(sampan_service::empty()).unwrap();
        let response = router.handle(request).await;
        assert_eq!(response.headers()["content-length"], "1048576");
        let mut body = response.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        fs::File::options().write(true).open(&path).unwrap().set_len(100_000).unwrap();
        let error = loop {
            match body.frame().await.expect("an error before the end") {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("fill whole buffer"), "{error}");
        assert!(body.frame().await.is_none(), "nothing follows an error");
    });
}

#[test]
fn a_folder_that_vanished_is_not_there_and_comes_back() {
    let dir = sampan_testing::temp_dir();
    let public = dir.path().join("public");
    let make = |text: &str| {
        fs::create_dir(&public).unwrap();
        fs::write(public.join("a.txt"), text).unwrap();
    };
    make("one");
    let router = serve(folder(&public));
    fs::remove_dir_all(&public).unwrap();
    assert_eq!(get(&router, "/files/a.txt").status, 404);
    make("two");
    assert_eq!(get(&router, "/files/a.txt").text(), "two");
}

#[test]
fn a_file_without_permission_is_forbidden() {
    if rustix::process::geteuid().is_root() {
        return; // Who may read everything is refused nothing.
    }
    let dir = sampan_testing::temp_dir();
    fs::write(dir.path().join("a.txt"), "a").unwrap();
    fs::set_permissions(dir.path().join("a.txt"), fs::Permissions::from_mode(0o0)).unwrap();
    assert_eq!(get(&serve(folder(dir.path())), "/files/a.txt").status, 403);
}
