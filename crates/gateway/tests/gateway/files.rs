//! Static folders: what is sent for a file, whole, in part, compressed, or not at all.

use crate::{Got, ask, folder, get, get_with, route, router};
use async_compression::tokio::write::{BrotliDecoder, GzipDecoder};
use sampan_app::{StaticFolder, Target};
use sampan_gateway::Router;
use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tokio::io::AsyncWriteExt;

/// Long ago enough that a file's time identifies its content.
fn settle(path: &Path, seconds_ago: u64) {
    let then = SystemTime::now() - Duration::from_secs(seconds_ago);
    File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
}

/// A folder with these files, an hour old.
fn site(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let dir = sampan_testing::temp_dir();
    for (name, bytes) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        settle(&path, 3600);
    }
    dir
}

fn serve(dir: &Path) -> Router {
    router(&[route("/...", Target::Static(folder(dir)))])
}

fn unpack(got: &Got) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let plain = runtime.block_on(async {
        match got.header("content-encoding") {
            "br" => {
                let mut decoder = BrotliDecoder::new(Vec::new());
                decoder.write_all(&got.body).await.unwrap();
                decoder.shutdown().await.unwrap();
                decoder.into_inner()
            }
            "gzip" => {
                let mut decoder = GzipDecoder::new(Vec::new());
                decoder.write_all(&got.body).await.unwrap();
                decoder.shutdown().await.unwrap();
                decoder.into_inner()
            }
            other => panic!("encoded as `{other}`"),
        }
    });
    String::from_utf8(plain).unwrap()
}

#[test]
fn a_file_and_what_is_said_about_it() {
    let dir = site(&[("a.txt", b"ahoy"), ("empty.css", b""), ("d/index.html", b"<h1>d</h1>")]);
    let router = serve(dir.path());
    let got = get(&router, "/a.txt");
    assert_eq!((got.status, got.text().as_str(), got.header("content-length")), (200, "ahoy", "4"));
    assert_eq!(got.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(got.header("x-content-type-options"), "nosniff");
    assert_eq!((got.header("accept-ranges"), got.header("vary")), ("bytes", "accept-encoding"));
    assert!(got.header("etag").starts_with('"') && got.header("last-modified").ends_with(" GMT"));
    assert_eq!((&*got.served.route, &*got.served.to), ("/...", "static"));

    let head = ask(&router, "HEAD", "/a.txt", &[], "");
    assert_eq!((head.status, head.text().as_str(), head.header("content-length")), (200, "", "4"));
    assert_eq!(head.header("etag"), got.header("etag"));
    let got = get(&router, "/empty.css");
    assert_eq!((got.status, got.body.len(), got.header("content-length")), (200, 0, "0"));
    let got = get(&router, "/d/");
    assert_eq!((got.text().as_str(), got.header("content-type")), ("<h1>d</h1>", "text/html; charset=utf-8"));
    for target in ["/none.txt", "/a.txt/", "/a.txt/b", "/", "/d/none/", "//a.txt", "/d//index.html", "/A.TXT"]
    {
        assert_eq!(get(&router, target).status, 404, "{target}");
    }
}

#[test]
fn other_methods_are_not_for_files() {
    let dir = site(&[("a.txt", b"ahoy")]);
    let router = serve(dir.path());
    for method in ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"] {
        let got = ask(&router, method, "/a.txt", &[], "x");
        assert_eq!((got.status, got.header("allow")), (405, "GET, HEAD, OPTIONS"), "{method}");
    }
    let got = ask(&router, "OPTIONS", "/a.txt", &[], "");
    assert_eq!((got.status, got.header("allow")), (204, "GET, HEAD, OPTIONS"));
}

#[test]
fn a_folder_without_its_slash_leads_to_the_one_with_it() {
    let dir = site(&[("d/index.html", b"d"), ("d e/index.html", b"e"), ("bare/x.txt", b"x")]);
    let router = serve(dir.path());
    let table =
        [("/d", 308, "/d/"), ("/d?a=b&c", 308, "/d/?a=b&c"), ("/d%20e", 308, "/d%20e/"), ("/bare", 404, "")];
    for (target, status, location) in table {
        let got = get(&router, target);
        assert_eq!((got.status, got.header("location")), (status, location), "{target}");
    }
    // Behind a prefix, the prefix stays.
    let router = router_at("/files/...", dir.path());
    assert_eq!(get(&router, "/files/d").header("location"), "/files/d/");
    assert_eq!(get(&router, "/files/d/").text(), "d");
    // A route without a wildcard is for the one file of its name.
    let router = router_at("/bare/x.txt", dir.path());
    assert_eq!(get(&router, "/bare/x.txt").text(), "x");
}

fn router_at(path: &str, dir: &Path) -> Router {
    router(&[route(path, Target::Static(folder(dir)))])
}

#[test]
fn ranges() {
    let dir = site(&[("a.bin", &Vec::from_iter(0..100)), ("big.txt", &[b'x'; 300_000])]);
    let router = serve(dir.path());
    let etag = get(&router, "/a.bin").header("etag").to_owned();
    let range = |value: &str| get_with(&router, "/a.bin", &[("range", value)]);
    let table = [
        ("bytes=0-9", "bytes 0-9/100", 0..10),
        ("bytes=90-", "bytes 90-99/100", 90..100),
        ("bytes=-5", "bytes 95-99/100", 95..100),
        ("bytes=50-1000", "bytes 50-99/100", 50..100),
    ];
    for (value, content_range, bytes) in table {
        let got = range(value);
        assert_eq!((got.status, got.header("content-range")), (206, content_range), "{value}");
        assert_eq!(got.body, Vec::from_iter(bytes), "{value}");
        assert_eq!((got.header("etag"), got.header("content-length").parse()), (&*etag, Ok(got.body.len())));
    }
    for value in ["bytes=9-0", "bytes=0-1,5-6", "lines=1-2", "nonsense"] {
        assert_eq!((range(value).status, range(value).body.len()), (200, 100), "{value}");
    }
    let got = range("bytes=100-");
    assert_eq!((got.status, got.header("content-range")), (416, "bytes */100"));
    // If-Range: only if the part is of the same content.
    let modified = get(&router, "/a.bin").header("last-modified").to_owned();
    for (value, status) in
        [(&*etag, 206), (&*modified, 206), ("\"old\"", 200), ("Thu, 01 Jan 1970 00:00:00 GMT", 200)]
    {
        let got = get_with(&router, "/a.bin", &[("range", "bytes=0-0"), ("if-range", value)]);
        assert_eq!(got.status, status, "{value}");
    }
    // HEAD has no parts; parts are never compressed.
    assert_eq!(ask(&router, "HEAD", "/a.bin", &[("range", "bytes=0-9")], "").status, 200);
    let got = get_with(&router, "/big.txt", &[("range", "bytes=1000-200999"), ("accept-encoding", "br")]);
    assert_eq!((got.status, got.body.len(), got.header("content-encoding")), (206, 200_000, ""));
}

#[test]
fn what_a_client_has_is_not_sent_again() {
    let dir = site(&[("a.txt", &[b'a'; 1000])]);
    let router = serve(dir.path());
    let first = get(&router, "/a.txt");
    let (etag, modified) = (first.header("etag"), first.header("last-modified"));
    let table = [
        (("if-none-match", etag), 304),
        (("if-none-match", "\"other\""), 200),
        (("if-modified-since", modified), 304),
        (("if-modified-since", "Thu, 01 Jan 1970 00:00:00 GMT"), 200),
        (("if-match", "\"other\""), 412),
        (("if-match", etag), 200),
        (("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"), 412),
    ];
    for (header, status) in table {
        let got = get_with(&router, "/a.txt", &[header]);
        assert_eq!(got.status, status, "{header:?}");
        if status == 304 {
            assert_eq!((got.body.len(), got.header("etag"), got.header("content-length")), (0, etag, ""));
            assert_eq!(got.header("vary"), "accept-encoding");
        }
    }
    // Each coding is a content of its own.
    let packed = get_with(&router, "/a.txt", &[("accept-encoding", "gzip")]);
    let packed_tag = packed.header("etag").to_owned();
    assert!(packed_tag.starts_with("W/") && packed_tag != format!("W/{etag}"), "{packed_tag}");
    let again = [("accept-encoding", "gzip"), ("if-none-match", &*packed_tag)];
    assert_eq!(get_with(&router, "/a.txt", &again).status, 304);
    assert_eq!(get_with(&router, "/a.txt", &again[1..]).status, 200);
    // New content, new tag.
    fs::write(dir.path().join("a.txt"), "new").unwrap();
    let got = get_with(&router, "/a.txt", &[("if-none-match", etag)]);
    assert_eq!((got.status, got.text().as_str()), (200, "new"));
    assert!(got.header("etag").starts_with("W/"), "it may change again within the clock's tick");
}

#[test]
fn texts_are_compressed_while_they_are_read() {
    let long: String = (0..40_000).map(|number| format!("line {number}\n")).collect();
    let huge = "0123456789".repeat(150_000);
    let files: &[(&str, &[u8])] = &[
        ("long.txt", long.as_bytes()),
        ("short.txt", b"short"),
        ("huge.txt", huge.as_bytes()),
        ("a.png", &[b'p'; 5000]),
    ];
    let dir = site(files);
    let router = serve(dir.path());
    for (accept, coding) in [("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0.1, gzip", "gzip"), ("*", "br")] {
        let got = get_with(&router, "/long.txt", &[("accept-encoding", accept)]);
        assert_eq!((got.status, got.header("content-encoding")), (200, coding), "{accept}");
        assert_eq!((got.header("vary"), got.header("content-length")), ("accept-encoding", ""));
        assert!(got.body.len() < long.len() / 3 && unpack(&got) == long, "{accept}");
        let head = ask(&router, "HEAD", "/long.txt", &[("accept-encoding", accept)], "");
        assert_eq!((head.header("content-encoding"), head.header("etag")), (coding, got.header("etag")));
        assert_eq!((head.body.len(), head.header("content-length")), (0, ""));
    }
    let plain =
        [("/long.txt", "identity"), ("/long.txt", ""), ("/long.txt", "gzip;q=0"), ("/short.txt", "br")];
    for (target, accept) in plain.into_iter().chain([("/huge.txt", "br"), ("/a.png", "br")]) {
        let got = get_with(&router, target, &[("accept-encoding", accept)]);
        assert_eq!((got.status, got.header("content-encoding")), (200, ""), "{target} {accept}");
        assert_eq!(got.header("content-length").parse(), Ok(got.body.len()), "{target}");
    }
}

#[test]
fn files_compressed_beforehand_are_used_while_they_are_new() {
    let files: &[(&str, &[u8])] = &[("a.js", &[b'j'; 2000]), ("a.js.br", b"BR"), ("a.js.gz", b"GZIP")];
    let dir = site(files);
    let router = serve(dir.path());
    let ask_for = |accept: &str| get_with(&router, "/a.js", &[("accept-encoding", accept)]);
    let got = ask_for("br, gzip");
    assert_eq!((got.text().as_str(), got.header("content-encoding")), ("BR", "br"));
    assert_eq!((got.header("content-length"), got.header("vary")), ("2", "accept-encoding"));
    assert_eq!(got.header("content-type"), "text/javascript; charset=utf-8");
    assert!(got.header("etag").starts_with('"'), "bytes on disk are the same each time");
    assert_eq!(ask_for("gzip").text(), "GZIP");
    assert_eq!(ask_for("identity").body.len(), 2000);
    // The file was changed after it was compressed.
    settle(&dir.path().join("a.js"), 1000);
    assert_eq!(unpack(&ask_for("br")), "j".repeat(2000));
    // Asked for by name, they are files like others.
    assert_eq!(get(&router, "/a.js.gz").header("content-encoding"), "");
}

#[test]
fn large_files_are_read_piece_by_piece() {
    let dir = site(&[("large.bin", &[7; 5_000_000])]);
    let got = get(&serve(dir.path()), "/large.bin");
    assert_eq!((got.status, got.body.len(), got.broke), (200, 5_000_000, None));
}

#[test]
fn where_no_file_is_others_may_answer() {
    let dir =
        site(&[("index.html", b"app"), ("a.txt", b"a"), ("x.php", b"<?php"), ("admin/index.php", b"<?php")]);
    let base = StaticFolder { cache_control: Some("max-age=60".into()), ..folder(dir.path()) };
    let spa = StaticFolder { fallback: Some("index.html".into()), ..base.clone() };
    let router_for = |folder: StaticFolder| router(&[route("/...", Target::Static(folder))]);
    let router = router_for(spa);
    for target in ["/", "/some/page", "/a.txt/x", "/.env"] {
        let got = get(&router, target);
        assert_eq!((got.status, got.text().as_str()), (200, "app"), "{target}");
        assert_eq!(got.header("content-type"), "text/html; charset=utf-8");
    }
    let got = get(&router, "/a.txt");
    assert_eq!((got.text().as_str(), got.header("cache-control")), ("a", "max-age=60"));

    let php = StaticFolder { or: Some("php".into()), hide: vec!["*.php".into()], ..base };
    let router = router_for(StaticFolder { index: "none".into(), ..php });
    for (method, target) in
        [("GET", "/x.php"), ("GET", "/"), ("GET", "/admin/"), ("GET", "/x.php/a"), ("POST", "/a.txt")]
    {
        let got = ask(&router, method, target, &[], "sent");
        let expected = format!("php {method} /... |{target}|[]|sent");
        assert_eq!((got.text(), &*got.served.to), (expected, "php"), "{target}");
    }
    assert_eq!(get(&router, "/a.txt").text(), "a");
    assert_eq!(get(&router, "/admin?x=1").header("location"), "/admin/?x=1");
}
