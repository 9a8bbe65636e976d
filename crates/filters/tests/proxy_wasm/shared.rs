//! What filters share: data, queues, metrics, properties, VMs.

use crate::harness::*;
use http::Request;
use sampan_app::Filter as Spec;
use sampan_service::{Filter as _, Matched, Peer, RequestId, empty};
use std::sync::Arc;

fn shared_spec() -> Spec {
    Spec { root_id: "counter".into(), vm_id: Some("one".into()), ..spec("proxy-shared", "") }
}

#[test]
fn data_is_shared_and_survives_an_update() {
    run(async {
        let filtered = filtered(shared_spec()).await;
        assert_eq!(filtered.get("/").await.header("got-x-shared"), "1");
        assert_eq!(filtered.get("/").await.header("got-x-shared"), "2");
        assert_eq!(filtered.get("/bad-cas").await.header("got-x-cas"), "Err(CasMismatch)");
        let mut newer = shared_spec();
        newer.config = "another".into();
        filtered.filter.replace(version(&filtered.surroundings, &newer).await.unwrap());
        assert_eq!(filtered.get("/").await.header("got-x-shared"), "3");
        // Another id is another world.
        newer.vm_id = Some("two".into());
        filtered.filter.replace(version(&filtered.surroundings, &newer).await.unwrap());
        assert_eq!(filtered.get("/").await.header("got-x-shared"), "1");
    });
}

#[test]
fn a_queue_wakes_who_registered_it() {
    run(async {
        let filtered = filtered(shared_spec()).await;
        filtered.get("/queued").await;
        filtered.until("the queue is read", |one| one.logged("info: from the queue: /queued") == 1).await;
    });
}

#[test]
fn a_guests_metrics_are_exported() {
    run(async {
        let filtered = filtered(shared_spec()).await;
        assert_eq!(filtered.get("/1234").await.header("got-x-counted"), "1");
        assert_eq!(filtered.get("/12").await.header("got-x-counted"), "2");
        let text = sampan_telemetry::metrics().render();
        let app = &filtered.surroundings.app;
        for line in [
            format!("sampan_wasmcustom_requests_total{{app=\"{app}\"}} 2"),
            format!("sampan_wasmcustom_last_path_length{{app=\"{app}\"}} 3"),
            format!("sampan_wasmcustom_path_length_bucket{{app=\"{app}\",le=\"5\"}} 2"),
            format!("sampan_wasmcustom_path_length_sum{{app=\"{app}\"}} 8"),
        ] {
            assert!(text.lines().any(|one| one == line), "{line} is not in {text}");
        }
    });
}

#[test]
fn properties_are_as_envoy_has_them() {
    run(async {
        let filtered = filtered(shared_spec()).await;
        let mut request = Request::get("/p?q=1").header("host", "shop.example").header("x-given", "g");
        let extensions = request.extensions_mut().unwrap();
        let (address, local) = ("192.0.2.1:999".parse().unwrap(), "192.0.2.2:8443".parse().unwrap());
        extensions.insert(Peer { address, local, tls: true });
        extensions.insert(RequestId("id-1".parse().unwrap()));
        extensions.insert(Matched {
            route: "/...".into(),
            base: "".into(),
            rest: "/p".into(),
            names: Vec::new(),
        });
        let read = filtered.send(request.body(empty()).unwrap()).await;
        assert_eq!(
            read.header("got-x-properties"),
            "/p?q=1 /p q=1 GET shop.example https HTTP/1.1 g id-1 192.0.2.1:999 999 8443 /... proxy-shared counter \
             one /p?q=1 - -"
        );
        assert_eq!(read.header("x-code"), "200");
    });
}

#[test]
fn plug_ins_of_one_id_and_code_share_a_vm() {
    run(async {
        let (surroundings, log) = surroundings();
        let vm_id = Some("shared".into());
        let one = Spec { vm_id: vm_id.clone(), ..spec("proxy-headers", "one") };
        let two = Spec { vm_id, name: "second".into(), config: "two".into(), ..one.clone() };
        let one = before_in(surroundings.clone(), Arc::clone(&log), Arc::new(Echo), one).await;
        let two = before_in(surroundings, log, Arc::new(Echo), two).await;
        assert_eq!(one.get("/").await.header("x-filter"), "one");
        assert_eq!(two.get("/").await.header("x-filter"), "two");
        assert_eq!(one.metric("filter_instances_live", "") + two.metric("filter_instances_live", ""), 1);
    });
}

#[test]
fn configurations_of_routes_have_roots_of_their_own() {
    run(async {
        let (surroundings, _) = surroundings();
        let spec = spec("proxy-headers", "own");
        let wasm = std::fs::read(&spec.source).unwrap();
        let configs = vec!["own".to_owned(), "route's".to_owned()];
        let version = sampan_filters::prove(&surroundings, &spec, "f", wasm.into(), configs).await.unwrap();
        let filter = sampan_filters::Filter::new(version, None);
        for (config, value) in [(None, "own"), (Some("route's"), "route's"), (None, "own")] {
            let handler = filter.before(Arc::new(Echo), config).unwrap();
            assert_eq!(read(handler.handle(get("/")).await).await.header("x-filter"), value);
        }
    });
}
