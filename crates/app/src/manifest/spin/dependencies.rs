//! `dependencies` of a component: which other components answer its imports
//! (<https://spinframework.dev/v3/writing-apps#using-component-dependencies>).

use super::source::{download, is_label, package_name, registry};
use crate::manifest::Source;
use crate::manifest::findings::{Findings, quoted};
use crate::manifest::tree::{Table, Text, Value};
use crate::{Dependency, Package, PackageVersion, Remote};
use std::path::PathBuf;

const FORMS: &str = "write a version, { version = \"1.0\", registry = \"HOST\", package = \"NAMESPACE:NAME\" }, \
     { path = \"FILE.wasm\" } or { url = \"https://…\", digest = \"sha256:…\" }";

pub(super) fn read(table: &mut Table<'_>, source: &Source<'_>, f: &mut Findings) -> Vec<Dependency> {
    let inherits = table.boolean("dependencies_inherit_configuration", f).unwrap_or(false);
    let entries = table.table("dependencies", f).map(Table::into_entries).unwrap_or_default();
    let one = |(name, value): (Text<'_>, Value<'_>)| {
        check_name(name, f).then_some(())?;
        let dependency = Dependency {
            name: name.text.to_owned(),
            source: PathBuf::new(),
            remote: None,
            export: None,
            inherits,
        };
        read_one(name, &value, dependency, source, f)
    };
    entries.into_iter().filter_map(one).collect()
}

fn read_one(
    name: Text<'_>,
    value: &Value<'_>,
    mut dependency: Dependency,
    source: &Source<'_>,
    f: &mut Findings,
) -> Option<Dependency> {
    if !value.is_table() {
        let version = value.typed_string("a version, or a table", f)?;
        let version = requirement(version, f);
        let (namespace, name) = package_of(name, f)?;
        let package = Package { registry: None, namespace, name, version: version? };
        dependency.remote = Some(Remote::Package(package));
        return Some(dependency);
    }
    let mut table = value.table(f)?;
    dependency.export = table.string("export", f).map(|text| text.text.to_owned());
    if let Some(said) = table.get("inherit_configuration") {
        if said.is_list() {
            f.error_help(
                said.span,
                "a dependency that inherits a part is not supported yet by this version",
                "write `true` for all that the component may reach, or `false` for nothing",
            );
        } else {
            dependency.inherits = said.boolean(f).unwrap_or(false);
        }
    }
    for (key, message, help) in [
        (
            "component",
            "a dependency by `component` is not supported yet by this version",
            "name its file by `path`",
        ),
        (
            "environment",
            "an `environment` of a dependency is not supported yet by this version",
            "remove it: a dependency that inherits sees the component's variables, and another one none",
        ),
    ] {
        if let Some(value) = table.get(key) {
            f.error_help(value.key, message, help);
        }
    }
    let found = if table.has("component") {
        None
    } else if table.has("path") {
        let text = table.string("path", f).filter(|text| !text.text.is_empty());
        text.map(|text| dependency.source = source.root.join(text.text))
    } else if table.has("url") || table.has("digest") {
        download(&mut table, f).map(|download| dependency.remote = Some(Remote::Download(download)))
    } else if table.has("version") {
        package(name, &mut table, f).map(|package| dependency.remote = Some(Remote::Package(package)))
    } else {
        f.error_help(value.span, format!("the dependency {} names no file", quoted(name.text)), FORMS);
        None
    };
    table.finish(f);
    found.map(|()| dependency)
}

fn package(name: Text<'_>, table: &mut Table<'_>, f: &mut Findings) -> Option<Package> {
    let registry = registry(table, f);
    let package = match table.string("package", f) {
        Some(text) => package_name(text, f),
        None => package_of(name, f),
    };
    let version = table.string("version", f).and_then(|text| requirement(text, f));
    let (namespace, name) = package?;
    Some(Package { registry: registry?, namespace, name, version: version? })
}

/// The package whose imports a dependency answers is the package that has it, if nobody says otherwise.
fn package_of(name: Text<'_>, f: &mut Findings) -> Option<(String, String)> {
    let base = name.text.split(['@', '/']).next().unwrap_or_default();
    let parts = base.split_once(':').map(|(namespace, name)| (namespace.to_owned(), name.to_owned()));
    if parts.is_none() {
        let message = format!("the dependency {} does not say in which package it is", quoted(name.text));
        f.error_help(name.span, message, "add `package = \"NAMESPACE:NAME\"`");
    }
    parts
}

fn requirement(text: Text<'_>, f: &mut Findings) -> Option<PackageVersion> {
    match text.text.parse::<semver::VersionReq>() {
        Ok(requirement) => Some(PackageVersion::Newest(requirement.to_string())),
        Err(error) => {
            let message = format!("{} is no requirement of a version: {error}", quoted(text.text));
            f.error_help(text.span, message, "write one such as \"1.0\", \"=1.2.3\" or \">=1.0, <3\"");
            None
        }
    }
}

/// `ns:package/interface@1.0.0` without interface or version, or a plain name.
fn check_name(name: Text<'_>, f: &mut Findings) -> bool {
    let (base, version) =
        name.text.split_once('@').map_or((name.text, None), |(base, version)| (base, Some(version)));
    let (package, interface) =
        base.split_once('/').map_or((base, None), |(package, one)| (package, Some(one)));
    let named = match package.split_once(':') {
        Some((namespace, name)) => is_label(namespace) && is_label(name) && interface.is_none_or(is_label),
        None => is_label(package) && interface.is_none() && version.is_none(),
    };
    let valid = named && version.is_none_or(|version| version.parse::<semver::Version>().is_ok());
    if !valid {
        f.error_help(
            name.span,
            format!("{} is not the name of an import", quoted(name.text)),
            "write it as the component has it: \"NAMESPACE:PACKAGE/INTERFACE@1.0.0\", also without interface or version, or \
             a plain name",
        );
    }
    valid
}
