//! Paths as Dapr's router sees them: without empty parts, `.` and `..`.

/// The parts of a path that stand for something.
pub fn segments(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    segments
}

/// The path of these parts.
pub fn clean(path: &str) -> String {
    format!("/{}", segments(path).join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning() {
        for (path, expected) in
            [("/a//b/", "/a/b"), ("/../a/./b/../c", "/a/c"), ("", "/"), ("/a..b", "/a..b")]
        {
            assert_eq!(clean(path), expected, "{path}");
        }
    }
}
