//! Bounds on a guest, and the text forms in which users write sizes and durations.

use std::time::Duration;

/// Bounds on one guest. `None` means that only the machine bounds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// All linear memories and tables of the guest together, in bytes.
    pub memory_bytes: Option<u64>,
    /// Wall time.
    pub timeout: Option<Duration>,
    /// Processor time of the guest and of the host calls made for it.
    pub cpu_time: Option<Duration>,
    /// Wasmtime's fuel: about one unit for each instruction.
    pub fuel: Option<u64>,
    /// Stack for WebAssembly frames, in bytes.
    pub stack_bytes: Option<u64>,
}

impl Limits {
    /// What a served guest may use where its manifest does not say: strangers can make it run, so nothing is
    /// without a bound.
    pub fn served() -> Self {
        Limits { memory_bytes: Some(512 << 20), timeout: Some(Duration::from_secs(60)), ..Limits::default() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseLimitError {
    #[error("`{0}` is not a size; write a number with an optional unit, such as 64m, 512MiB or 1g")]
    Size(String),
    #[error("`{0}` is not a duration; write a number with a unit, such as 200ms, 2s, 5m or 1h")]
    Duration(String),
    #[error("`{0}` is zero; a limit must leave the guest something")]
    Zero(String),
}

/// Parses a size as Docker writes it: `64m`, `512MiB`, `1g`, `4096`. Units are powers of 1024.
pub fn parse_size(text: &str) -> Result<u64, ParseLimitError> {
    let error = || ParseLimitError::Size(text.to_owned());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text[digits.len()..].to_ascii_lowercase();
    let shift = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(error()),
    };
    let number: u64 = digits.trim().parse().map_err(|_| error())?;
    let bytes = number.checked_mul(1 << shift).ok_or_else(error)?;
    if bytes == 0 { Err(ParseLimitError::Zero(text.to_owned())) } else { Ok(bytes) }
}

/// Parses a duration such as `200ms`, `1.5s`, `2m`, `1h`; a bare number means seconds.
pub fn parse_duration(text: &str) -> Result<Duration, ParseLimitError> {
    let error = || ParseLimitError::Duration(text.to_owned());
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let scale = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(error()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| error())?;
    let duration = Duration::try_from_secs_f64(number * scale).map_err(|_| error())?;
    if duration.is_zero() { Err(ParseLimitError::Zero(text.to_owned())) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("4096", 4096), ("64m", 64 << 20), ("512MiB", 512 << 20), ("1G", 1 << 30), ("2kb", 2048)]
        {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "m", "64x", "-1", "1.5m", "99999999999g"] {
            assert!(matches!(parse_size(text), Err(ParseLimitError::Size(_))), "{text}");
        }
        assert!(matches!(parse_size("0m"), Err(ParseLimitError::Zero(_))));
    }

    #[test]
    fn durations() {
        for (text, ms) in
            [("200ms", 200), ("2s", 2000), ("1.5s", 1500), ("3", 3000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "2days", "-1s", "inf", "nan"] {
            assert!(matches!(parse_duration(text), Err(ParseLimitError::Duration(_))), "{text}");
        }
        assert!(matches!(parse_duration("0ms"), Err(ParseLimitError::Zero(_))));
    }
}
