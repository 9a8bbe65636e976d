//! How long one call takes, as the guest sees it.

use sampan_dapr_client::{Dapr, Error};
use std::time::Instant;

/// Calls before those that count.
const WARM_UP: usize = 100;

/// Gets a value of 100 bytes so many times, one after the other; the median and the 99th percentile.
pub async fn state(store: &str, count: usize) -> Result<String, Error> {
    let dapr = Dapr::from_env();
    let state = dapr.state(store);
    state.save("measured", &"x".repeat(98)).await?;
    let mut times_us = Vec::with_capacity(count);
    for index in 0..WARM_UP + count {
        let start = Instant::now();
        let entry = state.bytes("measured").await?;
        let took = start.elapsed();
        assert_eq!(entry.map(|entry| entry.value.len()), Some(100));
        if index >= WARM_UP {
            times_us.push(took.as_secs_f64() * 1e6);
        }
    }
    times_us.sort_by(f64::total_cmp);
    let at = |part: f64| times_us.get((times_us.len() as f64 * part) as usize).copied().unwrap_or_default();
    Ok(format!("{count} gets of 100 bytes: p50 {:.1} us, p99 {:.1} us", at(0.5), at(0.99)))
}
