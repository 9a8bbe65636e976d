//! A CGI program (RFC 3875) whose `PATH_INFO` says what it does: answer well, badly, or not at all.

use std::io::{Read, Write, stdin, stdout};

fn main() {
    let path = std::env::var("PATH_INFO").unwrap_or_default();
    let query = std::env::var("QUERY_STRING").unwrap_or_default();
    let number = || query.parse().unwrap_or(0);
    match path.as_str() {
        "/env" => {
            text();
            for (name, value) in std::env::vars() {
                println!("{name}={value}");
            }
        }
        "/args" => {
            text();
            std::env::args().for_each(|argument| println!("{argument}"));
        }
        "/echo" => {
            text();
            std::io::copy(&mut stdin(), &mut stdout()).expect("an echo");
        }
        // So many bytes of the input, then an answer: the rest is not read.
        "/some" => {
            let mut bytes = vec![0; number()];
            stdin().read_exact(&mut bytes).expect("so much input");
            text();
            println!("{}", bytes.len());
        }
        "/crlf" => print!("Status: 201 Made\r\nContent-Type: text/x\r\nX-One: 1\r\n\r\nbody\n"),
        "/location" => print!("Location: /elsewhere\n\n"),
        "/big" => {
            text();
            write_many(number());
        }
        "/length" => {
            print!("Content-Type: text/plain\nContent-Length: {query}\n\n0123456789");
        }
        "/lines" => {
            eprintln!("a line on standard error");
            text();
        }
        "/files" => {
            text();
            for entry in std::fs::read_dir("/data").expect("the folder /data").flatten() {
                println!("{}", entry.file_name().display());
            }
        }
        "/nothing" => {}
        "/cut" => print!("Content-Type: text/plain\n"),
        "/html" => print!("<html>\n<body>\n\n"),
        "/long" => print!("X-Long: {}\n\n", "x".repeat(number())),
        "/insufficient" => print!("X-Other: 1\n\n"),
        "/exit" => std::process::exit(number() as i32),
        "/exit-after" => {
            text();
            println!("said before");
            std::process::exit(3);
        }
        "/trap" => std::process::abort(),
        "/trap-after" => {
            text();
            write_many(200_000);
            std::process::abort();
        }
        "/loop" => loop {
            std::hint::spin_loop();
        },
        "/memory" => {
            let mut all = Vec::new();
            loop {
                all.push(vec![1u8; 1 << 20]);
                std::hint::black_box(&all);
            }
        }
        // Writes for as long as somebody reads.
        "/forever" => {
            text();
            loop {
                write_many(1 << 16);
            }
        }
        _ => print!("Status: 404 Not Found\nContent-Type: text/plain\n\nno such path: {path}\n"),
    }
}

fn text() {
    print!("Content-Type: text/plain\n\n");
}

fn write_many(bytes: usize) {
    let mut out = stdout().lock();
    let chunk = [b'x'; 8192];
    let mut left = bytes;
    while left > 0 {
        let len = left.min(chunk.len());
        out.write_all(&chunk[..len]).expect("somebody who reads");
        left -= len;
    }
}
