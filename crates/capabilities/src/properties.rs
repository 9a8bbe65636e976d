//! The metadata of a Dapr component: names and values, from which a backend is described.
//!
//! Names differ in case between Dapr's documents and its users' files, so case does not count
//! (dapr/components-contrib, metadata/utils.go: `GetMetadataProperty`).

use sampan_app::Secret;
use std::collections::BTreeMap;
use std::time::Duration;

/// What one component file says, with every secret and variable filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties {
    /// By lower-case name.
    values: BTreeMap<String, Secret>,
    /// The app that uses the component: the default of names that apps have in brokers.
    pub app_id: String,
}

/// Metadata that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct PropertyError {
    /// The key, as Dapr's documents write it.
    pub name: String,
    pub what: String,
    /// What to write instead.
    pub help: String,
}

impl PropertyError {
    pub fn new(name: &str, what: impl Into<String>, help: impl Into<String>) -> Self {
        PropertyError { name: name.to_owned(), what: what.into(), help: help.into() }
    }
}

impl Properties {
    pub fn new(app_id: &str, values: impl IntoIterator<Item = (String, Secret)>) -> Self {
        let values = values.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        Properties { values, app_id: app_id.to_owned() }
    }

    /// The value; an empty one counts as none, as Dapr's decoders have it.
    pub fn text(&self, name: &str) -> Option<&str> {
        let value = self.values.get(&name.to_ascii_lowercase())?.reveal();
        (!value.is_empty()).then_some(value)
    }

    pub fn required(&self, name: &str) -> Result<&str, PropertyError> {
        self.text(name).ok_or_else(|| {
            let what = format!("the metadata lacks `{name}`");
            PropertyError::new(name, what, format!("add an item with `name: {name}` and its value"))
        })
    }

    /// Go's words for a truth (`strconv.ParseBool`) and those that YAML's users write.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, PropertyError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.to_ascii_lowercase().as_str() {
            "1" | "t" | "true" | "y" | "yes" | "on" => Ok(Some(true)),
            "0" | "f" | "false" | "n" | "no" | "off" => Ok(Some(false)),
            _ => Err(self.wrong(name, "neither true nor false", "write \"true\" or \"false\"")),
        }
    }

    pub fn number(&self, name: &str) -> Result<Option<i64>, PropertyError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.trim().parse().map(Some);
        number.map_err(|_| self.wrong(name, "no whole number", "write digits in quotes"))
    }

    /// Go's durations (`1m30s`); a bare number counts `unit`s.
    pub fn duration(&self, name: &str, unit: Duration) -> Result<Option<Duration>, PropertyError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let bare = text.trim().parse::<u32>().ok().and_then(|count| unit.checked_mul(count));
        match bare.or_else(|| go_duration(text.trim())) {
            Some(duration) => Ok(Some(duration)),
            None => Err(self.wrong(name, "no duration", "write one as \"500ms\", \"15s\" or \"1h30m\"")),
        }
    }

    /// An error about this value, which it does not show: it may be secret.
    pub fn wrong(&self, name: &str, why: &str, help: &str) -> PropertyError {
        PropertyError::new(name, format!("the metadata's `{name}` is {why}"), help)
    }
}

/// A duration as Go's `time.ParseDuration` reads it; negative ones are refused.
pub fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut nanos = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let count: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.find(|letter: char| letter.is_ascii_digit() || letter == '.').unwrap_or(rest.len());
        let unit_nanos = match &rest[..unit] {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return None,
        };
        nanos += count * unit_nanos;
        rest = &rest[unit..];
    }
    Duration::try_from_secs_f64(nanos / 1e9).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(name: &str, value: &str) -> Properties {
        Properties::new("app", [(name.to_owned(), Secret::new(value))])
    }

    #[test]
    fn case_does_not_count_and_empty_is_none() {
        assert_eq!(properties("redisHost", "h:1").text("REDISHOST"), Some("h:1"));
        assert_eq!(properties("redisHost", "").text("redisHost"), None);
        let missing = Properties::default().required("redisHost").expect_err("nothing is there");
        assert_eq!(missing.to_string(), "the metadata lacks `redisHost`");
    }

    #[test]
    fn durations_are_gos_or_bare_numbers_of_a_unit() {
        let read = |text| properties("d", text).duration("d", Duration::from_millis(1));
        let table =
            [("15s", 15_000), ("1m30s", 90_000), ("1.5h", 5_400_000), ("100", 100), ("0", 0), ("250ms", 250)];
        for (text, ms) in table {
            assert_eq!(read(text), Ok(Some(Duration::from_millis(ms))), "{text}");
        }
        for text in ["-5s", "5 s", "s", "5x", "1e400s", "..s"] {
            let error = read(text).expect_err(text);
            assert_eq!(error.to_string(), "the metadata's `d` is no duration");
        }
    }

    #[test]
    fn words_for_truth_and_numbers_are_checked() {
        assert_eq!(properties("f", "True").flag("f"), Ok(Some(true)));
        assert_eq!(properties("f", "0").flag("f"), Ok(Some(false)));
        assert!(properties("f", "maybe").flag("f").is_err());
        assert_eq!(properties("n", "-1").number("n"), Ok(Some(-1)));
        assert!(properties("n", "one").number("n").is_err());
    }
}
