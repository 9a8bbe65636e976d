//! The demo as a person uses it, in a browser.

use crate::Up;
use sampan_testing::{Browser, root, sampan, skip};
use std::process::Command;

#[test]
fn the_demos_pages_work_in_a_browser_and_its_state_survives_a_restart() {
    let Some(browser) = Browser::start() else { return };
    let mut prepare = Command::new(root().join("scripts/demo.sh"));
    let prepared = prepare.arg("prepare").env("SAMPAN", sampan().get_program()).status();
    if !prepared.is_ok_and(|status| status.success()) {
        return skip("scripts/demo.sh cannot prepare the demo").unwrap_or_default();
    }
    // A copy without its state.
    let copy = sampan_testing::temp_dir();
    let copied = Command::new("cp").arg("-r").arg(root().join("examples/demo/.")).arg(copy.path()).status();
    assert!(copied.is_ok_and(|status| status.success()), "cp");
    let _ = std::fs::remove_dir_all(copy.path().join(".sampan"));
    let manifest = copy.path().join("sampan.toml");

    let up = Up::start(&manifest, &[]);
    browser.go(&up.url("/"));
    assert_eq!(browser.title(), "Sampan");
    // The page asks the component in JavaScript.
    let dice = browser.run(
        "return new Promise(done => { const look = () => { \
         const text = document.getElementById('dice').textContent; \
         text === '…' ? setTimeout(look, 20) : done(text); }; look(); })",
    );
    let dice = dice.as_str().unwrap_or_default().to_owned();
    assert!(dice.contains(" and "), "{dice}");

    browser.click("a[href='/guestbook']");
    browser.type_into("input[name=name]", "Ada");
    browser.type_into("input[name=text]", "<b>Hello</b> from a browser");
    browser.click("button");
    browser.wait_for("#entries", "Ada <b>Hello</b> from a browser");
    assert_eq!(browser.text("#count"), "1 entries");

    browser.go(&up.url("/php/"));
    browser.type_into("input[name=name]", "Grace");
    browser.click("button");
    browser.wait_for("#greeting", "Hello, Grace!");
    let page = browser.text("main");
    assert!(page.contains("Reading /etc/passwd: not granted"), "{page}");
    assert!(page.contains("Writing beside this script: not granted"), "{page}");

    up.signal("TERM");
    assert_eq!(up.process.finish().code, 0);
    let up = Up::start(&manifest, &[]);
    browser.go(&up.url("/guestbook"));
    browser.wait_for("#entries", "Ada <b>Hello</b> from a browser");
}
