//! Foreign functions, as a filter by the Rust SDK uses them.

use crate::harness::*;
use http::Request;
use sampan_service::full;

async fn call(
    filtered: &Filtered,
    name: &str,
    arguments: Vec<u8>,
    headers: &[(&str, &str)],
) -> (String, Vec<u8>, Read) {
    let mut request = Request::post(format!("/{name}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = filtered.handler.handle(request.body(full(arguments)).unwrap()).await;
    let (parts, body) = response.into_parts();
    let bytes = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
    let read = read(http::Response::from_parts(parts, sampan_service::empty())).await;
    (read.header("x-status").to_owned(), bytes.to_vec(), read)
}

/// Fields of a message of Protocol Buffers.
fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
    let mut message = Vec::new();
    for (number, bytes) in fields {
        message.push(number << 3 | 2);
        match bytes.len() {
            len @ ..0x80 => message.push(len as u8),
            len => message.extend([len as u8 & 0x7f | 0x80, (len >> 7) as u8]),
        }
        message.extend_from_slice(bytes);
    }
    message
}

/// Runs openssl, with what `FILE` in its arguments means.
fn openssl(arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut child) = command.spawn() else { return sampan_testing::skip("openssl is not installed") };
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}");
    Some(output.stdout)
}

#[test]
fn what_is_compressed_is_uncompressed() {
    run(async {
        let filtered = filtered(spec("proxy-foreign", "")).await;
        let text = "hello ".repeat(1000).into_bytes();
        let (status, compressed, _) = call(&filtered, "compress", text.clone(), &[]).await;
        assert_eq!((status.as_str(), &compressed[..2]), ("Ok(())", &b"\x78\x9c"[..]));
        assert!(compressed.len() < 100);
        let (status, again, _) = call(&filtered, "uncompress", compressed, &[]).await;
        assert_eq!((status.as_str(), again), ("Ok(())", text));
        let (status, nothing, _) = call(&filtered, "uncompress", b"no zlib".to_vec(), &[]).await;
        assert_eq!((status.as_str(), nothing.len()), ("Err(SerializationFailure)", 0));
    });
}

#[test]
fn names_that_nobody_knows_are_not_found() {
    run(async {
        let filtered = filtered(spec("proxy-foreign", "")).await;
        for (name, status) in [("clear_route_cache", "Ok(())"), ("no", "Err(NotFound)")] {
            assert_eq!(call(&filtered, name, b"x".to_vec(), &[]).await.0, status, "{name}");
        }
    });
}

#[test]
fn filter_state_is_a_property() {
    run(async {
        let filtered = filtered(spec("proxy-foreign", "")).await;
        for (name, property, value) in [
            ("envoy.tcp_proxy.cluster", "filter_state/envoy.tcp_proxy.cluster", "blue"),
            ("wasm.mine", "mine", "green"),
            ("wasm.mine", "filter_state/wasm.mine", "red"),
        ] {
            let arguments = message(&[(1, name.as_bytes()), (2, value.as_bytes())]);
            let headers = [("x-get", property)];
            let (status, _, read) = call(&filtered, "set_envoy_filter_state", arguments, &headers).await;
            assert_eq!((status.as_str(), read.header("x-value")), ("Ok(())", value), "{property}");
        }
        let (status, ..) = call(&filtered, "set_envoy_filter_state", b"\x0a\xff".to_vec(), &[]).await;
        assert_eq!(status, "Err(BadArgument)");
    });
}

#[test]
fn a_property_may_be_declared_to_be_set_once() {
    run(async {
        let filtered = filtered(spec("proxy-foreign", "")).await;
        let headers = [("x-set", "once=1,once=2,often=1,often=2"), ("x-get", "once")];
        let mut arguments = message(&[(1, b"once")]);
        arguments.extend(b"\x10\x01");
        let (status, _, read) = call(&filtered, "declare_property", arguments.clone(), &headers).await;
        assert_eq!(status, "Ok(())");
        assert_eq!((read.header("x-set"), read.header("x-value")), ("0 2 0 0", "1"));
        // It is known, and each exchange has its own.
        let (status, _, read) = call(&filtered, "declare_property", arguments, &headers).await;
        assert_eq!((status.as_str(), read.header("x-set")), ("Err(BadArgument)", "0 2 0 0"));
    });
}

#[test]
fn signatures_are_those_of_openssl() {
    run(async {
        let filtered = filtered(spec("proxy-foreign", "")).await;
        let folder = sampan_testing::temp_dir();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (key, other) = (path("key.pem"), path("signature"));
        for (options, hash) in [
            (["RSA", "rsa_keygen_bits:2048"], "sha256"),
            (["RSA", "rsa_keygen_bits:2048"], "SHA512"),
            (["EC", "ec_paramgen_curve:P-256"], "sha256"),
            (["EC", "ec_paramgen_curve:P-384"], "sha384"),
        ] {
            let new = ["genpkey", "-algorithm", options[0], "-pkeyopt", options[1]];
            let Some(private) = openssl(&new, b"") else { return };
            std::fs::write(&key, &private).unwrap();
            let public = openssl(&["pkey", "-in", &key, "-pubout"], b"").unwrap();
            let public_der = openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER"], b"").unwrap();
            let pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-in", &key, "-outform", "DER"];
            let private_der = openssl(&pkcs8, b"").unwrap();
            let digest = format!("-{}", hash.to_lowercase());

            // Openssl signs.
            let signature = openssl(&["dgst", &digest, "-sign", &key], b"a text").unwrap();
            for (field, public) in [(5, &public), (2, &public_der)] {
                for (text, result) in
                    [(&b"a text"[..], &b"\x08\x01"[..]), (b"a lie", b"\x12\x18Failed to verify digest.")]
                {
                    let arguments = [(1, hash.as_bytes()), (field, public), (3, &signature), (4, text)];
                    let verified = call(&filtered, "verify_signature", message(&arguments), &[]).await;
                    assert_eq!(
                        (verified.0.as_str(), &verified.1[..]),
                        ("Ok(())", result),
                        "{options:?} {hash}"
                    );
                }
            }

            // The host signs.
            for (field, private) in [(4, &private), (2, &private_der)] {
                let arguments = [(1, hash.as_bytes()), (field, private), (3, b"a text")];
                let (status, result, _) = call(&filtered, "sign", message(&arguments), &[]).await;
                assert_eq!(status, "Ok(())");
                // True, and a field of bytes with its length before them.
                let skip = if result[3] & 0x80 == 0 { 4 } else { 5 };
                assert_eq!(result[..3], b"\x08\x01\x12"[..]);
                std::fs::write(&other, &result[skip..]).unwrap();
                let check = ["dgst", &digest, "-prverify", &key, "-signature", &other];
                assert!(openssl(&check, b"a text").unwrap().starts_with(b"Verified OK"));
            }
        }
    });
}

#[test]
fn keys_and_hashes_that_do_not_fit_are_said() {
    run(async {
        let filtered = filtered(spec("proxy-foreign", "")).await;
        let Some(private) = openssl(&["genpkey", "-algorithm", "ed25519"], b"") else { return };
        let public = openssl(&["pkey", "-pubout"], &private).unwrap();
        let with = |hash: &'static str, field: u8, key: &[u8]| message(&[(1, hash.as_bytes()), (field, key)]);
        let both = [with("sha256", 2, &public), with("", 5, &public)].concat();
        for (name, arguments, status, text) in [
            ("verify_signature", with("sha256", 5, b"no key"), "Err(BadArgument)", ""),
            ("verify_signature", with("sha256", 2, b"no key"), "Err(BadArgument)", ""),
            ("verify_signature", both, "Err(BadArgument)", ""),
            ("verify_signature", b"\x0a".to_vec(), "Err(BadArgument)", ""),
            ("verify_signature", with("md5", 5, &public), "Ok(())", "md5 is not supported."),
            ("verify_signature", with("sha256", 5, &public), "Ok(())", "Failed to initialize digest verify."),
            ("sign", with("sha256", 4, &public), "Err(BadArgument)", ""),
            ("sign", with("md5", 4, &private), "Ok(())", "md5 is not supported."),
            ("sign", with("sha256", 4, &private), "Ok(())", "Failed to create signature."),
        ] {
            let called = call(&filtered, name, arguments, &[]).await;
            let result = String::from_utf8_lossy(&called.1);
            assert_eq!((called.0.as_str(), result.contains(text)), (status, true), "{name} {result}");
        }
    });
}
