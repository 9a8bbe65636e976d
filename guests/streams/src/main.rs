//! Reads and writes standard streams in the ways that go wrong: `echo`, `upper` (line by line), `lines N`,
//! `bytes N`, `both N` (both outputs), `flood` (until the reader is gone), `ask`, `tty`, `count`.

use std::io::{self, BufRead, IsTerminal, Read, Result, Write};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().map_err(|_| io::ErrorKind::InvalidInput);
    match *arguments {
        ["echo"] => io::copy(&mut io::stdin(), &mut io::stdout()).map(drop),
        ["upper"] => upper(),
        ["lines", count] => lines(number(count)?),
        ["bytes", count] => io::copy(&mut io::repeat(b'x').take(number(count)?), &mut io::stdout()).map(drop),
        ["both", count] => both(number(count)?),
        ["flood"] => flood(),
        ["ask"] => ask(),
        ["tty"] => {
            let streams = (io::stdin().is_terminal(), io::stdout().is_terminal(), io::stderr().is_terminal());
            println!("stdin {} stdout {} stderr {}", streams.0, streams.1, streams.2);
            Ok(())
        }
        ["count"] => {
            println!("{}", io::copy(&mut io::stdin(), &mut io::sink())?);
            Ok(())
        }
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// Answers each line before it reads the next: output must not wait for the end of input.
fn upper() -> Result<()> {
    for line in io::stdin().lock().lines() {
        println!("{}", line?.to_uppercase());
    }
    Ok(())
}

/// One write per line: what it costs to print much in small pieces.
fn lines(count: u64) -> Result<()> {
    let mut out = io::stdout();
    for index in 0..count {
        writeln!(out, "{index}")?;
    }
    Ok(())
}

fn both(count: u64) -> Result<()> {
    for index in 0..count {
        writeln!(io::stdout(), "out {index}")?;
        writeln!(io::stderr(), "err {index}")?;
    }
    Ok(())
}

/// Writes until the reader is gone and says on standard error how that looked; ends with 3.
fn flood() -> Result<()> {
    let mut out = io::stdout();
    loop {
        if let Err(error) = out.write_all(&[b'y'; 1024]) {
            eprintln!("flood: {:?}", error.kind());
            std::process::exit(3);
        }
    }
}

/// A prompt without a line end must be seen before the answer is read.
fn ask() -> Result<()> {
    print!("name? ");
    io::stdout().flush()?;
    let mut name = String::new();
    io::stdin().read_line(&mut name)?;
    println!("hello {}", name.trim_end());
    Ok(())
}
