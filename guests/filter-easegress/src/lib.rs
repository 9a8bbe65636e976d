//! An Easegress filter that does what its parameter `run` says, a command a line; `!` before a command makes its
//! answer a header of the response, in the order of the commands. The last line may be `return N`.

mod host;

use host::*;
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static PARAMETERS: RefCell<HashMap<String, String>> = RefCell::default();
}

#[unsafe(no_mangle)]
extern "C" fn wasm_init(at: i32) {
    let pairs = list(at);
    let pairs = pairs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
    PARAMETERS.with(|parameters| parameters.replace(pairs.collect()));
}

#[unsafe(no_mangle)]
extern "C" fn wasm_run() -> i32 {
    // One exchange may bring its own.
    let own = string(unsafe { host_req_get_header(text("x-run").as_ptr()) });
    let script = if own.is_empty() { parameter("run") } else { own.replace("; ", "\n") };
    for line in script.lines() {
        if let Some(number) = line.strip_prefix("return ") {
            return number.parse().unwrap();
        }
        match line.strip_prefix('!') {
            Some(line) => {
                let answer = command(line);
                unsafe { host_resp_add_header(text("x-said").as_ptr(), text(&answer).as_ptr()) };
            }
            None => drop(command(line)),
        }
    }
    0
}

fn parameter(name: &str) -> String {
    PARAMETERS.with(|parameters| parameters.borrow().get(name).cloned().unwrap_or_default())
}

fn get(call: Get) -> String {
    string(unsafe { call() })
}

fn get_of(call: GetOf, name: &str) -> String {
    string(unsafe { call(text(name).as_ptr()) })
}

fn take(call: Take, all: &str) -> String {
    unsafe { call(text(all).as_ptr()) };
    String::new()
}

fn take_data(call: Take, all: &str) -> String {
    unsafe { call(data(all).as_ptr()) };
    String::new()
}

fn take_two(call: TakeTwo, first: &str, second: &str) -> String {
    unsafe { call(text(first).as_ptr(), text(second).as_ptr()) };
    String::new()
}

fn command(line: &str) -> String {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    match command {
        "real-ip" => get(host_req_get_real_ip),
        "scheme" => get(host_req_get_scheme),
        "proto" => get(host_req_get_proto),
        "method" => get(host_req_get_method),
        "set-method" => take(host_req_set_method, rest),
        "host" => get(host_req_get_host),
        "set-host" => take(host_req_set_host, rest),
        "path" => get(host_req_get_path),
        "set-path" => take(host_req_set_path, rest),
        "escaped-path" => get(host_req_get_escaped_path),
        "query" => get(host_req_get_query),
        "set-query" => take(host_req_set_query, rest),
        "fragment" => get(host_req_get_fragment),
        "header" => get_of(host_req_get_header, rest),
        "headers" => get(host_req_get_all_header).replace("\r\n", "|"),
        "set-header" => take_two(host_req_set_header, first, second),
        "set-headers" => take(host_req_set_all_header, &rest.replace('|', "\r\n")),
        "add-header" => take_two(host_req_add_header, first, second),
        "del-header" => take(host_req_del_header, rest),
        "cookie" => get_of(host_req_get_cookie, rest),
        "cookies" => list(unsafe { host_req_get_all_cookie() }).join(","),
        "add-cookie" => take(host_req_add_cookie, rest),
        "body" => bytes(unsafe { host_req_get_body() }),
        "set-body" => take_data(host_req_set_body, rest),
        "parameter" => parameter(rest),
        _ => respond(command, rest, first, second),
    }
}

fn respond(command: &str, rest: &str, first: &str, second: &str) -> String {
    match command {
        "status" => unsafe { host_resp_get_status_code() }.to_string(),
        "set-status" => {
            unsafe { host_resp_set_status_code(rest.parse().unwrap()) };
            String::new()
        }
        "resp-header" => get_of(host_resp_get_header, rest),
        "resp-headers" => get(host_resp_get_all_header).replace("\r\n", "|"),
        "set-resp-header" => take_two(host_resp_set_header, first, second),
        "set-resp-headers" => take(host_resp_set_all_header, &rest.replace('|', "\r\n")),
        "add-resp-header" => take_two(host_resp_add_header, first, second),
        "del-resp-header" => take(host_resp_del_header, rest),
        "set-cookie" => take(host_resp_set_cookie, rest),
        "resp-body" => bytes(unsafe { host_resp_get_body() }),
        "set-resp-body" => take_data(host_resp_set_body, rest),
        "tag" => take(host_add_tag, rest),
        "log" => {
            unsafe { host_log(first.parse().unwrap(), text(second).as_ptr()) };
            String::new()
        }
        "time" => (unsafe { host_get_unix_time_in_ms() } > 1_600_000_000_000).to_string(),
        "rand" => (0.0..1.0).contains(&unsafe { host_rand() }).to_string(),
        "live" => live().to_string(),
        "trap" => panic!("a trap was asked for"),
        "loop" => loop {
            std::hint::black_box(0);
        },
        "grow" => loop {
            std::mem::forget(vec![0_u8; 4 << 20]);
        },
        _ => shared(command, first, second),
    }
}

fn shared(command: &str, key: &str, value: &str) -> String {
    let at = text(key);
    let at = at.as_ptr();
    match command {
        "get-binary" => bytes(unsafe { host_cluster_get_binary(at) }),
        "put-binary" => {
            unsafe { host_cluster_put_binary(at, data(value).as_ptr()) };
            String::new()
        }
        "get-string" => get_of(host_cluster_get_string, key),
        "put-string" => take_two(host_cluster_put_string, key, value),
        "get-integer" => unsafe { host_cluster_get_integer(at) }.to_string(),
        "put-integer" => {
            unsafe { host_cluster_put_integer(at, value.parse().unwrap()) };
            String::new()
        }
        "add-integer" => unsafe { host_cluster_add_integer(at, value.parse().unwrap()) }.to_string(),
        "get-float" => unsafe { host_cluster_get_float(at) }.to_string(),
        "put-float" => {
            unsafe { host_cluster_put_float(at, value.parse().unwrap()) };
            String::new()
        }
        "add-float" => unsafe { host_cluster_add_float(at, value.parse().unwrap()) }.to_string(),
        "count" => unsafe { host_cluster_count_key(at) }.to_string(),
        other => panic!("`{other}` is no command"),
    }
}
