//! When something shall happen: cron's five fields, six with seconds, `@hourly` and its kin, `@every 15m`.
//!
//! The forms are those of Dapr's `bindings.cron` (dapr/kit, cron/parser.go). Fields count in the time zone of the
//! process (`TZ`).

use crate::properties::go_duration;
use chrono::{DateTime, Local, TimeZone};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use std::time::{Duration, SystemTime};

/// The longest text. Nobody's schedule needs more.
const TEXT_BYTES_MAX: usize = 1000;
/// The shortest and the longest distance of `@every`; a shorter one counts as the shortest, as in Dapr.
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

/// The names, and what they stand for.
const NAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Fields(Box<Cron>),
    Every(Duration),
}

/// Why a text is no schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("a schedule has 5 fields, or 6 that begin with seconds, but this one has {0}")]
    Fields(usize),
    #[error("`{0}` is unknown; there are @yearly, @monthly, @weekly, @daily, @hourly and @every 15m")]
    Name(String),
    #[error("`{0}` is no duration; write @every 90s, @every 15m or @every 1h30m")]
    Every(String),
    #[error("a schedule cannot choose its time zone; set TZ for the process")]
    Zone,
    #[error("no time ever fits the schedule")]
    Never,
    #[error("the schedule makes no sense: {0}")]
    Malformed(String),
}

impl Schedule {
    pub fn parse(text: &str) -> Result<Schedule, ScheduleError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(ScheduleError::Malformed(format!("it is longer than {TEXT_BYTES_MAX} bytes")));
        }
        if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
            return Err(ScheduleError::Zone);
        }
        if let Some(every) = text.strip_prefix("@every") {
            let every = every.trim();
            let distance = go_duration(every).filter(|distance| *distance <= EVERY_MAX);
            let distance = distance.ok_or_else(|| ScheduleError::Every(every.to_owned()))?;
            let seconds = Duration::from_secs(distance.as_secs());
            return Ok(Schedule(Kind::Every(seconds.max(EVERY_MIN))));
        }
        let fields = match NAMES.iter().find(|(name, _)| *name == text) {
            Some((_, fields)) => fields,
            None if text.starts_with('@') => return Err(ScheduleError::Name(text.to_owned())),
            None => text,
        };
        let count = fields.split_whitespace().count();
        if !matches!(count, 5 | 6) {
            return Err(ScheduleError::Fields(count));
        }
        // `5/15` begins at 5, as in Dapr.
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed);
        let parsed = parser.sloppy_ranges(true).build().parse(fields);
        let cron = parsed.map_err(|error| ScheduleError::Malformed(error.to_string()))?;
        let schedule = Schedule(Kind::Fields(Box::new(cron)));
        match schedule.next_after(SystemTime::now()) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never),
        }
    }

    /// The first time after this one that fits; a whole second. `None`: there is none.
    pub fn next_after(&self, time: SystemTime) -> Option<SystemTime> {
        self.next_in(&Local, time)
    }

    fn next_in<Tz: TimeZone>(&self, zone: &Tz, time: SystemTime) -> Option<SystemTime> {
        // Before 1970 no clock was right.
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let seconds = match &self.0 {
            Kind::Every(distance) => since.as_secs().checked_add(distance.as_secs())?,
            Kind::Fields(cron) => {
                let start = DateTime::from_timestamp(i64::try_from(since.as_secs()).ok()?, 0)?;
                let next = cron.find_next_occurrence(&start.with_timezone(zone), false).ok()?;
                u64::try_from(next.timestamp()).ok()?
            }
        };
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{FixedOffset, Utc};

    /// The next three times after the start, in UTC.
    fn three(text: &str, start: &str) -> Vec<String> {
        let schedule = Schedule::parse(text).expect(text);
        let mut time: SystemTime = start.parse::<DateTime<Utc>>().expect("a time").into();
        let mut next = || {
            time = schedule.next_in(&Utc, time).expect("a next time");
            DateTime::<Utc>::from(time).format("%F %T").to_string()
        };
        vec![next(), next(), next()]
    }

    #[test]
    fn every_form_has_its_times() {
        let start = "2026-02-27T23:58:30.5Z";
        let table = [
            ("* * * * *", ["2026-02-27 23:59:00", "2026-02-28 00:00:00", "2026-02-28 00:01:00"]),
            ("0 */5 * * * *", ["2026-02-28 00:00:00", "2026-02-28 00:05:00", "2026-02-28 00:10:00"]),
            ("15 * * * * *", ["2026-02-27 23:59:15", "2026-02-28 00:00:15", "2026-02-28 00:01:15"]),
            ("* * * * * *", ["2026-02-27 23:58:31", "2026-02-27 23:58:32", "2026-02-27 23:58:33"]),
            ("0 5/15 * * * *", ["2026-02-28 00:05:00", "2026-02-28 00:20:00", "2026-02-28 00:35:00"]),
            ("30 3 29 2 *", ["2028-02-29 03:30:00", "2032-02-29 03:30:00", "2036-02-29 03:30:00"]),
            ("0 9 * * MON-FRI", ["2026-03-02 09:00:00", "2026-03-03 09:00:00", "2026-03-04 09:00:00"]),
            ("0 0 1 * SUN", ["2026-03-01 00:00:00", "2026-03-08 00:00:00", "2026-03-15 00:00:00"]),
            ("0 12 ? jan,jul *", ["2026-07-01 12:00:00", "2026-07-02 12:00:00", "2026-07-03 12:00:00"]),
            ("@hourly", ["2026-02-28 00:00:00", "2026-02-28 01:00:00", "2026-02-28 02:00:00"]),
            ("@daily", ["2026-02-28 00:00:00", "2026-03-01 00:00:00", "2026-03-02 00:00:00"]),
            ("@weekly", ["2026-03-01 00:00:00", "2026-03-08 00:00:00", "2026-03-15 00:00:00"]),
            ("@monthly", ["2026-03-01 00:00:00", "2026-04-01 00:00:00", "2026-05-01 00:00:00"]),
            ("@yearly", ["2027-01-01 00:00:00", "2028-01-01 00:00:00", "2029-01-01 00:00:00"]),
            ("@every 90s", ["2026-02-28 00:00:00", "2026-02-28 00:01:30", "2026-02-28 00:03:00"]),
            ("@every 1ms", ["2026-02-27 23:58:31", "2026-02-27 23:58:32", "2026-02-27 23:58:33"]),
        ];
        for (text, expected) in table {
            assert_eq!(three(text, start), expected, "{text}");
        }
    }

    #[test]
    fn fields_count_in_the_given_zone() {
        let schedule = Schedule::parse("0 9 * * *").expect("a schedule");
        let zone = FixedOffset::east_opt(5 * 3600 + 1800).expect("an offset");
        let start: SystemTime = "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("a time").into();
        let next = schedule.next_in(&zone, start).expect("a next time");
        assert_eq!(DateTime::<Utc>::from(next).to_rfc3339(), "2026-01-01T03:30:00+00:00");
    }

    #[test]
    fn what_is_no_schedule_says_why() {
        let table = [
            ("", "5 fields, or 6"),
            ("* * *", "this one has 3"),
            ("* * * * * * 2026", "this one has 7"),
            ("61 * * * *", "makes no sense"),
            ("* * * * MOON", "makes no sense"),
            ("*/0 * * * *", "makes no sense"),
            ("-1 * * * *", "makes no sense"),
            ("5-1 * * * *", "makes no sense"),
            ("0 0 30 2 *", "no time ever fits"),
            ("@noon", "`@noon` is unknown"),
            ("@every", "`` is no duration"),
            ("@every soon", "`soon` is no duration"),
            ("@every -5s", "`-5s` is no duration"),
            ("@every 99999999h", "is no duration"),
            ("TZ=Europe/Paris 0 9 * * *", "set TZ for the process"),
            ("CRON_TZ=UTC 0 9 * * *", "set TZ for the process"),
        ];
        for (text, expected) in table {
            let error = Schedule::parse(text).expect_err(text).to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let long = format!("{} * * * *", "1,".repeat(2000));
        assert!(Schedule::parse(&long).is_err());
    }

    #[test]
    fn times_that_no_clock_shows_are_no_panic() {
        let schedule = Schedule::parse("@hourly").expect("a schedule");
        let before = SystemTime::UNIX_EPOCH - Duration::from_secs(5000);
        let first = schedule.next_in(&Utc, before).expect("a next time");
        assert_eq!(first, SystemTime::UNIX_EPOCH + Duration::from_secs(3600));
        let late = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 60);
        assert_eq!(schedule.next_after(late), None);
    }
}
