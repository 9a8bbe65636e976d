//! Names in paths and queries, encoded so that they come out as they went in.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A name as one part of a path.
pub fn segment(name: &str) -> String {
    utf8_percent_encode(name, ENCODED).to_string()
}

/// A topic, whose slashes are part of the path.
pub fn topic(topic: &str) -> String {
    topic.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// The path with metadata in its query.
pub fn with_metadata(mut path: String, metadata: &[(String, String)]) -> String {
    for (index, (name, value)) in metadata.iter().enumerate() {
        path.push(if index == 0 { '?' } else { '&' });
        path.push_str(&format!("metadata.{}={}", segment(name), segment(value)));
    }
    path
}
