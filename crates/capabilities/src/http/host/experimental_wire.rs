//! How `wasi_experimental_http` 0.10.0 writes headers and methods in the guest's memory.
//!
//! Only the standard library is used and nothing of this project is named, so that a fuzz target can include
//! this file by its path. Source of the format: the published crate `wasi-experimental-http` 0.10.0 and its
//! AssemblyScript sibling.

/// Why a text of the guest cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// The bytes are not UTF-8.
    Utf8,
    /// A header line has no `:`.
    HeaderLine,
}

/// Text in the guest's memory.
pub fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed::Utf8)
}

/// The request's headers, `name:value` a line: split at the first `:`, values as they are (no trimming).
/// Names and values still need the checks of HTTP. Empty lines mean nothing,
/// nor do carriage returns at the end of one.
pub fn request_headers(block: &str) -> Result<Vec<(&str, &str)>, Malformed> {
    let lines = block.split('\n').map(|line| line.trim_end_matches('\r')).filter(|line| !line.is_empty());
    lines.map(|line| line.split_once(':').ok_or(Malformed::HeaderLine)).collect()
}

/// The response's headers in the same form. `limit_bytes` is the size of the guest's buffer: where the text
/// does not fit, the result is `Ok(None)`.
pub fn response_headers<'a>(
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    limit_bytes: usize,
) -> Result<Option<String>, Malformed> {
    let mut block = String::new();
    for (name, value) in headers {
        if name.len() + value.len() + 2 > limit_bytes - block.len() {
            return Ok(None);
        }
        block.push_str(name);
        block.push(':');
        block.push_str(text(value)?);
        block.push('\n');
    }
    Ok(Some(block))
}

/// The AssemblyScript package spells DELETE `DELET`.
pub fn method(name: &str) -> &str {
    if name == "DELET" { "DELETE" } else { name }
}
