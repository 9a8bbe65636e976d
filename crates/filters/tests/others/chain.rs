//! A chain of filters of several kinds before each kind of target: nothing in it leaves the process.

use crate::harness::{Site, component, get, new_name, run, rust, send};
use sampan_app::{App, Component, Filter as Spec, Route, RouteFilter, StaticFolder, Target};
use sampan_capabilities::Backends;
use sampan_gateway::{AppRoutes, Handlers, Router};
use sampan_runtime::serve::{Progress, load_with};
use sampan_service::{Handler, full};
use std::collections::HashMap;
use std::sync::Arc;

fn filters() -> [Spec; 3] {
    let spec = |name: &str, source| Spec { name: name.to_owned(), source, ..Spec::default() };
    let script = "set 0 x-one http-wasm\nfeatures 2\n--\nset 1 x-seen http-wasm";
    let parameters = vec![(
        "run".to_owned(),
        "set-header x-two easegress\nset-resp-header x-easegress seen\nreturn 0".to_owned(),
    )];
    [
        Spec { config: script.to_owned(), ..spec("one", rust("filter-http-wasm")) },
        Spec { parameters, ..spec("two", rust("filter-easegress")) },
        spec("three", component("filter-middleware")),
    ]
}

fn route(path: &str, to: Target) -> Route {
    let filters = ["one", "two", "three", "two", "one"];
    let filters = filters.map(|name| RouteFilter { filter: name.to_owned(), config: None }).into();
    Route { filters, ..Route::new(path, to) }
}

#[test]
fn all_kinds_before_all_targets() {
    run(async {
        let folder = sampan_testing::temp_dir();
        std::fs::write(folder.path().join("file.txt"), "a file").unwrap();
        let folder = StaticFolder {
            folder: folder.path().to_owned(),
            index: "index.html".to_owned(),
            fallback: None,
            or: None,
            hide: Vec::new(),
            cache_control: None,
        };
        let api = Component { name: "api".to_owned(), source: component("serve-p3"), ..Component::default() };
        let routes = vec![
            route("/echo", Target::Component("api".to_owned())),
            route("/files/...", Target::Static(folder)),
            route("/up", Target::Upstream("up".to_owned())),
            route("/fixed", Target::Respond { status: 200, headers: Vec::new(), body: "fixed".to_owned() }),
        ];
        let filters = filters().into_iter().map(|spec| (spec.name.clone(), spec)).collect();
        let app = App { name: new_name(), components: vec![api], filters, routes, ..App::default() };
        let site = Site::of(app.clone(), Backends::default()).await.unwrap_or_else(|why| panic!("{why}"));
        let machine = &site.surroundings.machine;
        let components =
            load_with(machine, &app, &Backends::default(), &Progress::none(), &Arc::default()).await;
        let upstream: Arc<dyn Handler> = Arc::new(crate::harness::mirror());
        let filters = site.filters.iter().map(|(name, filter)| {
            (name.clone(), Arc::new(filter.clone()) as Arc<dyn sampan_service::Filter>)
        });
        let handlers = Handlers {
            components: components.unwrap_or_else(|failures| panic!("{failures:?}")),
            upstreams: HashMap::from([("up".to_owned(), upstream)]),
            filters: filters.collect(),
        };
        let routes = AppRoutes { app: &app.name, routes: &app.routes, handlers: &handlers };
        let router: Arc<dyn Handler> = Arc::new(Router::of(&[routes]).unwrap());
        for (path, body) in [("/files/file.txt", "a file"), ("/fixed", "fixed"), ("/echo", "sent")] {
            let mut request = get(path);
            if path == "/echo" {
                *request.method_mut() = http::Method::POST;
                *request.body_mut() = full("sent");
            }
            let got = send(&router, request).await;
            assert_eq!((got.status, got.body.as_str()), (200, body), "{path}");
            for (name, value) in
                [("x-seen", "http-wasm"), ("x-easegress", "seen"), ("x-middleware", "response")]
            {
                assert_eq!(got.all(name), [value], "{path}");
            }
        }
        let got = send(&router, get("/up")).await;
        for line in ["x-one: http-wasm", "x-two: easegress", "x-middleware: request"] {
            assert!(got.body.contains(line), "{line}: {}", got.body);
        }
    });
}
