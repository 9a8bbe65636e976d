//! The image that a user names: here already, or pulled, as Docker does it.

use crate::fail::Fail;
use sampan_images::Image;
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
