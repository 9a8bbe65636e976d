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
    /// The place of each component's `source` or `image`, by the component's name.
    pub components: BTreeMap<String, Range<usize>>,
    /// The same of filters.
    pub filters: BTreeMap<String, Range<usize>>,
    /// The same of the versions of filters that are on trial.
    pub canaries: BTreeMap<String, Range<usize>>,
}

impl Outline {
    pub fn of(text: &str) -> Self {
        let (tree, _) = DeTable::parse_recoverable(text);
        let mut table = Table::root(&tree);
        let mut outline = Outline { spin: is_spin(&table), ..Outline::default() };
        let filters = table.get("filter").and_then(|filters| filters.as_table());
        for (name, value) in filters.map(Table::into_entries).unwrap_or_default() {
            let canary = value.as_table().and_then(|mut filter| filter.get("canary"));
            if let Some(canary) = canary {
                outline.canaries.insert(name.text.to_owned(), code(&canary));
            }
            outline.filters.insert(name.text.to_owned(), code(&value));
        }
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
        self.components.entry(name).or_insert(code(component));
    }
}

/// Where it stands from which file or image something comes.
fn code(of: &Value<'_>) -> Range<usize> {
    let named = of.as_table().and_then(|mut table| table.get("source").or_else(|| table.get("image")));
    let span = named.map_or(of.key, |named| named.span);
    span.start..span.end
}
