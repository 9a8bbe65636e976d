//! Names of components and stores, and what they may be.

use super::findings::{Findings, quoted};
use super::tree::Text;
use std::collections::HashSet;

/// A name is part of host names (`api.spin.internal`) and of file names.
const NAME_BYTES_MAX: usize = 63;

/// Checks the name of a component or a store.
pub(super) fn check(name: Text<'_>, what: &str, f: &mut Findings) -> bool {
    let text = name.text;
    let valid = text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if !valid {
        f.error_help(
            name.span,
            format!("{} is not a name for {what}", quoted(text)),
            "write at most 63 letters, digits, `-` and `_`, beginning with a letter or a digit",
        );
    }
    valid
}

/// Checks the names of all components: each is a host name (`http://api.spin.internal`), and host names do not
/// tell capitals from small letters.
pub(super) fn check_different<'a>(names: impl Iterator<Item = Text<'a>>, f: &mut Findings) {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name.text.to_ascii_lowercase()) {
            f.error_help(
                name.span,
                format!("{} is the name of another component, but for capitals", quoted(name.text)),
                "components reach each other by their names as host names, which do not tell capitals apart",
            );
        }
    }
}

/// Whether this is a method or the name of a header: a token (RFC 9110, section 5.6.2).
pub(super) fn is_token(text: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !text.is_empty() && text.bytes().all(token)
}

/// Whether this can be the value of a header as text.
pub(super) fn is_header_value(text: &str) -> bool {
    text.bytes().all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
}
