//! An Easegress filter that does what its parameter `run` says, a command a line; `!` before a command makes its
//! answer a header of the response, in the order of the commands. The last line may be `return N`.

use easegress_macros::easegress_object;
use easegress_sdk::cookie::Cookie;
use easegress_sdk::{cluster, request, response};
use std::collections::HashMap;

#[easegress_object]
struct Scripted {
    parameters: HashMap<String, String>,
}

#[easegress_object]
impl Program for Scripted {
    fn new(parameters: HashMap<String, String>) -> Self {
        Self { parameters }
    }

    fn run(&self) -> i32 {
        let script = self.parameters.get("run").cloned().unwrap_or_default();
        // One exchange may bring its own.
        let own = request::get_header("x-run".to_owned());
        let script = if own.is_empty() { script } else { own.replace("; ", "\n") };
        for line in script.lines() {
            if let Some(number) = line.strip_prefix("return ") {
                return number.parse().unwrap();
            }
            match line.strip_prefix('!') {
                Some(line) => {
                    let answer = command(self, line);
                    response::resp_add_header("x-said".to_owned(), answer);
                }
                None => drop(command(self, line)),
            }
        }
        0
    }
}

fn command(program: &Scripted, line: &str) -> String {
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let (all, first, second) = (rest.to_owned(), first.to_owned(), second.to_owned());
    let nothing = |(): ()| String::new();
    match command {
        "real-ip" => request::get_real_ip(),
        "scheme" => request::get_scheme(),
        "proto" => request::get_proto(),
        "method" => request::get_method(),
        "set-method" => nothing(request::set_method(all)),
        "host" => request::get_host(),
        "set-host" => nothing(request::set_host(all)),
        "path" => request::get_path(),
        "set-path" => nothing(request::set_path(all)),
        "escaped-path" => request::get_escape_path(),
        "query" => request::get_query(),
        "set-query" => nothing(request::set_query(all)),
        "fragment" => request::get_fragment(),
        "header" => request::get_header(all),
        "headers" => headers(request::get_all_header()),
        "set-header" => nothing(request::set_header(first, second)),
        "set-headers" => nothing(request::set_all_header(HashMap::from([(first, vec![second])]))),
        "add-header" => nothing(request::add_header(first, second)),
        "del-header" => nothing(request::del_header(all)),
        "cookie" => request::get_cookie(all).map_or_else(|| "none".to_owned(), |cookie| cookie.marshal()),
        "cookies" => {
            let all: Vec<_> = request::get_all_cookie().iter().map(Cookie::marshal).collect();
            all.join(",")
        }
        "add-cookie" => nothing(request::add_cookie(Cookie::unmarshal(all).unwrap())),
        "body" => String::from_utf8_lossy(&request::get_body()).into_owned(),
        "set-body" => nothing(request::set_body(all.into_bytes())),
        "parameter" => program.parameters.get(&all).cloned().unwrap_or_default(),
        _ => respond(command, all, first, second),
    }
}

fn respond(command: &str, all: String, first: String, second: String) -> String {
    let nothing = |(): ()| String::new();
    match command {
        "status" => response::get_status_code().to_string(),
        "set-status" => nothing(response::set_status_code(all.parse().unwrap())),
        "resp-header" => response::resp_get_header(all),
        "resp-headers" => headers(response::resp_get_all_header()),
        "set-resp-header" => nothing(response::resp_set_header(first, second)),
        "set-resp-headers" => nothing(response::resp_set_all_header(HashMap::from([(first, vec![second])]))),
        "add-resp-header" => nothing(response::resp_add_header(first, second)),
        "del-resp-header" => nothing(response::resp_del_header(all)),
        "set-cookie" => nothing(response::resp_set_cookie(Cookie::unmarshal(all).unwrap())),
        "resp-body" => String::from_utf8_lossy(&response::resp_get_body()).into_owned(),
        "set-resp-body" => nothing(response::resp_set_body(all.into_bytes())),
        "tag" => nothing(easegress_sdk::add_tag(all)),
        "log" => {
            use easegress_sdk::LogLevel::{Debug, Error, Info, Warning};
            let level = [Debug, Info, Warning, Error][first.parse::<usize>().unwrap()];
            nothing(easegress_sdk::log(level, second))
        }
        "time" => (easegress_sdk::get_unix_time_in_ms() > 1_600_000_000_000).to_string(),
        "rand" => (0.0..1.0).contains(&easegress_sdk::rand()).to_string(),
        "trap" => panic!("a trap was asked for"),
        "loop" => loop {
            std::hint::black_box(0);
        },
        "grow" => {
            let mut kept = Vec::new();
            loop {
                kept.push(vec![1_u8; 1 << 20]);
            }
        }
        _ => shared(command, first, second),
    }
}

fn shared(command: &str, key: String, value: String) -> String {
    let nothing = |(): ()| String::new();
    match command {
        "get-binary" => String::from_utf8_lossy(&cluster::get_binary(key)).into_owned(),
        "put-binary" => nothing(cluster::put_binary(key, value.into_bytes())),
        "get-string" => cluster::get_string(key),
        "put-string" => nothing(cluster::put_string(key, value)),
        "get-integer" => cluster::get_integer(key).to_string(),
        "put-integer" => nothing(cluster::put_integer(key, value.parse().unwrap())),
        "add-integer" => cluster::add_integer(key, value.parse().unwrap()).to_string(),
        "get-float" => cluster::get_float(key).to_string(),
        "put-float" => nothing(cluster::put_float(key, value.parse().unwrap())),
        "add-float" => cluster::add_float(key, value.parse().unwrap()).to_string(),
        "count" => cluster::count_key(key).to_string(),
        other => panic!("`{other}` is no command"),
    }
}

fn headers(headers: HashMap<String, Vec<String>>) -> String {
    let mut all: Vec<_> = headers.into_iter().map(|(name, values)| format!("{name}={}", values.join("+"))).collect();
    all.sort();
    all.join(",")
}
