//! Names that are hard to meet twice: of entries, subscriptions and traces.

use ring::rand::{SecureRandom, SystemRandom};
use std::time::{SystemTime, UNIX_EPOCH};

/// A random UUID (RFC 9562, version 4).
pub fn uuid() -> String {
    uuid::Builder::from_random_bytes(random()).into_uuid().to_string()
}

/// The beginning of a trace that nobody samples (W3C Trace Context, section 3.2).
pub fn trace_parent() -> String {
    let trace = u128::from_ne_bytes(random());
    let span = u128::from_ne_bytes(random()) as u64;
    format!("00-{trace:032x}-{span:016x}-00")
}

fn random() -> [u8; 16] {
    let mut bytes = [0; 16];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without randomness names are still different within the process.
        bytes = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos().to_ne_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_their_forms_and_differ() {
        let (one, other) = (uuid(), uuid());
        assert_eq!((one.len(), &one[14..15]), (36, "4"));
        assert_ne!(one, other);
        let parent = trace_parent();
        let lengths: Vec<usize> = parent.split('-').map(str::len).collect();
        assert_eq!(lengths, [2, 32, 16, 2]);
    }
}
