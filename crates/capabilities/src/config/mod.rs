//! Variables and secrets: a component's own, with their final values.
//!
//! They were resolved when the app was read. Nothing here prints a value.

pub mod host;
#[cfg(test)]
mod tests;

use crate::Explain;
use sampan_app::ConfigValue;
use std::sync::Arc;

/// What a guest may ask for.
#[derive(Clone, Default)]
pub struct Config {
    values: Arc<[ConfigValue]>,
    explain: Explain,
}

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// No variable can have such a name.
    #[error(
        "`{0}` is no name of a variable: it has lower-case letters, digits and single underscores, and begins with a letter"
    )]
    InvalidName(String),
    #[error("the component has no variable `{0}`")]
    Undefined(String),
}

impl Config {
    pub fn new(values: Vec<ConfigValue>, explain: &Explain) -> Self {
        Config { values: values.into(), explain: explain.clone() }
    }

    /// By exact name; `None` is no refusal where a guest may ask whether there is one.
    pub fn find(&self, name: &str) -> Option<String> {
        let found = self.values.iter().find(|one| one.name == name);
        found.map(|one| one.value.reveal().to_owned())
    }

    /// As Spin's guests ask: the name must be one, and the variable must be there.
    pub fn get(&self, name: &str) -> Result<String, Missing> {
        if let Some(value) = self.find(name) {
            return Ok(value);
        }
        let shown: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
        if !is_name(name) {
            return Err(Missing::InvalidName(shown));
        }
        let flag = format!("{shown} = … in the component's variables (sampan.toml)");
        self.explain.refused(&format!("read the variable `{shown}`"), &flag);
        Err(Missing::Undefined(shown))
    }

    /// All names with their values.
    pub fn all(&self) -> Vec<(String, String)> {
        self.values.iter().map(|one| (one.name.clone(), one.value.reveal().to_owned())).collect()
    }
}

/// Spin's rule for names, which lets each be an environment variable too (spinframework/spin,
/// crates/expressions: `Key`).
fn is_name(name: &str) -> bool {
    let word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    name.starts_with(|first: char| first.is_ascii_lowercase()) && name.split('_').all(word)
}
