//! What requests themselves show of a server: how often in a row it failed, and how long it is left out for that.
//! What counts, and how the time grows, is as in Envoy (`OutlierDetection` of its clusters).

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use sampan_app::Outlier;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// For each such time that a server was not left out, its next ejection is one step shorter.
const FORGIVE_MS: u64 = 10_000;

/// What a request has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It answered.
    Status(StatusCode),
    /// It could not be reached, or did not answer.
    NoAnswer,
    /// A response's body broke off.
    BrokenBody,
    WholeBody,
}

/// A server's failures in a row, by kind, and its ejections.
#[derive(Default)]
pub struct Streaks {
    failures: AtomicU32,
    errors: AtomicU32,
    unreachable: AtomicU32,
    broken: AtomicU32,
    /// 0: it is not left out.
    ejected_until_ms: AtomicU64,
    /// When the last one ended.
    returned_ms: AtomicU64,
    /// Ejections, less what is forgiven.
    ejections: AtomicU32,
}

impl Streaks {
    /// Takes in what a request has shown: whether there are too many failures of a kind in a row.
    pub fn take(&self, shown: Shown, outlier: &Outlier) -> bool {
        let (failures, errors) = (outlier.failures, outlier.errors);
        match shown {
            Shown::Status(status) => {
                reset(&self.unreachable);
                let error = status.is_server_error();
                let gateway = matches!(status.as_u16(), 502..=504);
                let failed = gateway && count(&self.failures, failures);
                let erred = error && count(&self.errors, errors);
                if !gateway {
                    reset(&self.failures);
                }
                if !error {
                    reset(&self.errors);
                }
                failed || erred
            }
            Shown::NoAnswer if outlier.unreachable.is_some() => count(&self.unreachable, outlier.unreachable),
            Shown::NoAnswer => {
                let failed = count(&self.failures, failures);
                count(&self.errors, errors) || failed
            }
            // The head before it was an answer, so that this would never be the second in a row of these.
            Shown::BrokenBody => count(&self.broken, outlier.unreachable.or(failures).or(errors)),
            Shown::WholeBody => {
                reset(&self.broken);
                false
            }
        }
    }

    /// The clock is looked at only for those that were left out.
    pub fn ejected(&self, now_ms: impl Fn() -> u64) -> Ejected {
        let until = self.ejected_until_ms.load(Relaxed);
        if until == 0 {
            return Ejected::No;
        }
        if now_ms() < until {
            return Ejected::Yes;
        }
        match self.ejected_until_ms.compare_exchange(until, 0, Relaxed, Relaxed) {
            Ok(_) => Ejected::JustOver,
            Err(_) => Ejected::No,
        }
    }

    pub fn is_ejected(&self) -> bool {
        self.ejected_until_ms.load(Relaxed) != 0
    }

    /// Leaves it out from now on. One at a time does this.
    pub fn eject(&self, outlier: &Outlier, now_ms: u64) {
        let well_ms = now_ms.saturating_sub(self.returned_ms.load(Relaxed));
        let forgiven = u32::try_from(well_ms / FORGIVE_MS).unwrap_or(u32::MAX);
        let times = self.ejections.load(Relaxed).saturating_sub(forgiven).saturating_add(1);
        self.ejections.store(times, Relaxed);
        let time = outlier.eject.saturating_mul(times).min(outlier.eject_max.max(outlier.eject));
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let until = now_ms.saturating_add(time_ms).max(1);
        for streak in [&self.failures, &self.errors, &self.unreachable, &self.broken] {
            streak.store(0, Relaxed);
        }
        self.returned_ms.store(until, Relaxed);
        self.ejected_until_ms.store(until, Relaxed);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ejected {
    No,
    Yes,
    /// Whoever sees this is the first to see that its time is over.
    JustOver,
}

/// `None`: this kind does not count.
fn count(streak: &AtomicU32, most: Option<u32>) -> bool {
    most.is_some_and(|most| streak.fetch_add(1, Relaxed) + 1 >= most)
}

/// Most of the time there is nothing to write, and reading a line that nobody writes is free.
fn reset(streak: &AtomicU32) {
    if streak.load(Relaxed) != 0 {
        streak.store(0, Relaxed);
    }
}

/// What a response's head says of the server. A gRPC server that has nothing but a status to say puts it there, and its
/// status of HTTP is always 200.
pub fn status(status: StatusCode, headers: &HeaderMap) -> StatusCode {
    let grpc =
        || headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let Some(code) = headers.get("grpc-status").filter(|_| grpc()) else { return status };
    // https://github.com/grpc/grpc/blob/master/doc/statuscodes.md; those that are the client's fault stay as they are.
    match code.as_bytes() {
        b"4" => StatusCode::GATEWAY_TIMEOUT,
        b"12" => StatusCode::NOT_IMPLEMENTED,
        b"14" => StatusCode::SERVICE_UNAVAILABLE,
        b"2" | b"13" | b"15" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const fn seen(status: u16) -> Shown {
        match StatusCode::from_u16(status) {
            Ok(status) => Shown::Status(status),
            Err(_) => panic!("a status"),
        }
    }

    const GOOD: Shown = seen(200);
    const BUSY: Shown = seen(503);
    const ERROR: Shown = seen(500);
    const GONE: Shown = Shown::NoAnswer;
    const CUT: [Shown; 2] = [GOOD, Shown::BrokenBody];

    #[test]
    fn what_counts() {
        let count =
            |failures, errors, unreachable| Outlier { failures, errors, unreachable, ..Outlier::default() };
        let three = Some(3);
        for (outlier, shown, enough) in [
            (count(three, None, None), vec![BUSY, GONE, seen(504)], true),
            (count(three, None, None), vec![BUSY, GONE, seen(404), BUSY], false),
            // Another error of the server ends the row, as it does in Envoy.
            (count(three, None, None), vec![BUSY, BUSY, ERROR, BUSY], false),
            (count(three, None, None), vec![ERROR; 10], false),
            (count(None, three, None), vec![ERROR, BUSY, GONE], true),
            (count(None, three, None), vec![ERROR, ERROR, GOOD, ERROR], false),
            (count(Some(5), three, None), vec![ERROR, seen(501), seen(505)], true),
            // With a number of their own, those that did not answer do not count elsewhere, nor do answers for them.
            (count(three, three, Some(2)), vec![BUSY, GONE, BUSY], false),
            (count(three, three, Some(2)), vec![BUSY, GONE, BUSY, GONE, BUSY], true),
            (count(three, None, Some(2)), vec![GONE, GONE], true),
            (count(three, None, Some(2)), vec![GONE, BUSY, GONE], false),
            (count(None, None, Some(2)), vec![BUSY; 10], false),
            // Bodies that break off count although each begins well.
            (count(three, None, None), CUT.repeat(3), true),
            (count(three, None, None), [&CUT.repeat(2)[..], &[GOOD, Shown::WholeBody], &CUT].concat(), false),
            (count(None, None, Some(2)), CUT.repeat(2), true),
        ] {
            let streaks = Streaks::default();
            let found = shown.iter().map(|one| streaks.take(*one, &outlier)).collect::<Vec<_>>();
            let (last, before) = found.split_last().unwrap();
            assert_eq!((*last, before.contains(&true)), (enough, false), "{outlier:?} {shown:?} {found:?}");
        }
    }

    #[test]
    fn each_ejection_is_longer_up_to_a_limit_and_is_forgiven_in_time() {
        let outlier = Outlier {
            eject: Duration::from_secs(30),
            eject_max: Duration::from_secs(80),
            ..Outlier::default()
        };
        let streaks = Streaks::default();
        let mut now_ms = 0;
        // The time that it was well before, and the time that it is left out.
        for (well_s, out_s) in [(0, 30), (1, 60), (1, 80), (1, 80), (20, 80), (20, 60), (35, 30), (9, 60)] {
            now_ms += well_s * 1000;
            streaks.eject(&outlier, now_ms);
            now_ms += out_s * 1000;
            assert_eq!(streaks.ejected(|| now_ms - 1), Ejected::Yes, "{well_s} {out_s}");
            assert_eq!(streaks.ejected(|| now_ms), Ejected::JustOver, "{well_s} {out_s}");
            assert_eq!(streaks.ejected(|| now_ms), Ejected::No);
        }
    }

    #[test]
    fn a_status_of_grpc_in_the_head_counts() {
        let head = |kind: &str, code: &str| {
            let field = |name: &'static str, value: &str| (name.parse().unwrap(), value.parse().unwrap());
            HeaderMap::from_iter([field("content-type", kind), field("grpc-status", code)])
        };
        for (kind, code, expected) in [
            ("application/grpc", "14", 503),
            ("application/grpc+proto", "4", 504),
            ("application/grpc", "13", 500),
            ("application/grpc", "5", 200),
            ("application/grpc", "0", 200),
            ("text/plain", "14", 200),
        ] {
            assert_eq!(status(StatusCode::OK, &head(kind, code)), expected, "{kind} {code}");
        }
        assert_eq!(status(StatusCode::BAD_GATEWAY, &HeaderMap::new()), 502);
    }
}
