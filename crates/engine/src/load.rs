//! From a source to code that is ready to be instantiated: the cached artifact if there is one, else
//! compiled once and kept.
//!
//! `load` reads top to bottom: identity of the file → artifact by identity → bytes and digest → artifact by
//! digest → signed native code that came along, else compile → keep.

use crate::artifact::{self, PublicKey};
use crate::cache::{Cache, Entry, Facts, Form, Key};
use crate::detect::{DetectError, Kind, detect};
use crate::native;
use crate::server::Engines;
use crate::settings::{ENGINE_VERSION, Settings, cpu_key};
use crate::wrap::{self, WrapError};
use ring::signature::Ed25519KeyPair;
use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use wasmtime::{Engine, Module, component::Component};

/// Larger files are refused: no wasm program comes near it, a mistaken path to a disk image does.
pub const MAX_WASM_BYTES: u64 = 1 << 30;

/// Where wasm comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file: binary or text format.
    File(PathBuf),
    /// Bytes that were read already (standard input, a layer of an image), and a name for messages.
    Bytes { name: String, bytes: Vec<u8> },
}

impl Source {
    pub fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::Bytes { name, .. } => name.clone(),
        }
    }
}

/// Code of either form.
#[derive(Clone)]
pub enum Code {
    Module(Module),
    Component(Component),
}

/// How the code was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obtained {
    /// Mapped from the cache.
    Cached,
    /// From signed native code that came with the wasm.
    Shipped,
    Compiled,
}

/// Code that is ready to be instantiated, and what it took.
pub struct Loaded {
    pub engine: Engine,
    pub code: Code,
    /// The module does its work in the start section: instantiating it is running it.
    pub starts: bool,
    pub obtained: Obtained,
    /// From the source to where compiling, or mapping the artifact, began.
    pub read_time: Duration,
    /// Compiling, or mapping the artifact.
    pub code_time: Duration,
    /// The artifact could not be kept, and why: worth a warning, not a failure.
    pub not_kept: Option<std::io::Error>,
    /// Native code that came with the wasm and was not used, and why, in sentences.
    pub ignored: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{} is a directory", .0.display())]
    Directory(PathBuf),
    #[error("{name} is larger than {} MiB", MAX_WASM_BYTES >> 20)]
    TooLarge { name: String },
    #[error("{name}: {message}")]
    Text { name: String, message: String },
    #[error("{name} is not a WebAssembly program: {error}")]
    NotWasm { name: String, error: DetectError },
    #[error("{name} is a module in the component ABI: {error}")]
    Wrap { name: String, error: WrapError },
    #[error("{name} cannot be compiled: {message}")]
    Compile { name: String, message: String },
    #[error("the engine cannot be set up: {0}")]
    Engine(String),
    #[error("{0} is of WASI 0.3, which is switched off")]
    Wasi03IsOff(String),
}

/// Said while a source is loaded, so that a person can be told why it takes long.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    CompileBegins { bytes: usize },
    CompileEnds,
}

/// In which file native code is shipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shipping {
    /// In the wasm itself: one file, native here and portable elsewhere.
    Inside,
    /// In a file of its own beside the wasm.
    Beside,
}

/// What loading needs besides the source.
pub struct Loader<'a> {
    pub settings: &'a Settings,
    /// `None`: nothing is looked up or kept.
    pub cache: Option<&'a Cache>,
    pub progress: &'a dyn Fn(Progress),
    /// The keys whose native code is executed; asked only where wasm comes with some.
    pub trusted: &'a dyn Fn() -> Vec<PublicKey>,
    /// A server's engines, whose settings these are. `None`: an engine for this code alone.
    pub engines: Option<&'a Engines>,
}

impl Loader<'_> {
    /// Obtains the code of a source. Blocks; compiling uses all processors.
    pub fn load(&self, source: &Source) -> Result<Loaded, LoadError> {
        let begin = Instant::now();

        // 1. The same file as before: map its artifact without reading it.
        let mut file = match source {
            Source::File(path) => Some(open(path)?),
            Source::Bytes { .. } => None,
        };
        if let (Some((_, metadata)), Some(cache)) = (&file, self.cache) {
            // What it needs is not known before it is read, so the artifact is of one of these.
            for concurrent in self.kinds_of_code() {
                if let Some(entry) = cache.lookup_file(metadata, &self.code_key(*concurrent))
                    && let Some(loaded) = self.map(entry, *concurrent, begin)
                {
                    return Ok(loaded);
                }
            }
        }

        // 2. The bytes, and the artifact of their digest.
        let wasm: Cow<'_, [u8]> = match (source, &mut file) {
            (Source::File(path), Some((file, _))) => read(path, file)?.into(),
            (Source::Bytes { bytes, .. }, _) => bytes.into(),
            (Source::File(_), None) => unreachable!("a file source was opened above"),
        };
        let digest = artifact::wasm_digest(&wasm);
        for concurrent in self.kinds_of_code() {
            let key = Key { digest: artifact::hex(&digest), code_key: self.code_key(*concurrent) };
            let entry = self.cache.and_then(|cache| cache.lookup(&key));
            if let Some(mut loaded) = entry.and_then(|entry| self.map(entry, *concurrent, begin)) {
                loaded.not_kept = self.remember(&file, &key).err();
                return Ok(loaded);
            }
        }

        // 3. Signed native code that came with the wasm, else compile; keep the result.
        self.obtain(source, &wasm, &digest, &file, begin)
    }

    /// Whether code may be for an engine with concurrency support, or for one without: a server has both, and
    /// their code is not interchangeable. A program's engine depends on the form of its code alone.
    fn kinds_of_code(&self) -> &'static [bool] {
        match self.engines {
            Some(Engines { concurrent: Some(_), .. }) => &[false, true],
            _ => &[false],
        }
    }

    /// What names artifacts besides the digest.
    fn code_key(&self, concurrent: bool) -> String {
        let mark = if concurrent && self.engines.is_some() { "-concurrent" } else { "" };
        format!("{ENGINE_VERSION}-{}{mark}-{}", self.settings.code_key(), cpu_key())
    }

    fn obtain(
        &self,
        source: &Source,
        wasm: &[u8],
        digest: &artifact::Digest,
        file: &Option<(File, std::fs::Metadata)>,
        begin: Instant,
    ) -> Result<Loaded, LoadError> {
        let name = source.name();
        let (binary, facts, concurrent) = to_binary(&name, wasm)?;
        let key = &Key { digest: artifact::hex(digest), code_key: self.code_key(concurrent) };
        let path = match source {
            Source::File(path) => Some(path.as_path()),
            Source::Bytes { .. } => None,
        };
        let shipped = native::find(wasm, digest, path, self.settings, self.trusted);
        let engine = self.engine(&name, facts.form, concurrent, true)?;
        let read_time = begin.elapsed();
        let code_begin = Instant::now();
        let (code, obtained) =
            match shipped.payload.and_then(|payload| from_payload(&engine, facts.form, payload)) {
                Some(code) => (code, Obtained::Shipped),
                None => (self.compile(&engine, facts.form, &name, &binary)?, Obtained::Compiled),
            };
        let code_time = code_begin.elapsed();
        let kept = self.keep(key, facts, &code).and_then(|()| self.remember(file, key));
        let loaded = Loaded {
            engine,
            code,
            starts: facts.starts,
            obtained,
            read_time,
            code_time,
            not_kept: kept.err(),
            ignored: shipped.ignored,
        };
        // A program's process has mostly ended when it would gain by it.
        if self.engines.is_none() {
            return Ok(loaded);
        }
        Ok(self.light(loaded, key, concurrent, begin))
    }

    /// For a server: what was compiled is in this process's own memory, and so is what the compiler used. An artifact that
    /// is mapped is shared with others, and goes where memory is short.
    fn light(&self, mut loaded: Loaded, key: &Key, concurrent: bool, begin: Instant) -> Loaded {
        let entry = self.cache.filter(|_| loaded.not_kept.is_none()).and_then(|cache| cache.lookup(key));
        if let Some(mapped) = entry.and_then(|entry| self.map(entry, concurrent, begin)) {
            (loaded.engine, loaded.code) = (mapped.engine, mapped.code);
            give_back();
        }
        loaded
    }

    fn compile(&self, engine: &Engine, form: Form, name: &str, binary: &[u8]) -> Result<Code, LoadError> {
        (self.progress)(Progress::CompileBegins { bytes: binary.len() });
        let code = match form {
            Form::Module => Module::from_binary(engine, binary).map(Code::Module),
            Form::Component => Component::from_binary(engine, binary).map(Code::Component),
        };
        (self.progress)(Progress::CompileEnds);
        code.map_err(|error| LoadError::Compile { name: name.to_owned(), message: format!("{error:#}") })
    }

    /// Compiles for the settings' target, and signs: a file with native code inside, see [`Shipping`].
    pub fn ship(
        &self,
        source: &Source,
        shipping: Shipping,
        key: &Ed25519KeyPair,
    ) -> Result<Vec<u8>, LoadError> {
        let name = source.name();
        let wasm: Cow<'_, [u8]> = match source {
            Source::File(path) => read(path, &mut open(path)?.0)?.into(),
            Source::Bytes { bytes, .. } => bytes.into(),
        };
        let (binary, Facts { form, .. }, concurrent) = to_binary(&name, &wasm)?;
        let engine = self.engine(&name, form, concurrent, true)?;
        (self.progress)(Progress::CompileBegins { bytes: binary.len() });
        let code = match form {
            Form::Module => engine.precompile_module(&binary),
            Form::Component => engine.precompile_component(&binary),
        };
        (self.progress)(Progress::CompileEnds);
        let failed = |message| LoadError::Compile { name: name.clone(), message };
        let payload = code.map_err(|error| failed(format!("{error:#}")))?;
        let (profile, settings) = native::labels(self.settings);
        let target = self.settings.target.clone().unwrap_or_else(native::host_target);
        let native = artifact::Native {
            target: &target,
            profile,
            settings,
            engine: ENGINE_VERSION,
            payload: &payload,
        };
        let shipped = match shipping {
            Shipping::Inside => artifact::append(&binary, &native, key),
            // Of the file as it lies, which is what loading will hash.
            Shipping::Beside => {
                artifact::append_to(artifact::EMPTY_MODULE, &artifact::wasm_digest(&wasm), &native, key)
            }
        };
        shipped.map_err(|error| failed(error.to_string()))
    }

    fn engine(&self, name: &str, form: Form, concurrent: bool, compiler: bool) -> Result<Engine, LoadError> {
        if let Some(engines) = self.engines {
            return match &engines.concurrent {
                Some(engine) if concurrent => Ok(engine.clone()),
                None if concurrent => Err(LoadError::Wasi03IsOff(name.to_owned())),
                _ => Ok(engines.plain.clone()),
            };
        }
        // Components may be of WASI 0.3, which runs tasks concurrently; modules never need it.
        let config = self.settings.config(form == Form::Component);
        let config = config.map(|mut config| {
            config.enable_compiler(compiler);
            config
        });
        config
            .and_then(|config| Engine::new(&config))
            .map_err(|error| LoadError::Engine(format!("{error:#}")))
    }

    /// Maps an artifact. One that Wasmtime refuses (another build, another processor) is as if absent.
    fn map(&self, entry: Entry, concurrent: bool, begin: Instant) -> Option<Loaded> {
        let engine = self.engine("", entry.facts.form, concurrent, false).ok()?;
        let read_time = begin.elapsed();
        let map_begin = Instant::now();
        let code = match entry.facts.form {
            // SAFETY: the cache hands out only files that this user alone can write, checked on this very
            // descriptor, and writes them only from compiled or verified code.
            Form::Module => Code::Module(unsafe { Module::deserialize_open_file(&engine, entry.file) }.ok()?),
            Form::Component => Code::Component(map_component(&engine, &entry.file)?),
        };
        let code_time = map_begin.elapsed();
        let (starts, obtained) = (entry.facts.starts, Obtained::Cached);
        Some(Loaded {
            engine,
            code,
            starts,
            obtained,
            read_time,
            code_time,
            not_kept: None,
            ignored: Vec::new(),
        })
    }

    fn keep(&self, key: &Key, facts: Facts, code: &Code) -> std::io::Result<()> {
        let Some(cache) = self.cache else { return Ok(()) };
        let bytes = match code {
            Code::Module(module) => module.serialize(),
            Code::Component(component) => component.serialize(),
        };
        cache.insert(key, facts, &bytes.map_err(std::io::Error::other)?)
    }

    fn remember(&self, file: &Option<(File, std::fs::Metadata)>, key: &Key) -> std::io::Result<()> {
        match (self.cache, file) {
            (Some(cache), Some((_, metadata))) => cache.remember_file(metadata, key),
            _ => Ok(()),
        }
    }
}

/// Wasmtime maps components by path only, so the open descriptor is named through `/proc`: the file that
/// was checked is the file that is mapped.
fn map_component(engine: &Engine, file: &File) -> Option<Component> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: as for modules in `map`; where `/proc` is not mounted this fails and the code is read instead.
    if let Ok(component) = unsafe { Component::deserialize_file(engine, path) } {
        return Some(component);
    }
    let mut bytes = Vec::new();
    (&mut &*file).read_to_end(&mut bytes).ok()?;
    // SAFETY: as above.
    unsafe { Component::deserialize(engine, bytes) }.ok()
}

fn open(path: &Path) -> Result<(File, std::fs::Metadata), LoadError> {
    let failed = |error| LoadError::Read { path: path.to_owned(), error };
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if metadata.is_dir() {
        return Err(LoadError::Directory(path.to_owned()));
    }
    Ok((file, metadata))
}

fn read(path: &Path, file: &mut File) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let read = file.take(MAX_WASM_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| LoadError::Read { path: path.to_owned(), error })?;
    if bytes.len() as u64 > MAX_WASM_BYTES {
        return Err(LoadError::TooLarge { name: path.display().to_string() });
    }
    Ok(bytes)
}

/// Converts the text format, wraps what is to be wrapped, and says what the wasm is, and whether it needs
/// concurrency support.
fn to_binary<'a>(name: &str, bytes: &'a [u8]) -> Result<(Cow<'a, [u8]>, Facts, bool), LoadError> {
    let wasm = match detect(bytes) {
        Err(DetectError::TextFormat) => wat::parse_bytes(bytes)
            .map_err(|error| LoadError::Text { name: name.to_owned(), message: error.to_string() })?,
        _ => bytes.into(),
    };
    let kind = detect(&wasm).map_err(|error| LoadError::NotWasm { name: name.to_owned(), error })?;
    let form = if kind.becomes_component() { Form::Component } else { Form::Module };
    let wasm =
        wrap::to_component(&kind, wasm).map_err(|error| LoadError::Wrap { name: name.to_owned(), error })?;
    let concurrent = needs_concurrency(&kind);
    Ok((wasm, Facts { form, starts: matches!(kind, Kind::StartOnly(_)) }, concurrent))
}

/// WASI 0.3, its release candidates included, runs several tasks in one instance.
fn needs_concurrency(kind: &Kind) -> bool {
    match kind {
        Kind::CliComponent(world) | Kind::HttpComponent(world) | Kind::HttpMiddleware(world) => {
            world.needs_0_3
        }
        Kind::Component { needs_0_3, .. } => *needs_0_3,
        Kind::PreReleaseComponent { export } => export.contains("@0.3."),
        _ => false,
    }
}

/// Code that Wasmtime refuses (of another build, for processor features that are missing) is as if absent.
fn from_payload(engine: &Engine, form: Form, payload: Vec<u8>) -> Option<Code> {
    match form {
        // SAFETY: the payload is signed by a key that the user trusts with native code.
        Form::Module => unsafe { Module::deserialize(engine, payload) }.ok().map(Code::Module),
        // SAFETY: as above.
        Form::Component => unsafe { Component::deserialize(engine, payload) }.ok().map(Code::Component),
    }
}
/// Hands memory that was freed back to the system.
fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it touches nothing but memory that nobody owns.
    unsafe {
        libc::malloc_trim(0);
    }
}
