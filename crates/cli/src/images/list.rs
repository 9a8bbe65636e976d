//! `sampan images`: what is here.

use super::{failed, short, store};
use crate::containers::table;
use crate::fail::{Fail, print_stdout};
use sampan_containers::text;
use sampan_images::{Image, Reference, familiar};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::SystemTime;

/// List the images that are here
#[derive(clap::Args)]
pub struct Args {
    /// Only those of this NAME or NAME:TAG
    name: Option<String>,

    /// Print ids only
    #[arg(short, long)]
    quiet: bool,

    /// Show the digests by which registries know them
    #[arg(long)]
    digests: bool,

    /// Do not cut ids
    #[arg(long)]
    no_trunc: bool,

    /// Print JSON, an object on each line
    #[arg(long)]
    json: bool,
}

/// One name of an image; an image without a name has one row, too.
struct Row<'a> {
    image: &'a Image,
    repository: String,
    tag: String,
    digest: String,
}

pub fn run(args: &Args) -> Result<ExitCode, Fail> {
    let images = store()?.list().map_err(failed)?;
    let rows =
        images.iter().flat_map(rows).filter(|row| args.name.as_deref().is_none_or(|name| fits(row, name)));
    let id = |image: &Image| match args.no_trunc {
        true => image.id.to_string(),
        false => short(&image.id.hex).to_owned(),
    };
    if args.quiet {
        let mut ids: Vec<String> = rows.map(|row| id(row.image)).collect();
        ids.dedup();
        return print_stdout(&ids.iter().map(|id| format!("{id}\n")).collect::<String>());
    }
    if args.json {
        return print_stdout(&rows.map(|row| format!("{}\n", row.json())).collect::<String>());
    }
    let now = SystemTime::now();
    let cells = rows.map(|row| {
        let created = row.image.created.and_then(|created| now.duration_since(created).ok());
        let created = created.map_or("N/A".to_owned(), |age| format!("{} ago", text::duration(age)));
        let size = text::size(row.image.size_bytes);
        let digest = args.digests.then_some(row.digest);
        [row.repository, row.tag].into_iter().chain(digest).chain([id(row.image), created, size]).collect()
    });
    let cells: Vec<Vec<String>> = cells.collect();
    let head = match args.digests {
        true => &["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"][..],
        false => &["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"],
    };
    print_stdout(&table::table(head, &cells))
}

fn rows(image: &Image) -> Vec<Row<'_>> {
    const NONE: &str = "<none>";
    let digest_of = |repository: &str| {
        let its = image.digests.iter().filter_map(|text| text.rsplit_once('@'));
        let mut its =
            its.filter(|(name, _)| familiar(name) == repository).map(|(_, digest)| digest.to_owned());
        its.next_back().unwrap_or_else(|| NONE.to_owned())
    };
    let named = image.names.iter().filter_map(|name| {
        let reference: Reference = name.parse().ok()?;
        let tag = reference.tag.clone().unwrap_or_else(|| NONE.to_owned());
        let full = Reference { tag: None, ..reference }.to_string();
        let repository = familiar(&full).to_owned();
        Some(Row { image, digest: digest_of(&repository), repository, tag })
    });
    let mut rows: Vec<Row<'_>> = named.collect();
    if rows.is_empty() {
        let pinned = image.digests.iter().filter_map(|text| text.rsplit_once('@')).next();
        let (repository, digest) = pinned.map_or((NONE, NONE), |(name, digest)| (familiar(name), digest));
        let (repository, digest) = (repository.to_owned(), digest.to_owned());
        rows.push(Row { image, repository, tag: NONE.to_owned(), digest });
    }
    rows
}

/// Whether a row is of this name, with or without a tag.
fn fits(row: &Row<'_>, name: &str) -> bool {
    let name = familiar(name);
    name == row.repository || name == format!("{}:{}", row.repository, row.tag)
}

impl Row<'_> {
    fn json(&self) -> Value {
        let created = self.image.config.created().clone().unwrap_or_default();
        json!({
            "ID": self.image.id.to_string(),
            "Repository": self.repository,
            "Tag": self.tag,
            "Digest": self.digest,
            "CreatedAt": created,
            "Size": self.image.size_bytes,
            "Platform": self.image.platform.to_string(),
        })
    }
}
