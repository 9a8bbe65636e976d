//! Conditional requests (RFC 9110, section 13): is what the client holds still what it would get?

use http::header::{
    HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What identifies one form of a file's content.
#[derive(Debug)]
pub struct Validators {
    /// With quotes, and `W/` where it is weak.
    pub etag: String,
    pub modified: SystemTime,
}

/// A file that changed so recently may change again within the same tick of the file system's clock, so its
/// time does not tell the two apart.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Send,
    /// 304
    NotModified,
    /// 412
    Failed,
}

impl Validators {
    /// `variant` tells forms of one file apart that are sent under the same name. A weak one is equivalent,
    /// not equal byte for byte: what was compressed anew may differ between versions of the compressor.
    pub fn new(
        length: u64,
        seconds: i64,
        nanoseconds: u64,
        variant: &str,
        weak: bool,
        now: SystemTime,
    ) -> Self {
        let since = Duration::new(u64::try_from(seconds).unwrap_or(0), nanoseconds as u32 % 1_000_000_000);
        let changed = UNIX_EPOCH + since;
        let settled = now.duration_since(changed).is_ok_and(|age| age >= SETTLED);
        let mark = if weak || !settled { "W/" } else { "" };
        let etag = format!("{mark}\"{seconds:x}.{nanoseconds:x}-{length:x}{variant}\"");
        // A time to come is not sent (section 8.8.2.1), and the header has no fractions.
        let modified = changed.min(now);
        let whole = modified.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Validators { etag, modified: UNIX_EPOCH + Duration::from_secs(whole) }
    }

    /// The order is that of section 13.2.2.
    pub fn judge(&self, headers: &HeaderMap) -> Verdict {
        if headers.contains_key(IF_MATCH) {
            if !any_tag(headers, &IF_MATCH, |tag| strong(tag) && tag == self.etag) {
                return Verdict::Failed;
            }
        } else if date(headers, &IF_UNMODIFIED_SINCE).is_some_and(|date| self.modified > date) {
            return Verdict::Failed;
        }
        let unchanged = match headers.contains_key(IF_NONE_MATCH) {
            true => any_tag(headers, &IF_NONE_MATCH, |tag| opaque(tag) == opaque(&self.etag)),
            false => date(headers, &IF_MODIFIED_SINCE).is_some_and(|date| self.modified <= date),
        };
        if unchanged { Verdict::NotModified } else { Verdict::Send }
    }

    /// Whether a `Range` counts: it does not if the client's part is of another content.
    pub fn range_counts(&self, headers: &HeaderMap) -> bool {
        let Some(value) = headers.get(IF_RANGE) else { return true };
        let Ok(text) = value.to_str() else { return false };
        match text.contains('"') {
            true => strong(text) && text == self.etag,
            // A date is as strong as the tag that would have been sent with it.
            false => strong(&self.etag) && date(headers, &IF_RANGE) == Some(self.modified),
        }
    }
}

fn strong(tag: &str) -> bool {
    !tag.starts_with("W/")
}

fn opaque(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// Whether one of the listed tags fits; `*` fits whatever exists. Our own tags hold no comma.
fn any_tag(headers: &HeaderMap, name: &HeaderName, fits: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || fits(tag))
}

/// A date that cannot be read counts as none.
fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const DAY: i64 = 86_400;

    fn now() -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(100 * DAY as u64)
    }

    fn check(validators: &Validators, headers: &[(&'static str, &str)]) -> (Verdict, bool) {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        let headers = HeaderMap::from_iter(headers.iter().map(header));
        (validators.judge(&headers), validators.range_counts(&headers))
    }

    #[test]
    fn conditions_of_a_settled_file() {
        let validators = Validators::new(10, 50 * DAY, 7, "", false, now());
        let tag = validators.etag.clone();
        assert_eq!(tag, "\"41eb00.7-a\"");
        let (then, before) = ("Fri, 20 Feb 1970 00:00:00 GMT", "Thu, 19 Feb 1970 23:59:59 GMT");
        let (weak, list) = (format!("W/{tag}"), format!("\"other\", {tag}"));
        use Verdict::*;
        let table: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Send),
            (&[("if-none-match", &tag)], NotModified),
            (&[("if-none-match", &weak)], NotModified),
            (&[("if-none-match", &list)], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"other\"")], Send),
            (&[("if-none-match", "other")], Send),
            (&[("if-modified-since", then)], NotModified),
            (&[("if-modified-since", before)], Send),
            (&[("if-modified-since", "yesterday")], Send),
            (&[("if-none-match", "\"other\""), ("if-modified-since", then)], Send),
            (&[("if-match", &tag)], Send),
            (&[("if-match", "*")], Send),
            (&[("if-match", &weak)], Failed),
            (&[("if-match", "\"other\"")], Failed),
            (&[("if-unmodified-since", then)], Send),
            (&[("if-unmodified-since", before)], Failed),
            (&[("if-match", &tag), ("if-unmodified-since", before)], Send),
            (&[("if-match", &tag), ("if-none-match", &tag)], NotModified),
        ];
        for (headers, expected) in table {
            assert_eq!(&check(&validators, headers).0, expected, "{headers:?}");
        }
        let table = [
            (&*tag, true),
            (&*weak, false),
            ("\"other\"", false),
            (then, true),
            (before, false),
            ("x", false),
        ];
        for (value, expected) in table {
            assert_eq!(check(&validators, &[("if-range", value)]).1, expected, "{value}");
        }
    }

    #[test]
    fn what_may_change_again_within_the_tick_is_weak() {
        let validators = Validators::new(10, 100 * DAY - 1, 0, "-br", false, now());
        assert!(validators.etag.starts_with("W/\"") && validators.etag.ends_with("-br\""));
        assert!(!check(&validators, &[("if-range", &validators.etag)]).1);
        assert_eq!(check(&validators, &[("if-none-match", &validators.etag)]).0, Verdict::NotModified);
        // A file from the future.
        assert_eq!(Validators::new(10, 200 * DAY, 0, "", false, now()).modified, now());
        // One from before the epoch.
        assert_eq!(Validators::new(10, -5, 0, "", false, now()).modified, UNIX_EPOCH);
    }
}
