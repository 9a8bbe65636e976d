//! An http-wasm filter that does what its configuration says: lines of commands for the request, and after a line
//! `--` those for the response. What the host answers is logged.

use std::cell::Cell;

#[link(wasm_import_module = "http_handler")]
unsafe extern "C" {
    fn enable_features(bits: u32) -> u32;
    fn get_config(at: *mut u8, limit: u32) -> u32;
    fn log_enabled(level: i32) -> u32;
    #[link_name = "log"]
    fn host_log(level: i32, at: *const u8, length: u32);
    fn get_method(at: *mut u8, limit: u32) -> u32;
    fn set_method(at: *const u8, length: u32);
    fn get_uri(at: *mut u8, limit: u32) -> u32;
    fn set_uri(at: *const u8, length: u32);
    fn get_protocol_version(at: *mut u8, limit: u32) -> u32;
    fn get_source_addr(at: *mut u8, limit: u32) -> u32;
    fn get_header_names(kind: u32, at: *mut u8, limit: u32) -> u64;
    fn get_header_values(kind: u32, name: *const u8, length: u32, at: *mut u8, limit: u32) -> u64;
    fn set_header_value(kind: u32, name: *const u8, length: u32, at: *const u8, value: u32);
    fn add_header_value(kind: u32, name: *const u8, length: u32, at: *const u8, value: u32);
    fn remove_header(kind: u32, name: *const u8, length: u32);
    fn read_body(kind: u32, at: *mut u8, limit: u32) -> u64;
    fn write_body(kind: u32, at: *const u8, length: u32);
    fn get_status_code() -> u32;
    fn set_status_code(code: u32);
}

thread_local! {
    /// Exchanges that this instance has had.
    static SEEN: Cell<u32> = const { Cell::new(0) };
}

#[unsafe(no_mangle)]
extern "C" fn handle_request() -> i64 {
    SEEN.set(SEEN.get() + 1);
    let config = text(|at, limit| unsafe { get_config(at, limit) });
    let (mut next, mut context) = (1, 0);
    for line in config.split("--").next().unwrap_or_default().lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("stop", _) => next = 0,
            ("context", number) => context = number.parse::<i64>().unwrap(),
            (command, rest) => run(command, rest),
        }
    }
    context << 32 | next
}

#[unsafe(no_mangle)]
extern "C" fn handle_response(context: i32, is_error: i32) {
    let config = text(|at, limit| unsafe { get_config(at, limit) });
    for line in config.split_once("--").map_or("", |(_, rest)| rest).trim().lines() {
        match line.split_once(' ').unwrap_or((line, "")) {
            ("context", _) => say(&format!("context={context} error={is_error}")),
            (command, rest) => run(command, rest),
        }
    }
}

fn run(command: &str, rest: &str) {
    let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
    let number = first.parse::<u32>().unwrap_or_default();
    let (name, value) = second.split_once(' ').unwrap_or((second, ""));
    let bytes = |text: &str| (text.as_ptr(), text.len() as u32);
    let ((name_at, name_length), (value_at, value_length)) = (bytes(name), bytes(value));
    match command {
        "features" => say(&format!("features={}", unsafe { enable_features(number) })),
        "seen" => say(&format!("seen={}", SEEN.get())),
        "method" => say(&text(|at, limit| unsafe { get_method(at, limit) })),
        "set-method" => unsafe { set_method(rest.as_ptr(), rest.len() as u32) },
        "uri" => say(&text(|at, limit| unsafe { get_uri(at, limit) })),
        "set-uri" => unsafe { set_uri(rest.as_ptr(), rest.len() as u32) },
        "protocol" => say(&text(|at, limit| unsafe { get_protocol_version(at, limit) })),
        "source" => say(&text(|at, limit| unsafe { get_source_addr(at, limit) })),
        "names" => say(&list(|at, limit| unsafe { get_header_names(number, at, limit) })),
        "values" => {
            say(&list(|at, limit| unsafe { get_header_values(number, name_at, name_length, at, limit) }))
        }
        "set" => unsafe { set_header_value(number, name_at, name_length, value_at, value_length) },
        "add" => unsafe { add_header_value(number, name_at, name_length, value_at, value_length) },
        "remove" => unsafe { remove_header(number, name_at, name_length) },
        "read" => say(&read(number, second.parse().unwrap()).0),
        "read-all" => {
            let mut all = String::new();
            loop {
                let (piece, over) = read(number, 8);
                all += &piece;
                if over {
                    break say(&all);
                }
            }
        }
        "write" => unsafe { write_body(number, second.as_ptr(), second.len() as u32) },
        "status" => say(&unsafe { get_status_code() }.to_string()),
        "set-status" => unsafe { set_status_code(number) },
        "log" => unsafe { host_log(first.parse().unwrap(), second.as_ptr(), second.len() as u32) },
        "logged" => say(&unsafe { log_enabled(first.parse().unwrap()) }.to_string()),
        "small" => small(),
        "print" => println!("{rest}"),
        "trap" => panic!("a trap was asked for"),
        "loop" => loop {
            std::hint::black_box(0);
        },
        "grow" => loop {
            std::mem::forget(vec![0_u8; 4 << 20]);
        },
        "" => {}
        other => panic!("`{other}` is no command"),
    }
}

/// What is larger than its place is told, and not written.
fn small() {
    let mut place = [b'x'; 3];
    let length = unsafe { get_uri(place.as_mut_ptr(), 3) };
    say(&format!("small={length} {}", String::from_utf8_lossy(&place)));
    let all = unsafe { get_header_names(0, place.as_mut_ptr(), 3) };
    say(&format!("small={} {}", all as u32 > 3, String::from_utf8_lossy(&place)));
}

fn read(kind: u32, limit: u32) -> (String, bool) {
    let mut place = vec![0; limit as usize];
    let answer = unsafe { read_body(kind, place.as_mut_ptr(), limit) };
    place.truncate(answer as u32 as usize);
    (String::from_utf8_lossy(&place).into_owned(), answer >> 32 == 1)
}

fn text(get: impl Fn(*mut u8, u32) -> u32) -> String {
    let mut place = vec![0; 4096];
    let length = get(place.as_mut_ptr(), 4096) as usize;
    place.truncate(length);
    String::from_utf8(place).unwrap()
}

fn list(get: impl Fn(*mut u8, u32) -> u64) -> String {
    let mut place = vec![0; 4096];
    let answer = get(place.as_mut_ptr(), 4096);
    place.truncate(answer as u32 as usize);
    let all: Vec<_> = place.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    assert_eq!((answer >> 32) as usize + 1, all.len(), "each has a NUL behind it");
    all[..all.len() - 1].join(",")
}

fn say(text: &str) {
    unsafe { host_log(0, text.as_ptr(), text.len() as u32) }
}
