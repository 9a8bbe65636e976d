//! What Redis says about streams, as our data. Only this file knows how replies are nested.

use crate::messaging::Message;
use ::redis::{FromRedisValue, ParsingError, Value};

/// An entry; `None` where it was deleted, though its delivery is still on record.
pub struct Entry {
    pub id: String,
    pub message: Option<Message>,
}

/// The answer to XCLAIM: entries, and nothing where one is gone (before Redis 7).
pub struct Entries(pub Vec<Entry>);

/// The answer to XREADGROUP of one stream; none when time was up.
pub struct Read(pub Vec<Entry>);

/// A line of XPENDING: who has an entry for how long is the server's filter, not ours.
pub struct Pending {
    pub id: String,
    pub deliveries: u32,
}

impl FromRedisValue for Read {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let streams: Option<Vec<(Value, Entries)>> = FromRedisValue::from_redis_value(value)?;
        let entries = streams.into_iter().flatten().flat_map(|(_, entries)| entries.0);
        Ok(Read(entries.collect()))
    }
}

impl FromRedisValue for Entries {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let entries: Option<Vec<Option<Entry>>> = FromRedisValue::from_redis_value(value)?;
        Ok(Entries(entries.into_iter().flatten().flatten().collect()))
    }
}

impl FromRedisValue for Entry {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, fields): (String, Option<Vec<Vec<u8>>>) = FromRedisValue::from_redis_value(value)?;
        Ok(Entry { id, message: fields.map(message) })
    }
}

impl FromRedisValue for Pending {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let (id, _consumer, _idle_ms, deliveries): (String, Value, Value, u32) =
            FromRedisValue::from_redis_value(value)?;
        Ok(Pending { id, deliveries })
    }
}

/// An entry of another program may lack our fields: then it has no data.
fn message(fields: Vec<Vec<u8>>) -> Message {
    let mut message = Message::default();
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        match name.as_slice() {
            b"data" => message.data = value.into(),
            b"metadata" => message.metadata = serde_json::from_slice(&value).unwrap_or_default(),
            _ => {}
        }
    }
    message
}
