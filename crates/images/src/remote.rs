//! Code that lies elsewhere, brought here: one question for all kinds of places.

use crate::download::download;
use crate::package::package;
use crate::{DownloadError, PackageError, PullError, Settings, code};
use sampan_app::Remote;
use std::path::PathBuf;

/// Why code cannot be had.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum FetchError {
    Image(#[from] PullError),
    Download(#[from] DownloadError),
    Package(#[from] PackageError),
}

impl FetchError {
    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            FetchError::Image(error) => error.help(),
            FetchError::Download(error) => error.help(),
            FetchError::Package(error) => error.help(),
        }
    }
}

/// The file with the code: fetched, checked and kept, or kept from before.
///
/// # Errors
/// Says what is wrong; [`FetchError::help`] says what to do.
pub async fn fetch(remote: &Remote, settings: &Settings) -> Result<PathBuf, FetchError> {
    Ok(match remote {
        Remote::Image(reference) => code(reference, settings).await?,
        Remote::Download(of) => download(of, settings).await?,
        Remote::Package(of) => package(of, settings).await?,
    })
}
