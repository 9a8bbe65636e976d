//! The input binding of a schedule: each of its ticks is an event, once.

use super::{BindingError, Event, Schedule};
use chrono::{DateTime, Utc};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// A wait is no longer, because the clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_secs(10);
/// A clock that is set back by less repeats no ticks; one that is set back by more was wrong, and counts anew.
const CORRECTION_MIN: Duration = Duration::from_secs(3 * 3600);
/// Missed ticks are counted up to this.
const MISSED_MAX: u32 = 1000;

/// What time it is, and waiting for a later one.
pub trait Clock: Send + Sync {
    fn now(&self) -> SystemTime;
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}

pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(duration)
    }
}

pub struct Cron<C> {
    schedule: Schedule,
    clock: C,
    /// The last tick that was delivered; at first, when all began.
    last: SystemTime,
}

impl<C: Clock> Cron<C> {
    pub fn new(schedule: Schedule, clock: C) -> Self {
        let last = clock.now();
        Cron { schedule, clock, last }
    }

    /// The next tick. Ticks that went by unseen (whoever reads was busy, or the machine asleep) become one event,
    /// which says how many others it stands for.
    pub async fn next(&mut self) -> Result<Event, BindingError> {
        loop {
            let now = self.clock.now();
            if self.last.duration_since(now).is_ok_and(|back| back > CORRECTION_MIN) {
                self.last = now;
            }
            let never = || BindingError::Other("the schedule has no further time".to_owned());
            let due = self.schedule.next_after(self.last).ok_or_else(never)?;
            match due.duration_since(now) {
                Ok(wait) if !wait.is_zero() => self.clock.sleep(wait.min(SLEEP_MAX)).await,
                _ => return Ok(self.tick(due, now)),
            }
        }
    }

    fn tick(&mut self, mut due: SystemTime, now: SystemTime) -> Event {
        let mut missed = 0;
        while let Some(later) = self.schedule.next_after(due).filter(|later| *later <= now) {
            due = if missed < MISSED_MAX { later } else { now };
            if missed == MISSED_MAX {
                break;
            }
            missed += 1;
        }
        self.last = due;
        // The first two as Dapr writes them (dapr/components-contrib, bindings/cron/cron.go).
        let read = DateTime::<Utc>::from(now).format("%F %T%.f +0000 UTC").to_string();
        let mut metadata =
            BTreeMap::from([("timeZone".to_owned(), "Local".to_owned()), ("readTimeUTC".to_owned(), read)]);
        if missed > 0 {
            metadata.insert("missedTicks".to_owned(), missed.to_string());
        }
        Event { data: Vec::new(), metadata }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A clock that goes on when somebody waits for it.
    #[derive(Clone)]
    struct Manual(Arc<Mutex<SystemTime>>);

    impl Manual {
        fn at(seconds: u64) -> Self {
            Manual(Arc::new(Mutex::new(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))))
        }

        fn set(&self, seconds: u64) {
            *self.0.lock().unwrap() = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        }

        fn seconds(&self) -> u64 {
            self.now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
        }
    }

    impl Clock for Manual {
        fn now(&self) -> SystemTime {
            *self.0.lock().unwrap()
        }

        async fn sleep(&self, duration: Duration) {
            *self.0.lock().unwrap() += duration;
        }
    }

    /// The next tick: when it came, and how many others it stands for.
    fn next(cron: &mut Cron<Manual>) -> (u64, Option<String>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let event = runtime.block_on(cron.next()).expect("a tick");
        (cron.clock.seconds(), event.metadata.get("missedTicks").cloned())
    }

    fn cron(text: &str, start: u64) -> (Cron<Manual>, Manual) {
        let clock = Manual::at(start);
        (Cron::new(Schedule::parse(text).expect(text), clock.clone()), clock)
    }

    /// Midnight, UTC, of a day in 2026: hours of every zone begin at full minutes.
    const START: u64 = 1_780_272_000;

    #[test]
    fn ticks_come_when_they_are_due() {
        let (mut cron, _) = cron("0 */5 * * * *", START);
        for count in 1..5 {
            assert_eq!(next(&mut cron), (START + count * 300, None));
        }
        let (mut every, _) = self::cron("@every 90s", START + 7);
        for count in 1..5 {
            assert_eq!(next(&mut every), (START + 7 + count * 90, None));
        }
    }

    #[test]
    fn ticks_that_went_by_are_one_and_are_counted() {
        let (mut cron, clock) = cron("* * * * *", START);
        assert_eq!(next(&mut cron), (START + 60, None));
        // Whoever reads was busy for a little longer than one tick, and in time for the one after.
        clock.set(START + 125);
        assert_eq!(next(&mut cron), (START + 125, None));
        assert_eq!(next(&mut cron), (START + 180, None));
        // The machine slept.
        clock.set(START + 180 + 600);
        assert_eq!(next(&mut cron), (START + 780, Some("9".to_owned())));
        assert_eq!(next(&mut cron), (START + 840, None));
        clock.set(START + 10_000_000 - 10_000_000 % 60);
        assert_eq!(next(&mut cron).1, Some("1000".to_owned()), "counted up to a limit");
        assert_eq!(next(&mut cron), (START + 10_000_000 - 10_000_000 % 60 + 60, None));
    }

    #[test]
    fn a_clock_that_is_set_back_repeats_no_tick() {
        let (mut cron, clock) = cron("* * * * *", START);
        assert_eq!(next(&mut cron), (START + 60, None));
        clock.set(START + 30);
        assert_eq!(next(&mut cron), (START + 120, None), "60 was delivered");
        // Far back: the clock was wrong before.
        clock.set(START - 86_400);
        assert_eq!(next(&mut cron), (START - 86_400 + 60, None));
    }

    #[test]
    fn a_future_that_is_dropped_loses_no_tick() {
        let (mut cron, clock) = cron("* * * * *", START);
        drop(cron.next());
        clock.set(START + 60);
        drop(cron.next());
        assert_eq!(next(&mut cron), (START + 60, None));
    }
}
