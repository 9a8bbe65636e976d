//! Guest paths as text: where one lies in another, and a relative path without its detours.

/// A relative path without empty and `.` parts, `..` taken back; `None` if it is absolute, leads out, names
/// nothing but its start, or insists on a directory by a slash at the end.
///
/// Taking `..` back in the text differs from the file system where a part is a symbolic link; the result is
/// only ever compared with the paths of mounted files, which the guest may open anyway.
pub fn normalise(path: &str) -> Option<String> {
    if path.starts_with('/') || path.ends_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// An absolute guest path without empty and `.` parts; `None` if it is relative or contains `..`.
pub fn absolute(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/')?;
    let parts: Vec<&str> = rest.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}

/// The way from the directory `place` to `path`, both tidy absolute guest paths; empty if they are equal,
/// `None` if `path` lies elsewhere.
pub fn beneath<'a>(path: &'a str, place: &str) -> Option<&'a str> {
    if !place.starts_with('/') {
        return None;
    }
    let rest = path.strip_prefix(place.trim_end_matches('/'))?;
    if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
}

/// The directory of a tidy absolute guest path; `/` for `/name`.
pub fn parent(path: &str) -> &str {
    match path.rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((parent, _)) => parent,
    }
}
