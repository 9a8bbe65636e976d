//! Native code in a file: whatever the bytes, what is found lies within them, nobody's key vouches for it by
//! chance, and taking our sections out twice is taking them out once.

#![no_main]
// The file is included whole, and not all of it is used here.
#![allow(dead_code)]

#[path = "../../crates/engine/src/artifact.rs"]
mod artifact;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let digest = artifact::wasm_digest(bytes);
    let found = artifact::find(bytes);
    assert!(found.len() <= artifact::MAX_SECTIONS);
    for one in found {
        assert!(!bytes[one.payload.clone()].is_empty());
        assert!(artifact::verify(&one, bytes, &digest, &[artifact::PublicKey([7; 32])]).is_err());
    }
    let stripped = artifact::strip(bytes);
    assert!(artifact::find(&stripped).is_empty());
    assert_eq!(artifact::strip(&stripped), stripped);
    assert_eq!(artifact::wasm_digest(&stripped), digest);
});
