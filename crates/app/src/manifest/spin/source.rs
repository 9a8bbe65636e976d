//! `source` of a component: a file, a file of the web, or a package of a registry
//! (<https://spinframework.dev/v3/writing-apps#the-component-source>).

use crate::manifest::findings::{Findings, quoted};
use crate::manifest::tree::{Table, Text, Value};
use crate::reference::is_registry;
use crate::{Digest, DigestAlgorithm, Download, Package, PackageVersion, Remote};
use url::Url;

pub(super) enum Code<'a> {
    File(Text<'a>),
    Remote(Remote),
}

pub(super) fn read<'a>(value: &Value<'a>, f: &mut Findings) -> Option<Code<'a>> {
    if !value.is_table() {
        let text = value.typed_string("the path of a file, or a table", f)?;
        if text.text.is_empty() {
            f.error(text.span, "`source` is empty");
            return None;
        }
        return Some(Code::File(text));
    }
    let mut table = value.table(f)?;
    let read = if table.has("url") || table.has("digest") {
        download(&mut table, f).map(Remote::Download)
    } else if ["package", "registry", "version"].iter().any(|key| table.has(key)) {
        package(&mut table, f).map(Remote::Package)
    } else {
        f.error_help(
            value.span,
            "`source` names no file",
            "write a path, { url = \"https://…\", digest = \"sha256:…\" }, \
             or { registry = \"HOST\", package = \"NAMESPACE:NAME\", version = \"1.0.0\" }",
        );
        return None;
    };
    table.finish(f);
    read.map(Code::Remote)
}

pub(super) fn download(table: &mut Table<'_>, f: &mut Findings) -> Option<Download> {
    let at = table.require("url", f, "add `url = \"https://HOST/FILE.wasm\"`");
    let sum = table.require("digest", f, "add `digest = \"sha256:…\"` with what `sha256sum FILE` prints");
    let url = at.and_then(|value| url(value.string(f)?, f));
    let digest = sum.and_then(|value| digest(value.string(f)?, f));
    Some(Download { url: url?, digest: digest? })
}

fn url(text: Text<'_>, f: &mut Findings) -> Option<Url> {
    const HELP: &str = "write `url = \"https://HOST/FILE.wasm\"`";
    match text.text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Some(url),
        Ok(url) => {
            let message = format!("code is not fetched by {}", quoted(url.scheme()));
            f.error_help(text.span, message, HELP);
            None
        }
        Err(error) => {
            f.error_help(text.span, format!("this is not a URL: {error}"), HELP);
            None
        }
    }
}

/// Spin knows SHA-256 alone.
fn digest(text: Text<'_>, f: &mut Findings) -> Option<Digest> {
    let digest = text.text.parse::<Digest>().ok();
    let digest = digest.filter(|digest| digest.algorithm == DigestAlgorithm::Sha256);
    if digest.is_none() {
        f.error_help(
            text.span,
            format!("{} is not the SHA-256 of a file", quoted(text.text)),
            "write `sha256:` and the 64 digits in lower case that `sha256sum FILE` prints",
        );
    }
    digest
}

fn package(table: &mut Table<'_>, f: &mut Findings) -> Option<Package> {
    let registry = registry(table, f);
    let package = table.require("package", f, "add `package = \"NAMESPACE:NAME\"`");
    let version = table.require("version", f, "add `version = \"1.0.0\"`");
    let package = package.and_then(|value| package_name(value.string(f)?, f));
    let version = version.and_then(|value| package_version(value.string(f)?, f));
    let (namespace, name) = package?;
    Some(Package { registry: registry?, namespace, name, version: PackageVersion::Exact(version?) })
}

/// `registry`, which may be missing; `None` after an error.
pub(super) fn registry(table: &mut Table<'_>, f: &mut Findings) -> Option<Option<String>> {
    let Some(text) = table.string("registry", f) else { return Some(None) };
    if !is_registry(text.text) {
        let message = format!("{} is not a registry", quoted(text.text));
        f.error_help(text.span, message, "write a host and, if it needs one, a port: HOST:PORT");
        return None;
    }
    Some(Some(text.text.to_owned()))
}

pub(super) fn package_name(text: Text<'_>, f: &mut Findings) -> Option<(String, String)> {
    let parts = text.text.split_once(':').filter(|(namespace, name)| is_label(namespace) && is_label(name));
    if parts.is_none() {
        f.error_help(
            text.span,
            format!("{} is not the name of a package", quoted(text.text)),
            "write NAMESPACE:NAME, each of lower-case words with `-` between them",
        );
    }
    parts.map(|(namespace, name)| (namespace.to_owned(), name.to_owned()))
}

/// A label of the component model, as registries of packages take it: in lower case.
pub(super) fn is_label(text: &str) -> bool {
    text.split('-').all(|word| {
        word.starts_with(|first: char| first.is_ascii_lowercase())
            && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    })
}

fn package_version(text: Text<'_>, f: &mut Findings) -> Option<String> {
    match text.text.parse::<semver::Version>() {
        Ok(version) if version.build.is_empty() => Some(version.to_string()),
        Ok(_) => {
            let message = format!("no registry has the version {}", quoted(text.text));
            f.error_help(text.span, message, "leave out what begins with `+`: a tag cannot hold it");
            None
        }
        Err(error) => {
            let message = format!("{} is not a version: {error}", quoted(text.text));
            f.error_help(text.span, message, "write one version, such as \"1.0.0\"");
            None
        }
    }
}
