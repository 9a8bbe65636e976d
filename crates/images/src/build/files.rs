//! What is in the image that is being built, as far as a step must know it: folders, files and links by their names.

use super::context::{Content, Entry};
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// As in Linux.
const LINKS_MAX: usize = 40;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    Folder,
    File,
    Link(String),
}

#[derive(Clone, Debug, Default)]
pub struct Files {
    /// The files of the image that it is built on.
    pub base: Option<PathBuf>,
    made: BTreeMap<String, Node>,
}

impl Files {
    fn get(&self, path: &str) -> Option<Node> {
        if path.is_empty() {
            return Some(Node::Folder);
        }
        if let Some(node) = self.made.get(path) {
            return Some(node.clone());
        }
        let path = self.base.as_ref()?.join(path);
        let found = fs::symlink_metadata(&path).ok()?;
        Some(if found.is_dir() {
            Node::Folder
        } else if found.is_symlink() {
            Node::Link(fs::read_link(&path).ok()?.to_string_lossy().into_owned())
        } else {
            Node::File
        })
    }

    /// Where a name leads, through links; what is not there yet stays as it is named.
    pub fn resolve(&self, name: &str) -> Result<String, String> {
        let mut path: Vec<String> = Vec::new();
        let mut links = 0;
        let mut to_do: Vec<String> = name.split('/').rev().map(str::to_owned).collect();
        while let Some(part) = to_do.pop() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    path.pop();
                    continue;
                }
                _ => path.push(part),
            }
            if let Some(Node::Link(target)) = self.get(&path.join("/")) {
                links += 1;
                if links > LINKS_MAX {
                    return Err("it leads through too many links".to_owned());
                }
                path.pop();
                if target.starts_with('/') {
                    path.clear();
                }
                to_do.extend(target.split('/').rev().map(str::to_owned));
            }
        }
        Ok(path.join("/"))
    }

    pub fn is_folder(&self, path: &str) -> bool {
        self.get(path) == Some(Node::Folder)
    }

    /// Adds entries, and the folders that they need; they are sorted then, and each name is there once.
    pub fn add(&mut self, entries: Vec<Entry>) -> Result<Vec<Entry>, String> {
        let mut all: BTreeMap<String, Entry> = BTreeMap::new();
        for entry in entries {
            let parents: Vec<usize> = entry.path.match_indices('/').map(|(at, _)| at).collect();
            for at in parents {
                let parent = &entry.path[..at];
                match self.get(parent) {
                    Some(Node::Folder) => continue,
                    Some(_) => return Err(format!("/{parent} is no folder")),
                    None => {}
                }
                self.made.insert(parent.to_owned(), Node::Folder);
                let path = parent.to_owned();
                all.entry(parent.to_owned()).or_insert(Entry {
                    path,
                    content: Content::Folder,
                    mode: 0o755,
                    user: 0,
                    group: 0,
                });
            }
            let node = match &entry.content {
                Content::Folder => Node::Folder,
                Content::Link(target) => Node::Link(target.clone()),
                Content::File(_) | Content::Bytes(_) => Node::File,
            };
            match self.get(&entry.path) {
                Some(Node::Folder) if node != Node::Folder => {
                    return Err(format!("/{} is a folder already", entry.path));
                }
                Some(other) if node == Node::Folder && other != Node::Folder => {
                    return Err(format!("/{} is there already, and no folder", entry.path));
                }
                _ => {}
            }
            self.made.insert(entry.path.clone(), node);
            all.insert(entry.path.clone(), entry);
        }
        Ok(all.into_values().collect())
    }
}
