//! What answers a request: the manifest's routes end to end.

use crate::{App, component};

#[test]
fn components_folders_redirects_side_by_side() {
    let app = App::new(&format!(
        r#"
[app]
name = "a"
[component.hello]
source = "{}"
[[route]]
path = "/hello/..."
to = "hello"
[[route]]
path = "/old"
to = "redirect:/hello"
[[route]]
path = "/..."
to = "static:public"
"#,
        component("serve-hello").display()
    ));
    app.write("public/index.html", "<h1>here</h1>");
    app.write("public/.secret", "no");
    let up = app.up();
    assert_eq!(up.get("/hello/x").text(), "Hello, world!\n");
    assert_eq!(up.get("/").text(), "<h1>here</h1>");
    let moved = up.get("/old");
    assert!(matches!(moved.status, 301 | 302 | 307 | 308), "{}", moved.status);
    assert_eq!(moved.header("location"), Some("/hello"));
    assert_eq!(up.get("/.secret").status, 404);
    assert_eq!(up.get("/../sampan.toml").status, 400);
    assert_eq!(up.get("/nothing").status, 404);
}
