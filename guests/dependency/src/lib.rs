//! A component that others depend on: tries what it is told, and says what came of it.

wit_bindgen::generate!({ path: "wit", world: "dependency" });

use exports::test::probe::tries::Guest;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::time::{Duration, Instant, SystemTime};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

struct Dependency;

export!(Dependency);

impl Guest for Dependency {
    fn attempt(what: String) -> String {
        let (what, argument) = what.split_once(' ').unwrap_or((&what, ""));
        match what {
            "compute" => argument.chars().rev().collect(),
            "env" => std::env::var(argument).unwrap_or_else(|error| error.to_string()),
            "args" => std::env::args().count().to_string(),
            "read" => std::fs::read_to_string(argument).unwrap_or_else(|error| error.kind().to_string()),
            "tcp" => match std::net::TcpStream::connect(argument) {
                Ok(_) => "connected".to_owned(),
                Err(error) => error.kind().to_string(),
            },
            "get" => get(argument),
            "print" => {
                println!("{argument}");
                eprintln!("{argument}");
                std::io::stdout().write_all(&vec![b'x'; 3 << 20]).expect("somebody who reads");
                "printed".to_owned()
            }
            "stdin" => {
                let mut text = String::new();
                match std::io::stdin().read_to_string(&mut text) {
                    Ok(count) => format!("{count} bytes"),
                    Err(error) => error.kind().to_string(),
                }
            }
            "sleep" => {
                let begin = Instant::now();
                std::thread::sleep(Duration::from_secs(3600));
                while begin.elapsed() < Duration::from_millis(20) {}
                "slept".to_owned()
            }
            "given" => {
                // Keys of hash maps are random, and the date is everybody's.
                let map: HashMap<u32, u32> = (0..100).map(|number| (number, number)).collect();
                let date = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                format!("{} {}", map.len(), date.is_ok_and(|date| date.as_secs() > 1_700_000_000))
            }
            other => format!("unknown: {other}"),
        }
    }
}

fn get(authority: &str) -> String {
    let request = OutgoingRequest::new(Fields::new());
    let set = request.set_scheme(Some(&Scheme::Http)).and_then(|()| request.set_authority(Some(authority)));
    if set.and_then(|()| request.set_path_with_query(Some("/"))).is_err() {
        return "no request".to_owned();
    }
    match outgoing_handler::handle(request, None) {
        Ok(response) => {
            response.subscribe().block();
            match response.get() {
                Some(Ok(Ok(response))) => response.status().to_string(),
                other => format!("{other:?}"),
            }
        }
        Err(error) => format!("{error:?}"),
    }
}
