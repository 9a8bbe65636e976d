//! Making containers, and removing them.

use crate::bundle;
use crate::folder::{Container, Containers, SHORT_ID, check_name};
use crate::record::{self, Config, Mount, Port, Restart, Source, State, Status};
use crate::{Error, annotations, copy};
use chrono::Utc;
use oci_spec::image::ImageConfiguration;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Of volumes that nobody named: they go with their container.
pub const ANONYMOUS: &str = "dev.sampan.anonymous";

/// Where a container's files come from.
#[derive(Clone, Copy, Debug)]
pub enum Files<'a> {
    /// An image's, unpacked; they are shared, and copied where the container may write.
    Image(&'a Path),
    /// One wasm file, without an image.
    Program(&'a Path),
}

impl Config {
    /// Adds what the image says where the user said nothing, by Docker's rules.
    pub fn complete(&mut self, image: &ImageConfiguration) {
        let Some(image) = image.config() else { return };
        if self.entrypoint.is_empty() {
            self.entrypoint = image.entrypoint().clone().unwrap_or_default();
            if self.command.is_empty() {
                self.command = image.cmd().clone().unwrap_or_default();
            }
        }
        let mut env = image.env().clone().unwrap_or_default();
        bundle::merge(&mut env, &self.env);
        self.env = env;
        let own = |value: &mut String, image: &Option<String>| {
            if value.is_empty() {
                *value = image.clone().unwrap_or_default();
            }
        };
        own(&mut self.workdir, image.working_dir());
        own(&mut self.user, image.user());
        own(&mut self.stop_signal, image.stop_signal());
        for port in image.exposed_ports().iter().flatten() {
            if !self.exposed.contains(port) {
                self.exposed.push(port.clone());
            }
        }
        // An image does not grant itself anything.
        let own = |key: &str| key.starts_with(annotations::PREFIX) && key != annotations::KIND;
        for (key, value) in image.labels().iter().flatten().filter(|(key, _)| !own(key)) {
            self.labels.entry(key.clone()).or_insert_with(|| value.clone());
        }
        for target in image.volumes().iter().flatten() {
            let same = |mount: &Mount| mount.target.trim_end_matches('/') == target.trim_end_matches('/');
            if !self.mounts.iter().any(same) {
                let source = Source::Volume(String::new());
                self.mounts.push(Mount { source, target: target.clone(), read_only: false });
            }
        }
    }

    /// Adds a port of this machine for each that the image exposes and nobody has published: one that is free.
    pub fn publish_exposed(&mut self) {
        for text in &self.exposed {
            let (number, udp) = match text.split_once('/') {
                Some((number, protocol)) => (number, protocol == "udp"),
                None => (text.as_str(), false),
            };
            let Ok(guest_port) = number.parse() else { continue };
            if !self.ports.iter().any(|port| port.guest_port == guest_port && port.udp == udp) {
                let host_address = Ipv4Addr::UNSPECIFIED.into();
                self.ports.push(Port { host_address, host_port: 0, guest_port, udp });
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        if !self.name.is_empty() {
            check_name(&self.name)?;
        }
        if self.entrypoint.is_empty() && self.command.is_empty() {
            return Err(Error::Invalid("the image names no entrypoint, and no command was given".to_owned()));
        }
        if self.auto_remove && self.restart != Restart::No {
            return Err(Error::Invalid("a container that is removed at its end cannot be restarted".into()));
        }
        for mount in &self.mounts {
            if !mount.target.starts_with('/') || mount.target.split('/').any(|part| part == "..") {
                return Err(Error::Invalid(format!("`{}` is no absolute path of the guest", mount.target)));
            }
        }
        if !self.workdir.is_empty() && !self.workdir.starts_with('/') {
            return Err(Error::Invalid(format!("the working directory `{}` is not absolute", self.workdir)));
        }
        Ok(())
    }
}

impl Containers {
    /// Makes a container. Nothing of it is seen before it is whole.
    ///
    /// # Errors
    /// If the configuration makes no sense, the name is taken, or the disk is full.
    pub fn create(&self, mut config: Config, files: Files<'_>) -> Result<Container, Error> {
        config.check()?;
        let container = self.container(random_id()?);
        if config.name.is_empty() {
            config.name = self.free_name();
        } else if let Some(other) = self.by_name(&config.name) {
            return Err(Error::NameTaken { name: config.name, id: other.short_id().to_owned() });
        }
        if config.hostname.is_empty() {
            container.id[..SHORT_ID].clone_into(&mut config.hostname);
        }
        self.name_volumes(&mut config)?;

        // 1. Everything, under a name that nobody looks at.
        let making = self.root().join(format!(".making-{}", container.id));
        fs::DirBuilder::new().mode(0o700).create(&making).map_err(Error::file(&making))?;
        let made = self.fill(&making, &container, &config, files);
        // 2. The container's own name, and the user's for it.
        let named = made.and_then(|()| {
            let _names = self.lock()?;
            if let Some(other) = self.by_name(&config.name) {
                let id = other.short_id().to_owned();
                return Err(Error::NameTaken { name: config.name.clone(), id });
            }
            fs::rename(&making, &container.folder).map_err(Error::file(&container.folder))?;
            self.set_name(&config.name, &container.id)
        });
        if let Err(error) = named {
            let _ = fs::remove_dir_all(&making);
            return Err(error);
        }
        self.tell(&container, &config, "create", &[]);
        Ok(container)
    }

    fn fill(
        &self,
        folder: &Path,
        container: &Container,
        config: &Config,
        files: Files<'_>,
    ) -> Result<(), Error> {
        let own = folder.join("rootfs");
        let shared = match files {
            Files::Image(image) if config.read_only => {
                fs::create_dir(&own).map_err(Error::file(&own))?;
                Some(image)
            }
            Files::Image(image) => {
                copy::tree(image, &own).map_err(|(path, error)| Error::File { path, error })?;
                None
            }
            Files::Program(program) => {
                fs::create_dir(&own).map_err(Error::file(&own))?;
                let name = program.file_name().unwrap_or_default();
                let copy = own.join(name);
                fs::copy(program, &copy).map_err(|error| match error.kind() {
                    io::ErrorKind::StorageFull => Error::file(&copy)(error),
                    _ => Error::file(program)(error),
                })?;
                None
            }
        };
        if let Files::Image(image) = files {
            for mount in &config.mounts {
                if let Source::Volume(name) = &mount.source {
                    self.fill_volume(name, image, &mount.target)?;
                }
            }
        }
        let rootfs = shared.map_or_else(|| container.path("rootfs"), Path::to_owned);
        let mounts = config
            .mounts
            .iter()
            .map(|mount| Ok((mount.clone(), bundle::source(mount, &container.folder, &self.volumes())?)));
        let mounts: Vec<(Mount, PathBuf)> = mounts.collect::<Result<_, Error>>()?;
        if shared.is_none() {
            bundle::mount_points(&own, &mounts)?;
            // A working directory that the image lacks is made, as Docker does.
            let workdir = copy::mount_point(&own, &config.workdir, false);
            workdir.map_err(|error| {
                Error::Invalid(format!("the working directory {}: {error}", config.workdir))
            })?;
        }
        record::write(&folder.join("config.json"), &bundle::spec(config, &rootfs, &mounts)?)?;
        record::write(&folder.join("container.json"), config)?;
        let state = State { created_at: Some(Utc::now()), ..State::default() };
        record::write(&folder.join("state.json"), &state)
    }

    /// Makes the volumes that the container uses, and gives a name to those that have none.
    fn name_volumes(&self, config: &mut Config) -> Result<(), Error> {
        for mount in &mut config.mounts {
            if let Source::Volume(name) = &mut mount.source {
                let mut labels = BTreeMap::new();
                if name.is_empty() {
                    *name = random_id()?;
                    labels.insert(ANONYMOUS.to_owned(), String::new());
                }
                self.create_volume(name, labels)?;
            }
        }
        Ok(())
    }

    pub(crate) fn set_name(&self, name: &str, id: &str) -> Result<(), Error> {
        let path = self.name_path(name);
        // One that a process left that died between the two.
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(id, &path).map_err(Error::file(&path))
    }

    fn free_name(&self) -> String {
        loop {
            let name = format!("{}_{}", pick(&MANNERS), pick(&BOATS));
            if self.by_name(&name).is_none() {
                return name;
            }
            // There are not so many words.
            let name = format!("{name}_{}", fastrand::u32(..));
            if self.by_name(&name).is_none() {
                return name;
            }
        }
    }

    /// Gives a container another name.
    ///
    /// # Errors
    /// If it is taken, or no name.
    pub fn rename(&self, container: &Container, name: &str) -> Result<(), Error> {
        check_name(name)?;
        let _names = self.lock()?;
        if let Some(other) = self.by_name(name) {
            return Err(Error::NameTaken { name: name.to_owned(), id: other.short_id().to_owned() });
        }
        let mut config = container.config()?;
        let before = std::mem::replace(&mut config.name, name.to_owned());
        self.set_name(name, &container.id)?;
        container.set_config(&config)?;
        let _ = fs::remove_file(self.name_path(&before));
        self.tell(container, &config, "rename", &[("oldName", &format!("/{before}"))]);
        Ok(())
    }

    /// Removes a container that has ended; its anonymous volumes too, if they are to go.
    ///
    /// # Errors
    /// If it runs.
    pub fn remove(&self, container: &Container, volumes: bool) -> Result<(), Error> {
        if !container.state()?.status.is_live() {
            // A supervisor that waits for the first start, or is about to go.
            container.stop(None, None)?;
        }
        let Some(_held) = container.try_lock()? else {
            return Err(Error::State { name: container.name(), is: "is running" });
        };
        self.remove_held(container, volumes)
    }

    /// The same for whoever holds the container's lock.
    pub(crate) fn remove_held(&self, container: &Container, volumes: bool) -> Result<(), Error> {
        let mut state = container.state_as_written()?;
        let config = container.config()?;
        state.status = Status::Removing;
        container.set_state(&state)?;
        let _names = self.lock()?;
        let name = self.name_path(&config.name);
        if fs::read_link(&name).is_ok_and(|id| id == Path::new(&container.id)) {
            let _ = fs::remove_file(&name);
        }
        remove_folder(&container.folder)?;
        drop(_names);
        for mount in config.mounts.iter().filter(|_| volumes) {
            if let Source::Volume(name) = &mount.source
                && self.volume(name).is_ok_and(|volume| volume.labels.contains_key(ANONYMOUS))
            {
                // Another container may use it.
                let _ = self.remove_volume(name);
            }
        }
        self.tell(container, &config, "destroy", &[]);
        Ok(())
    }

    /// Removes what is left of a container whose records cannot be read.
    pub(crate) fn discard(&self, container: &Container) -> Result<(), Error> {
        let _names = self.lock()?;
        for entry in fs::read_dir(self.name_path("")).into_iter().flatten().flatten() {
            if fs::read_link(entry.path()).is_ok_and(|id| id == Path::new(&container.id)) {
                let _ = fs::remove_file(entry.path());
            }
        }
        remove_folder(&container.folder)
    }

    /// Writes an event of a container down, with Docker's attributes.
    pub(crate) fn tell(&self, container: &Container, config: &Config, action: &str, more: &[(&str, &str)]) {
        let mut attributes = config.labels.clone();
        attributes.insert("image".to_owned(), config.image.clone());
        attributes.insert("name".to_owned(), config.name.clone());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        self.events().tell("container", action, &container.id, attributes);
    }
}

/// Removes a folder whose own folders may be without the right to write.
fn remove_folder(folder: &Path) -> Result<(), Error> {
    if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
        return Ok(());
    }
    let mut folders = vec![folder.to_owned()];
    while let Some(one) = folders.pop() {
        let _ = fs::set_permissions(&one, fs::Permissions::from_mode(0o700));
        for entry in fs::read_dir(&one).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    fs::remove_dir_all(folder).map_err(Error::file(folder))
}

pub(crate) fn random_id() -> Result<String, Error> {
    let mut bytes = [0; 32];
    let path = Path::new("/dev/urandom");
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes)).map_err(Error::file(path))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn pick(words: &[&'static str]) -> &'static str {
    words[fastrand::usize(..words.len())]
}

const MANNERS: [&str; 24] = [
    "able", "brave", "bright", "calm", "clear", "early", "fair", "gentle", "glad", "keen", "light", "lively",
    "merry", "nimble", "plain", "quick", "quiet", "ready", "sharp", "steady", "sunny", "swift", "warm",
    "wide",
];

const BOATS: [&str; 24] = [
    "barge", "canoe", "catboat", "coracle", "cutter", "dhow", "dinghy", "dory", "felucca", "gig", "jolle",
    "junk", "kayak", "ketch", "lugger", "pinnace", "pram", "proa", "punt", "raft", "skiff", "sloop",
    "wherry", "yawl",
];
