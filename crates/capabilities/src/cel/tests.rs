//! What expressions say of events, and which are refused.

use super::*;
use serde_json::json;

#[test]
fn rules_of_subscriptions() {
    let event = json!({
        "id": "1", "type": "com.example.widget", "source": "shop", "specversion": "1.0", "topic": "orders",
        "datacontenttype": "application/json", "traceparent": null,
        "data": { "kind": "big", "n": 5, "price": 2.5, "tags": ["a", "b"], "deep": { "on": true } },
    });
    for (text, expected) in [
        (r#"event.type == "com.example.widget""#, true),
        (r#"event.type == 'gadget'"#, false),
        (r#"event.data.kind == "big" && event.data.n > 4"#, true),
        ("event.data.n == 5.0 || event.data.price < 2", true),
        ("event.data.price > 2 && event.data.n >= 5 && event.data.n < 6.5", true),
        ("'a' in event.data.tags", true),
        ("event.data.tags.exists(tag, tag == 'b')", true),
        ("event.data.tags.all(tag, tag.size() == 2)", false),
        ("has(event.data.missing)", false),
        ("has(event.subject) || event.topic.startsWith('ord')", true),
        ("event['type'].endsWith('widget')", true),
        ("event.type.matches('^com\\\\.example\\\\.[a-z]+$')", true),
        ("event.data.deep.on ? event.data.n in [1, 5] : false", true),
        ("size(event.data.tags) == 2 && event.data.deep == {'on': true}", true),
        ("event.traceparent == null", true),
        ("event.data.n + 1 == 6 && event.data.n - 6 == -1 && event.data.price * 2.0 == 5.0", true),
        ("event.data.tags.filter(tag, tag.matches('^[b-z]$')).map(tag, tag + '!') == ['b!']", true),
        ("true", true),
    ] {
        let expression = Expression::parse(text).expect(text);
        assert_eq!(expression.matches(&event), Ok(expected), "{text}");
    }
}

#[test]
fn what_cannot_be_told() {
    let event = json!({ "type": "x", "data": [1, "a"] });
    for (text, said) in [
        ("event.missing == 'x'", "missing"),
        ("other == 'x'", "other"),
        ("event.type", "neither true nor false"),
        ("event.type > 5", ""),
        ("1 / 0 == 1", ""),
        ("event.data[7] == 1", ""),
        ("event.type.matches('(')", "no regular expression"),
        ("event.type.matches('((a{1,99}){1,99}){1,99}')", "regular expression is too large"),
        ("matches(event.type, 5)", ""),
    ] {
        let error = Expression::parse(text).expect(text).matches(&event).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
    let error = Expression::parse("event.type == 'x'").expect("good").matches(&json!("a text"));
    assert!(error.is_err(), "an event that is no object");
}

#[test]
fn what_is_no_expression() {
    let nested = format!("{}1{} == 1", "(".repeat(500), ")".repeat(500));
    let long = "1 == 1 && ".repeat(200);
    for (text, said) in [
        ("", ""),
        ("event.type ==", "no expression"),
        ("event type", "no expression"),
        (nested.as_str(), ""),
        (long.as_str(), "longer than 1024 bytes"),
        ("event.a.all(x, event.b.all(y, y == x))", "loop within a loop"),
        ("event.a.map(x, event.b.filter(y, true)).size() > 0", "loop within a loop"),
    ] {
        let error = Expression::parse(text).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn the_deepest_expressions_fit_a_stack() {
    // As small as a worker's.
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(|| {
        let sum = format!("{}1 > 0", "1+".repeat(500));
        let not = format!("{}true", "!".repeat(90));
        let and = format!("{}true", "true&&".repeat(160));
        let select = format!("has(event{})", ".a".repeat(450));
        let question = format!("{}true", "true?true:".repeat(80));
        for text in [sum, not, and, select, question] {
            // Refused or evaluated, whichever: it must not overflow.
            let result = Expression::parse(&text).and_then(|parsed| parsed.matches(&json!({ "a": {} })));
            assert!(result != Ok(false) || text.starts_with("has"), "{text}: {result:?}");
        }
    });
    thread.expect("a thread").join().expect("no overflow");
}

#[test]
fn variables_are_those_that_are_not_bound() {
    for (text, names) in [
        ("a.b == c['d']", vec!["a", "c"]),
        ("a.all(x, x == y)", vec!["a", "y"]),
        ("size([1, 2]) == 2 && 'a'.matches('b')", vec![]),
    ] {
        let parsed = Expression::parse(text).expect(text);
        assert_eq!(parsed.names().collect::<Vec<_>>(), names, "{text}");
    }
    let parsed = Expression::parse("a + 1").unwrap();
    assert_eq!(parsed.value(vec![("a".to_owned(), Value::Int(2))]), Ok(Value::Int(3)));
    assert!(parsed.value(Vec::new()).is_err());
}

#[test]
fn large_events() {
    let items: Vec<_> = (0..200_000).map(|n| json!({ "kind": "x", "n": n })).collect();
    let event = json!({ "type": "big", "data": items });
    let matches = |text: &str| Expression::parse(text).expect(text).matches(&event);
    assert_eq!(matches("event.type == 'big'"), Ok(true), "the data is not looked at");
    for text in [
        "event.data.all(x, x in event.data)",
        "event.data.exists(x, x == event.data[0])",
        "event.data.exists(x, x.kind.matches('x'))",
    ] {
        assert_eq!(
            matches(text),
            Err("what it is given is too large for this expression".to_owned()),
            "{text}"
        );
    }
    let few = json!({ "data": (0..2000).map(|n| json!({ "n": n })).collect::<Vec<_>>() });
    let expression = Expression::parse("event.data.exists(x, x.n == 1999)").expect("good");
    assert_eq!(expression.matches(&few), Ok(true));
}

#[test]
fn numbers() {
    let expression = Expression::parse("requests > 10 && totalFailures * 2 >= requests").expect("good");
    let holds = |requests, failures| expression.holds(&[("requests", requests), ("totalFailures", failures)]);
    assert_eq!([holds(10, 10), holds(11, 5), holds(12, 6)], [Ok(false), Ok(false), Ok(true)]);
    assert!(expression.holds(&[("requests", 11)]).is_err(), "a name that is not there");
}

#[test]
fn only_what_is_used_is_looked_at() {
    let names = |text: &str| match Expression::parse(text).expect(text).fields {
        Fields::All => None,
        Fields::Some(names) => Some(names.into_iter().collect::<Vec<_>>()),
    };
    let some = |list: &[&str]| Some(list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(names("event.type == event.source"), some(&["source", "type"]));
    assert_eq!(names("has(event.data.x) && event.data.y"), some(&["data"]));
    assert_eq!(names("event.data.exists(x, x == event.id)"), some(&["data", "id"]));
    assert_eq!(names("event['type'] == 'x'"), None);
    assert_eq!(names("event == {}"), None);
    assert_eq!(names("true"), some(&[]));
}

#[test]
fn expressions_are_shared_by_threads() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<Expression>();
}
