//! What filters of Easegress keep: in a store of the app or in memory, seen by all instances and by the operator.

use crate::easegress::{before, scripted};
use crate::harness::{Site, get, new_name, run, says, send};
use sampan_app::{App, Filter as Spec, KeyValueBackend, KeyValueStore, StoreGrant};
use sampan_capabilities::Backends;
use std::collections::BTreeMap;

fn values(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn calls_on_shared_data() {
    run(async {
        let script = "!get-string s; put-string s text; !get-string s; !get-binary b; put-binary b data; !get-binary b; \
                      !get-integer i; put-integer i 40; !add-integer i 2; !get-integer i; !add-integer new -1; \
                      !add-integer s 5; !get-float f; put-float f 1.5; !add-float f 0.25; !get-float f; \
                      !add-float b 1; put-string id/a 1; put-string id/b 1; !count id/; !count none; !count; return 1";
        let (site, handler) = before(script, says("")).await;
        let got = send(&handler, get("/")).await;
        let said =
            ["", "text", "", "data", "0", "42", "42", "-1", "5", "0", "1.75", "1.75", "1", "2", "0", "7"];
        assert_eq!(got.all("x-said"), said);
        let data = site.filter("filter").data().unwrap();
        let expected = values(&[
            ("b", "1"),
            ("f", "1.75"),
            ("i", "42"),
            ("id/a", "1"),
            ("id/b", "1"),
            ("new", "-1"),
            ("s", "5"),
        ]);
        assert_eq!(data.list().await.unwrap(), expected);
        // Values that an operator puts in are those of the guest's next call.
        data.apply(vec![("s".to_owned(), "new".to_owned())]).await.unwrap();
        let got = send(&handler, get("/")).await;
        assert_eq!(got.all("x-said").first(), Some(&"new"), "{:?}", site.log());
        data.delete().await.unwrap();
        assert!(data.list().await.unwrap().is_empty());
        assert_eq!(send(&handler, get("/")).await.all("x-said"), said);
    });
}

/// Binary data is kept as Easegress keeps it.
#[test]
fn binary_data_is_text_for_the_operator() {
    run(async {
        let (site, handler) = before("put-binary b data; return 1", says("")).await;
        send(&handler, get("/")).await;
        assert_eq!(site.filter("filter").data().unwrap().list().await.unwrap(), values(&[("b", "ZGF0YQ==")]));
    });
}

/// In the store that is granted, under Easegress's key; without a grant in memory. Both outlive the filter.
#[test]
fn data_outlives_the_filter() {
    run(async {
        let folder = sampan_testing::temp_dir();
        for path in [None, Some(folder.path().join("kv.db"))] {
            let mut app = App { name: new_name(), ..App::default() };
            let mut spec = scripted("!add-integer n 1; return 1");
            if let Some(path) = &path {
                let backend = KeyValueBackend::sqlite(path.clone());
                app.keyvalue.insert("sales".to_owned(), KeyValueStore::new(backend));
                spec.grants.keyvalue =
                    vec![StoreGrant { name: "default".to_owned(), store: "sales".to_owned() }];
            }
            app.filters.insert(spec.name.clone(), spec);
            for count in ["1", "2"] {
                let backends = Backends::open(&app).await.unwrap();
                let site = Site::of(app.clone(), backends).await.unwrap_or_else(|why| panic!("{why}"));
                assert_eq!(send(&site.before(says("")), get("/")).await.all("x-said"), [count], "{path:?}");
            }
            if path.is_some() {
                let backends = Backends::open(&app).await.unwrap();
                let store = backends.keyvalue["sales"].store().await.unwrap();
                let key = format!("/wasm/data/{}/filter/n", app.name);
                assert_eq!(store.get(key).await.unwrap().unwrap().value, b"2");
            }
        }
    });
}

/// Nothing is added twice and nothing is lost, on several instances at once.
#[test]
fn adding_is_one_step() {
    run(async {
        let script = "add-integer i 1; add-float f 0.5; add-integer text 1; return 1";
        let site = Site::new([Spec { instances: 8, ..scripted(script) }]).await;
        let data = site.filter("filter").data().unwrap();
        data.apply(vec![("text".to_owned(), "no number".to_owned())]).await.unwrap();
        let handler = site.before(says(""));
        futures::future::join_all((0..200).map(|_| send(&handler, get("/")))).await;
        let expected = values(&[("f", "100"), ("i", "200"), ("text", "200")]);
        assert_eq!(data.list().await.unwrap(), expected);
    });
}
