//! Paths and locations that are made from what a route's path matched: `/new/:id/...`.

use sampan_service::Matched;

/// A text with places for what `:name` and the wildcard stand for.
#[derive(Debug, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
    /// Ends in `/...`.
    rest: bool,
    /// The query and fragment of a location, which stay as they are.
    tail: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// The position of a `:name` in the route's path.
    Name(usize),
}

impl Template {
    /// The segments of `text`, with the names of `path`.
    pub fn new(text: &str, path: &str) -> Result<Template, String> {
        let names: Vec<&str> = path.split('/').filter(|segment| segment.starts_with(':')).collect();
        let (text, tail) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
        let (text, rest) = match text.strip_suffix("/...") {
            Some(text) if path.ends_with("/...") || path.ends_with("/*") => (text, true),
            Some(_) => return Err(format!("`{path}` has no wildcard that `...` could stand for")),
            None => (text, false),
        };
        // A location's names are in its path: `:8080` after a host is a port.
        let scheme = text.find("://").filter(|_| !text.starts_with('/'));
        let begin = scheme.map_or(0, |at| {
            let authority = at + "://".len();
            text[authority..].find('/').map_or(text.len(), |slash| authority + slash)
        });
        let (literal, segments) = text.split_at(begin);
        let mut pieces = Vec::new();
        let mut written = literal.to_owned();
        for (at, segment) in segments.split('/').enumerate() {
            if at > 0 {
                written.push('/');
            }
            if segment.starts_with(':') {
                let name = names.iter().position(|name| *name == segment);
                let name = name.ok_or_else(|| format!("there is no `{segment}` in `{path}`"))?;
                pieces.push(Piece::Text(std::mem::take(&mut written)));
                pieces.push(Piece::Name(name));
            } else {
                written.push_str(segment);
            }
        }
        pieces.push(Piece::Text(written));
        Ok(Template { pieces, rest, tail: tail.to_owned() })
    }

    /// Whether it is the same for every request.
    pub fn is_fixed(&self) -> bool {
        !self.rest && self.pieces.len() == 1
    }

    /// Whether the wildcard's part is kept.
    pub fn keeps_rest(&self) -> bool {
        self.rest
    }

    /// The text for a request. What was matched is put in as it was sent, so an encoded slash stays encoded.
    pub fn fill(&self, matched: &Matched) -> String {
        let mut text = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                // A match has a value for each name of its route.
                Piece::Name(index) => text.push_str(matched.names.get(*index).map_or("", |(_, value)| value)),
            }
        }
        if self.rest {
            text.push_str(&matched.rest);
        }
        text.push_str(&self.tail);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_matched_is_put_in_as_it_was_sent() {
        let table: &[(&str, &str, &[&str], &str, &str)] = &[
            ("/...", "/api/...", &[], "/x/y", "/x/y"),
            ("/...", "/api/...", &[], "", ""),
            ("/new/...", "/api/...", &[], "", "/new"),
            ("/new/...", "/...", &[], "/", "/new/"),
            ("/new", "/api/...", &[], "/x", "/new"),
            ("/u/:id/...", "/:v/users/:id/...", &["v1", "a%2Fb"], "/c%20d", "/u/a%2Fb/c%20d"),
            ("/:b/:a/:b", "/:a/:b", &["1", "2"], "", "/2/1/2"),
            ("https://h:80/:a", "/:a", &["x"], "", "https://h:80/x"),
            ("https://h:80", "/:a", &["x"], "", "https://h:80"),
            ("https://h/...", "/...", &[], "/x", "https://h/x"),
            ("/u/:a?b=:c", "/:a", &["x"], "", "/u/x?b=:c"),
            ("/u/...#top", "/...", &[], "/x", "/u/x#top"),
        ];
        for (template, path, values, rest, expected) in table {
            let names = values.iter().map(|value| (String::new(), (*value).to_owned())).collect();
            let matched = Matched { route: "".into(), base: "".into(), rest: (*rest).into(), names };
            assert_eq!(Template::new(template, path).unwrap().fill(&matched), *expected, "{template} {path}");
        }
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (template, path, expected) in [
            ("/:id", "/:name", "no `:id`"),
            ("/x/...", "/a", "no wildcard"),
            ("https://h/:a", "/b", "no `:a`"),
        ] {
            let error = Template::new(template, path).unwrap_err();
            assert!(error.contains(expected), "{template} {path}: {error}");
        }
    }
}
