//! How long a get takes for a program that asks the store itself: what `cargo xtask bench-dapr` compares with.
//!
//! `direct_state sqlite FILE KEY COUNT`, `direct_state redis PORT KEY COUNT`: one get after the other of a value in
//! Dapr's layout, over one connection; prints the median and the 99th percentile in microseconds.

use std::error::Error;
use std::time::Instant;

/// Calls before those that count.
const WARM_UP: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, place, key, count] = &arguments[..] else { return Err("STORE PLACE KEY COUNT".into()) };
    let count: usize = count.parse()?;
    let mut times_us = match &**kind {
        "sqlite" => sqlite(place, key, count)?,
        "redis" => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(redis(place, key, count))?
        }
        _ => return Err("STORE is sqlite or redis".into()),
    };
    times_us.drain(..WARM_UP);
    times_us.sort_by(f64::total_cmp);
    let at = |part: f64| times_us.get((count as f64 * part) as usize).copied().unwrap_or_default();
    println!("{:.1} {:.1}", at(0.5), at(0.99));
    Ok(())
}

fn sqlite(file: &str, key: &str, count: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let db = rusqlite::Connection::open(file)?;
    let mut get = db.prepare(
        "SELECT value, is_binary, etag, expiration_time FROM state
         WHERE key = ?1 AND (expiration_time IS NULL OR expiration_time > CURRENT_TIMESTAMP)",
    )?;
    let mut times_us = Vec::new();
    for _ in 0..WARM_UP + count {
        let start = Instant::now();
        let value: String = get.query_row([key], |row| row.get(0))?;
        times_us.push(start.elapsed().as_secs_f64() * 1e6);
        assert_eq!(value.len(), 100);
    }
    Ok(times_us)
}

async fn redis(port: &str, key: &str, count: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut get = redis::cmd("HMGET");
    get.arg(key).arg("data").arg("version");
    let mut times_us = Vec::new();
    for _ in 0..WARM_UP + count {
        let start = Instant::now();
        let (value, _version): (Vec<u8>, String) = get.query_async(&mut connection).await?;
        times_us.push(start.elapsed().as_secs_f64() * 1e6);
        assert_eq!(value.len(), 100);
    }
    Ok(times_us)
}
