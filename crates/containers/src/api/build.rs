//! `POST /build`: Docker's classic builder. The context comes as an archive, and what happens goes out line by line.

use super::answer::{Answered, Failure, Out, streamed};
use super::call::{Call, Query, Upload};
use super::images::tell;
use super::{Api, not_here, transfer};
use crate::archive::beneath;
use http::HeaderMap;
use rustix::fs::{Mode, OFlags};
use sampan_app::Diagnostic;
use sampan_images::{
    BuildError, BuildEvent, BuildSettings, Credentials, Image, ImageError, Images, Platform, PullSettings,
    Reference, Transfer, build as build_image, context_of, epoch_s, familiar,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// A Dockerfile is a page.
const DOCKERFILE_MAX_BYTES: u64 = 1 << 20;
/// As Docker shows ids.
const SHORT_ID: usize = 12;

/// What a build's words say.
struct Wanted {
    dockerfile: String,
    names: Vec<Reference>,
    arguments: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    target: Option<String>,
    platform: Platform,
    no_cache: bool,
    pull: bool,
    quiet: bool,
    credentials: BTreeMap<String, Credentials>,
}

impl Wanted {
    fn of(query: &Query, headers: &HeaderMap) -> Result<Self, Failure> {
        if query.get("version") == Some("2") {
            return Err(not_here("BuildKit is not here; set DOCKER_BUILDKIT=0"));
        }
        if query.get("remote").is_some() {
            return Err(not_here("a context is not fetched from elsewhere; send it"));
        }
        if query.flag("squash") {
            return Err(not_here("layers are not squashed"));
        }
        let names =
            query.all("t").filter(|name| !name.is_empty()).map(|name| transfer::reference(name, None));
        let platform = query.get("platform").unwrap_or("wasi/wasm");
        Ok(Wanted {
            dockerfile: query.get("dockerfile").unwrap_or("Dockerfile").to_owned(),
            names: names.collect::<Result<_, _>>()?,
            arguments: map(query, "buildargs")?,
            labels: map(query, "labels")?,
            target: query.get("target").map(str::to_owned),
            platform: platform.parse().map_err(|what: &str| Failure::bad(what))?,
            no_cache: query.flag("nocache"),
            pull: query.flag("pull"),
            quiet: query.flag("q"),
            credentials: transfer::registry_config(headers)?,
        })
    }
}

/// `{"KEY":"VALUE"}`; what is `null` has no value.
fn map(query: &Query, name: &str) -> Result<BTreeMap<String, String>, Failure> {
    let Some(text) = query.get(name) else { return Ok(BTreeMap::new()) };
    let all: Option<BTreeMap<String, Option<String>>> = serde_json::from_str(text)
        .map_err(|error| Failure::bad(format!("invalid value for '{name}': {error}")))?;
    Ok(all.unwrap_or_default().into_iter().filter_map(|(key, value)| Some((key, value?))).collect())
}

pub async fn build(call: Call) -> Answered {
    let wanted = Wanted::of(&call.query, call.request.headers())?;
    let upload = Upload::of(call.request.into_body());
    let api = call.api;
    let (out, response) = streamed("application/json");
    tokio::task::spawn_blocking(move || {
        let shown = Shown { out, quiet: wanted.quiet };
        match made(&api, &wanted, upload, &shown) {
            Ok(image) => shown.done(&api, &image, &wanted.names),
            // The client may have left.
            Err(failure) => drop(shown.out.line_blocking(&transfer::failed(&failure))),
        }
    });
    Ok(response)
}

fn made(api: &Arc<Api>, wanted: &Wanted, context: Upload, shown: &Shown) -> Result<Image, Failure> {
    let folder = context_of(context, &api.images)?;
    let text = dockerfile(folder.path(), &wanted.dockerfile)?;
    let base = |reference: &Reference, platform: Option<&Platform>| base(api, wanted, reference, platform);
    let observe = |event: BuildEvent<'_>| shown.event(&event);
    let settings = BuildSettings {
        dockerfile: PathBuf::from(&wanted.dockerfile),
        text,
        names: wanted.names.clone(),
        arguments: wanted.arguments.clone(),
        target: wanted.target.clone(),
        platform: wanted.platform.clone(),
        labels: wanted.labels.clone(),
        no_cache: wanted.no_cache,
        epoch_s: epoch_s(),
        base: &base,
        observe: &observe,
    };
    build_image(&api.images, folder.path(), &settings).map_err(|error| match error {
        BuildError::Dockerfile(diagnostic) => Failure::bad(rendered(&diagnostic, &settings.text)),
        BuildError::Image(error) => error.into(),
    })
}

/// Names in the context lead nowhere else.
fn dockerfile(context: &Path, name: &str) -> Result<String, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::bad(format!("Cannot locate specified Dockerfile: {name}: {error}"));
    let folder = rustix::fs::open(context, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let folder = folder.map_err(|error| unreadable(error.into()))?;
    let file = beneath(&folder, Path::new(name), OFlags::RDONLY | OFlags::NONBLOCK).map_err(unreadable)?;
    let mut text = String::new();
    let mut file = File::from(file).take(DOCKERFILE_MAX_BYTES + 1);
    file.read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > DOCKERFILE_MAX_BYTES {
        return Err(Failure::bad(format!("{name} is too long for a Dockerfile")));
    }
    Ok(text)
}

/// The image that is here, else what its registry has; with `pull`, the registry's in any case.
fn base(
    api: &Arc<Api>,
    wanted: &Wanted,
    reference: &Reference,
    platform: Option<&Platform>,
) -> Result<Image, ImageError> {
    let images: &Images = &api.images;
    match images.find(&reference.to_string()) {
        Ok(image) if !wanted.pull => return Ok(image),
        Err(ImageError::NotFound(_)) | Ok(_) => {}
        Err(error) => return Err(error),
    }
    let transfer = Transfer::of_user(Arc::new(|_, _| {}))?;
    let credentials = wanted.credentials.get(&reference.registry).cloned();
    let settings =
        PullSettings { platform: platform.cloned(), transfer: Transfer { credentials, ..transfer } };
    Handle::current().block_on(images.pull(reference, &settings))
}

/// `Dockerfile:3: what is wrong; what to do`.
fn rendered(diagnostic: &Diagnostic, text: &str) -> String {
    let line = diagnostic.place(text).map(|place| format!(":{}", place.line)).unwrap_or_default();
    let help = diagnostic.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
    format!("{}{line}: {}{help}", diagnostic.file.display(), diagnostic.message)
}

/// Where a build is told of.
struct Shown {
    out: Out,
    quiet: bool,
}

impl Shown {
    fn say(&self, text: &str) {
        if !self.quiet {
            // A build whose client has left goes on; its layers are kept.
            let _ = self.out.line_blocking(&json!({ "stream": text }));
        }
    }

    fn event(&self, event: &BuildEvent<'_>) {
        match event {
            BuildEvent::Step { number, total, text } => {
                self.say(&format!("Step {number}/{total} : {text}\n"));
            }
            BuildEvent::Cached { .. } => self.say(" ---> Using cache\n"),
            BuildEvent::Warning(diagnostic) => self.say(&format!("[Warning] {}\n", diagnostic.message)),
        }
    }

    fn done(&self, api: &Api, image: &Image, names: &[Reference]) {
        let id = image.id.to_string();
        let line = |value: &Value| self.out.line_blocking(value);
        line(&json!({ "aux": { "ID": id } }));
        if self.quiet {
            line(&json!({ "stream": format!("{id}\n") }));
        }
        let short: String = image.id.hex.chars().take(SHORT_ID).collect();
        self.say(&format!("Successfully built {short}\n"));
        for name in names {
            let full = name.to_string();
            tell(api, "tag", &id, familiar(&full));
            self.say(&format!("Successfully tagged {}\n", familiar(&full)));
        }
    }
}
