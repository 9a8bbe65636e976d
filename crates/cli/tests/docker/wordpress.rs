//! A whole app as an image: WordPress, packed from its manifest, with its database in a volume.

use crate::{Engine, dockers};
use sampan_testing::{Response, http_get, http_send, root, skip};
use std::fs;
use std::process::Command;

fn post(address: &str, path: &str, headers: &[(&str, &str)], form: &str) -> Response {
    let kind = ("Content-Type", "application/x-www-form-urlencoded");
    http_send(address, "POST", path, &[headers, &[kind]].concat(), form.as_bytes()).unwrap()
}

/// Logs in and gives the site another name, as a person does in its settings.
fn rename_site(address: &str, name: &str) {
    let form = "log=admin&pwd=password&wp-submit=Log+In&testcookie=1";
    let cookie = [("Cookie", "wordpress_test_cookie=WP+Cookie+check")];
    let answer = post(address, "/wp-login.php", &cookie, form);
    assert_eq!(answer.status, 302, "{}", answer.text());
    let all = answer.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    let cookies: Vec<&str> = all.filter_map(|(_, value)| value.split(';').next()).collect();
    let cookies = cookies.join("; ");
    assert!(cookies.contains("wordpress_logged_in"), "{cookies}");
    let cookie = [("Cookie", cookies.as_str())];
    let page = http_send(address, "GET", "/wp-admin/options-general.php", &cookie, b"").unwrap().text();
    let nonce = page.split_once("name=\"_wpnonce\" value=\"").and_then(|(_, rest)| rest.split('"').next());
    let nonce = nonce.unwrap_or_else(|| panic!("no form in {page}"));
    let form = format!("option_page=general&action=update&_wpnonce={nonce}&blogname={name}");
    let answer = post(address, "/wp-admin/options.php", &cookie, &form);
    assert_eq!(answer.status, 302, "{}", answer.text());
}

#[test]
fn wordpress_is_an_image_whose_database_is_a_volume() {
    let example = root().join("examples/wordpress");
    if !Command::new(example.join("setup.sh")).status().is_ok_and(|status| status.success()) {
        skip::<()>("examples/wordpress/setup.sh cannot fetch WordPress");
        return;
    }
    let engine = Engine::with(&[]);
    let built = engine.sampan(&["build", "-t", "wordpress", example.to_str().unwrap()]);
    assert_eq!(built.code, 0, "{}", built.stderr);
    let uploads = engine.path().join("uploads");
    fs::create_dir(&uploads).unwrap();
    fs::write(uploads.join("hello.txt"), "of this machine").unwrap();
    let uploads = format!("{}:/site/wp-content/uploads:ro", uploads.display());

    let Some(docker) = dockers().into_iter().next_back() else { return };
    let good = |arguments: &[&str]| engine.good(&docker, arguments);
    let start = || {
        let volumes = ["-v", "posts:/site/wp-content/database", "-v", &uploads];
        let run = ["run", "-d", "--name", "wp", "-p", "127.0.0.1::8080"];
        good(&[&run[..], &volumes, &["wordpress"]].concat());
        let address = good(&["port", "wp", "8080"]);
        crate::until("WordPress answers", || {
            http_get(address.as_str(), "/").is_ok_and(|answer| answer.status == 200)
        });
        address
    };
    // The volume began with the database of the image.
    let address = start();
    let home = || http_get(address.as_str(), "/").unwrap().text();
    assert!(home().contains("My WordPress Website"), "{}", home());
    // Also what no component is asked for comes from where the user has put it.
    let file = http_get(address.as_str(), "/wp-content/uploads/hello.txt").unwrap();
    assert_eq!((file.status, file.text().as_str()), (200, "of this machine"));
    rename_site(&address, "Kept");
    assert!(home().contains("<title>Kept"), "{}", home());

    // Another container has what the first has written.
    good(&["rm", "-f", "wp"]);
    let address = start();
    let home = http_get(address.as_str(), "/").unwrap().text();
    assert!(home.contains("<title>Kept"), "{home}");
    good(&["rm", "-f", "wp"]);
}
