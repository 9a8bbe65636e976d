//! Where the components of a manifest stand, for findings that only their files lead to.

use super::spin::{convert, is_spin};
use super::tree::{Table, Value};
use std::collections::BTreeMap;
use std::ops::Range;
use toml::de::DeTable;

/// What the text of a manifest shows without being understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// Whether it is a manifest of Spin, whose keys have other names.
    pub spin: bool,
    /// The place of each component's `source`, by the component's name.
    pub components: BTreeMap<String, Range<usize>>,
}

impl Outline {
    pub fn of(text: &str) -> Self {
        let (tree, _) = DeTable::parse_recoverable(text);
        let mut table = Table::root(&tree);
        let mut outline = Outline { spin: is_spin(&table), components: BTreeMap::new() };
        let Some(components) = table.get("component") else { return outline };
        if let Some(named) = components.as_table() {
            for (name, value) in named.into_entries() {
                outline.note(name.text.to_owned(), &value);
            }
        }
        // Version 1 of Spin's manifest has a list.
        for one in components.as_items() {
            let id = one.as_table().and_then(|table| table.peek("id"));
            if let Some(id) = id {
                outline.note(convert(id), &one);
            }
        }
        outline
    }

    fn note(&mut self, name: String, component: &Value<'_>) {
        let source = component.as_table().and_then(|mut table| table.get("source"));
        let span = source.map_or(component.key, |source| source.span);
        self.components.entry(name).or_insert(span.start..span.end);
    }
}
