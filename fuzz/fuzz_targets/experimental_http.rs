//! What a guest of `wasi_experimental_http` writes into its memory, and what it gets back: header blocks are
//! understood or refused, and a block that the host writes is read as the same headers.

#![no_main]

#[path = "../../crates/capabilities/src/http/host/experimental_wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|input: (&[u8], usize)| {
    let (bytes, limit_bytes) = input;
    let Ok(text) = wire::text(bytes) else { return };
    assert!(!wire::method(text).is_empty() || text.is_empty());
    let Ok(headers) = wire::request_headers(text) else { return };
    let pairs = || headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    let whole = wire::response_headers(pairs(), usize::MAX).expect("text").expect("it fits");
    // Names hold no `:` and neither part a line end, so the way back is unambiguous.
    assert_eq!(wire::request_headers(&whole).as_ref(), Ok(&headers));
    let fits = wire::response_headers(pairs(), limit_bytes).expect("text");
    assert_eq!(fits.is_some(), whole.len() <= limit_bytes);
});
