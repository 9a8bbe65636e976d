//! `Update`: other limits for a container that runs.

use crate::fail::{Context, Fail, Result};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use libcgroups::common::{CgroupConfig, CgroupManager, ControllerOpt, create_cgroup_manager};
use libcontainer::container::Container;
use oci_spec::runtime::LinuxResources;

/// The only kind that containerd sends on Linux; its value is JSON.
pub fn decode(resources: Option<&Any>) -> Result<LinuxResources> {
    let any = resources.ok_or_else(|| Fail::invalid("an update without resources"))?;
    if !any.type_url.ends_with("LinuxResources") {
        return Err(Fail::invalid(format!("resources of the kind {} are not Linux's", any.type_url)));
    }
    let mut resources: LinuxResources = serde_json::from_slice(&any.value).context("the resources")?;
    // What a container may do with devices is decided when it is made; no list here means no change, not none.
    resources.set_devices(None);
    Ok(resources)
}

pub fn apply(container: &Container, resources: &LinuxResources) -> Result<()> {
    let config = CgroupConfig {
        cgroup_path: container.spec().context("the container's configuration")?.cgroup_path,
        systemd_cgroup: container.systemd(),
        container_name: container.id().to_owned(),
    };
    let manager = create_cgroup_manager(config).context("the container's control group")?;
    let options =
        ControllerOpt { resources, disable_oom_killer: false, oom_score_adj: None, freezer_state: None };
    manager.apply(&options).context("cannot change the container's limits")
}
