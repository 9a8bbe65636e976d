//! Dockerfiles: any text is understood or refused, what is wrong has its place in the text, and no value of a variable
//! grows without end.

#![no_main]
// The files are included whole, and not all of them is used here.
#![allow(dead_code)]

#[path = "."]
mod build {
    #[path = "../../crates/images/src/build/instruction.rs"]
    pub mod instruction;
    #[path = "../../crates/images/src/build/parse.rs"]
    pub mod parse;
    #[path = "../../crates/images/src/build/words.rs"]
    pub mod words;
}

use build::instruction::{Instruction, instruction};
use build::parse::{Wrong, parse};
use build::words::{Variables, expand, expand_document, split};

fn check(text: &str, wrong: &Wrong) {
    assert!(!wrong.what.is_empty());
    let span = wrong.span.clone();
    assert!(span.start <= span.end && span.end <= text.len(), "{wrong:?}");
}

libfuzzer_sys::fuzz_target!(|text: &str| {
    let file = match parse(text) {
        Ok(file) => file,
        Err(wrong) => return check(text, &wrong),
    };
    let mut variables = Variables::new();
    for line in &file.lines {
        assert!(
            text.get(line.span.clone())
                .is_some_and(|name| name.to_ascii_uppercase() == line.name || name.contains(file.escape))
        );
        match instruction(line, file.escape) {
            Err(wrong) => check(text, &wrong),
            Ok(Instruction::Env(pairs)) => {
                for (key, value) in pairs {
                    if let (Ok(key), Ok(value)) = (
                        expand(&key.text, &variables, file.escape),
                        expand(&value.text, &variables, file.escape),
                    ) {
                        assert!(value.len() <= 1 << 20);
                        variables.insert(key, value);
                    }
                }
            }
            Ok(_) => {}
        }
        for (at, word) in split(&line.rest.text, file.escape) {
            assert_eq!(&line.rest.text[at..at + word.len()], word);
        }
        for document in &line.heredocs {
            // Whether it is understood does not matter here.
            let _ = expand_document(&document.content, &variables, file.escape);
        }
        if variables.len() > 8 {
            variables.clear();
        }
    }
});
