//! proxy-wasm's maps: any bytes are read or refused, and what was read is written as it was.

#![no_main]

#[path = "../../crates/filters/src/proxy_wasm/map.rs"]
mod map;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some(pairs) = map::decode(bytes) else { return };
    assert!(pairs.len() <= map::PAIRS_MAX);
    let again = map::encode(&pairs);
    // No bytes are an empty map too.
    assert!(bytes.is_empty() || again == bytes);
});
