//! Does with TCP connections what its configuration says. `upper` changes what the client sends, `lines` lets whole
//! lines pass, `both` marks both sides, `refuse` closes at once, `quit` when the client says so, `gate` lets a
//! connection go on when the client has said `open`, and `tick` at the next tick; `hold` keeps everything,
//! `trap` ends itself at `trap`. All log how a connection ends.

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, RootContext, StreamContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, PeerType};
use std::cell::RefCell;
use std::time::Duration;

thread_local! {
    static WAITING: RefCell<Vec<u32>> = const { RefCell::new(Vec::new()) };
}

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root { mode: String::new() }));
}}

struct Root {
    mode: String,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.mode = String::from_utf8(self.get_plugin_configuration().unwrap_or_default()).unwrap();
        if self.mode == "tick" {
            self.set_tick_period(Duration::from_millis(2));
        }
        true
    }

    fn on_tick(&mut self) {
        for context in WAITING.take() {
            if hostcalls::set_effective_context(context).is_ok() {
                hostcalls::resume_downstream().unwrap();
                hostcalls::resume_upstream().unwrap();
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::StreamContext)
    }

    fn create_stream_context(&self, id: u32) -> Option<Box<dyn StreamContext>> {
        Some(Box::new(Stream { id, mode: self.mode.clone() }))
    }
}

struct Stream {
    id: u32,
    mode: String,
}

impl Stream {
    fn address(&self, of: &str) -> String {
        let address = self.get_property(vec![of, "address"]).unwrap_or_default();
        String::from_utf8(address).unwrap()
    }
}

fn peer(peer: PeerType) -> &'static str {
    match peer {
        PeerType::Local => "local",
        PeerType::Remote => "remote",
        _ => "unknown",
    }
}

impl Context for Stream {
    fn on_done(&mut self) -> bool {
        log::info!("done");
        true
    }
}

impl StreamContext for Stream {
    fn on_new_connection(&mut self) -> Action {
        log::info!("from {} to {}", self.address("source"), self.address("destination"));
        match self.mode.as_str() {
            "refuse" => {
                self.close_downstream();
                Action::Continue
            }
            "gate" => Action::Pause,
            "tick" => {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.id));
                Action::Pause
            }
            _ => Action::Continue,
        }
    }

    fn on_downstream_data(&mut self, size: usize, end: bool) -> Action {
        let data = self.get_downstream_data(0, size).unwrap_or_default();
        match self.mode.as_str() {
            "upper" => self.set_downstream_data(0, size, &data.to_ascii_uppercase()),
            "both" => {
                self.set_downstream_data(usize::MAX, 0, format!("<{}>", self.address("upstream")).as_bytes())
            }
            "lines" if !data.ends_with(b"\n") && !end => return Action::Pause,
            "quit" if data.starts_with(b"quit") => self.close_downstream(),
            "gate" if !data.starts_with(b"open") => return Action::Pause,
            "trap" if data.starts_with(b"trap") => panic!("as it was asked"),
            "tick" => {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.id));
                return Action::Pause;
            }
            "hold" => return Action::Pause,
            _ => {}
        }
        Action::Continue
    }

    fn on_upstream_data(&mut self, _: usize, _: bool) -> Action {
        match self.mode.as_str() {
            "both" => self.set_upstream_data(0, 0, b"> "),
            "tick" => {
                WAITING.with_borrow_mut(|waiting| waiting.push(self.id));
                return Action::Pause;
            }
            "quit" => self.close_upstream(),
            _ => {}
        }
        Action::Continue
    }

    fn on_downstream_close(&mut self, by: PeerType) {
        log::info!("downstream closed by {}", peer(by));
    }

    fn on_upstream_close(&mut self, by: PeerType) {
        log::info!("upstream closed by {}", peer(by));
    }

    fn on_log(&mut self) {
        log::info!("log");
    }
}
