//! Secrets, configuration, locks and output bindings: what both faces do with them.

use crate::error::Problem;
use crate::runtime::{Caller, Dapr};
use http::StatusCode;
use sampan_capabilities::bindings::Invoked;
use sampan_capabilities::configuration::{Configuration, Item};
use sampan_capabilities::lock::{Lock, Unlock};
use sampan_capabilities::secrets::SecretError;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tonic::Code;

pub type Metadata = BTreeMap<String, String>;

fn secret_store<'a>(
    dapr: &'a Dapr,
    caller: &Caller,
    name: &str,
) -> Result<&'a crate::components::SecretStore, Problem> {
    let stores = &dapr.components.secrets;
    if stores.is_empty() {
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::FailedPrecondition,
            "ERR_SECRET_STORES_NOT_CONFIGURED",
            "secret store is not configured",
        ));
    }
    let store = stores.get(name).ok_or_else(|| {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            Code::InvalidArgument,
            "ERR_SECRET_STORE_NOT_FOUND",
            format!("failed finding secret store with key {name}"),
        )
    })?;
    caller.check(name, "secret store")?;
    Ok(store)
}

/// The values under one name; `None` where there is none.
pub async fn secret(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
    key: &str,
    metadata: &Metadata,
) -> Result<Option<Metadata>, Problem> {
    let store = secret_store(dapr, caller, name)?;
    if !store.scope.allows(key) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            Code::PermissionDenied,
            "ERR_PERMISSION_DENIED",
            format!("access denied by policy to get {key:?} from {name:?}"),
        ));
    }
    let found = dapr.outbound(name).run(async || match store.secrets.get(key, metadata).await {
        Ok(found) => Ok(Some(found)),
        Err(SecretError::NotFound(_)) => Ok(None),
        Err(error) => Err(Problem::internal(
            "ERR_SECRET_GET",
            format!("failed getting secret with key {key} from secret store {name}: {error}"),
        )),
    });
    found.await
}

/// All secrets that the app may see, by name.
pub async fn secrets(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
) -> Result<BTreeMap<String, Metadata>, Problem> {
    let store = secret_store(dapr, caller, name)?;
    let found = dapr.outbound(name).run(async || {
        store.secrets.all().await.map_err(|error| {
            Problem::internal(
                "ERR_SECRET_GET",
                format!("failed getting secrets from secret store {name}: {error}"),
            )
        })
    });
    let mut all = found.await?;
    all.retain(|key, _| store.scope.allows(key));
    Ok(all)
}

pub fn configuration_store<'a>(
    dapr: &'a Dapr,
    caller: &Caller,
    name: &str,
) -> Result<&'a Arc<Configuration>, Problem> {
    let stores = &dapr.components.configuration;
    if stores.is_empty() {
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::FailedPrecondition,
            "ERR_CONFIGURATION_STORE_NOT_CONFIGURED",
            "configuration stores not configured",
        ));
    }
    let store = stores.get(name).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            "ERR_CONFIGURATION_STORE_NOT_FOUND",
            format!("configuration store {name} not found"),
        )
    })?;
    caller.check(name, "configuration store")?;
    Ok(&store.store)
}

/// The items under these keys; all of them where there are no keys.
pub async fn configuration(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
    keys: &[String],
) -> Result<BTreeMap<String, Item>, Problem> {
    let store = configuration_store(dapr, caller, name)?;
    let found = dapr.outbound(name).run(async || {
        store.get(keys).await.map_err(|error| {
            let message = format!("failed to get {keys:?} from Configuration store {name}: {error}");
            Problem::internal("ERR_CONFIGURATION_GET", message)
        })
    });
    found.await
}

/// Who wants to hold what.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub resource: &'a str,
    pub owner: &'a str,
}

fn lock_store<'a>(
    dapr: &'a Dapr,
    caller: &Caller,
    name: &str,
    claim: Claim<'_>,
) -> Result<&'a Lock, Problem> {
    let stores = &dapr.components.locks;
    if stores.is_empty() {
        return Err(Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::FailedPrecondition,
            "ERR_LOCK_STORE_NOT_CONFIGURED",
            "lock store is not configured",
        ));
    }
    if claim.resource.is_empty() {
        return Err(Problem::malformed(format!("ResourceId is empty in lock store {name}")));
    }
    if claim.owner.is_empty() {
        return Err(Problem::malformed(format!("LockOwner is empty in lock store {name}")));
    }
    let store = stores.get(name).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            Code::InvalidArgument,
            "ERR_LOCK_STORE_NOT_FOUND",
            format!("lock store {name} not found"),
        )
    })?;
    caller.check(name, "lock store")?;
    Ok(&store.store)
}

/// Whether the caller holds it now.
pub async fn try_lock(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
    claim: Claim<'_>,
    expiry_seconds: i64,
) -> Result<bool, Problem> {
    let store = lock_store(dapr, caller, name, claim)?;
    let expiry = u64::try_from(expiry_seconds).ok().filter(|seconds| *seconds > 0);
    let expiry = expiry
        .ok_or_else(|| Problem::malformed(format!("ExpiryInSeconds is not positive in lock store {name}")))?;
    let resource = store_key(dapr, name, claim.resource)?;
    let held = dapr.outbound(name).run(async || {
        store.try_lock(&resource, claim.owner, Duration::from_secs(expiry)).await.map_err(|error| {
            Problem::internal("ERR_TRY_LOCK", format!("failed to try acquiring lock: {error}"))
        })
    });
    held.await
}

pub async fn unlock(dapr: &Dapr, caller: &Caller, name: &str, claim: Claim<'_>) -> Result<Unlock, Problem> {
    let store = lock_store(dapr, caller, name, claim)?;
    let resource = store_key(dapr, name, claim.resource)?;
    let done = dapr.outbound(name).run(async || {
        store
            .unlock(&resource, claim.owner)
            .await
            .map_err(|error| Problem::internal("ERR_UNLOCK", format!("failed to release lock: {error}")))
    });
    done.await
}

/// The number by which Dapr says how an unlock ended (`UnlockResponse.Status`).
pub fn unlock_status(done: Unlock) -> i32 {
    match done {
        Unlock::Done => 0,
        Unlock::NoSuchLock => 1,
        Unlock::OthersLock => 2,
    }
}

/// Dapr puts `lock||` and the component's prefix before a resource, so that apps do not lock each other out.
fn store_key(dapr: &Dapr, store: &str, resource: &str) -> Result<String, Problem> {
    if resource.contains("||") {
        return Err(Problem::malformed(format!("input key/keyPrefix '{resource}' can't contain '||'")));
    }
    let prefix = dapr.components.lock_prefixes.get(store).map_or("", String::as_str);
    Ok(format!("lock||{prefix}{resource}"))
}

/// Invokes an output binding.
pub async fn invoke_binding(
    dapr: &Dapr,
    caller: &Caller,
    name: &str,
    operation: &str,
    data: &[u8],
    metadata: &Metadata,
) -> Result<Invoked, Problem> {
    let failed = |why: &str| {
        Problem::internal("ERR_INVOKE_OUTPUT_BINDING", format!("error invoking output binding {name}: {why}"))
    };
    let Some(binding) = dapr.components.outputs.get(name) else {
        return Err(failed(&format!("couldn't find output binding {name}")));
    };
    caller.check(name, "binding")?;
    if !binding.operations().contains(&operation) {
        let offered = binding.operations().join(" ");
        let why =
            format!("binding {name} does not support operation {operation}. supported operations:{offered}");
        return Err(failed(&why));
    }
    dapr.outbound(name)
        .run(async || {
            binding.invoke(operation, data, metadata).await.map_err(|error| failed(&error.to_string()))
        })
        .await
}
