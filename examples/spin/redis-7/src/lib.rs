//! Takes messages of a channel of Redis, and answers each on another channel.

use anyhow::Result;
use bytes::Bytes;
use spin_sdk::redis::Connection;
use spin_sdk::{redis_subscriber, variables};

#[redis_subscriber]
async fn on_message(message: Bytes) -> Result<()> {
    println!("{}", std::str::from_utf8(&message)?);
    let answers = Connection::open(variables::get("redis").await?).await?;
    answers.publish("answers", format!("{} bytes", message.len()).into_bytes()).await?;
    Ok(())
}
