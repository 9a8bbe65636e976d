//! Where the code of a component or a filter comes from: `source`, a file, or `image`, a reference.

use super::component::build;
use crate::manifest::Source;
use crate::manifest::findings::{Findings, Span, quoted};
use crate::manifest::tree::{Table, Text};
use crate::{Build, Reference};
use std::path::PathBuf;

/// The one of them that there is; empty after an error.
#[derive(Default)]
pub(super) struct Code {
    pub source: PathBuf,
    /// Where `source` stands.
    pub source_span: Option<Span>,
    pub image: Option<Reference>,
    pub build: Option<Build>,
}

/// Reads `source` or `image`, of which there must be one, and `build`.
pub(super) fn read(table: &mut Table<'_>, source: &Source<'_>, f: &mut Findings) -> Code {
    let image = image(table, f);
    let both = exclusive(table, f);
    let file = match (table.has("image"), both) {
        (_, true) => None,
        (true, false) => table.get("source"),
        (false, false) => {
            let help = "add `source = \"FILE.wasm\"`, or `image = \"REGISTRY/NAME:TAG\"`";
            table.require("source", f, help)
        }
    };
    let file = file.and_then(|value| source_file(value.string(f)?, f));
    let made = table.get("build");
    if let Some(made) = made.as_ref().filter(|_| table.has("image") && !both) {
        f.error_help(
            made.key,
            format!("`{}` makes a file, and the code comes from an image", made.path),
            "name the file that it makes by `source` in place of `image`, or remove `build`",
        );
    }
    Code {
        source: file.map(|text| source.root.join(text.text)).unwrap_or_default(),
        source_span: file.map(|text| text.span),
        image,
        build: made.and_then(|value| build(&value, source, f)),
    }
}

/// `image`, if it is there.
pub(super) fn image(table: &mut Table<'_>, f: &mut Findings) -> Option<Reference> {
    let text = table.string("image", f)?;
    match text.text.parse() {
        Ok(reference) => Some(reference),
        Err(error) => {
            let message = format!("{} is not a reference to an image: {error}", quoted(text.text));
            f.error_help(text.span, message, error.help);
            None
        }
    }
}

/// Says so if there are both; whether there are. Both keys are known then.
pub(super) fn exclusive(table: &mut Table<'_>, f: &mut Findings) -> bool {
    if !(table.has("source") && table.has("image")) {
        return false;
    }
    table.get("source");
    let what = format!("`{}` has both `source` and `image`", table.path);
    if let Some(image) = table.get("image") {
        f.error_help(image.key, what, "the code comes from a file or from a registry: remove one of them");
    }
    true
}

fn source_file<'a>(text: Text<'a>, f: &mut Findings) -> Option<Text<'a>> {
    if text.text.is_empty() {
        f.error(text.span, "`source` is empty");
        return None;
    }
    if text.text.contains("://") {
        f.error_help(
            text.span,
            "`source` is a file of this machine",
            "from a registry: write `image = \"REGISTRY/NAME:TAG\"`; from the web: download it first",
        );
        return None;
    }
    Some(text)
}
