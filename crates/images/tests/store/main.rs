//! The store as a caller meets it: images of a real registry, and of registries that misbehave.

mod faults;
mod registries;

use sampan_images::{
    BuildSettings, Digest, Image, ImageError, Images, Platform, PullSettings, Reference, Registries, Step,
    Timeouts, Transfer, build,
};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// A user with a store and a configuration of Docker.
struct User {
    folder: TempDir,
    runtime: Runtime,
    images: Images,
    transfer: Transfer,
    steps: Arc<Mutex<Vec<(Digest, Step)>>>,
}

impl User {
    fn new() -> User {
        let folder = sampan_testing::temp_dir();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(1).build();
        let steps = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&steps);
        let transfer = Transfer {
            timeouts: Timeouts::default(),
            retries: 2,
            pause: Duration::from_millis(1),
            docker_config: Some(folder.path().join("docker/config.json")),
            credentials: None,
            registries: Registries::default(),
            progress: Arc::new(move |digest, step| seen.lock().unwrap().push((digest.clone(), step))),
        };
        let images = Images::at(folder.path().join("data"));
        User { folder, runtime: runtime.unwrap(), images, transfer, steps }
    }

    fn pull_for(&self, name: &str, platform: Option<&str>) -> Result<Image, ImageError> {
        let platform = platform.map(|platform| platform.parse::<Platform>().unwrap());
        let settings = PullSettings { platform, transfer: self.transfer.clone() };
        let reference: Reference = name.parse().unwrap();
        self.runtime.block_on(self.images.pull(&reference, &settings))
    }

    fn pull(&self, name: &str) -> Result<Image, ImageError> {
        self.pull_for(name, None)
    }

    fn push(&self, name: &str) -> Result<Digest, ImageError> {
        self.runtime.block_on(self.images.push(&name.parse().unwrap(), &self.transfer))
    }

    /// Makes an image with one file.
    fn build(&self, name: &str, content: &[u8]) -> Image {
        let context = sampan_testing::temp_dir();
        std::fs::write(context.path().join("app.wasm"), content).unwrap();
        let settings = BuildSettings {
            dockerfile: Path::new("Dockerfile").to_owned(),
            text: "FROM scratch\nCOPY app.wasm /\nENTRYPOINT [\"/app.wasm\"]\n".to_owned(),
            names: vec![name.parse().unwrap()],
            arguments: BTreeMap::new(),
            target: None,
            platform: Platform::new("wasi", "wasm"),
            labels: BTreeMap::new(),
            no_cache: false,
            epoch_s: 0,
            base: &|reference, _| Err(ImageError::NotFound(reference.to_string())),
            observe: &|_| {},
        };
        build(&self.images, context.path(), &settings).unwrap()
    }

    /// What happened since the last question, but for how far it was.
    fn steps(&self) -> Vec<Step> {
        let steps = std::mem::take(&mut *self.steps.lock().unwrap());
        steps.into_iter().map(|(_, step)| step).filter(|step| !matches!(step, Step::Moved { .. })).collect()
    }

    /// Blobs, and what came of some.
    fn kept(&self, folder: &str) -> usize {
        std::fs::read_dir(self.folder.path().join("data/images").join(folder)).map_or(0, Iterator::count)
    }
}

/// Bytes that do not get smaller.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    (0..count).map(|_| next()).collect()
}
