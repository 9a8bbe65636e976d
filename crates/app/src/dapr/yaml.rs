//! YAML as a tree whose every node knows its place: granit-parser reads, this bounds what it may make.

use crate::manifest::findings::Span;
use granit_parser::{Event, Parser, ScalarStyle};
use std::collections::{HashMap, HashSet};

/// Nodes of a file, copies by aliases included: a few lines of aliases can stand for billions of nodes.
const NODES_MAX: usize = 100_000;
/// Lists and maps within each other.
const DEPTH_MAX: usize = 64;
/// Documents of a file.
const DOCUMENTS_MAX: usize = 1000;

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub span: Span,
    /// From 1.
    pub line: usize,
    pub value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    /// `plain` where it has no quotes and so may be a number or a truth.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub text: String,
    pub span: Span,
}

/// What is wrong with a file, so that nothing of it can be read.
pub(super) struct SyntaxError {
    pub message: String,
    pub at: usize,
}

/// The documents of a file; empty ones are left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut builder = Builder::default();
    let mut documents = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| SyntaxError {
            message: error.info(),
            at: offset(text, error.marker()).min(text.len()),
        })?;
        let place = Span { start: offset(text, &span.start), end: offset(text, &span.end) };
        if matches!(event, Event::DocumentEnd) {
            documents.extend(builder.root.take().filter(|node| !matches!(node.value, Value::Null)));
            if documents.len() > DOCUMENTS_MAX {
                return Err(builder.error(format!("there are more than {DOCUMENTS_MAX} documents"), place));
            }
            builder.anchors.clear();
            continue;
        }
        builder.add(event, place, span.start.line())?;
    }
    Ok(documents)
}

/// The parser counts in characters; for texts it knows bytes too.
fn offset(text: &str, marker: &granit_parser::Marker) -> usize {
    let by_characters = || text.char_indices().nth(marker.index()).map_or(text.len(), |(at, _)| at);
    marker.byte_offset().unwrap_or_else(by_characters)
}

#[derive(Default)]
struct Builder {
    /// What is not closed yet, outermost first.
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
}

struct Open {
    node: Node,
    anchor: usize,
    /// A key whose value comes next.
    key: Option<Key>,
}

impl Builder {
    fn add(&mut self, event: Event<'_>, span: Span, line: usize) -> Result<(), SyntaxError> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                // `!!str` is the only tag that resources need: a text that looks like a number.
                let is_text = tag.as_ref().and_then(|tag| tag.core_suffix()) == Some("str");
                let plain = style == ScalarStyle::Plain && !is_text;
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null { Value::Null } else { Value::Scalar { text: text.into_owned(), plain } };
                self.put(Node { span, line, value }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.open(Node { span, line, value: Value::List(Vec::new()) }, anchor)
            }
            Event::MappingStart(_, anchor, _) => {
                self.open(Node { span, line, value: Value::Map(Vec::new()) }, anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(mut open) = self.open.pop() else { return Ok(()) };
                open.node.span.end = span.end.max(open.node.span.start);
                merge(&mut open.node);
                self.put(open.node, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(self.error("an alias cannot be within what it stands for", span));
                };
                let size = size(node);
                self.nodes += size;
                if self.nodes > NODES_MAX {
                    return Err(self.error(format!("there are more than {NODES_MAX} values"), span));
                }
                let mut node = node.clone();
                node.span = span;
                self.put(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn open(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.error(format!("there are more than {DEPTH_MAX} levels"), node.span));
        }
        self.open.push(Open { node, anchor, key: None });
        Ok(())
    }

    fn put(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(self.error(format!("there are more than {NODES_MAX} values"), node.span));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
            self.nodes += size(&node);
        }
        let span = node.span;
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match (open.key.take(), node.value) {
                (Some(key), value) => entries.push((key, Node { value, ..node })),
                (None, Value::Scalar { text, .. }) => open.key = Some(Key { text, span }),
                (None, Value::Null) => open.key = Some(Key { text: String::new(), span }),
                (None, _) => return Err(self.error("a key is a text", span)),
            },
            Value::Null | Value::Scalar { .. } => {}
        }
        Ok(())
    }

    fn error(&self, message: impl Into<String>, span: Span) -> SyntaxError {
        SyntaxError { message: message.into(), at: span.start }
    }
}

/// Nodes in a tree. Its depth is bounded.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(entries) => entries.iter().map(|(_, node)| size(node)).sum(),
        Value::Null | Value::Scalar { .. } => 0,
    }
}

/// `<<: *other` takes over the entries of another map that are not there: <https://yaml.org/type/merge.html>.
fn merge(node: &mut Node) {
    let Value::Map(entries) = &mut node.value else { return };
    let Some(at) = entries.iter().position(|(key, _)| key.text == "<<") else { return };
    let (_, source) = entries.remove(at);
    let maps = match source.value {
        Value::List(items) => items,
        _ => vec![source],
    };
    for map in maps {
        let Value::Map(others) = map.value else { continue };
        let known: HashSet<String> = entries.iter().map(|(key, _)| key.text.clone()).collect();
        entries.extend(others.into_iter().filter(|(key, _)| !known.contains(&key.text)));
    }
}

impl Node {
    /// A scalar's text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// As Go's YAML reads a truth.
    pub fn boolean(&self) -> Option<bool> {
        match &self.value {
            Value::Scalar { text, plain: true } => match text.as_str() {
                "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
                "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn describe(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } if self.boolean().is_some() => "true or false",
            Value::Scalar { text, plain: true } if text.parse::<f64>().is_ok() => "a number",
            Value::Scalar { .. } => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}
