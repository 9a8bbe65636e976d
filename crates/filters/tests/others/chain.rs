//! A chain of filters of several kinds before several kinds of targets: nothing in it leaves the process.
//! `crates/cli/tests/up/filter_chain.rs` has the same by a manifest.

use crate::harness::{Site, component, get, mirror, new_name, run, rust, says, send};
use sampan_app::{App, Component, Filter as Spec};
use sampan_capabilities::Backends;
use sampan_runtime::serve::{Progress, load_with};
use sampan_service::{Filter as _, Handler, full};
use std::sync::Arc;

fn filters() -> [Spec; 3] {
    let spec = |name: &str, source| Spec { name: name.to_owned(), source, ..Spec::default() };
    let script = "set 0 x-one http-wasm\nfeatures 2\n--\nset 1 x-seen http-wasm";
    let run = "set-header x-two easegress\nset-resp-header x-easegress seen\nreturn 0".to_owned();
    [
        Spec { config: script.to_owned(), ..spec("one", rust("filter-http-wasm")) },
        Spec { parameters: vec![("run".to_owned(), run)], ..spec("two", rust("filter-easegress")) },
        spec("three", component("filter-middleware")),
    ]
}

fn chain(site: &Site, target: Arc<dyn Handler>) -> Arc<dyn Handler> {
    let names = ["one", "two", "three", "two", "one"];
    names.iter().rfold(target, |next, name| site.filter(name).before(next, None).unwrap())
}

#[test]
fn all_kinds_before_several_targets() {
    run(async {
        let api = Component { name: "api".to_owned(), source: component("serve-p3"), ..Component::default() };
        let filters = filters().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let app = App { name: new_name(), components: vec![api], filters, ..App::default() };
        let site = Site::of(app.clone(), Backends::default()).await.unwrap_or_else(|why| panic!("{why}"));
        let machine = &site.surroundings.machine;
        let components =
            load_with(machine, &app, &Backends::default(), &Progress::none(), &Arc::default()).await;
        let api: Arc<dyn Handler> =
            components.unwrap_or_else(|failures| panic!("{failures:?}"))["api"].clone();
        for (target, path, body) in
            [(api, "/echo", "sent"), (Arc::new(says("fixed")) as Arc<dyn Handler>, "/fixed", "fixed")]
        {
            let mut request = get(path);
            *request.method_mut() = http::Method::POST;
            *request.body_mut() = full("sent");
            let got = send(&chain(&site, target), request).await;
            assert_eq!((got.status, got.body.as_str()), (200, body), "{path}");
            for (name, value) in
                [("x-seen", "http-wasm"), ("x-easegress", "seen"), ("x-middleware", "response")]
            {
                assert_eq!(got.all(name), [value], "{path}");
            }
        }
        let got = send(&chain(&site, Arc::new(mirror())), get("/up")).await;
        for line in ["x-one: http-wasm", "x-two: easegress", "x-middleware: request"] {
            assert!(got.body.contains(line), "{line}: {}", got.body);
        }
    });
}
