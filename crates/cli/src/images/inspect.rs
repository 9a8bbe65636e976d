//! `sampan inspect IMAGE`: all that is known of an image, as Docker says it.

use super::failed;
use crate::fail::Fail;
use sampan_images::{Images, familiar};
use serde_json::{Value, json};

/// What is known of an image, if one has this name.
pub fn described(name: &str) -> Result<Option<Value>, Fail> {
    let Some(images) = Images::of_user() else { return Ok(None) };
    let Ok(image) = images.find(name) else { return Ok(None) };
    let mut config = images.config(&image).map_err(failed)?;
    let familiar = |names: &[String]| names.iter().map(|name| familiar(name).to_owned()).collect::<Vec<_>>();
    let diff_ids = config["rootfs"]["diff_ids"].take();
    Ok(Some(json!({
        "Id": image.id.to_string(),
        "RepoTags": familiar(&image.names),
        "RepoDigests": familiar(&image.digests),
        "Created": config["created"].take(),
        "Author": config["author"].take(),
        "Architecture": image.platform.architecture,
        "Os": image.platform.os,
        "Variant": image.platform.variant,
        "Size": image.size_bytes,
        "Config": config["config"].take(),
        "RootFS": { "Type": "layers", "Layers": diff_ids },
        "Descriptor": { "digest": image.manifest.to_string(), "annotations": image.annotations },
        "Layers": image.layers,
    })))
}
