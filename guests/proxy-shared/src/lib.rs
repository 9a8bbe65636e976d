//! Counts requests in shared data and in metrics, sends their paths through a queue, and tells properties.

use log::info;
use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel, MetricType, Status};

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root { queue: 0, metrics: [0; 3] }));
}}

struct Root {
    queue: u32,
    metrics: [u32; 3],
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        self.queue = self.register_shared_queue("paths");
        self.metrics = [
            hostcalls::define_metric(MetricType::Counter, "requests").unwrap(),
            hostcalls::define_metric(MetricType::Gauge, "last-path.length").unwrap(),
            hostcalls::define_metric(MetricType::Histogram, "path_length").unwrap(),
        ];
        true
    }

    fn on_queue_ready(&mut self, queue: u32) {
        while let Ok(Some(item)) = self.dequeue_shared_queue(queue) {
            info!("from the queue: {}", String::from_utf8_lossy(&item));
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream { queue: self.queue, metrics: self.metrics }))
    }
}

struct Stream {
    queue: u32,
    metrics: [u32; 3],
}

impl Context for Stream {}

impl Stream {
    fn count(&self) -> u64 {
        loop {
            let (value, cas) = self.get_shared_data("count");
            let count = value.map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap())) + 1;
            match self.set_shared_data("count", Some(&count.to_le_bytes()), cas) {
                Ok(()) => return count,
                Err(Status::CasMismatch) => {}
                Err(status) => panic!("{status:?}"),
            }
        }
    }

    fn text(&self, path: &[&str]) -> String {
        let value = self.get_property(path.to_vec());
        value.map_or("-".to_owned(), |value| String::from_utf8_lossy(&value).into_owned())
    }

    fn number(&self, path: &[&str]) -> String {
        let value = self.get_property(path.to_vec());
        value.map_or("-".to_owned(), |value| i64::from_le_bytes(value.try_into().unwrap()).to_string())
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        let path = self.get_http_request_header(":path").unwrap_or_default();
        if path == "/bad-cas" {
            let (_, cas) = self.get_shared_data("count");
            let status = self.set_shared_data("count", Some(&[0; 8]), cas.map(|cas| cas + 1000));
            self.set_http_request_header("x-cas", Some(&format!("{status:?}")));
            return Action::Continue;
        }
        let count = self.count().to_string();
        self.set_http_request_header("x-shared", Some(&count));
        hostcalls::increment_metric(self.metrics[0], 1).unwrap();
        hostcalls::record_metric(self.metrics[1], path.len() as u64).unwrap();
        hostcalls::record_metric(self.metrics[2], path.len() as u64).unwrap();
        let counted = hostcalls::get_metric(self.metrics[0]).unwrap();
        self.set_http_request_header("x-counted", Some(&counted.to_string()));
        self.enqueue_shared_queue(self.queue, Some(path.as_bytes())).unwrap();
        self.set_property(vec!["mine", "path"], Some(path.as_bytes()));
        let properties = [
            self.text(&["request", "path"]),
            self.text(&["request", "url_path"]),
            self.text(&["request", "query"]),
            self.text(&["request", "method"]),
            self.text(&["request", "host"]),
            self.text(&["request", "scheme"]),
            self.text(&["request", "protocol"]),
            self.text(&["request", "headers", "x-given"]),
            self.text(&["request", "id"]),
            self.text(&["source", "address"]),
            self.number(&["source", "port"]),
            self.number(&["destination", "port"]),
            self.text(&["route_name"]),
            self.text(&["plugin_name"]),
            self.text(&["plugin_root_id"]),
            self.text(&["plugin_vm_id"]),
            self.text(&["mine", "path"]),
            self.text(&["nothing"]),
            self.number(&["response", "code"]),
        ];
        self.set_http_request_header("x-properties", Some(&properties.join(" ")));
        assert!(self.number(&["request", "time"]).parse::<i64>().unwrap() > 0);
        assert!(hostcalls::get_current_time().unwrap() > std::time::UNIX_EPOCH);
        Action::Continue
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        let code = self.number(&["response", "code"]);
        self.add_http_response_header("x-code", &code);
        Action::Continue
    }
}
