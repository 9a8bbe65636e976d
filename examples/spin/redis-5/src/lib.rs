//! Takes messages of a channel of Redis, as Spin's template `redis-rust` does, and answers each on another channel.

use anyhow::Result;
use bytes::Bytes;
use spin_sdk::redis::Connection;
use spin_sdk::{redis_component, variables};

#[redis_component]
fn on_message(message: Bytes) -> Result<()> {
    println!("{}", std::str::from_utf8(&message)?);
    let answers = Connection::open(&variables::get("redis")?)?;
    answers.publish("answers", &format!("{} bytes", message.len()).into_bytes())?;
    Ok(())
}
