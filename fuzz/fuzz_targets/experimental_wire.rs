//! Headers and methods of `wasi_experimental_http`: any bytes are read or refused, and what is written fits
//! where it is to go.

#![no_main]

#[path = "../../crates/capabilities/src/http/host/experimental_wire.rs"]
mod wire;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&limit, block)) = bytes.split_first() else { return };
    let limit = usize::from(limit) * 8;
    let Ok(text) = wire::text(block) else { return };
    assert!(!wire::method(text).is_empty() || text.is_empty());
    let Ok(headers) = wire::request_headers(text) else { return };
    let raw = headers.iter().map(|(name, value)| (*name, value.as_bytes()));
    match wire::response_headers(raw, limit) {
        Ok(Some(written)) => {
            assert!(written.len() <= limit);
            // A carriage return at the end of a value is part of a line's end to the reader.
            assert!(text.contains('\r') || wire::request_headers(&written) == Ok(headers));
        }
        Ok(None) => assert!(text.len() + 1 > limit),
        Err(_) => panic!("text of the guest is text"),
    }
});
