//! Key-value stores by each interface that waits. Steps, separated by `--`, are INTERFACE STORE CALL ARGUMENTS;
//! each prints a line with what came of it. Interfaces: draft, draft2 (wasi:keyvalue), v1, v2 (Spin).

mod spin;
mod wasi;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for step in arguments.split(|word| word == "--") {
        let words: Vec<&str> = step.iter().map(String::as_str).collect();
        let said = match *words {
            ["draft", store, ref call @ ..] => wasi::draft(store, call),
            ["draft2", store, ref call @ ..] => wasi::draft2(store, call),
            ["v1", store, ref call @ ..] => spin::v1(store, call),
            ["v2", store, ref call @ ..] => spin::v2(store, call),
            _ => panic!("no such step: {words:?}"),
        };
        println!("{}", said.unwrap_or_else(|error| error));
    }
}

/// What a call comes to, as text.
pub type Said = Result<String, String>;

pub fn text(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "-".to_owned(), |bytes| String::from_utf8_lossy(&bytes).into_owned())
}

pub fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

pub fn pairs(words: &[&str]) -> Vec<(String, Vec<u8>)> {
    let pair = |word: &&str| word.split_once('=').map(|(key, value)| (key.to_owned(), value.into()));
    words.iter().filter_map(pair).collect()
}

/// Keys in order: the interfaces promise none.
pub fn sorted(mut keys: Vec<String>) -> String {
    keys.sort();
    keys.join(" ")
}
