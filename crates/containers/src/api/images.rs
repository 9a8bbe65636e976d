//! Images that are here: listed, described, named, removed, loaded and saved.

use super::answer::{Answered, Failure, Writer, json, status, streamed};
use super::call::{Asked, Call, Filters, Upload, outside};
use super::{Api, transfer};
use chrono::{DateTime, Utc};
use globset::Glob;
use http::{Method, StatusCode};
use sampan_images::{Digest, Image, ImageError, Removed, familiar};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// Are saved in one archive.
const SAVED_MAX: usize = 1000;

pub async fn route(call: Call, rest: &[&str]) -> Answered {
    let get = call.is_get();
    let post = call.is(&Method::POST);
    // Names have slashes.
    match *rest {
        ["json"] if get => call.blocking(list).await,
        ["get"] if get => {
            let names = call.query.all("names").map(str::to_owned).collect();
            save(call, names).await
        }
        ["search"] if get => {
            Err(super::not_here("registries are not searched; look at the registry's own page"))
        }
        ["create"] if post => transfer::pull(call).await,
        ["load"] if post => load(call).await,
        ["prune"] if post => call.blocking(prune).await,
        [ref name @ .., "json"] if get => named(call, name, inspect).await,
        [ref name @ .., "history"] if get => named(call, name, history).await,
        [ref name @ .., "get"] if get => {
            let name = name.join("/");
            save(call, vec![name]).await
        }
        [ref name @ .., "push"] if post => transfer::push(call, &name.join("/")).await,
        [ref name @ .., "tag"] if post => named(call, name, tag).await,
        ref name if call.is(&Method::DELETE) && !name.is_empty() => {
            let name = name.join("/");
            call.blocking(move |asked| remove(asked, &name)).await
        }
        _ => Err(Failure::no_page()),
    }
}

async fn named(call: Call, name: &[&str], answer: fn(&Asked, &Image) -> Answered) -> Answered {
    let name = name.join("/");
    call.blocking(move |asked| answer(asked, &asked.api.images.find(&name)?)).await
}

/// Writes an event of an image down.
pub fn tell(api: &Api, action: &str, id: &str, name: &str) {
    let attributes = BTreeMap::from([("name".to_owned(), name.to_owned())]);
    api.containers.events().tell("image", action, id, attributes);
}

fn labels(image: &Image) -> BTreeMap<String, String> {
    let config = image.config.config().as_ref();
    let labels = config.and_then(|config| config.labels().clone()).unwrap_or_default();
    labels.into_iter().collect()
}

fn familiar_all(names: &[String]) -> Vec<&str> {
    names.iter().map(|name| familiar(name)).collect()
}

fn created(image: &Image) -> Option<DateTime<Utc>> {
    image.created.map(DateTime::from)
}

fn described(image: &Image, containers: i64) -> Value {
    json!({
        "Id": image.id.to_string(),
        "ParentId": "",
        "RepoTags": familiar_all(&image.names),
        "RepoDigests": familiar_all(&image.digests),
        "Created": created(image).map_or(0, |time| time.timestamp()),
        "Size": image.size_bytes,
        "VirtualSize": image.size_bytes,
        "SharedSize": -1,
        "Labels": labels(image),
        "Containers": containers,
    })
}

/// The ids of images that containers have, as often as they have them.
fn used(api: &Api) -> Result<Vec<String>, Failure> {
    let containers = api.containers.list()?;
    // One may have been removed meanwhile.
    Ok(containers.iter().filter_map(|container| Some(container.config().ok()?.image_id)).collect())
}

/// Whether a container has it now. What cannot be known is taken for used.
fn is_used(api: &Api, id: &Digest) -> bool {
    used(api).map_or(true, |used| used.contains(&id.to_string()))
}

/// Images with how many containers have them, for `system df`.
pub fn with_usage(api: &Api, images: &[Image]) -> Result<Value, Failure> {
    let used = used(api)?;
    let count = |image: &Image| used.iter().filter(|id| **id == image.id.to_string()).count();
    let mut all = Vec::new();
    for image in images {
        let mut one = described(image, i64::try_from(count(image)).unwrap_or(-1));
        one["SharedSize"] = json!(0);
        all.push(one);
    }
    Ok(Value::Array(all))
}

const FILTERS: [&str; 7] = ["before", "dangling", "label", "label!", "reference", "since", "until"];

fn list(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&FILTERS)?;
    let time = |name: &str| match filters.values(name).first() {
        Some(other) => Ok(created(&asked.api.images.find(other)?)),
        None => Ok::<_, Failure>(None),
    };
    let (since, before) = (time("since")?, time("before")?);
    let images = asked.api.images.list()?.into_iter().filter(|image| {
        is_wanted(image, &filters)
            && since.is_none_or(|since| created(image) > Some(since))
            && before.is_none_or(|before| created(image) < Some(before))
    });
    json(&images.map(|image| described(&image, -1)).collect::<Vec<_>>())
}

fn is_wanted(image: &Image, filters: &Filters) -> bool {
    let reference = |pattern: &str| {
        let glob = Glob::new(pattern).map(|glob| glob.compile_matcher());
        glob.is_ok_and(|glob| {
            image.names.iter().any(|name| {
                let name = familiar(name);
                let repository = name.rsplit_once(':').map_or(name, |(repository, _)| repository);
                glob.is_match(name) || glob.is_match(repository)
            })
        })
    };
    filters.flag("dangling").is_none_or(|wanted| wanted == image.names.is_empty())
        && filters.labels(&labels(image))
        && filters.any("reference", reference)
}

fn inspect(_asked: &Asked, image: &Image) -> Answered {
    let config = &image.config;
    let inner =
        serde_json::to_value(config.config()).map_err(|error| Failure::internal(error.to_string()))?;
    let inner = if inner.is_null() { json!({}) } else { inner };
    json(&json!({
        "Id": image.id.to_string(),
        "RepoTags": familiar_all(&image.names),
        "RepoDigests": familiar_all(&image.digests),
        "Parent": "",
        "Comment": "",
        "Created": super::inspect::time(created(image)),
        "DockerVersion": "",
        "Author": config.author().clone().unwrap_or_default(),
        "Config": &inner,
        // Gone since 1.45, but Compose 1 reads it in all versions.
        "ContainerConfig": &inner,
        "Architecture": image.platform.architecture,
        "Variant": image.platform.variant.clone().unwrap_or_default(),
        "Os": image.platform.os,
        "Size": image.size_bytes,
        "VirtualSize": image.size_bytes,
        "GraphDriver": { "Name": super::system::DRIVER, "Data": {} },
        "RootFS": { "Type": "layers", "Layers": config.rootfs().diff_ids() },
        "Metadata": { "LastTagTime": super::inspect::time(None) },
    }))
}

fn history(_asked: &Asked, image: &Image) -> Answered {
    let mut layers = image.layers.iter();
    let mut all = Vec::new();
    for step in image.config.history().iter().flatten() {
        let is_empty = step.empty_layer().unwrap_or_default();
        let size = if is_empty { 0 } else { layers.next().map_or(0, |layer| layer.size) };
        let time = step.created().as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
        all.push(json!({
            "Id": "<missing>", "Created": time.map_or(0, |time| time.timestamp()),
            "CreatedBy": step.created_by().clone().unwrap_or_default(), "Tags": null, "Size": size,
            "Comment": step.comment().clone().unwrap_or_default(),
        }));
    }
    // What nobody tells the history of has layers all the same.
    all.extend(layers.map(|layer| {
        json!({
            "Id": "<missing>", "Created": created(image).map_or(0, |time| time.timestamp()), "CreatedBy": "",
            "Tags": null, "Size": layer.size, "Comment": "",
        })
    }));
    all.reverse();
    if let Some(newest) = all.first_mut() {
        newest["Id"] = json!(image.id.to_string());
        newest["Tags"] = json!(familiar_all(&image.names));
    }
    json(&all)
}

fn tag(asked: &Asked, image: &Image) -> Answered {
    let repository = asked.query.get("repo").ok_or_else(|| Failure::bad("no repository was named"))?;
    let reference = transfer::reference(repository, asked.query.get("tag"))?;
    asked.api.images.tag(image, &reference)?;
    tell(&asked.api, "tag", &image.id.to_string(), familiar(&reference.to_string()));
    status(StatusCode::CREATED)
}

fn removed_lines(api: &Api, removed: &Removed) -> Vec<Value> {
    let mut lines = Vec::new();
    for name in &removed.untagged {
        tell(api, "untag", name, familiar(name));
        lines.push(json!({ "Untagged": familiar(name) }));
    }
    for id in &removed.deleted {
        tell(api, "delete", &id.to_string(), &id.to_string());
        lines.push(json!({ "Deleted": id.to_string() }));
    }
    lines
}

fn remove(asked: &Asked, name: &str) -> Answered {
    let in_use = |id: &Digest| is_used(&asked.api, id);
    let removed = asked.api.images.remove(name, asked.query.flag("force"), &in_use);
    let removed = removed.map_err(|error| match error {
        ImageError::InUse { name } => Failure::conflict(format!(
            "conflict: unable to remove repository reference \"{name}\" (must force) - a container is using its \
             referenced image"
        )),
        other => other.into(),
    })?;
    json(&removed_lines(&asked.api, &removed))
}

fn prune(asked: &Asked) -> Answered {
    let filters = asked.query.filters(&["dangling", "label", "label!", "until"])?;
    let api = &asked.api;
    let used = used(api)?;
    let in_use = |id: &Digest| used.contains(&id.to_string());
    let size = || Ok::<_, Failure>(api.images.list()?.iter().map(|image| image.size_bytes).sum::<u64>());
    let before = size()?;
    let dangling_only = filters.flag("dangling").unwrap_or(true);
    let mut lines = Vec::new();
    for image in api.images.list()? {
        let may_go = !in_use(&image.id) && (image.names.is_empty() || !dangling_only);
        if may_go && filters.labels(&labels(&image)) {
            // Somebody may have made a container of it meanwhile.
            let in_use = |id: &Digest| is_used(api, id);
            let removed = api.images.remove(&image.id.to_string(), true, &in_use).unwrap_or_default();
            lines.extend(removed_lines(api, &removed));
        }
    }
    let lines = if lines.is_empty() { Value::Null } else { Value::Array(lines) };
    json(&json!({ "ImagesDeleted": lines, "SpaceReclaimed": before.saturating_sub(size()?) }))
}

async fn load(call: Call) -> Answered {
    let api = call.api;
    let upload = Upload::of(call.request.into_body());
    let loaded = outside(move || {
        let images = api.images.load(upload)?;
        for image in &images {
            tell(&api, "load", &image.id.to_string(), &image.id.to_string());
        }
        Ok(images)
    })
    .await?;
    let lines = loaded.iter().flat_map(|image| {
        let unnamed = image.names.is_empty().then(|| format!("Loaded image ID: {}\n", image.id));
        let named = image.names.iter().map(|name| format!("Loaded image: {}\n", familiar(name)));
        unnamed.into_iter().chain(named)
    });
    let (out, response) = streamed("application/json");
    let lines: Vec<Value> = lines.map(|text| json!({ "stream": text })).collect();
    tokio::spawn(async move {
        for line in lines {
            out.line(&line).await;
        }
    });
    Ok(response)
}

async fn save(call: Call, names: Vec<String>) -> Answered {
    if names.is_empty() || names.len() > SAVED_MAX {
        return Err(Failure::bad(format!("name one image, or some: at most {SAVED_MAX}")));
    }
    let api = Arc::clone(&call.api);
    let names = outside(move || {
        for name in &names {
            api.images.find(name)?;
        }
        Ok(names)
    })
    .await?;
    let (out, response) = streamed("application/x-tar");
    let api = call.api;
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(out.clone());
        let saved = api.images.save(&names, &mut writer);
        match saved.map(|()| writer.flush()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => out.fail_blocking(error),
            Err(error) => out.fail_blocking(error),
        }
    });
    Ok(response)
}
