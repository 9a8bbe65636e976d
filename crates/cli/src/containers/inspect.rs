//! `sampan inspect` of a container: what Docker's API calls an inspection, and what only Sampan knows of it.

use sampan_containers::{Container, Containers, Error, api};
use serde_json::{Value, json};

/// Everything that is known of a container.
///
/// # Errors
/// If it cannot be read.
pub fn described(containers: &Containers, container: &Container) -> Result<Value, Error> {
    let mut all = api::described(containers, container)?;
    all["Rootfs"] = json!(container.rootfs()?);
    all["State"]["SupervisorPid"] = json!(container.state()?.supervisor);
    all["HostConfig"]["Grants"] = json!(container.config()?.grants);
    Ok(all)
}
