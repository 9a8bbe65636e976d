//! Ends in every way in which a program can: `exit N`, `exit error` (main returns an error), `exit unflushed`
//! (text without a line end must still arrive), `exit abort`. Without argument it returns from main.

use std::io::Write;

fn main() -> Result<(), String> {
    match std::env::args().nth(1).as_deref() {
        None => Ok(()),
        Some("error") => Err("main returned an error".to_owned()),
        Some("unflushed") => {
            print!("the last words");
            std::io::stdout().flush().map_err(|error| error.to_string())?;
            std::process::exit(7)
        }
        Some("abort") => std::process::abort(),
        Some(code) => std::process::exit(code.parse().map_err(|_| format!("`{code}` is not a code"))?),
    }
}
