//! The OCI runtime spec of a container (opencontainers/runtime-spec, `config.md`): what its guest gets.

use crate::annotations as name;
use crate::folder::Container;
use crate::record::{Config, Mount, Port, Source};
use crate::{Error, copy, record};
use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxBuilder, LinuxCpuBuilder, LinuxMemoryBuilder, LinuxResourcesBuilder, MountBuilder, Process,
    ProcessBuilder, RootBuilder, Spec, SpecBuilder, UserBuilder,
};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// As Docker has it.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The scheduler's period, as Docker has it.
const CPU_PERIOD_US: u64 = 100_000;

/// The spec of a container with its files in `rootfs`; `volumes` are the folders of its named volumes.
pub fn spec(config: &Config, rootfs: &Path, mounts: &[(Mount, PathBuf)]) -> Result<Spec, Error> {
    made(config, rootfs, mounts)
        .map_err(|error| Error::Invalid(format!("the container cannot be described: {error}")))
}

fn made(config: &Config, rootfs: &Path, mounts: &[(Mount, PathBuf)]) -> Result<Spec, OciSpecError> {
    let args = config.entrypoint.iter().chain(&config.command).cloned().collect();
    let mut env = config.env.clone();
    complete(&mut env, "PATH", PATH);
    complete(&mut env, "HOSTNAME", &format!("HOSTNAME={}", config.hostname));
    let workdir = if config.workdir.is_empty() { "/" } else { &config.workdir };
    let process = process(args, env, workdir, config.tty)?;
    let root = RootBuilder::default().path(rootfs).readonly(config.read_only).build()?;
    let mounts = mounts.iter().map(|(mount, from)| {
        let access = if mount.read_only || config.read_only { "ro" } else { "rw" };
        MountBuilder::default()
            .destination(&mount.target)
            .typ("bind")
            .source(from)
            .options(vec!["rbind".to_owned(), access.to_owned()])
            .build()
    });
    let mounts = mounts.collect::<Result<Vec<_>, _>>()?;
    let mut spec = SpecBuilder::default()
        .version("1.0.2")
        .process(process)
        .root(root)
        .hostname(&config.hostname)
        .mounts(mounts)
        .annotations(annotations(config))
        .build()?;
    // The builder's default is a container of Linux with all that it needs.
    spec.set_linux(Some(LinuxBuilder::default().resources(resources(config)?).build()?));
    Ok(spec)
}

fn process(args: Vec<String>, env: Vec<String>, cwd: &str, tty: bool) -> Result<Process, OciSpecError> {
    ProcessBuilder::default()
        .args(args)
        .env(env)
        .cwd(cwd)
        .terminal(tty)
        .user(UserBuilder::default().uid(0u32).gid(0u32).build()?)
        .build()
}

/// A second guest of a container.
pub fn second(
    of: &Spec,
    args: Vec<String>,
    more_env: &[String],
    cwd: &str,
    tty: bool,
) -> Result<Process, Error> {
    let first = of.process().as_ref();
    let mut env = first.and_then(|process| process.env().clone()).unwrap_or_default();
    merge(&mut env, more_env);
    let first_cwd = first.map(|process| process.cwd().display().to_string()).unwrap_or_default();
    let cwd = if cwd.is_empty() { &first_cwd } else { cwd };
    process(args, env, cwd, tty).map_err(|error| Error::Invalid(error.to_string()))
}

fn complete(env: &mut Vec<String>, name: &str, line: &str) {
    if !env.iter().any(|known| known.split('=').next() == Some(name)) {
        env.insert(0, line.to_owned());
    }
}

/// Later ones replace earlier ones of the same name.
pub fn merge(env: &mut Vec<String>, more: &[String]) {
    for line in more {
        let name = line.split('=').next();
        env.retain(|known| known.split('=').next() != name);
        // `NAME` alone removes the image's, as Docker does.
        if line.contains('=') {
            env.push(line.clone());
        }
    }
}

fn resources(config: &Config) -> Result<oci_spec::runtime::LinuxResources, OciSpecError> {
    let mut resources = LinuxResourcesBuilder::default();
    if let Some(bytes) = config.memory_bytes {
        resources = resources
            .memory(LinuxMemoryBuilder::default().limit(i64::try_from(bytes).unwrap_or(i64::MAX)).build()?);
    }
    if let Some(millis) = config.cpu_millis {
        let quota = i64::try_from(millis.saturating_mul(CPU_PERIOD_US) / 1000).unwrap_or(i64::MAX);
        resources = resources.cpu(LinuxCpuBuilder::default().quota(quota).period(CPU_PERIOD_US).build()?);
    }
    resources.build()
}

fn annotations(config: &Config) -> HashMap<String, String> {
    let own = config.labels.iter().filter(|(key, _)| key.starts_with(name::PREFIX));
    let mut all: HashMap<String, String> = own.map(|(key, value)| (key.clone(), value.clone())).collect();
    let ports: Vec<_> = config.ports.iter().map(Port::text).collect();
    // Also where there is none: the container has no network of its own.
    all.insert(name::PORTS.to_owned(), ports.join(","));
    let lists = [
        (name::EXPOSED, &config.exposed),
        (name::ALLOW_TCP, &config.grants.tcp),
        (name::ALLOW_UDP, &config.grants.udp),
        (name::ALLOW_HTTP, &config.grants.http),
    ];
    for (name, list) in lists {
        if !list.is_empty() {
            all.insert(name.to_owned(), list.join(","));
        }
    }
    let numbers = [
        (name::MEMORY, config.memory_bytes.map(|bytes| bytes.to_string())),
        (name::TIMEOUT, config.timeout_ms.map(|time| format!("{time}ms"))),
        (name::FUEL, config.fuel.map(|fuel| fuel.to_string())),
    ];
    all.extend(numbers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    all
}

impl Port {
    /// As a flag has it.
    pub fn text(&self) -> String {
        let protocol = if self.udp { "/udp" } else { "" };
        let address = match self.host_address {
            std::net::IpAddr::V4(address) => address.to_string(),
            std::net::IpAddr::V6(address) => format!("[{address}]"),
        };
        format!("{address}:{}:{}{protocol}", self.host_port, self.guest_port)
    }
}

impl Container {
    /// Writes the spec anew, with the ports as they are now.
    pub(crate) fn set_ports(&self, ports: &[Port]) -> Result<(), Error> {
        let mut spec = self.spec()?;
        let texts: Vec<_> = ports.iter().map(Port::text).collect();
        let mut annotations = spec.annotations().clone().unwrap_or_default();
        annotations.insert(name::PORTS.to_owned(), texts.join(","));
        spec.set_annotations(Some(annotations));
        record::write(&self.path("config.json"), &spec)
    }
}

/// The folder of this machine that a mount means; it is made where it is missing, as Docker does.
pub fn source(mount: &Mount, container: &Path, volumes: &Path) -> Result<PathBuf, Error> {
    let path = match &mount.source {
        Source::Bind(path) => path.clone(),
        Source::Volume(name) => volumes.join(name).join("_data"),
        Source::Temporary => container.join("tmp").join(mount.target.replace('/', "-")),
    };
    // A temporary one is in the container's folder, and made at each start.
    if mount.source != Source::Temporary && !path.exists() {
        fs::create_dir_all(&path).map_err(Error::file(&path))?;
    }
    Ok(path)
}

/// A place for each mount, so that the guest sees it when it lists the folder above.
pub fn mount_points(rootfs: &Path, mounts: &[(Mount, PathBuf)]) -> Result<(), Error> {
    for (mount, source) in mounts {
        copy::mount_point(rootfs, &mount.target, source.is_file()).map_err(|error| {
            Error::Invalid(format!("nothing can be mounted at {}: {error}", mount.target))
        })?;
    }
    Ok(())
}
