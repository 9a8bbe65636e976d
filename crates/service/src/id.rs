//! Names of requests: the client's if it is harmless, or a new one.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use ring::rand::{SecureRandom, SystemRandom};
use std::cell::Cell;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer names are replaced: they go into logs.
const LEN_MAX: usize = 128;

/// The request's name.
pub(crate) fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(id) if valid(id.as_bytes()) && headers.get_all(X_REQUEST_ID).iter().count() == 1 => id.clone(),
        _ => new(),
    }
}

fn valid(id: &[u8]) -> bool {
    (1..=LEN_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

/// 128 bits in hexadecimal. They are hard to meet twice but no secret: the system's randomness is asked once
/// for each thread, and SplitMix64 (Steele, Lea, Flood 2014; constants of Vigna's public-domain version) goes on.
fn new() -> HeaderValue {
    thread_local!(static STATE: Cell<Option<(u64, u64)>> = const { Cell::new(None) });
    let (high, low) = STATE.get().unwrap_or_else(seed);
    let low = low.wrapping_add(0x9e37_79b9_7f4a_7c15);
    STATE.set(Some((high, low)));
    let mut text = [0; 32];
    hexadecimal(mix(high ^ low.rotate_left(32)), &mut text[..16]);
    hexadecimal(mix(low), &mut text[16..]);
    // One allocation, however often it is cloned.
    HeaderValue::from_maybe_shared(Bytes::from_owner(text)).expect("digits are visible characters")
}

fn seed() -> (u64, u64) {
    let mut bytes = [0; 16];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        // Without randomness names are still different within the process.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        bytes = now.as_nanos().to_ne_bytes();
    }
    let number = u128::from_ne_bytes(bytes);
    ((number >> 64) as u64, number as u64)
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn hexadecimal(number: u64, text: &mut [u8]) {
    for (at, digit) in text.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 15];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_harmless_name_is_kept() {
        let long = "x".repeat(LEN_MAX + 1);
        for (given, kept) in [("abc-1", true), ("a b", false), ("", false), (&long, false), ("é", false)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", HeaderValue::from_bytes(given.as_bytes()).unwrap());
            assert_eq!(of(&headers).as_bytes() == given.as_bytes(), kept, "{given}");
        }
    }

    #[test]
    fn two_names_are_none() {
        let mut headers = HeaderMap::new();
        headers.append("x-request-id", HeaderValue::from_static("a"));
        headers.append("x-request-id", HeaderValue::from_static("b"));
        assert_eq!(of(&headers).len(), 32);
    }

    #[test]
    fn new_names_differ() {
        let names: std::collections::HashSet<_> = (0..1000).map(|_| new()).collect();
        assert_eq!(names.len(), 1000);
        assert!(names.iter().all(|name| name.as_bytes().iter().all(u8::is_ascii_hexdigit)));
    }
}
