//! Images to and from registries: `pull` and `push`, with mirrors, retries, and someone who is told how far it is.

mod download;
mod login;
mod pull;
mod push;
mod registries;

pub use login::{login, logout};
pub use pull::PullSettings;
pub use registries::Registries;

use crate::client::{Client, Plain, Timeouts};
use crate::credentials::{self, Credentials};
use crate::registry::{Access, Registry, is_here};
use crate::{Digest, PullError, Reference};
use registries::Endpoint;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Blobs that move at once.
pub const PARALLEL_MAX: usize = 3;
/// A registry that says when to ask again is not waited for longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// How registries are met.
#[derive(Clone)]
pub struct Transfer {
    pub timeouts: Timeouts,
    /// How often something that may pass is tried again, and how long to wait the first time: each further time is twice
    /// as long.
    pub retries: u32,
    pub pause: Duration,
    /// Docker's configuration, which has the credentials for registries; `None`: there is none.
    pub docker_config: Option<PathBuf>,
    /// Who we are, whatever the configuration says.
    pub credentials: Option<Credentials>,
    pub registries: Registries,
    /// Is told what happens to each part.
    pub progress: PartObserver,
}

/// Whoever wants to know how far a transfer is.
pub type PartObserver = Arc<dyn Fn(&Digest, Step) + Send + Sync>;

/// What happens to a part of an image, which its digest names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It has to move.
    Begins { bytes: u64 },
    /// It is there already.
    Exists,
    /// So much of it has moved.
    Moved { bytes: u64 },
    /// Something went wrong that may pass; it is tried again after a while.
    Waits { why: String, pause: Duration },
    /// It is there, and whole.
    Ends,
}

impl Transfer {
    /// This user's: Docker's configuration, and `registries.json` in the folder of the data.
    ///
    /// # Errors
    /// If that file says what is not understood.
    pub fn of_user(progress: PartObserver) -> Result<Self, PullError> {
        let registries = match crate::data_dir() {
            Some(folder) => Registries::read(&folder.join("registries.json"))?,
            None => Registries::default(),
        };
        Ok(Transfer {
            timeouts: Timeouts::default(),
            retries: 4,
            pause: Duration::from_millis(500),
            docker_config: credentials::of_user(),
            credentials: None,
            registries,
            progress,
        })
    }

    fn client(&self, endpoint: &Endpoint, reference: &Reference) -> Client {
        Client::new(self.timeouts.clone(), self.plain(endpoint, reference))
    }

    /// Who of an endpoint may be asked without TLS.
    fn plain(&self, endpoint: &Endpoint, reference: &Reference) -> Plain {
        match &endpoint.insecure {
            Some(host) => Plain::Host(host.clone()),
            None if is_here(reference) && endpoint.root.starts_with("http:") => Plain::ThisMachine,
            None => Plain::Nobody,
        }
    }

    fn registry<'a>(
        &self,
        client: &'a Client,
        endpoint: &Endpoint,
        reference: &Reference,
        actions: &'static str,
    ) -> Result<Registry<'a>, PullError> {
        let access = Access {
            base: crate::registry::base(&endpoint.root, &reference.repository)?,
            name: endpoint.name.clone(),
            repository: reference.repository.clone(),
            actions,
            docker_config: self.docker_config.clone(),
            // What the caller knows is for the registry that it names.
            credentials: self.credentials.clone().filter(|_| endpoint.name == reference.registry),
        };
        Ok(Registry::new(client, access))
    }

    /// Does something until it succeeds, fails for good, or has failed too often.
    async fn persistently<T, F: Future<Output = Result<T, PullError>>>(
        &self,
        digest: Option<&Digest>,
        mut what: impl FnMut() -> F,
    ) -> Result<T, PullError> {
        let mut pause = self.pause;
        let mut left = self.retries;
        loop {
            match what().await {
                Err(error) if left > 0 && error.is_passing() => {
                    left -= 1;
                    self.wait(digest, &error, pause).await;
                    pause *= 2;
                }
                result => return result,
            }
        }
    }

    async fn wait(&self, digest: Option<&Digest>, error: &PullError, pause: Duration) {
        let pause = match error {
            PullError::TooMany { after: Some(after), .. } => *after,
            _ => pause,
        }
        .min(PAUSE_MAX);
        if let Some(digest) = digest {
            (self.progress)(digest, Step::Waits { why: error.to_string(), pause });
        }
        tokio::time::sleep(pause).await;
    }
}
