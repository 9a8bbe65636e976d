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
