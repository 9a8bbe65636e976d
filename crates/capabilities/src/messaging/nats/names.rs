//! Topics as subjects, and names of streams and consumers, which take fewer letters.

use crate::messaging::BrokerError;
use std::fmt::Write;

/// The longest name of a consumer that nats-server takes.
const NAME_BYTES_MAX: usize = 255;

/// A subject is words with dots between them (docs.nats.io, "Subject-Based Messaging").
pub fn check_publish(topic: &str) -> Result<(), BrokerError> {
    check(topic)?;
    if topic.split('.').any(|word| matches!(word, "*" | ">")) {
        return Err(BrokerError::InvalidName(
            "a message is published to one topic, without `*` or `>`".to_owned(),
        ));
    }
    Ok(())
}

/// Here `*` stands for a word, and `>` for all that follow.
pub fn check_subscribe(topic: &str) -> Result<(), BrokerError> {
    check(topic)
}

fn check(topic: &str) -> Result<(), BrokerError> {
    if topic.starts_with('$') {
        return Err(BrokerError::InvalidName("topics of NATS with `$` are the server's own".to_owned()));
    }
    if topic.split('.').any(str::is_empty) || topic.contains(char::is_whitespace) {
        let text = "a topic of NATS is words without spaces, with dots between them";
        return Err(BrokerError::InvalidName(text.to_owned()));
    }
    Ok(())
}

/// A consumer's name: one for each group and topic.
pub fn consumer(group: &str, topic: &str) -> Result<String, BrokerError> {
    let name = format!("{}={}", escaped(group), escaped(topic));
    if name.len() > NAME_BYTES_MAX {
        return Err(BrokerError::InvalidName(
            "the names of group and topic are too long for NATS".to_owned(),
        ));
    }
    Ok(name)
}

/// The same for equal names only: letters, digits and `-` stay, anything else becomes `_` and its code.
pub fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => escaped.push(char::from(byte)),
            _ => {
                let _ = write!(escaped, "_{byte:02x}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_nats_takes_and_stay_different() {
        assert_eq!(consumer("shop", "orders.new").expect("a name"), "shop=orders_2enew");
        assert_ne!(consumer("a-b", "c"), consumer("a", "b-c"));
        assert_ne!(escaped("a.b"), escaped("a_b"));
        assert!(consumer(&"g".repeat(200), &"t".repeat(100)).is_err());
    }

    #[test]
    fn topics_are_subjects() {
        for topic in ["orders", "orders.new", "a/b", "ü"] {
            assert_eq!(check_publish(topic), Ok(()), "{topic}");
        }
        for topic in ["a b", ".a", "a..b", "a.", "$JS.API", "a.*", ">"] {
            assert!(check_publish(topic).is_err(), "{topic}");
        }
        assert_eq!(check_subscribe("orders.>"), Ok(()));
    }
}
