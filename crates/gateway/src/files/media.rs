//! What kind of file a name promises: its media type, and whether compressing it is worth the work.

use http::HeaderValue;

/// The `Content-Type` of a file by its name's ending.
pub fn content_type(name: &str) -> HeaderValue {
    let guess = match mime_guess::from_path(name).first_raw() {
        // The registered name of the type (RFC 9239).
        Some("application/javascript") => "text/javascript",
        guess => guess.unwrap_or("application/octet-stream"),
    };
    // Texts without a character set would be read as whatever the browser likes.
    let is_text = guess.starts_with("text/") || guess == "application/json";
    let value = if is_text { format!("{guess}; charset=utf-8") } else { guess.to_owned() };
    HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("application/octet-stream"))
}

/// Whether a type's files are usually larger than need be.
pub fn is_compressible(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/javascript"
                | "application/json"
                | "application/xml"
                | "application/wasm"
                | "application/x-javascript"
                | "application/vnd.ms-fontobject"
                | "font/otf"
                | "font/ttf"
                | "image/bmp"
                | "image/x-icon"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_name() {
        let table = [
            ("a.html", "text/html; charset=utf-8", true),
            ("a.HTML", "text/html; charset=utf-8", true),
            ("a.css", "text/css; charset=utf-8", true),
            ("a.js", "text/javascript; charset=utf-8", true),
            ("a.mjs", "text/javascript; charset=utf-8", true),
            ("a.json", "application/json; charset=utf-8", true),
            ("a.svg", "image/svg+xml", true),
            ("a.wasm", "application/wasm", true),
            ("a.png", "image/png", false),
            ("a.woff2", "font/woff2", false),
            ("a.txt.gz", "application/gzip", false),
            ("README", "application/octet-stream", false),
            ("a.unheard-of", "application/octet-stream", false),
        ];
        for (name, expected, compressible) in table {
            let value = content_type(name);
            assert_eq!(value, expected, "{name}");
            assert_eq!(is_compressible(&value), compressible, "{name}");
        }
    }
}
