//! WordPress on PHP and SQLite, used by a person's browser.

use crate::{App, Up};
use sampan_testing::{Browser, root};
use std::process::Command;

/// The site of `examples/wordpress`, copied, so that the test changes nothing of a person's.
fn site() -> Option<App> {
    let example = root().join("examples/wordpress");
    // Fetches what is not there.
    let done = Command::new(example.join("setup.sh")).status();
    if !done.is_ok_and(|status| status.success()) {
        return sampan_testing::skip("examples/wordpress/setup.sh cannot fetch WordPress");
    }
    let app = App::new("");
    for name in ["site", "php-cgi.wasm", "sampan.toml"] {
        let copied = Command::new("cp").arg("-r").arg(example.join(name)).arg(app.path()).status();
        assert!(copied.is_ok_and(|status| status.success()), "cp {name}");
    }
    Some(app)
}

#[test]
fn a_person_logs_in_writes_a_post_and_reads_it_back() {
    let (Some(app), Some(browser)) = (site(), Browser::start()) else { return };
    let up = app.up();

    // Static files without PHP; PHP's source and the database not at all.
    let style = up.get("/wp-includes/css/dist/block-library/style.min.css");
    assert_eq!((style.status, style.header("content-type")), (200, Some("text/css; charset=utf-8")));
    for (hidden, content) in [
        ("/wp-content/database/.ht.sqlite", "SQLite format 3"),
        ("/wp-content/mu-plugins/sqlite-database-integration/db.copy", "SQLITE_DB_DROPIN_VERSION"),
        ("/wp-config.php", "DB_NAME"),
    ] {
        let answer = up.get(hidden).text();
        assert!(!answer.contains(content), "{hidden}: {answer}");
    }

    browser.go(&up.url("/wp-login.php"));
    browser.type_into("#user_login", "admin");
    browser.type_into("#user_pass", "password");
    browser.click("#wp-submit");
    browser.wait_for("#wpadminbar", "My WordPress Website");

    write_post(&browser, &up, "A boat on the river", "It carries what container ships cannot.");
    browser.go(&up.url("/"));
    browser.wait_for("body", "A boat on the river");

    // Somebody else, without a session, reads it as well.
    let home = up.get("/").text();
    assert!(home.contains("A boat on the river"), "{home}");
}

/// Writes in the block editor, as a person does, and follows the link to what was published.
fn write_post(browser: &Browser, up: &Up, title: &str, text: &str) {
    browser.go(&up.url("/wp-admin/post-new.php"));
    browser.frame(Some("iframe[name='editor-canvas']"));
    browser.type_into(".wp-block-post-title", title);
    browser.type_into(".wp-block-post-title", "\u{e007}");
    browser.type_into("p.wp-block", text);
    browser.frame(None);
    // The greeting that lies over the editor at its first use; it comes up again until all is loaded.
    browser.click(".components-modal__header button[aria-label='Close']");
    // While the editor saves a draft by itself, which takes a while on a busy machine, these do nothing.
    let (panel, button) = (".editor-post-publish-panel__toggle", ".editor-post-publish-button");
    browser.click_until(&format!("{panel}:not([aria-disabled='true'])"), button);
    let published = ".post-publish-panel__postpublish-header a";
    browser.click_until(&format!("{button}:not([aria-disabled='true'])"), published);
    browser.click(published);
    browser.wait_for(".wp-block-post-title", title);
    browser.wait_for(".entry-content", text);
}
