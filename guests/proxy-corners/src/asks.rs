//! Questions whose answers need nothing but the host, and fit into one report.

use crate::abi::*;
use crate::{CONFIGURATION, EVENTS};
use std::fmt::Write;

/// Lines of `name -> status value`.
struct Report(String);

impl Report {
    fn status(&mut self, name: &str, status: u32) {
        self.line(name, format_args!("{status}"));
    }

    fn bytes(&mut self, name: &str, (status, value): Answer<Vec<u8>>) {
        self.line(name, format_args!("{status} {}", value.escape_ascii()));
    }

    /// For what differs from run to run.
    fn size(&mut self, name: &str, (status, value): Answer<Vec<u8>>) {
        self.line(name, format_args!("{status} {} bytes", value.len()));
    }

    fn line(&mut self, name: &str, value: std::fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.0, "{name} -> {value}");
    }
}

/// The report for a name, `None` if the name is not one of these.
pub fn by_name(name: &str, count: u32, end: u32) -> Option<String> {
    let mut report = Report(String::new());
    match name {
        "properties" => properties(&mut report),
        "headers" => headers_of_request(&mut report, count, end),
        "odd-headers" => odd_headers(&mut report),
        "shared" => shared_data(&mut report),
        "queue" => queues(&mut report),
        "events" => events(&mut report),
        "metrics" => metrics(&mut report),
        "misc" => misc(&mut report),
        "buffers" => buffers(&mut report),
        "pointers" => pointers(&mut report),
        "calls" => bad_calls(&mut report),
        _ => return None,
    }
    Some(report.0)
}

/// What only a root context can do.
pub fn on_root(root: u32) {
    let note = |text: String| EVENTS.with_borrow_mut(|events| events.push(text));
    let (status, queue) = register_queue("events");
    note(format!("register {status}"));
    note(format!("enqueue {}", enqueue(queue, "one")));
    note(format!("root {}", unsafe { raw::proxy_set_effective_context(root) }));
    note(format!("property {:?}", property("plugin_root_id")));
    note(format!("path {:?}", property("request.path").0));
    note(format!("header {:?}", header(REQUEST_HEADERS, ":path").0));
    note(format!("respond {}", respond(200, &[], "")));
    note(format!("continue {}", unsafe { raw::proxy_continue_stream(0) }));
}

/// One line for each, though instances tell each other as many times as there are of them.
fn events(report: &mut Report) {
    EVENTS.with_borrow_mut(|events| {
        events.dedup();
        for event in events.iter() {
            report.line("event", format_args!("{event}"));
        }
    });
}

fn properties(report: &mut Report) {
    const SAME: &[&str] = &[
        "request.path",
        "request.url_path",
        "request.host",
        "request.scheme",
        "request.method",
        "request.query",
        "request.protocol",
        "request.referer",
        "request.useragent",
        "request.headers.x-asked",
        "request.headers.X-ASKED",
        "request.headers.no-such",
        "request.size",
        "request.headers",
        "request",
        "request.no-such",
        "response.code",
        "response.headers.x",
        "response.size",
        "response",
        "source",
        "connection.mtls",
        "connection.requested_server_name",
        "connection.tls_version",
        "connection.subject_local_certificate",
        "connection.subject_peer_certificate",
        "connection.uri_san_peer_certificate",
        "connection.termination_details",
        "plugin_name.x",
        "plugin_root_id",
        "plugin_vm_id",
        "listener_direction",
        "route_name",
        "cluster_name",
        "no-such",
        "",
        "upstream.address",
        "upstream.port",
        "upstream.transport_failure_reason",
        "upstream.tls_version",
    ];
    const SIZES: &[&str] = &[
        "request.time",
        "request.id",
        "request.duration",
        "source.port",
        "source.address",
        "destination.port",
        "destination.address",
        "connection.id",
        "response.total_size",
        "request.total_size",
        "response.flags",
        "response.code_details",
    ];
    for path in SAME.iter().filter(|path| **path != "request.headers" && **path != "request") {
        report.bytes(path, property(path));
    }
    for path in SIZES {
        let (status, value) = property(path);
        // Addresses have ports of one to five figures.
        let value = if path.ends_with("address") {
            value.split(|byte| *byte == b':').next().unwrap_or_default().to_vec()
        } else {
            value
        };
        report.size(path, (status, value));
    }
    report.bytes("before it is set", property("mine"));
    report.status("set_property", set_property("mine", "value"));
    report.bytes("after", property("mine"));
    report.status("set request.path", set_property("request.path", "/no"));
    report.bytes("request.path after", property("request.path"));
    report.status("set nothing", set_property("", "value"));
    report.status("path map", property("request.headers").0);
}

fn headers_of_request(report: &mut Report, count: u32, end: u32) {
    let (status, all) = headers(REQUEST_HEADERS);
    report.line("count equals pairs, end", format_args!("{status} {} {end}", all.len() == count as usize));
    for (name, value) in all.iter().filter(|(name, _)| name.starts_with("x-asked") || name.starts_with(':')) {
        report.line("pair", format_args!("{name}: {value}"));
    }
    let (status, size) = headers_size(REQUEST_HEADERS);
    report.line("size", format_args!("{status} {}", size > 0));
    for name in
        [":method", ":path", ":authority", ":scheme", ":status", "host", "x-asked", "X-Asked", "no-such", ""]
    {
        report.bytes(&format!("get {name:?}"), header(REQUEST_HEADERS, name));
    }
    report.status("add", add(REQUEST_HEADERS, "x-new", "one"));
    report.status("add again", add(REQUEST_HEADERS, "X-New", "two"));
    report.bytes("get of two", header(REQUEST_HEADERS, "x-new"));
    report.status("replace both", replace(REQUEST_HEADERS, "x-new", "three"));
    let left = headers(REQUEST_HEADERS).1.iter().filter(|(name, _)| name == "x-new").count();
    report.line("left", format_args!("{left}"));
    report.bytes("replaced", header(REQUEST_HEADERS, "x-new"));
    report.status("remove", remove(REQUEST_HEADERS, "x-new"));
    report.status("remove what is not there", remove(REQUEST_HEADERS, "x-new"));
    report.bytes("removed", header(REQUEST_HEADERS, "x-new"));
    report.status("replace what is not there", replace(REQUEST_HEADERS, "x-other", ""));
    report.bytes("empty", header(REQUEST_HEADERS, "x-other"));
    for map in [1, 2, 3, 4, 5, 6, 7, 8, 99] {
        let (status, all) = headers(map);
        report.line(&format!("pairs of map {map}"), format_args!("{status} {}", all.len()));
        report.bytes(&format!("value of map {map}"), header(map, "x"));
        report.status(&format!("add to map {map}"), add(map, "x", "y"));
        report.status(&format!("size of map {map}"), headers_size(map).0);
    }
}

fn odd_headers(report: &mut Report) {
    report.status("no name", add(REQUEST_HEADERS, "", "x"));
    report.status("space", add(REQUEST_HEADERS, "x space", "x"));
    report.status("line break", replace(REQUEST_HEADERS, "x-broken", "a\r\nx-smuggled: yes"));
    report.bytes("smuggled", header(REQUEST_HEADERS, "x-smuggled"));
    report.status("set no pairs at all", set_headers(CALL_HEADERS, &[]));
    report.status("set bad pairs", set_headers(REQUEST_HEADERS, &[1, 2, 3]));
    report.status("set too many pairs", set_headers(REQUEST_HEADERS, &[255, 255, 255, 255, 0, 0]));
}

fn shared_data(report: &mut Report) {
    let show = |report: &mut Report, name: &str, key: &str| {
        let (status, (value, cas)) = shared(key);
        report.line(name, format_args!("{status} {} cas {}", value.escape_ascii(), cas > 0));
        cas
    };
    show(report, "missing", "missing");
    report.status("set", share("key", "one", 0));
    let cas = show(report, "get", "key");
    report.status("set with cas", share("key", "two", cas));
    report.status("set with old cas", share("key", "three", cas));
    show(report, "get", "key");
    report.status("set without cas", share("key", "", 0));
    show(report, "empty", "key");
    report.status("missing with cas", share("missing-2", "x", 77));
    show(report, "then", "missing-2");
    report.status("no key", share("", "x", 0));
    show(report, "no key", "");
}

fn queues(report: &mut Report) {
    let (status, id) = register_queue("asked");
    report.status("register", status);
    let (status, same) = register_queue("asked");
    report.line("register again", format_args!("{status} {}", id == same));
    let (status, same) = resolve_queue("", "asked");
    report.line("resolve without vm_id", format_args!("{status} {}", id == same));
    report.status("resolve elsewhere", resolve_queue("no-such-vm", "asked").0);
    report.status("resolve what is missing", resolve_queue("", "no-such").0);
    report.bytes("dequeue empty", dequeue(id));
    report.status("enqueue", enqueue(id, "first"));
    report.status("enqueue", enqueue(id, ""));
    report.bytes("dequeue", dequeue(id));
    report.bytes("dequeue", dequeue(id));
    report.bytes("dequeue", dequeue(id));
    report.status("enqueue nowhere", enqueue(9999, "x"));
    report.bytes("dequeue nowhere", dequeue(9999));
}

fn metrics(report: &mut Report) {
    let show = |report: &mut Report, name: &str, id: u32| {
        let (status, value) = metric(id);
        report.line(name, format_args!("{status} {value}"));
    };
    let (status, counter) = define_metric(0, "corners_counter");
    report.line("counter", format_args!("{status} {}", counter & 3));
    let (status, gauge) = define_metric(1, "corners_gauge");
    report.line("gauge", format_args!("{status} {}", gauge & 3));
    let (status, histogram) = define_metric(2, "corners_histogram");
    report.line("histogram", format_args!("{status} {}", histogram & 3));
    report.status("no such type", define_metric(7, "corners_bad").0);
    for (name, id) in [("counter", counter), ("gauge", gauge), ("histogram", histogram), ("unknown", 9996)] {
        let increment = |offset| unsafe { raw::proxy_increment_metric(id, offset) };
        report.status(&format!("{name} + 5"), increment(5));
        report.status(&format!("{name} + 0"), increment(0));
        report.status(&format!("{name} - 2"), increment(-2));
        show(report, name, id);
        report.status(&format!("{name} record 9"), unsafe { raw::proxy_record_metric(id, 9) });
        show(report, name, id);
    }
}

fn misc(report: &mut Report) {
    let mut level = 99;
    report.status("log level", unsafe { raw::proxy_get_log_level(&mut level) });
    report.line("level is known", format_args!("{}", level <= 5));
    for level in [0, 5, 6, 99] {
        report.status(&format!("log at {level}"), log(level, "corners: odd level"));
    }
    let mut time = 0;
    report.status("time", unsafe { raw::proxy_get_current_time_nanoseconds(&mut time) });
    report.line("time is of this century", format_args!("{}", time > 1_600_000_000_000_000_000));
    report.status("context 4242", unsafe { raw::proxy_set_effective_context(4242) });
    report.status("context 0", unsafe { raw::proxy_set_effective_context(0) });
    report.status("done", unsafe { raw::proxy_done() });
    for kind in [2, 3, 4, 99] {
        report.status(&format!("continue {kind}"), unsafe { raw::proxy_continue_stream(kind) });
        report.status(&format!("close {kind}"), unsafe { raw::proxy_close_stream(kind) });
    }
    let (status, (code, message)) = status();
    report.line("get_status", format_args!("{status} {code} {}", message.escape_ascii()));
    report.bytes("foreign function", foreign("no-such", "x"));
}

fn buffers(report: &mut Report) {
    let size = CONFIGURATION.with_borrow(String::len);
    report.bytes("configuration", buffer(PLUGIN_CONFIGURATION, 0, size));
    report.bytes("more than there is", buffer(PLUGIN_CONFIGURATION, 0, size + 10));
    report.bytes("from 2", buffer(PLUGIN_CONFIGURATION, 2, 3));
    report.bytes("from its end", buffer(PLUGIN_CONFIGURATION, size, 5));
    report.bytes("past its end", buffer(PLUGIN_CONFIGURATION, size + 1, 5));
    report.bytes("overflow", buffer(PLUGIN_CONFIGURATION, usize::MAX, 5));
    report.status("set it", set_buffer(PLUGIN_CONFIGURATION, 0, 1, "x"));
    for kind in 0..10 {
        let (status, bytes) = buffer(kind, 0, 100);
        report.line(&format!("buffer {kind}"), format_args!("{status} {}", bytes.len()));
        let (status, size) = buffer_size(kind);
        report.line(&format!("status {kind}"), format_args!("{status} {size}"));
        if kind < 6 {
            report.status(&format!("set {kind}"), set_buffer(kind, 0, 0, ""));
        }
    }
}

fn pointers(report: &mut Report) {
    const BAD: usize = 0xffff_0000;
    let bad = BAD as *const u8;
    let (mut data, mut size) = (std::ptr::null_mut(), 0);
    unsafe {
        report.status("log", raw::proxy_log(2, bad, 10));
        report.status("time", raw::proxy_get_current_time_nanoseconds(BAD as *mut u64));
        report.status("header", raw::proxy_get_header_map_value(0, bad, 4, &mut data, &mut size));
        report.status(
            "header's result",
            raw::proxy_get_header_map_value(0, b":path".as_ptr(), 5, BAD as *mut *mut u8, &mut size),
        );
        report.status("add", raw::proxy_add_header_map_value(0, bad, 4, bad, 4));
        report.status("pairs", raw::proxy_set_header_map_pairs(0, bad, 4));
        report.status("property", raw::proxy_get_property(bad, 4, &mut data, &mut size));
        report.status("share", raw::proxy_set_shared_data(bad, 4, bad, 4, 0));
        report.status("metric", raw::proxy_define_metric(0, bad, 4, BAD as *mut u32));
        report.status("buffer", raw::proxy_set_buffer_bytes(0, 0, 0, bad, 4));
    }
}

fn bad_calls(report: &mut Report) {
    let good = [(":method", "GET"), (":path", "/called"), (":authority", "called.test")];
    report.status("no such upstream", call("no-such", &good, "", 1000).0);
    report.status("no upstream", call("", &good, "", 1000).0);
    for without in 0..3 {
        let some: Vec<_> =
            good.iter().copied().enumerate().filter(|(at, _)| *at != without).map(|(_, one)| one).collect();
        report.status(&format!("without {}", good[without].0), call("upstream", &some, "", 1000).0);
    }
}

pub fn response_headers(_count: u32, end: u32) -> String {
    let mut report = Report(String::new());
    report.line("end", format_args!("{end}"));
    report.bytes(":status", header(RESPONSE_HEADERS, ":status"));
    report.bytes("content-type", header(RESPONSE_HEADERS, "content-type"));
    report.bytes("request's path", header(REQUEST_HEADERS, ":path"));
    report.status("add to request", add(REQUEST_HEADERS, "x", "y"));
    for path in [
        "response.code",
        "response.headers.content-type",
        "response.grpc_status",
        "request.path",
        "upstream.cluster",
        "cluster_name",
        "response.trailers.x",
        "request.size",
    ] {
        report.bytes(path, property(path));
    }
    for path in ["upstream.port", "request.time"] {
        report.size(path, property(path));
    }
    report.0
}

/// Edits a body that is held whole; what the host said to it.
pub fn edit(kind: u32, how: &str, size: usize) -> String {
    let mut said = Report(String::new());
    let (status, held) = buffer_size(kind);
    said.line("size", format_args!("{status} {}", held == size));
    match how {
        "prepend" => said.status("set", set_buffer(kind, 0, 0, "before ")),
        "append" => said.status("set", set_buffer(kind, size, 0, " after")),
        "far" => said.status("set", set_buffer(kind, size + 100, 0, " far")),
        "replace" => said.status("set", set_buffer(kind, 0, size, "other")),
        "replace-more" => said.status("set", set_buffer(kind, 0, size + 100, "other")),
        "first" => said.status("set", set_buffer(kind, 0, 3, "FIRST")),
        "middle" => said.status("set", set_buffer(kind, 2, 2, "MIDDLE")),
        "clear" => said.status("set", set_buffer(kind, 0, size, "")),
        "twice" => {
            said.status("set", set_buffer(kind, 0, 0, "1"));
            said.status("set", set_buffer(kind, 0, 0, "2"));
        }
        "read" => {
            said.bytes("part", buffer(kind, 1, 3));
            said.bytes("more", buffer(kind, 1, 1000));
            said.bytes("none", buffer(kind, 0, 0));
            said.bytes("end", buffer(kind, size, 1));
            said.bytes("past", buffer(kind, size + 1, 1));
        }
        _ => {}
    }
    let (status, after) = buffer(kind, 0, 1000);
    said.bytes("then", (status, after));
    said.0.trim_end().replace('\n', "; ")
}
