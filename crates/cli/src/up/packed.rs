//! Apps that are packed into images: their manifests are files of an image's root, which all of its containers share and
//! nobody writes to.

use crate::containers::image::{self, When};
use crate::fail::Fail;
use crate::guest::confine;
use sampan_app::App;
use std::path::PathBuf;

/// The manifests of images, pulled where they are not here.
pub fn manifests(images: &[String]) -> Result<Vec<PathBuf>, Fail> {
    images.iter().map(|name| manifest(name)).collect()
}

fn manifest(name: &str) -> Result<PathBuf, Fail> {
    let found = image::get(name, When::Missing, None)?;
    let entry = found.image.config.config().as_ref().and_then(|config| config.entrypoint().clone());
    let named = entry.and_then(|entry| entry.into_iter().next()).filter(|named| named.ends_with(".toml"));
    let named = named.ok_or_else(|| {
        Fail::new(format!("the image {name} is no app with a manifest"))
            .help("`sampan run` runs other images; `sampan build -t` packs an app from its manifest")
    })?;
    let file = found.rootfs.join(named.trim_start_matches('/')).canonicalize();
    let file = file.ok().filter(|file| file.starts_with(&found.rootfs) && file.is_file());
    file.ok_or_else(|| Fail::new(format!("the image {name} has no file {named}")).help("build it anew"))
}

/// Stores keep their files where the user is, and the process keeps to that folder and to its images: their manifests are
/// a stranger's, and may name any path.
pub fn keep_apart(apps: &mut [App]) -> Result<(), Fail> {
    let here = std::env::current_dir()
        .map_err(|error| Fail::new(format!("there is no folder for the app's stores: {error}")))?;
    let mut own = vec![here.clone()];
    for app in apps {
        app.state = here.join(".sampan").join(&app.name);
        own.push(app.root.clone());
    }
    confine::to_folders(&own, true)
}
