//! Calls of wasi:messaging by words, each with one line that says what came of it.

use crate::bindings::wasi::messaging::types::{Client, Error, Message, MetadataError};
use crate::bindings::wasi::messaging::{producer, request_reply};

/// `None` where the words are no call. `received` is the message that is being handled.
pub fn call(words: &[&str], received: &Message) -> Option<String> {
    Some(match *words {
        ["publish", broker, topic, ref data @ ..] => {
            said(publish(broker, topic, Message::new(data.join(" ").as_bytes())))
        }
        ["publish-bytes", broker, topic, count] => {
            said(publish(broker, topic, Message::new(&vec![b'x'; count.parse().ok()?])))
        }
        // What another host may refuse, and this one bounds.
        ["publish-with", broker, topic, content_type, ref pairs @ ..] => {
            let message = Message::new(b"old");
            message.set_data(b"with");
            if message.set_content_type(content_type).is_err() {
                return Some("the content type is refused".to_owned());
            }
            for pair in pairs {
                let (name, value) = pair.split_once('=')?;
                if let Err(error) = message.add_metadata(name, value) {
                    return Some(refused(&error));
                }
            }
            said(publish(broker, topic, message))
        }
        ["metadata", bytes] => {
            let message = Message::new(b"");
            let value = "x".repeat(bytes.parse().ok()?);
            match message.set_metadata(&[("k".to_owned(), value)]) {
                Ok(()) => {
                    message.remove_metadata("k");
                    format!("set, and removed: {:?}", message.metadata())
                }
                Err(error) => refused(&error),
            }
        }
        ["content-type", bytes] => {
            let message = Message::new(b"");
            let kind = "x".repeat(bytes.parse().ok()?);
            format!(
                "{:?} {}",
                message.set_content_type(&kind),
                message.content_type().map_or(0, |kind| kind.len())
            )
        }
        ["disconnected", broker, topic] => said(Client::connect(broker).and_then(|client| {
            client.disconnect()?;
            producer::send(&client, topic, Message::new(b"late"))
        })),
        ["many-clients", broker] => {
            let mut clients = Vec::new();
            loop {
                match Client::connect(broker) {
                    Ok(client) => clients.push(client),
                    Err(error) => return Some(format!("{} and {}", clients.len(), shown(&error))),
                }
            }
        }
        ["request", broker, topic] => said(Client::connect(broker).and_then(|client| {
            let options = request_reply::RequestOptions::new();
            options.set_timeout_ms(1000);
            options.set_expected_replies(1);
            request_reply::request(&client, topic, &Message::new(b"?"), Some(options)).map(|_| ())
        })),
        ["reply"] => said(request_reply::reply(received, Message::new(b"!"))),
        _ => return None,
    })
}

fn publish(broker: &str, topic: &str, message: Message) -> Result<(), Error> {
    producer::send(&Client::connect(broker)?, topic, message)
}

fn said(result: Result<(), Error>) -> String {
    result.map_or_else(|error| shown(&error), |()| "done".to_owned())
}

fn shown(error: &Error) -> String {
    match error {
        Error::Timeout => "timeout".to_owned(),
        Error::Connection(why) => format!("connection: {why}"),
        Error::PermissionDenied(why) => format!("permission denied: {why}"),
        Error::Other(why) => format!("other: {why}"),
    }
}

fn refused(error: &MetadataError) -> String {
    match error {
        MetadataError::NotSupported => "metadata is not supported".to_owned(),
        MetadataError::Invalid(why) => format!("invalid: {}", why.as_deref().unwrap_or_default()),
    }
}
