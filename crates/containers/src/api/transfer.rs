//! Images from registries and to them: `pull`, `push`, and who one is to a registry. How far it is goes out as Docker
//! tells it (moby, `pkg/jsonmessage`).

use super::answer::{Answered, Failure, Out, json as answered, streamed};
use super::call::Call;
use super::images::tell;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use futures::future::{Either, select};
use http::{HeaderMap, StatusCode};
use sampan_images::{
    Credentials, Digest, ImageError, ParseReferenceError, PullSettings, Reference, Step, Transfer, familiar,
    login,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// No more often is it told how far a part is.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Digits of a digest that name a part.
const SHORT_DIGEST: usize = 12;

/// The words for what happens to a part.
#[derive(Clone, Copy)]
struct Words {
    begins: &'static str,
    moves: &'static str,
    ends: &'static str,
    exists: &'static str,
}

const PULL: Words = Words {
    begins: "Pulling fs layer",
    moves: "Downloading",
    ends: "Pull complete",
    exists: "Already exists",
};
const PUSH: Words =
    Words { begins: "Preparing", moves: "Pushing", ends: "Pushed", exists: "Layer already exists" };

/// What happened to each part since it was last told.
struct Progress {
    words: Words,
    parts: Mutex<BTreeMap<String, Part>>,
    news: Notify,
    /// Nobody wants to know any more.
    left: Notify,
}

#[derive(Default)]
struct Part {
    total: u64,
    news: Option<Value>,
}

impl Progress {
    fn new(words: Words) -> Arc<Self> {
        Arc::new(Progress { words, parts: Mutex::default(), news: Notify::new(), left: Notify::new() })
    }

    fn take(&self, digest: &Digest, step: Step) {
        let id: String = digest.hex.chars().take(SHORT_DIGEST).collect();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let part = parts.entry(id.clone()).or_default();
        let said = |status: &str| json!({ "status": status, "progressDetail": {}, "id": id });
        part.news = Some(match step {
            Step::Begins { bytes } => {
                part.total = bytes;
                said(self.words.begins)
            }
            Step::Exists => said(self.words.exists),
            Step::Moved { bytes } => json!({
                "status": self.words.moves, "progressDetail": { "current": bytes, "total": part.total }, "id": id,
            }),
            Step::Waits { why, pause } => said(&format!("Retrying in {} seconds: {why}", pause.as_secs())),
            Step::Ends => said(self.words.ends),
        });
        self.news.notify_one();
    }

    /// What there is to tell, once each.
    fn lines(&self) -> Vec<Value> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.values_mut().filter_map(|part| part.news.take()).collect()
    }

    async fn tell(&self, out: &Out) -> bool {
        for line in self.lines() {
            if !out.line(&line).await {
                return false;
            }
        }
        true
    }
}

/// Answers with how far some work is, and with `last` at its end. A failure before anything happened is an answer of
/// its own.
async fn follow<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
    progress: Arc<Progress>,
    first: Value,
    last: impl FnOnce(T) -> Vec<Value> + Send + 'static,
) -> Answered {
    let mut work = tokio::task::spawn_blocking(work);
    let early = match select(&mut work, pin!(progress.news.notified())).await {
        Either::Left((done, _)) => Some(done.map_err(|error| Failure::internal(error.to_string()))??),
        Either::Right(_) => None,
    };
    let (out, response) = streamed("application/json");
    tokio::spawn(async move {
        out.line(&first).await;
        let done = match early {
            Some(done) => Ok(done),
            None => until_done(&mut work, &progress, &out).await,
        };
        progress.tell(&out).await;
        let lines = match done {
            Ok(done) => last(done),
            Err(failure) => vec![failed(&failure)],
        };
        for line in lines {
            out.line(&line).await;
        }
    });
    Ok(response)
}

/// Tells how far the work is. Who left wants it no more.
async fn until_done<T>(
    work: &mut JoinHandle<Result<T, ImageError>>,
    progress: &Progress,
    out: &Out,
) -> Result<T, Failure> {
    let mut clock = tokio::time::interval(TELL_EVERY);
    loop {
        match select(&mut *work, pin!(clock.tick())).await {
            Either::Left((done, _)) => {
                return Ok(done.map_err(|error| Failure::internal(error.to_string()))??);
            }
            Either::Right(_) => {
                if !progress.tell(out).await || !out.is_open() {
                    progress.left.notify_one();
                }
            }
        }
    }
}

/// Waits for a transfer outside of tasks, or until the client has left.
fn carry<T>(
    handle: &Handle,
    transfer: impl Future<Output = Result<T, ImageError>>,
    progress: &Progress,
) -> Result<T, ImageError> {
    handle.block_on(async {
        match select(pin!(transfer), pin!(progress.left.notified())).await {
            Either::Left((done, _)) => done,
            Either::Right(_) => Err(ImageError::Malformed("the client has left".to_owned())),
        }
    })
}

/// An error in the middle of a stream.
pub fn failed(failure: &Failure) -> Value {
    json!({
        "errorDetail": { "code": failure.status.as_u16(), "message": failure.message }, "error": failure.message,
    })
}

/// The reference of a name and a tag or digest.
pub fn reference(name: &str, tag: Option<&str>) -> Result<Reference, Failure> {
    let text = match tag {
        Some(digest) if digest.starts_with("sha256:") => format!("{name}@{digest}"),
        Some(tag) => format!("{name}:{tag}"),
        None => name.to_owned(),
    };
    let wrong = |error: ParseReferenceError| {
        Failure::bad(format!("invalid reference format: {text}: {error}; {}", error.help))
    };
    text.parse().map_err(wrong)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    username: String,
    password: String,
    serveraddress: String,
    identitytoken: String,
}

impl Auth {
    fn credentials(self) -> Option<Credentials> {
        if !self.identitytoken.is_empty() {
            return Some(Credentials::IdentityToken(self.identitytoken));
        }
        let Auth { username: user, password, .. } = self;
        (!user.is_empty()).then_some(Credentials::Password { user, password })
    }
}

/// JSON in base64, as a header has it.
fn header<T: Default + for<'a> Deserialize<'a>>(headers: &HeaderMap, name: &str) -> Result<T, Failure> {
    let Some(value) = headers.get(name).filter(|value| !value.is_empty()) else { return Ok(T::default()) };
    let wrong = || Failure::bad(format!("the header {name} is not as it should be"));
    let text = value.as_bytes();
    // Clients write either alphabet.
    let bytes = URL_SAFE.decode(text).or_else(|_| STANDARD.decode(text)).map_err(|_| wrong())?;
    let value: Option<T> = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    Ok(value.unwrap_or_default())
}

/// Who a client says that it is; else this user's own credentials are looked for.
fn transfer(headers: &HeaderMap, progress: &Arc<Progress>) -> Result<Transfer, Failure> {
    let auth: Auth = header(headers, "x-registry-auth")?;
    let told = Arc::clone(progress);
    let transfer = Transfer::of_user(Arc::new(move |digest, step| told.take(digest, step)));
    let transfer = transfer.map_err(|error| Failure::internal(error.to_string()))?;
    Ok(Transfer { credentials: auth.credentials(), ..transfer })
}

/// Those for the registries that a build may need, by their names.
pub fn registry_config(headers: &HeaderMap) -> Result<BTreeMap<String, Credentials>, Failure> {
    let all: BTreeMap<String, Auth> = header(headers, "x-registry-config")?;
    let named = |(name, auth): (String, Auth)| {
        let host = name.trim_start_matches("https://").trim_start_matches("http://");
        let host = host.split('/').next().unwrap_or_default();
        let host = if host == "index.docker.io" { "docker.io" } else { host };
        Some((host.to_owned(), auth.credentials()?))
    };
    Ok(all.into_iter().filter_map(named).collect())
}

/// `POST /images/create`: a pull.
pub async fn pull(call: Call) -> Answered {
    let asked = call.read().await?;
    let query = &asked.query;
    if query.get("fromSrc").is_some() {
        return Err(super::not_here("an archive of files cannot become an image; build one of a Dockerfile"));
    }
    let name = query.get("fromImage").ok_or_else(|| Failure::bad("no image was named"))?;
    let reference = reference(name, query.get("tag"))?;
    let platform =
        query.get("platform").map(str::parse).transpose().map_err(|what: &str| Failure::bad(what))?;
    let progress = Progress::new(PULL);
    let settings = PullSettings { platform, transfer: transfer(&asked.headers, &progress)? };
    let tag =
        reference.tag.clone().or(reference.digest.as_ref().map(ToString::to_string)).unwrap_or_default();
    let first = json!({ "status": format!("Pulling from {}", reference.repository), "id": tag });
    let (api, wanted) = (Arc::clone(&asked.api), reference.clone());
    let (handle, told) = (Handle::current(), Arc::clone(&progress));
    let work = move || carry(&handle, api.images.pull(&wanted, &settings), &told);
    let api = asked.api;
    let full = reference.to_string();
    follow(work, progress, first, move |image| {
        tell(&api, "pull", &image.id.to_string(), familiar(&full));
        vec![
            json!({ "status": format!("Digest: {}", image.manifest) }),
            json!({ "status": format!("Status: Image is up to date for {}", familiar(&full)) }),
        ]
    })
    .await
}

/// `POST /images/NAME/push`.
pub async fn push(call: Call, name: &str) -> Answered {
    let asked = call.read().await?;
    let reference = reference(name, asked.query.get("tag"))?;
    let progress = Progress::new(PUSH);
    let transfer = transfer(&asked.headers, &progress)?;
    // That it is here is known before anything is sent.
    let image = asked.api.images.find(&reference.to_string())?;
    let full = reference.to_string();
    let repository = full.rsplit_once(':').map_or(full.as_str(), |(repository, _)| repository);
    let first = json!({ "status": format!("The push refers to repository [{repository}]") });
    let (api, wanted) = (Arc::clone(&asked.api), reference.clone());
    let (handle, told) = (Handle::current(), Arc::clone(&progress));
    let work = move || carry(&handle, api.images.push(&wanted, &transfer), &told);
    let api = asked.api;
    let tag = reference.tag.clone().unwrap_or_default();
    let size = image.size_bytes;
    follow(work, progress, first, move |digest| {
        tell(&api, "push", &image.id.to_string(), familiar(&full));
        vec![
            json!({ "status": format!("{tag}: digest: {digest} size: {size}") }),
            json!({ "progressDetail": {}, "aux": { "Tag": tag, "Digest": digest.to_string(), "Size": size } }),
        ]
    })
    .await
}

/// `POST /auth`: whether a registry lets somebody in. Who asks keeps it, not we.
pub async fn auth(call: Call) -> Answered {
    let auth: Auth = call.read().await?.json()?;
    let kept = tempfile::tempdir().map_err(|error| Failure::internal(error.to_string()))?;
    let transfer = Transfer::of_user(Arc::new(|_, _| {}));
    let mut transfer = transfer.map_err(|error| Failure::internal(error.to_string()))?;
    transfer.docker_config = Some(kept.path().join("config.json"));
    let host = auth.serveraddress.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().filter(|host| !host.is_empty()).unwrap_or("docker.io");
    match login(host, &auth.username, &auth.password, &transfer).await {
        Ok(()) => answered(&json!({ "Status": "Login Succeeded", "IdentityToken": "" })),
        Err(error) => Err(Failure::new(StatusCode::UNAUTHORIZED, error.to_string())),
    }
}
