//! Several targets behind one route, of which each gets its share.

use crate::router::Counted;
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use sampan_app::SplitBy;
use sampan_service::{Answer, Body, Handler, Peer, Served};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// One target.
pub struct Part {
    pub weight: u32,
    pub handler: Arc<dyn Handler>,
    pub served: Served,
    pub counted: Counted,
}

pub struct Split {
    /// Those with a weight.
    parts: Vec<Part>,
    sum: u64,
    by: By,
}

/// What requests have in common that shall get to the same target.
enum By {
    Nothing,
    /// A cookie's name; who has none gets one.
    Cookie(String),
    Header(HeaderName),
    SourceIp,
}

impl Split {
    pub fn new(mut parts: Vec<Part>, by: Option<&SplitBy>) -> Result<Split, String> {
        parts.retain(|part| part.weight > 0);
        let sum = parts.iter().map(|part| u64::from(part.weight)).sum();
        if sum == 0 {
            return Err("no target has a weight".to_owned());
        }
        let by = match by {
            None => By::Nothing,
            Some(SplitBy::SourceIp) => By::SourceIp,
            Some(SplitBy::Cookie(name)) => By::Cookie(name.clone()),
            Some(SplitBy::Header(name)) => {
                By::Header(name.parse().map_err(|_| format!("`{name}` is no header's name"))?)
            }
        };
        Ok(Split { parts, sum, by })
    }

    /// The part in which a number between 0 and the largest possible falls: so a client whose number stays the
    /// same changes targets only where weights change.
    fn part(&self, number: u64) -> &Part {
        let mut at = ((u128::from(number) * u128::from(self.sum)) >> 64) as u64;
        for part in &self.parts {
            match at.checked_sub(part.weight.into()) {
                None => return part,
                Some(rest) => at = rest,
            }
        }
        // Not reached: `at` is less than the sum.
        &self.parts[self.parts.len() - 1]
    }

    fn number(&self, request: &Request<Body>) -> Option<u64> {
        match &self.by {
            By::Nothing => None,
            By::Cookie(name) => cookie(request.headers(), name).map(hash),
            By::Header(name) => request.headers().get(name).map(|value| hash(value.as_bytes())),
            By::SourceIp => {
                let address = request.extensions().get::<Peer>()?.address.ip().to_canonical();
                Some(hash(address.to_string().as_bytes()))
            }
        }
    }
}

impl Handler for Split {
    fn handle(&self, request: Request<Body>) -> Answer<'_> {
        let known = self.number(&request);
        let id = random();
        let (part, cookie) = match (&self.by, known) {
            (By::Cookie(name), None) => {
                let value = format!("{id:016x}");
                (self.part(hash(value.as_bytes())), Some((name, value)))
            }
            (_, known) => (self.part(known.unwrap_or(id)), None),
        };
        let answer = part.handler.handle(request);
        Box::pin(async move {
            let mut response = answer.await;
            if let Some((name, value)) = cookie {
                remember(response.headers_mut(), name, &value);
            }
            response.extensions_mut().get_or_insert_with(|| part.served.clone());
            response.extensions_mut().insert(part.counted.clone());
            response
        })
    }
}

/// Gives the client a cookie, unless the target just did.
fn remember(headers: &mut HeaderMap, name: &str, value: &str) {
    let is_set = |set: &HeaderValue| {
        let set = set.as_bytes().strip_prefix(name.as_bytes());
        set.is_some_and(|rest| rest.first() == Some(&b'='))
    };
    if !headers.get_all(SET_COOKIE).iter().any(is_set) {
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax");
        headers.extend(HeaderValue::try_from(text).ok().map(|value| (SET_COOKIE, value)));
    }
}

/// The value of a cookie (RFC 6265, section 4.2).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

/// The same in every process and version (FNV-1a, and the finalizer of MurmurHash3, which spreads it over all
/// bits), so that a client stays where it is behind several gateways and after a restart.
fn hash(bytes: &[u8]) -> u64 {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    mix(sum)
}

fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

/// A number that is random enough to give each target its share.
fn random() -> u64 {
    thread_local!(static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(())));
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        state.set(next);
        mix(next)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let mut headers = HeaderMap::new();
        for value in ["a=1; bb=2;c=", "b=3; b=4"] {
            headers.append(COOKIE, HeaderValue::from_static(value));
        }
        let table: &[(&str, Option<&[u8]>)] =
            &[("a", Some(b"1")), ("b", Some(b"3")), ("bb", Some(b"2")), ("c", Some(b"")), ("d", None)];
        for (name, expected) in table {
            assert_eq!(cookie(&headers, name), *expected, "{name}");
        }
    }

    #[test]
    fn hashes_stay_what_they_are() {
        assert_eq!(hash(b"sampan"), 15_985_204_629_214_467_918);
    }

    #[test]
    fn hashes_of_similar_texts_spread() {
        let low =
            (0..10_000).filter(|n| hash(format!("10.0.{}.{}", n / 250, n % 250).as_bytes()) < u64::MAX / 10);
        let low = low.count();
        assert!((800..1200).contains(&low), "{low} of 10,000 are in the first tenth");
    }
}
