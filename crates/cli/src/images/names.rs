//! `sampan tag` and `sampan rmi`.

use super::{failed, reference, store};
use crate::containers;
use crate::fail::{Fail, print_stdout};
use sampan_containers::Config;
use sampan_images::{Digest, familiar};
use std::process::ExitCode;

/// Give an image another name
#[derive(clap::Args)]
pub struct TagArgs {
    /// A name or an id
    image: String,
    /// NAME or NAME:TAG
    name: String,
}

/// Remove images, or names of images
#[derive(clap::Args)]
pub struct RmiArgs {
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,

    /// All names of an id, and also if a container uses it
    #[arg(short, long)]
    force: bool,
}

pub fn tag(args: &TagArgs) -> Result<ExitCode, Fail> {
    let images = store()?;
    let name = reference(&args.name)?;
    if name.digest.is_some() {
        return Err(Fail::new(format!("{} has a digest, which no image can be given", args.name))
            .help("write NAME:TAG"));
    }
    let image = images.find(&args.image).map_err(failed)?;
    images.tag(&image, &name).map_err(failed)?;
    Ok(ExitCode::SUCCESS)
}

pub fn rmi(args: &RmiArgs) -> Result<ExitCode, Fail> {
    let images = store()?;
    let containers = containers::folder()?;
    // What cannot be known is taken for used.
    let in_use = |id: &Digest| {
        let used = |config: Config| config.image_id == id.to_string() || config.image_id == id.hex;
        let all = containers.list();
        all.map_or(true, |all| all.iter().filter_map(|one| one.config().ok()).any(used))
    };
    let mut last = None;
    for name in &args.images {
        match images.remove(name, args.force, &in_use) {
            Ok(removed) => {
                let untagged = removed.untagged.iter().map(|name| format!("Untagged: {}\n", familiar(name)));
                let deleted = removed.deleted.iter().map(|id| format!("Deleted: {id}\n"));
                print_stdout(&untagged.chain(deleted).collect::<String>())?;
            }
            Err(error) => {
                // The others are removed all the same.
                if let Some(fail) = last.replace(failed(error)) {
                    let _ = fail.print();
                }
            }
        }
    }
    last.map_or(Ok(ExitCode::SUCCESS), Err)
}
