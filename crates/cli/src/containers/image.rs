//! The image that a user names: here already, or pulled, as Docker does it.

use crate::fail::Fail;
use crate::images;
use sampan_images::{Image, ImageError};
use std::path::PathBuf;

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Missing,
    Always,
    Never,
}

impl When {
    /// Of the words of `--pull`.
    pub fn of(word: &str) -> Self {
        match word {
            "always" => When::Always,
            "never" => When::Never,
            _ => When::Missing,
        }
    }
}

pub struct Found {
    pub image: Image,
    /// Its files.
    pub rootfs: PathBuf,
}

/// The image of a name, with its files unpacked.
///
/// # Errors
/// If it is not here and cannot be pulled, or is damaged.
pub fn get(name: &str, when: When, platform: Option<&str>) -> Result<Found, Fail> {
    let store = images::store()?;
    let pull = || images::transfer::fetched(&store, &images::reference(name)?, platform, false);
    let image = match (store.find(name), when) {
        (Ok(image), When::Missing | When::Never) => image,
        (Ok(_), When::Always) => pull()?,
        (Err(ImageError::NotFound(_)), When::Missing | When::Always) => {
            eprintln!("the image {name} is not here; pulling it");
            pull()?
        }
        (Err(error), _) => return Err(images::failed(error)),
    };
    let rootfs = store.rootfs(&image).map_err(images::failed)?;
    Ok(Found { image, rootfs })
}
