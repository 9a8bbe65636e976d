//! Takes messages by wasi:messaging and prints each as `TOPIC | CONTENT-TYPE | METADATA | DATA`; long or binary data
//! as the number of its bytes. The data may say what happens then: `trap`, `loop`, `slow` (half a second, then it
//! prints `slept`), `fail WHY`, `unless FILE` (an error unless there is the file), or calls of `calls`. With the variable
//! `PRINT` nothing does.

pub mod calls;

use bindings::exports::wasi::messaging::incoming_handler::Guest;
use bindings::wasi::messaging::types::Error;
pub use bindings::wasi::messaging::types::Message;
use std::time::Duration;

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/wasi-messaging-0.2.0-draft",
        world: "wasi:messaging/messaging-request-reply",
        generate_all,
    });
}

/// Longer data is not printed.
const SHOWN_BYTES_MAX: usize = 200;

bindings::export!(Handler with_types_in bindings);

struct Handler;

impl Guest for Handler {
    fn handle(message: Message) -> Result<(), Error> {
        let data = message.data();
        println!("{}", shown(&message, &data));
        let Ok(text) = std::str::from_utf8(&data) else { return Ok(()) };
        if std::env::var_os("PRINT").is_some() {
            return Ok(());
        }
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["trap"] => panic!("as the message says"),
            ["loop"] => loop {
                std::hint::spin_loop();
            },
            ["slow"] => {
                std::thread::sleep(Duration::from_millis(500));
                println!("slept");
                Ok(())
            }
            ["unless", file] => match std::fs::exists(file) {
                Ok(true) => Ok(()),
                _ => Err(Error::Timeout),
            },
            ["fail", ref why @ ..] => Err(Error::Other(why.join(" "))),
            ref call => match calls::call(call, &message) {
                Some(said) => {
                    println!("{said}");
                    Ok(())
                }
                None => Ok(()),
            },
        }
    }
}

fn shown(message: &Message, data: &[u8]) -> String {
    let topic = message.topic().unwrap_or_default();
    let content_type = message.content_type().unwrap_or_else(|| "-".to_owned());
    let pairs = message.metadata().unwrap_or_default().into_iter();
    let metadata: Vec<_> = pairs.map(|(name, value)| format!("{name}={value}")).collect();
    let data = match std::str::from_utf8(data) {
        Ok(text) if data.len() <= SHOWN_BYTES_MAX => text.to_owned(),
        _ => format!("{} bytes", data.len()),
    };
    format!("{topic} | {content_type} | {} | {data}", metadata.join(","))
}
