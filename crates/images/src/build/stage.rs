//! A stage: instructions applied to a configuration and to layers, one after the other.

use super::context::{Content, Entry};
use super::files::Files;
use super::ignore::{Ignore, clean};
use super::instruction::{Command, Healthcheck, Instruction, Word, instruction};
use super::layer::layer;
use super::parse::{Line, Wrong, parse};
use super::plan::Plan;
use super::words::{Variables, expand, split};
use super::{BuildError, BuildEvent, BuildSettings};
use crate::document::Descriptor;
use crate::form::{Form, LAYERS_MAX, Piece, chain};
use crate::images::{CONFIG_MAX_BYTES, Images};
use crate::{Digest, ImageError, Reference};
use sampan_app::{Diagnostic, Severity};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All values of a stage together.
const VARIABLES_MAX_BYTES: usize = 4 << 20;
/// What a shell would understand, and nobody here does.
const SHELL_SIGNS: &[char] = &['|', '&', ';', '<', '>', '$', '`', '*', '?', '(', ')', '~'];

pub struct Build<'a> {
    pub images: &'a Images,
    pub context: &'a Path,
    pub ignore: Ignore,
    pub settings: &'a BuildSettings<'a>,
    pub plan: &'a Plan,
    /// Stages that others need.
    pub done: BTreeMap<usize, Stage>,
    pub number: usize,
}

#[derive(Clone, Debug)]
pub struct Layer {
    pub layer: Descriptor,
    pub diff_id: Digest,
}

#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// The whole document; what is in it and not ours stays.
    pub config: Map<String, Value>,
    pub layers: Vec<Layer>,
    pub files: Files,
    /// Declared by ARG.
    arguments: Variables,
    /// Declared by ENV, and by the image that it is built on.
    env: Variables,
    /// In which order they were declared.
    names: Vec<String>,
    has_command: bool,
}

/// The `config` in the configuration.
pub fn inner(config: &mut Map<String, Value>) -> &mut Map<String, Value> {
    let inner = config.entry("config").or_insert_with(|| json!({}));
    if !inner.is_object() {
        *inner = json!({});
    }
    match inner {
        Value::Object(inner) => inner,
        _ => unreachable!("it was made an object"),
    }
}

impl Build<'_> {
    pub fn run(&mut self) -> Result<Stage, BuildError> {
        let needed = self.plan.needed.clone();
        let last = needed.last().copied().unwrap_or_default();
        for at in needed {
            let stage = self.stage(at)?;
            self.done.insert(at, stage);
        }
        Ok(self.done.remove(&last).unwrap_or_default())
    }

    fn stage(&mut self, at: usize) -> Result<Stage, BuildError> {
        let plan = self.plan;
        let its = &plan.stages[at];
        self.begins(&its.from);
        let (mut stage, triggers) = self.from(at)?;
        for trigger in triggers {
            let file = parse(&trigger).map_err(|wrong| self.wrong(wrong.what, wrong.help, &its.image))?;
            for line in file.lines {
                // It has no place in this file but that of its image.
                let read = instruction(&line, file.escape)
                    .map_err(|wrong| self.wrong(wrong.what, wrong.help, &its.image))?;
                self.step(&mut stage, at, &line, &read).map_err(|error| self.at_image(error, &its.image))?;
            }
        }
        for (line, step) in &its.steps {
            self.begins(line);
            self.step(&mut stage, at, line, step)?;
        }
        Ok(stage)
    }

    fn begins(&mut self, line: &Line) {
        self.number += 1;
        let total = self.plan.needed.iter().map(|at| self.plan.stages[*at].steps.len() + 1).sum();
        (self.settings.observe)(BuildEvent::Step { number: self.number, total, text: &line.shown });
    }

    /// What a stage begins with, and what the image wants to be done first.
    fn from(&mut self, at: usize) -> Result<(Stage, Vec<String>), BuildError> {
        let its = &self.plan.stages[at];
        if let Some(other) = self.plan.stage(&its.image.text, at)
            && let Some(stage) = self.done.get(&other)
        {
            // Arguments end with their stage.
            return Ok((
                Stage { arguments: Variables::new(), has_command: false, ..stage.clone() },
                Vec::new(),
            ));
        }
        if its.image.text == "scratch" {
            let platform = its.platform.as_ref().unwrap_or(&self.settings.platform);
            let mut config = Map::new();
            config.insert("architecture".to_owned(), platform.architecture.as_str().into());
            config.insert("os".to_owned(), platform.os.as_str().into());
            if let Some(variant) = &platform.variant {
                config.insert("variant".to_owned(), variant.as_str().into());
            }
            inner(&mut config);
            return Ok((Stage { config, ..Stage::default() }, Vec::new()));
        }
        let image = self.image(&its.image, its.platform.as_ref())?;
        if image.form != Form::Layers {
            let what = "the image is an artifact, which has no layers to build on".to_owned();
            return Err(self.wrong(what, "write FROM scratch, and COPY --from it", &its.image));
        }
        let mut layers = Vec::new();
        for piece in &image.plan.pieces {
            match piece {
                Piece::Archive { layer, diff_id: Some(diff_id) } => {
                    layers.push(Layer { layer: layer.clone(), diff_id: diff_id.clone() });
                }
                _ => {
                    return Err(self.wrong(
                        "the image does not say what its layers are".to_owned(),
                        "",
                        &its.image,
                    ));
                }
            }
        }
        let (_, manifest, _) = self.images.manifest(&image.manifest)?;
        let text = manifest
            .config
            .map(|config| self.images.layout.read(&config.digest, CONFIG_MAX_BYTES))
            .transpose()?;
        let config = text.and_then(|text| serde_json::from_slice(&text).ok());
        let mut stage = Stage { config: config.unwrap_or_default(), layers, ..Stage::default() };
        stage.files.base = Some(self.images.rootfs(&image)?);
        let triggers = inner(&mut stage.config).remove("OnBuild");
        let triggers = triggers.and_then(|list| serde_json::from_value(list).ok()).unwrap_or_default();
        for pair in inner(&mut stage.config).get("Env").and_then(Value::as_array).cloned().unwrap_or_default()
        {
            if let Some((key, value)) = pair.as_str().and_then(|pair| pair.split_once('=')) {
                stage.names.push(key.to_owned());
                stage.env.insert(key.to_owned(), value.to_owned());
            }
        }
        Ok((stage, triggers))
    }

    /// An image by its name in the file.
    pub fn image(&self, name: &Word, platform: Option<&crate::Platform>) -> Result<crate::Image, BuildError> {
        let reference = name.text.parse::<Reference>();
        let reference = reference.map_err(|error| {
            self.wrong(format!("{:?} is no name of an image: {}", name.text, error.what), error.help, name)
        })?;
        (self.settings.base)(&reference, platform).map_err(|error| {
            let diagnostic = Diagnostic {
                severity: Severity::Error,
                message: format!("image {reference}: {error}"),
                file: self.settings.dockerfile.clone(),
                span: Some(name.span.clone()),
                hidden: false,
                help: Some(error.help()),
            };
            BuildError::Dockerfile(Box::new(diagnostic))
        })
    }

    fn step(
        &mut self,
        stage: &mut Stage,
        at: usize,
        line: &Line,
        step: &Instruction,
    ) -> Result<(), BuildError> {
        let mut is_empty = true;
        match step {
            Instruction::From { .. } => {}
            Instruction::Arg(arguments) => self.arguments(stage, arguments)?,
            Instruction::Env(pairs) => self.env(stage, pairs)?,
            Instruction::Label(pairs) => self.labels(stage, pairs)?,
            Instruction::Copy(copy) => {
                let entries = self.copy(stage, at, copy)?;
                self.add(stage, entries, &copy.to)?;
                is_empty = false;
            }
            Instruction::Workdir(word) => is_empty = !self.workdir(stage, word)?,
            Instruction::Cmd(command) => {
                let words = self.command(line, command)?;
                inner(&mut stage.config).insert("Cmd".to_owned(), words.into());
                stage.has_command = true;
            }
            Instruction::Entrypoint(command) => {
                let words = self.command(line, command)?;
                let has_command = stage.has_command;
                let inner = inner(&mut stage.config);
                inner.insert("Entrypoint".to_owned(), words.into());
                // The arguments of the image below are for its own entrypoint.
                if !has_command {
                    inner.remove("Cmd");
                }
            }
            Instruction::Expose(words) => self.expose(stage, words)?,
            Instruction::Volume(words) => {
                for word in words {
                    let path = self.value(stage, word)?;
                    insert(stage, "Volumes", path);
                }
            }
            Instruction::User(word) => self.set(stage, "User", word)?,
            Instruction::StopSignal(word) => self.set(stage, "StopSignal", word)?,
            Instruction::Healthcheck(check) => {
                inner(&mut stage.config).insert("Healthcheck".to_owned(), healthcheck(check));
            }
            Instruction::Maintainer(who) => {
                stage.config.insert("author".to_owned(), who.as_str().into());
            }
            Instruction::OnBuild(trigger) => {
                let list = inner(&mut stage.config).entry("OnBuild").or_insert_with(|| json!([]));
                if let Some(list) = list.as_array_mut() {
                    list.push(trigger.as_str().into());
                }
            }
            Instruction::Shell(words) => {
                inner(&mut stage.config).insert("Shell".to_owned(), words.clone().into());
            }
        }
        if !matches!(step, Instruction::Arg(_)) {
            self.remember(stage, line, is_empty);
        }
        Ok(())
    }

    /// Makes a folder the present one; whether it had to be made.
    fn workdir(&self, stage: &mut Stage, word: &Word) -> Result<bool, BuildError> {
        let path = self.below_workdir(stage, &self.value(stage, word)?);
        let place = stage.files.resolve(&path).map_err(|what| self.wrong(what, "", word))?;
        let is_new = !stage.files.is_folder(&place);
        if is_new {
            let entry = Entry { path: place, content: Content::Folder, mode: 0o755, user: 0, group: 0 };
            self.add(stage, vec![entry], word)?;
        }
        inner(&mut stage.config).insert("WorkingDir".to_owned(), format!("/{path}").into());
        Ok(is_new)
    }

    fn labels(&self, stage: &mut Stage, pairs: &[(Word, Word)]) -> Result<(), BuildError> {
        for (key, value) in pairs {
            let (key, value) = (self.value(stage, key)?, self.value(stage, value)?);
            let labels = inner(&mut stage.config).entry("Labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(key, value.into());
            }
        }
        Ok(())
    }

    /// For `history` of the configuration.
    fn remember(&self, stage: &mut Stage, line: &Line, is_empty: bool) {
        let list = stage.config.entry("history").or_insert_with(|| json!([]));
        let mut entry = json!({ "created_by": line.shown, "comment": "sampan build" });
        if is_empty {
            entry["empty_layer"] = true.into();
        }
        if let Some(list) = list.as_array_mut() {
            list.push(entry);
        }
    }

    fn arguments(&self, stage: &mut Stage, arguments: &[(String, Option<Word>)]) -> Result<(), BuildError> {
        for (name, default) in arguments {
            let default = default.as_ref().map(|word| self.value(stage, word)).transpose()?;
            let given = self.settings.arguments.get(name).cloned();
            if let Some(value) = given.or(default).or_else(|| self.plan.globals.get(name).cloned()) {
                stage.arguments.insert(name.clone(), value);
            }
        }
        Ok(())
    }

    fn env(&self, stage: &mut Stage, pairs: &[(Word, Word)]) -> Result<(), BuildError> {
        // All of a line mean the values from before it.
        let before = stage.clone_variables();
        for (key, value) in pairs {
            let expand = |word: &Word| {
                expand(&word.text, &before, self.plan.escape).map_err(|what| self.wrong(what, "", word))
            };
            let (key_text, value_text) = (expand(key)?, expand(value)?);
            if !stage.env.contains_key(&key_text) {
                stage.names.push(key_text.clone());
            }
            stage.env.insert(key_text, value_text);
            let bytes: usize = stage.env.iter().map(|(key, value)| key.len() + value.len()).sum();
            if bytes > VARIABLES_MAX_BYTES {
                return Err(self.wrong("the values become too long".to_owned(), "", value));
            }
        }
        let list: Vec<Value> =
            stage.names.iter().map(|name| format!("{name}={}", stage.env[name]).into()).collect();
        inner(&mut stage.config).insert("Env".to_owned(), list.into());
        Ok(())
    }

    /// A word with the values of its variables.
    pub fn value(&self, stage: &Stage, word: &Word) -> Result<String, BuildError> {
        let variables = stage.clone_variables();
        expand(&word.text, &variables, self.plan.escape).map_err(|what| self.wrong(what, "", word))
    }

    fn set(&self, stage: &mut Stage, key: &str, word: &Word) -> Result<(), BuildError> {
        let value = self.value(stage, word)?;
        inner(&mut stage.config).insert(key.to_owned(), value.into());
        Ok(())
    }

    /// Without a shell, a command is its words.
    fn command(&self, line: &Line, command: &Command) -> Result<Vec<String>, BuildError> {
        let text = match command {
            Command::Exec(words) => return Ok(words.clone()),
            Command::Shell(text) => text,
        };
        let word = Word { text: text.clone(), span: line.rest.whole() };
        let none = Variables::new();
        let words = split(text, self.plan.escape).into_iter().map(|(_, one)| {
            // Variables would be the shell's.
            let escaped = one.replace('$', &format!("{}$", self.plan.escape));
            expand(&escaped, &none, self.plan.escape).map_err(|what| self.wrong(what, "", &word))
        });
        let words = words.collect::<Result<Vec<_>, _>>()?;
        let uses = if text.contains(SHELL_SIGNS) { ", and none of its signs means anything" } else { "" };
        (self.settings.observe)(BuildEvent::Warning(Diagnostic {
            severity: Severity::Warning,
            message: format!(
                "{} is written for a shell, which an image of WebAssembly does not have: it is split into words{uses}",
                line.name
            ),
            file: self.settings.dockerfile.clone(),
            span: Some(word.span),
            hidden: false,
            help: Some(format!("write {} {}", line.name, json!(words))),
        }));
        Ok(words)
    }

    fn expose(&self, stage: &mut Stage, words: &[Word]) -> Result<(), BuildError> {
        for word in words {
            for port in self.value(stage, word)?.split_whitespace() {
                let (range, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let protocol = protocol.to_ascii_lowercase();
                let ports = first
                    .parse::<u16>()
                    .ok()
                    .zip(last.parse::<u16>().ok())
                    .filter(|(first, last)| first <= last);
                let Some((first, last)) =
                    ports.filter(|_| matches!(protocol.as_str(), "tcp" | "udp" | "sctp"))
                else {
                    let help = "write a number, and /tcp or /udp after it if you like";
                    return Err(self.wrong(format!("{port:?} is no port"), help, word));
                };
                for port in first..=last {
                    insert(stage, "ExposedPorts", format!("{port}/{protocol}"));
                }
            }
        }
        Ok(())
    }

    /// A name as it is meant in the present folder, without a slash before it.
    pub fn below_workdir(&self, stage: &Stage, path: &str) -> String {
        let workdir =
            stage.config.get("config").and_then(|config| config.get("WorkingDir")).and_then(Value::as_str);
        match path.starts_with('/') {
            true => clean(path),
            false => clean(&format!("{}/{path}", workdir.unwrap_or_default())),
        }
    }

    /// Makes a layer of entries, on top of the others.
    fn add(&self, stage: &mut Stage, entries: Vec<Entry>, word: &Word) -> Result<(), BuildError> {
        let entries =
            stage.files.add(entries).map_err(|what| self.wrong(what, "choose another destination", word))?;
        let (step, cached) = layer(self.images, &entries, self.settings.epoch_s, self.settings.no_cache)?;
        if cached {
            (self.settings.observe)(BuildEvent::Cached { number: self.number });
        }
        if stage.layers.len() == LAYERS_MAX {
            return Err(self.wrong(format!("the image has more than {LAYERS_MAX} layers"), "", word));
        }
        let diff_id = step.diff_id.parse();
        let diff_id =
            diff_id.map_err(|_| ImageError::Malformed("a step of the cache is damaged".to_owned()))?;
        stage.layers.push(Layer { layer: step.layer, diff_id });
        Ok(())
    }

    /// The files of a stage, on the disk.
    pub fn root_of(&self, stage: &Stage) -> Result<PathBuf, ImageError> {
        let pieces = stage.layers.iter();
        let pieces: Vec<Piece> = pieces
            .map(|one| Piece::Archive { layer: one.layer.clone(), diff_id: Some(one.diff_id.clone()) })
            .collect();
        let diff_ids: Vec<Digest> = stage.layers.iter().map(|one| one.diff_id.clone()).collect();
        self.images.unpacked(&chain(&diff_ids), &pieces)
    }

    pub fn wrong(&self, what: String, help: &'static str, word: &Word) -> BuildError {
        self.settings.wrong(Wrong { what, help, span: word.span.clone() })
    }

    /// An error of a line that another image brought.
    fn at_image(&self, error: BuildError, image: &Word) -> BuildError {
        match error {
            BuildError::Dockerfile(mut diagnostic) => {
                diagnostic.span = Some(image.span.clone());
                diagnostic.message = format!("ONBUILD of {}: {}", image.text, diagnostic.message);
                BuildError::Dockerfile(diagnostic)
            }
            other => other,
        }
    }
}

impl Stage {
    pub fn of(config: Map<String, Value>, layers: Vec<Layer>) -> Self {
        Stage { config, layers, ..Stage::default() }
    }

    /// What names mean here: ENV counts more than ARG.
    pub fn clone_variables(&self) -> Variables {
        let mut all = self.arguments.clone();
        all.extend(self.env.iter().map(|(key, value)| (key.clone(), value.clone())));
        all
    }
}

/// A member of a set that is written as an object.
fn insert(stage: &mut Stage, set: &str, member: String) {
    let set = inner(&mut stage.config).entry(set).or_insert_with(|| json!({}));
    if !set.is_object() {
        *set = json!({});
    }
    set[member] = json!({});
}

fn healthcheck(check: &Healthcheck) -> Value {
    let mut value = json!({ "Test": check.test });
    for (key, number) in [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries),
    ] {
        if let Some(number) = number {
            value[key] = number.into();
        }
    }
    value
}
