//! OCI images: references, registries, and what is kept of them on this machine.
//!
//! Two things are kept apart. [`Images`] is the store of whole images, each with its names, for containers. [`code`]
//! answers one question for apps and filters, out of a cache: which file is the code that a reference means?

mod archive;
mod artifact;
mod auth;
mod blob;
mod build;
mod client;
mod code;
mod compression;
mod credentials;
mod document;
mod error;
mod form;
mod garbage;
mod image_error;
mod images;
mod layout;
#[cfg(test)]
mod made;
mod module;
mod registry;
mod rootfs;
mod store;
mod transfer;

pub use artifact::{Artifact, Open};
pub use build::{Bring, BuildError, BuildEvent, BuildSettings, build, build_app, context_of, epoch_s};
pub use client::Timeouts;
pub use code::{MODULE_MAX_BYTES, Observer, Progress, Settings, code};
pub use credentials::Credentials;
pub use document::{Descriptor, Platform};
pub use error::PullError;
pub use form::Form;
pub use garbage::Garbage;
pub use image_error::ImageError;
pub use images::{Image, Images, Removed, data_dir, familiar};
pub use rootfs::Limits;
pub use sampan_app::{Digest, DigestAlgorithm, ParseReferenceError, Reference};
pub use store::Store;
pub use transfer::{PartObserver, PullSettings, Registries, Step, Transfer, login, logout};
