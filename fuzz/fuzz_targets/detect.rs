//! What a file is: any bytes get an answer or an error, never a panic, and what is found can be said.

#![no_main]
// The file is included whole, and not all of it is used here.
#![allow(dead_code)]

#[path = "../../crates/engine/src/detect.rs"]
mod detect;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match detect::detect(bytes) {
        Ok(kind) => assert!(!kind.describe().is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
