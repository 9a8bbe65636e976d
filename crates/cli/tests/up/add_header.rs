//! examples/add-header: what the usual example of OpenResty's wasm-nginx-module does.

use crate::Up;
use sampan_testing::{assemblyscript, root};

#[test]
fn the_openresty_example_adds_its_headers() {
    let Some(wasm) = assemblyscript(&root().join("examples/add-header")) else { return };
    // The folder that it was built in has the manifest and the pages too.
    let up = Up::start(&wasm.with_file_name("sampan.toml"), &["--admin", "off"]);
    let rows = [
        ("/t/", Some("world!"), None, "The header of this page"),
        ("/t/configured", Some("Sampan"), None, "The header of this page"),
        ("/d/", None, Some("the route of /d"), "another header"),
    ];
    for (path, hello, from, text) in rows {
        let answer = up.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!((answer.header("hello"), answer.header("from")), (hello, from), "{path}");
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
    }
    // The folder's own redirect passes by the filter like any answer.
    let answer = up.get("/t");
    assert_eq!(answer.header("hello"), Some("world!"), "{answer:?}");
    assert_eq!(up.get("/elsewhere").header("hello"), None);
}
