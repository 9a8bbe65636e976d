//! Names and values.

use super::{Config, Missing, is_name};
use crate::Explain;
use sampan_app::{ConfigValue, Secret};

#[test]
fn names_follow_spins_rule() {
    for name in ["a", "ab", "a1", "a_b", "a_1_b2"] {
        assert!(is_name(name), "{name}");
    }
    for name in ["", "A", "1a", "_a", "a_", "a__b", "a-b", "a.b", "ä", "a b", "a\n"] {
        assert!(!is_name(name), "{name:?}");
    }
}

#[test]
fn a_value_is_found_by_its_name_alone() {
    let value = ConfigValue { name: "token".into(), value: Secret::new("abc"), secret: true };
    let config = Config::new(vec![value], &Explain::default());
    assert_eq!(config.get("token"), Ok("abc".to_owned()));
    assert_eq!(config.get("toke"), Err(Missing::Undefined("toke".into())));
    assert_eq!(config.get("Token"), Err(Missing::InvalidName("Token".into())));
    assert_eq!(config.find("Token"), None);
    assert_eq!(config.all(), [("token".to_owned(), "abc".to_owned())]);
}

#[test]
fn a_refusal_is_explained_without_control_characters() {
    let explain = Explain::new(true);
    let config = Config::new(Vec::new(), &explain);
    assert!(config.get("token").is_err());
    assert!(config.get("\u{1b}[2Jtoken").is_err_and(|missing| !missing.to_string().contains('\u{1b}')));
    assert_eq!(
        explain.said(),
        [
            "refused: read the variable `token`; grant it with token = … in the component's variables (sampan.toml)"
        ]
    );
}
