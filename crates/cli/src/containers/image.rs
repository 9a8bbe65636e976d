//! The image that a user names: here already, or pulled, as Docker does it.

use crate::fail::Fail;
use sampan_images::{
    Digest, Image, ImageError, Images, ParseReferenceError, Platform, PullSettings, Reference, Step, Transfer,
};
use std::path::PathBuf;
use std::sync::Arc;

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
    let images = Images::of_user().ok_or_else(|| {
        Fail::new("there is no place for images: neither SAMPAN_DATA_DIR nor HOME is set")
            .help("set SAMPAN_DATA_DIR to a folder of yours")
    })?;
    let image = match (images.find(name), when) {
        (Ok(image), When::Missing | When::Never) => image,
        (Ok(_), When::Always) => pull(&images, name, platform)?,
        (Err(ImageError::NotFound(_)), When::Missing | When::Always) => {
            eprintln!("the image {name} is not here; pulling it");
            pull(&images, name, platform)?
        }
        (Err(error), _) => return Err(failed(&error)),
    };
    let rootfs = images.rootfs(&image).map_err(|error| failed(&error))?;
    Ok(Found { image, rootfs })
}

fn pull(images: &Images, name: &str, platform: Option<&str>) -> Result<Image, Fail> {
    let reference: Reference =
        name.parse().map_err(|error: ParseReferenceError| Fail::new(error.to_string()))?;
    let platform = platform.map(self::platform).transpose()?;
    let quiet = Arc::new(|_: &Digest, _: Step| {});
    let transfer =
        Transfer::of_user(quiet).map_err(|error| Fail::new(error.to_string()).help(error.help()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Fail::new(format!("cannot start: {error}")))?;
    let pulled = runtime.block_on(images.pull(&reference, &PullSettings { platform, transfer }));
    pulled.map_err(|error| failed(&error))
}

fn platform(text: &str) -> Result<Platform, Fail> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [os, architecture] => Ok(Platform::new(os, architecture)),
        _ => {
            Err(Fail::new(format!("`{text}` is no platform"))
                .help("write OS/ARCHITECTURE, such as wasi/wasm"))
        }
    }
}

fn failed(error: &ImageError) -> Fail {
    Fail::new(error.to_string()).help(error.help())
}
