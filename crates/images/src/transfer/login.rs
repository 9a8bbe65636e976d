//! `login` and `logout`: the registry is asked before anything is kept.

use super::Transfer;
use crate::credentials::{self, Credentials};
use crate::registry::{Access, Registry};
use crate::{PullError, Reference};
use bytes::Bytes;
use http::header::HeaderMap;
use http::{Method, StatusCode};
use url::Url;

/// Shows the registry who we are, and keeps it in Docker's configuration (or where its helper keeps it) if the registry
/// lets us in.
pub async fn login(registry: &str, user: &str, password: &str, transfer: &Transfer) -> Result<(), PullError> {
    let reference = any_reference(registry)?;
    let endpoint = transfer.registries.itself(&reference);
    let client = transfer.client(&endpoint, &reference);
    let base = Url::parse(&format!("{}/v2/", endpoint.root));
    let base = base.map_err(|error| PullError::Malformed(format!("{}: {error}", endpoint.root)))?;
    let access = Access {
        base: base.clone(),
        name: endpoint.name,
        repository: String::new(),
        actions: "",
        docker_config: None,
        credentials: Some(Credentials::Password { user: user.to_owned(), password: password.to_owned() }),
    };
    let registry = Registry::new(&client, access);
    let response = registry.send(Method::GET, &base, HeaderMap::new(), Bytes::new()).await?;
    registry.good(&base, response, &[StatusCode::OK]).await?;
    let config = config_of(transfer)?;
    let (name, user, password) = (reference.registry, user.to_owned(), password.to_owned());
    let storing = tokio::task::spawn_blocking(move || credentials::store(&config, &name, &user, &password));
    storing.await.map_err(|error| PullError::Credentials(error.to_string()))?
}

/// Forgets who we are to a registry; whether it was known.
pub fn logout(registry: &str, transfer: &Transfer) -> Result<bool, PullError> {
    credentials::erase(&config_of(transfer)?, &any_reference(registry)?.registry)
}

fn config_of(transfer: &Transfer) -> Result<std::path::PathBuf, PullError> {
    let nowhere =
        || PullError::Credentials("there is no place for credentials: set HOME or DOCKER_CONFIG".to_owned());
    transfer.docker_config.clone().ok_or_else(nowhere)
}

/// A name in a registry, by the rules for names. As Docker does, what comes before and after the host is left out.
fn any_reference(registry: &str) -> Result<Reference, PullError> {
    let host = registry.trim_start_matches("https://").trim_start_matches("http://");
    let host = host.split('/').next().unwrap_or(host);
    let is_hub = host.is_empty() || host == "docker.io" || host == "index.docker.io";
    let name = if is_hub { "docker.io/x".to_owned() } else { format!("{host}/x") };
    let parsed = name.parse::<Reference>().ok().filter(|parsed| is_hub || parsed.registry == host);
    parsed
        .ok_or_else(|| PullError::Malformed(format!("{registry:?} is no registry: write HOST or HOST:PORT")))
}
