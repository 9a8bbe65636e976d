//! The table of routes: compiled once into a tree of segments, searched without a lock.
//!
//! Precedence is Spin's (`spinframework/spin`, crates/http/src/routes.rs and the crate routefinder 0.5): from
//! left to right, a literal segment before a `:name` before the trailing wildcard, then the longer route.
//! A search tries the children of a node in that order and goes back where one leads nowhere, so each node
//! is visited at most once.

use crate::path;
use http::header::ACCESS_CONTROL_REQUEST_METHOD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sampan_app::Route;
use std::cmp::Reverse;
use std::sync::Arc;

/// What narrows a route beside its path, and what a match of it says.
#[derive(Debug)]
pub struct Entry {
    /// As written in the manifest.
    pub route: Arc<str>,
    /// Without the trailing `/...`.
    pub base: Arc<str>,
    pub wildcard: bool,
    names: Vec<String>,
    host: Option<Host>,
    methods: Vec<Method>,
    /// `None`: any value.
    headers: Vec<(HeaderName, Option<HeaderValue>)>,
    query: Vec<(String, Option<String>)>,
    /// What a browser asks about the route beforehand belongs to it.
    preflights: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Host {
    Exact(String),
    /// `*.example.com`, kept as `.example.com`: any name below, at any depth.
    Below(String),
}

#[derive(Debug, Default)]
struct Node {
    /// Sorted by the decoded segment.
    literals: Vec<(Box<str>, usize)>,
    name: Option<usize>,
    /// Entries that end here, and those whose wildcard begins here; the narrowest first.
    exact: Vec<usize>,
    wildcard: Vec<usize>,
}

#[derive(Debug)]
pub struct Routes {
    nodes: Vec<Node>,
    /// In the order of the manifest.
    pub entries: Vec<Entry>,
}

/// The parts of a request that routes look at.
pub struct Query<'a> {
    pub path: &'a str,
    /// Lower case, without a port.
    pub host: &'a str,
    pub method: &'a Method,
    pub headers: &'a HeaderMap,
    /// The query of the URI.
    pub parameters: &'a str,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    Entry {
        /// The index in [`Routes::entries`].
        index: usize,
        /// What stands for the wildcard, as it was sent.
        rest: String,
        names: Vec<(String, String)>,
    },
    /// Routes fit but for their methods, which are these.
    OtherMethods(Vec<Method>),
    Nothing,
}

impl Routes {
    /// Compiles the table; the error says what is wrong with which route.
    pub fn new(routes: &[Route]) -> Result<Routes, (String, String)> {
        let mut all = Routes { nodes: vec![Node::default()], entries: Vec::with_capacity(routes.len()) };
        for route in routes {
            all.add(route).map_err(|what| (route.path.clone(), what))?;
        }
        let Routes { nodes, entries } = &mut all;
        for list in nodes.iter_mut().flat_map(|node| [&mut node.exact, &mut node.wildcard]) {
            // The narrower first; of two that are as narrow, the later one.
            list.sort_by_key(|index| Reverse((entries[*index].narrowness(), *index)));
        }
        Ok(all)
    }

    fn add(&mut self, route: &Route) -> Result<(), String> {
        let text = route.path.strip_prefix('/').ok_or("a route begins with /")?;
        let base = ["/...", "/*"].iter().find_map(|end| route.path.strip_suffix(end));
        let pattern = base.map_or(text, |base| base.strip_prefix('/').unwrap_or(base));
        let pattern = if base.is_some() { pattern } else { pattern.strip_suffix('/').unwrap_or(pattern) };
        let mut node = 0;
        let mut names = Vec::new();
        for raw in pattern.split('/').filter(|_| !pattern.is_empty()) {
            node = match raw.strip_prefix(':') {
                Some(name) => {
                    names.push(checked_name(name, &names)?);
                    self.child_for_name(node)
                }
                None => {
                    check_literal(raw)?;
                    self.child_for_literal(node, &path::segment(raw))
                }
            };
        }
        let index = self.entries.len();
        let wildcard = base.is_some();
        let ends = &mut self.nodes[node];
        if wildcard {
            ends.wildcard.push(index)
        } else {
            ends.exact.push(index)
        }
        self.entries.push(Entry {
            route: route.path.as_str().into(),
            base: base.unwrap_or(&route.path).into(),
            wildcard,
            names,
            host: route.host.as_deref().map(Host::parse).transpose()?,
            methods: route.methods.iter().map(|method| parse_method(method)).collect::<Result<_, _>>()?,
            headers: route.headers.iter().map(parse_header).collect::<Result<_, _>>()?,
            query: route.query.iter().map(|(name, value)| (name.clone(), unless_any(value))).collect(),
            preflights: route.policy.cors.is_some(),
        });
        Ok(())
    }

    fn child_for_name(&mut self, node: usize) -> usize {
        let next = self.nodes.len();
        let child = *self.nodes[node].name.get_or_insert(next);
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    fn child_for_literal(&mut self, node: usize, segment: &str) -> usize {
        let next = self.nodes.len();
        let literals = &mut self.nodes[node].literals;
        match literals.binary_search_by(|(literal, _)| (**literal).cmp(segment)) {
            Ok(at) => literals[at].1,
            Err(at) => {
                literals.insert(at, (segment.into(), next));
                self.nodes.push(Node::default());
                next
            }
        }
    }

    /// Finds the route of a request whose path [`path::check`] let pass.
    pub fn find(&self, query: &Query<'_>) -> Found {
        let stripped = query.path.strip_suffix('/').unwrap_or(query.path);
        let mut search = Search { routes: self, query, values: Vec::new(), allowed: Vec::new() };
        let below = stripped.strip_prefix('/');
        let Some((index, left)) = search.visit(0, below) else {
            return match search.allowed.is_empty() {
                true => Found::Nothing,
                false => Found::OtherMethods(search.allowed),
            };
        };
        let entry = &self.entries[index];
        // What is left keeps its slashes: the one before it, and the one that was stripped.
        let from = stripped.len() - left.map_or(0, |left| left.len() + 1);
        let rest = if entry.wildcard { query.path[from..].to_owned() } else { String::new() };
        let values = search.values.into_iter().map(str::to_owned);
        Found::Entry { index, rest, names: entry.names.iter().cloned().zip(values).collect() }
    }
}

struct Search<'a, 'q> {
    routes: &'a Routes,
    query: &'q Query<'q>,
    values: Vec<&'q str>,
    allowed: Vec<Method>,
}

impl<'q> Search<'_, 'q> {
    /// Looks for a route from this node on; `left` is what of the path is not matched yet.
    fn visit(&mut self, node: usize, left: Option<&'q str>) -> Option<(usize, Option<&'q str>)> {
        let node = &self.routes.nodes[node];
        match left {
            None => {
                if let Some(index) = self.admitted(&node.exact) {
                    return Some((index, None));
                }
            }
            Some(left) => {
                let (raw, next) = match left.split_once('/') {
                    Some((raw, next)) => (raw, Some(next)),
                    None => (left, None),
                };
                let segment = path::segment(raw);
                let literal = node.literals.binary_search_by(|(literal, _)| (**literal).cmp(&*segment));
                if let Some(found) = literal.ok().and_then(|at| self.visit(node.literals[at].1, next)) {
                    return Some(found);
                }
                if let Some(child) = node.name.filter(|_| !raw.is_empty()) {
                    self.values.push(raw);
                    if let Some(found) = self.visit(child, next) {
                        return Some(found);
                    }
                    self.values.pop();
                }
            }
        }
        self.admitted(&node.wildcard).map(|index| (index, left))
    }

    /// The first of these routes that the rest of the request fits.
    fn admitted(&mut self, candidates: &[usize]) -> Option<usize> {
        let Query { host, headers, parameters, .. } = self.query;
        for index in candidates {
            let entry = &self.routes.entries[*index];
            if !entry.host.as_ref().is_none_or(|pattern| pattern.matches(host)) {
                continue;
            }
            let has = |(name, value): &(HeaderName, Option<HeaderValue>)| match value {
                Some(value) => headers.get_all(name).iter().any(|one| one == value),
                None => headers.contains_key(name),
            };
            if !entry.headers.iter().all(has) || !entry.query.iter().all(|one| has_parameter(parameters, one))
            {
                continue;
            }
            if entry.allows(self.query) {
                return Some(*index);
            }
            for method in &entry.methods {
                if !self.allowed.contains(method) {
                    self.allowed.push(method.clone());
                }
            }
        }
        None
    }
}

impl Entry {
    fn allows(&self, query: &Query<'_>) -> bool {
        if self.methods.is_empty() || self.takes(query.method) {
            return true;
        }
        let preflight = self.preflights && query.method == Method::OPTIONS;
        let asked = preflight.then(|| query.headers.get(ACCESS_CONTROL_REQUEST_METHOD)).flatten();
        asked
            .and_then(|asked| Method::from_bytes(asked.as_bytes()).ok())
            .is_some_and(|asked| self.takes(&asked))
    }

    /// HEAD is GET without a body, so a route for GET takes both (RFC 9110, section 9.3.2).
    fn takes(&self, method: &Method) -> bool {
        self.methods.contains(method) || (method == Method::HEAD && self.methods.contains(&Method::GET))
    }

    /// More conditions are narrower, and of as many those that want a certain value.
    fn narrowness(&self) -> (bool, usize, bool, usize, usize) {
        let (exact, length) = match &self.host {
            Some(Host::Exact(_)) => (true, 0),
            Some(Host::Below(domain)) => (false, domain.len()),
            None => (false, 0),
        };
        let values = self.headers.iter().filter(|(_, value)| value.is_some()).count()
            + self.query.iter().filter(|(_, value)| value.is_some()).count();
        (exact, length, !self.methods.is_empty(), self.headers.len() + self.query.len(), values)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Host, String> {
        let host = text.to_ascii_lowercase();
        let (domain, below) = match host.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (&*host, false),
        };
        if domain.is_empty() || domain.contains(['*', '/', ' ']) {
            return Err(format!("`{text}` is no host: name one, or all below a domain as *.example.com"));
        }
        Ok(if below { Host::Below(format!(".{domain}")) } else { Host::Exact(host) })
    }

    fn matches(&self, host: &str) -> bool {
        match self {
            Host::Exact(name) => name == host,
            Host::Below(domain) => host.len() > domain.len() && host.ends_with(domain.as_str()),
        }
    }
}

fn checked_name(name: &str, names: &[String]) -> Result<String, String> {
    let allowed = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(allowed) {
        return Err(format!("`:{name}` is no name: letters, digits, - and _ may follow the colon"));
    }
    if names.iter().any(|other| other == name) {
        return Err(format!("the name `:{name}` occurs twice"));
    }
    Ok(name.to_owned())
}

fn check_literal(raw: &str) -> Result<(), String> {
    match raw {
        "" => Err("an empty segment matches no request".to_owned()),
        "*" | "..." => Err(format!("`{raw}` may stand at the end only")),
        "." | ".." => Err(format!("no request with a segment `{raw}` is let in")),
        _ => path::check(&format!("/{raw}")).map_err(|bad| bad.explain().trim_end().to_owned()),
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    Method::from_bytes(text.as_bytes()).map_err(|_| format!("`{text}` is no HTTP method"))
}

fn parse_header((name, value): &(String, String)) -> Result<(HeaderName, Option<HeaderValue>), String> {
    let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| format!("`{name}` is no header's name"))?;
    let value = unless_any(value).map(|value| HeaderValue::from_str(&value)).transpose();
    Ok((key, value.map_err(|_| format!("`{name}` cannot have that value"))?))
}

/// `*` stands for any value.
fn unless_any(value: &str) -> Option<String> {
    (value != "*").then(|| value.to_owned())
}

/// Whether a query has a parameter, with a value if one is wanted; both are compared decoded, as forms encode
/// them (<https://url.spec.whatwg.org/#urlencoded-parsing>).
fn has_parameter(query: &str, (name, value): &(String, Option<String>)) -> bool {
    query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
        let (key, text) = pair.split_once('=').unwrap_or((pair, ""));
        is_decoded(key, name) && value.as_ref().is_none_or(|value| is_decoded(text, value))
    })
}

fn is_decoded(encoded: &str, text: &str) -> bool {
    if !encoded.contains(['%', '+']) {
        return encoded == text;
    }
    let spaced = encoded.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).eq(text.bytes())
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
