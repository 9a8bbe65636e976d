//! The structs of preview 1 and 0: any bytes are read or refused, and what is written is read back as it was.

#![no_main]
// The file is included whole, and not all of it is used here.
#![allow(dead_code)]

#[path = "../../crates/capabilities/src/preview1/wire.rs"]
mod wire;

use wire::{Event, Generation, Interest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for generation in [Generation::Preview0, Generation::Preview1] {
        let Some(subscription) = wire::subscription(bytes, generation) else { continue };
        let event = Event::new(&subscription, 0);
        assert_eq!(Event::from_bytes(&event.to_bytes()), Some(event));
        let (fd, write) = match subscription.interest {
            Interest::Read { fd } => (fd, false),
            Interest::Write { fd } => (fd, true),
            Interest::Clock { .. } => continue,
        };
        let again = wire::descriptor_subscription(subscription.userdata, fd, write);
        assert_eq!(wire::subscription(&again, Generation::Preview1), Some(subscription));
    }
    Event::from_bytes(bytes);
});
