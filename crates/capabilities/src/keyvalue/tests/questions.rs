//! Queries, on the backends that have them.

use super::suite::text;
use super::*;
use sampan_testing::temp_dir;
use serde_json::json;

/// So many people, in the form of Dapr's example.
fn people() -> Vec<(String, Vec<u8>)> {
    let table = [
        ("1", "Dev Ops", 1036, "Seattle", "WA"),
        ("2", "Hardware", 1028, "Portland", "OR"),
        ("3", "Finance", 1071, "Sacramento", "CA"),
        ("4", "Dev Ops", 1042, "Spokane", "WA"),
        ("5", "Hardware", 107, "Los Angeles", "CA"),
        ("6", "Finance", 9, "San Diego", "CA"),
        ("7", "Dev Ops", 1015, "New York", "NY"),
    ];
    let value = |(_, org, id, city, state): (&str, &str, i64, &str, &str)| {
        json!({ "person": { "org": org, "id": id }, "city": city, "state": state }).to_string().into_bytes()
    };
    table.into_iter().map(|row| (format!("app||{}", row.0), value(row))).collect()
}

async fn ask(store: &Store, document: serde_json::Value) -> (Vec<String>, Option<String>) {
    let query = StateQuery::parse(document.to_string().as_bytes()).expect("a query");
    let page = store.query(StateQuery { prefix: text("app||"), ..query }).await.expect("an answer");
    let keys = page.items.iter().map(|(key, _)| key.trim_start_matches("app||").to_owned()).collect();
    (keys, page.token)
}

/// Filters, and the people that they find.
fn filters() -> Vec<(serde_json::Value, Vec<&'static str>)> {
    vec![
        (json!({ "EQ": { "state": "CA" } }), vec!["3", "5", "6"]),
        (json!({ "EQ": { "person.id": 1036.0 } }), vec!["1"]),
        (json!({ "EQ": { "person.id": "1036" } }), vec![]),
        (json!({ "EQ": { "flag": true } }), vec!["odd"]),
        (json!({ "EQ": { "city": null } }), vec!["odd"]),
        (json!({ "EQ": { "state": ["CA"] } }), vec!["odd"]),
        (json!({ "EQ": { "nothing": null } }), vec![]),
        (json!({ "NEQ": { "person.org": "Dev Ops" } }), vec!["2", "3", "5", "6"]),
        (json!({ "NEQ": { "person.id": 9 } }), vec!["1", "2", "3", "4", "5", "7", "odd"]),
        (json!({ "IN": { "state": ["WA", "NY"] } }), vec!["1", "4", "7"]),
        (json!({ "GT": { "person.id": 1036 } }), vec!["3", "4"]),
        (json!({ "GTE": { "person.id": 1036 } }), vec!["1", "3", "4"]),
        // By number: as texts, "9" is more than "107".
        (json!({ "LT": { "person.id": 107 } }), vec!["6", "odd"]),
        (json!({ "LTE": { "person.id": 107 } }), vec!["5", "6", "odd"]),
        (json!({ "GT": { "city": "Seattle" } }), vec!["4"]),
        (
            json!({ "OR": [
                        { "EQ": { "person.org": "Dev Ops" } },
                        { "AND": [
                            { "EQ": { "person.org": "Finance" } },
                            { "IN": { "state": ["CA", "WA"] } },
                            { "OR": [{ "GT": { "person.id": 1000 } }, { "EQ": { "city": "Nowhere" } }] },
                        ] },
                    ] }),
            vec!["1", "3", "4", "7"],
        ),
        (json!({ "EQ": { "person.id') OR 1=1 --": 1 } }), vec![]),
        (json!({ "EQ": { "state": "' OR '1'='1" } }), vec![]),
    ]
}

#[test]
fn filters_sort_and_pages_find_what_they_say() {
    run(async {
        let folder = temp_dir();
        for (name, backend) in backends(folder.path()) {
            let store = opened(backend).await;
            if !store.features().query {
                let error = store.query(StateQuery::default()).await.unwrap_err();
                assert_eq!(error, StoreError::Unsupported("queries"), "{name}");
                continue;
            }
            store.set_many(people()).await.expect("a batch");
            let others = [
                ("other||1", r#"{"state":"CA"}"#.as_bytes()),
                ("app||bytes", &[0, 255]),
                ("app||text", b"no json"),
                ("app||base64", b"1234"),
                (
                    "app||odd",
                    r#"{"state":["CA"],"city":null,"flag":true,"n":"10","person":{"id":1e1}}"#.as_bytes(),
                ),
            ];
            for (key, value) in others {
                store.set(text(key), value.to_vec()).await.expect("a write");
            }
            let over = Some(Duration::from_millis(1));
            let write = Write { ttl: over, ..Write::set(text("app||over"), b"{\"state\":\"CA\"}".to_vec()) };
            store.write(write).await.expect("a write");
            eventually(async || (!store.exists(text("app||over")).await.expect("an answer")).then_some(()))
                .await;
            for (filter, expected) in filters() {
                let (keys, token) = ask(&store, json!({ "filter": filter })).await;
                assert_eq!(
                    (keys.iter().map(String::as_str).collect(), token),
                    (expected, None),
                    "{name}: {filter}"
                );
            }
            let sort = json!([{ "key": "state", "order": "DESC" }, { "key": "person.id" }]);
            let filter = json!({ "IN": { "state": ["WA", "CA", "OR", "NY"] } });
            let (mut all, mut token) = (Vec::new(), None);
            for _ in 0..4 {
                let page = json!({ "limit": 2, "token": token });
                let (keys, next) = ask(&store, json!({ "filter": filter, "sort": sort, "page": page })).await;
                all.extend(keys);
                token = next;
            }
            assert_eq!((all.join(""), token), ("1427653".to_owned(), None), "{name}");
            let everything = ask(&store, json!({})).await.0;
            assert_eq!(everything.len(), 11, "{name}: {everything:?}");
            let broken = StateQuery { token: Some(text("no number")), ..StateQuery::default() };
            assert!(store.query(broken).await.unwrap_err().to_string().contains("page token"), "{name}");
        }
    });
}
