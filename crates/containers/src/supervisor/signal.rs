//! Signals by name and number, as Docker's users write them.

use rustix::process::Signal;

const NAMES: [(&str, Signal); 30] = [
    ("HUP", Signal::HUP),
    ("INT", Signal::INT),
    ("QUIT", Signal::QUIT),
    ("ILL", Signal::ILL),
    ("TRAP", Signal::TRAP),
    ("ABRT", Signal::ABORT),
    ("BUS", Signal::BUS),
    ("FPE", Signal::FPE),
    ("KILL", Signal::KILL),
    ("USR1", Signal::USR1),
    ("SEGV", Signal::SEGV),
    ("USR2", Signal::USR2),
    ("PIPE", Signal::PIPE),
    ("ALRM", Signal::ALARM),
    ("TERM", Signal::TERM),
    ("CHLD", Signal::CHILD),
    ("CONT", Signal::CONT),
    ("STOP", Signal::STOP),
    ("TSTP", Signal::TSTP),
    ("TTIN", Signal::TTIN),
    ("TTOU", Signal::TTOU),
    ("URG", Signal::URG),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
    ("VTALRM", Signal::VTALARM),
    ("PROF", Signal::PROF),
    ("WINCH", Signal::WINCH),
    ("IO", Signal::IO),
    ("PWR", Signal::POWER),
    ("SYS", Signal::SYS),
];

/// `15`, `TERM` or `SIGTERM`, in any case.
pub fn number(text: &str) -> Option<i32> {
    let text = text.trim().to_ascii_uppercase();
    if let Ok(number) = text.parse::<i32>() {
        return named(number).map(|_| number);
    }
    let name = text.strip_prefix("SIG").unwrap_or(&text);
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, signal)| signal.as_raw())
}

/// `SIGTERM` of 15.
pub fn name(number: i32) -> String {
    let known = NAMES.iter().find(|(_, signal)| signal.as_raw() == number);
    known.map_or_else(|| number.to_string(), |(name, _)| format!("SIG{name}"))
}

pub(super) fn named(number: i32) -> Option<Signal> {
    NAMES.iter().map(|(_, signal)| *signal).find(|signal| signal.as_raw() == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for text in ["9", "KILL", "sigkill", " SIGKILL "] {
            assert_eq!(number(text), Some(9), "{text}");
        }
        for text in ["", "SIG", "KILLER", "0", "-9", "999"] {
            assert_eq!(number(text), None, "{text}");
        }
        assert_eq!((name(15), name(64)), ("SIGTERM".to_owned(), "64".to_owned()));
    }
}
