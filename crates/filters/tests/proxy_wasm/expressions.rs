//! Expressions in CEL about an exchange, by Envoy's foreign functions.

use crate::harness::*;
use http::Request;
use sampan_service::{Matched, Peer, empty};

/// What evaluating leads to, in digits; then deleting it, and asking for it once more.
async fn evaluated(filtered: &Filtered, expression: &str) -> String {
    let request =
        Request::post("/shop/cart?q=1").header("host", "shop.example").header("x-expression", expression);
    let mut request =
        request.header("x-user", "ann").header("x-two", "1").header("x-two", "2").body(empty()).unwrap();
    let (address, local) = ("192.0.2.1:999".parse().unwrap(), "192.0.2.2:80".parse().unwrap());
    request.extensions_mut().insert(Peer { address, local, tls: false });
    let route =
        Matched { route: "/shop/...".into(), base: "/shop".into(), rest: "/cart".into(), names: Vec::new() };
    request.extensions_mut().insert(route);
    filtered.send(request).await.header("got-x-evaluated").to_owned()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn values_are_encoded_as_properties_are() {
    run(async {
        let filtered = filtered(spec("proxy-attributes", "")).await;
        let pairs = |pairs: &[(&[u8], &[u8])]| {
            let mut bytes = (pairs.len() as u32).to_le_bytes().to_vec();
            for (name, value) in pairs {
                bytes.extend((name.len() as u32).to_le_bytes());
                bytes.extend((value.len() as u32).to_le_bytes());
            }
            pairs.iter().for_each(|(name, value)| bytes.extend([name, &b"\0"[..], value, b"\0"].concat()));
            bytes
        };
        let long = format!("request.method == 'GET' || {}request.method == 'POST'", "false || ".repeat(60));
        let number = 2_i64.to_le_bytes();
        for (expression, value) in [
            ("request.method", b"POST".to_vec()),
            ("request.method == 'POST' && request.url_path.startsWith('/shop/')", vec![1]),
            (long.as_str(), vec![1]),
            ("request.headers['x-user'] + '@' + request.host", b"ann@shop.example".to_vec()),
            ("request.headers['x-two']", b"1,2".to_vec()),
            ("'x-none' in request.headers ? 'yes' : 'no'", b"no".to_vec()),
            ("has(request.referer)", vec![0]),
            ("source.port", 999_i64.to_le_bytes().to_vec()),
            ("source.port > 100 && destination.port == 80 && !connection.mtls", vec![1]),
            ("connection.id + 1u", ((999_u64 << 16 | 80) + 1).to_le_bytes().to_vec()),
            ("upstream.request_attempt_count", 0_u64.to_le_bytes().to_vec()),
            ("xds.route_name == route_name && route_name == '/shop/...'", vec![1]),
            ("plugin_name", b"proxy-attributes".to_vec()),
            ("mine", b"set".to_vec()),
            ("filter_state['wasm.mine'] == mine", vec![1]),
            ("1.5", 1.5_f64.to_le_bytes().to_vec()),
            ("b'\\x01\\x02'", vec![1, 2]),
            ("['a', 'b']", pairs(&[(b"a", b""), (b"b", b"")])),
            ("[1, 2].map(n, n + 1).filter(n, n < 3)", pairs(&[(&number, b"")])),
            ("{'a': 2}", pairs(&[(b"a", &number)])),
            ("request.headers.exists(name, name == 'x-user')", vec![1]),
        ] {
            let told = evaluated(&filtered, expression).await;
            let value = hex(&value);
            // It is the same each time, and gone when it was deleted.
            assert_eq!(told, format!("={value} ={value} = NotFound"), "{expression}");
        }
    });
}

#[test]
fn what_is_wrong_is_said() {
    run(async {
        let filtered = filtered(spec("proxy-attributes", "")).await;
        for (expression, told) in [
            ("request.method ==", "BadArgument"),
            ("request.headers.all(a, request.headers.all(b, a == b))", "BadArgument"),
            // There is no response yet, and nobody has set this.
            ("response.code == 200", "InternalFailure InternalFailure = NotFound"),
            ("nobody", "InternalFailure InternalFailure = NotFound"),
            ("request.headers['x-none']", "InternalFailure InternalFailure = NotFound"),
            ("1 / 0", "InternalFailure InternalFailure = NotFound"),
            ("null", "SerializationFailure SerializationFailure = NotFound"),
        ] {
            assert_eq!(evaluated(&filtered, expression).await, told, "{expression}");
        }
        assert_eq!(
            filtered.logged("expr_create: this is no expression"),
            1,
            "{:?}",
            filtered.log.lock().unwrap()
        );
        assert_eq!(filtered.logged("expr_create: a loop within a loop"), 1);
        let long = format!("{}true", "true && ".repeat(200));
        assert_eq!(evaluated(&filtered, &long).await, "BadArgument");
        // As deep as they may be.
        let deep = format!("{}true", "!".repeat(90));
        assert!(evaluated(&filtered, &deep).await.ends_with("NotFound"));
    });
}
