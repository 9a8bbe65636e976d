//! COPY and ADD: which files, from where, under which names, and whose they are then.

use super::context::{Content, Entry, Found, Source};
use super::ignore::{Ignore, clean};
use super::instruction::{Copy, Word};
use super::stage::{Build, Stage};
use super::words::expand_document;
use super::{BuildError, parse::Heredoc};
use crate::ImageError;
use crate::compression::{Compression, detect, plain};
use crate::rootfs::tree::TreeError;
use crate::rootfs::unpack::{Budget, UnpackError, unpack};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Of archives that Docker would unpack and that nobody here can.
const OTHER_ARCHIVES: [(&[u8], &str); 2] = [(b"BZh", "bzip2"), (&[0xfd, b'7', b'z', b'X', b'Z'], "xz")];
/// Where the magic of an archive is (POSIX, ustar), and its bytes.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");
/// The largest `/etc/passwd` that is read.
const PASSWD_MAX_BYTES: u64 = 1 << 20;

/// Rights and owner that the step sets.
#[derive(Clone, Copy, Default)]
struct Owner {
    user: u32,
    group: u32,
    mode: Option<u32>,
}

impl Build<'_> {
    /// What a step puts into the image.
    pub fn copy(&self, stage: &Stage, at: usize, copy: &Copy) -> Result<Vec<Entry>, BuildError> {
        let root = self.root(stage, at, copy)?;
        let source = Source {
            root: root.as_deref().unwrap_or(self.context),
            ignore: root.is_none().then_some(&self.ignore),
            entries_max: usize::try_from(self.images.limits.entries_max).unwrap_or(usize::MAX),
        };
        let owner = self.owner(stage, copy)?;
        let to = self.value(stage, &copy.to)?;
        let place = self.below_workdir(stage, &to);
        let place = stage.files.resolve(&place).map_err(|what| self.wrong(what, "", &copy.to))?;
        let is_folder =
            to.ends_with('/') || matches!(clean_last(&to), "." | "..") || stage.files.is_folder(&place);

        let mut all: Vec<(&Word, Found)> = Vec::new();
        for word in &copy.sources {
            let pattern = self.value(stage, word)?;
            let found =
                source.find(&pattern).map_err(|what| self.wrong(format!("{pattern}: {what}"), "", word))?;
            if found.is_empty() {
                return Err(self.missing(&pattern, word, root.is_none().then_some(&self.ignore)));
            }
            all.extend(found.into_iter().map(|one| (word, one)));
        }
        if all.len() + copy.documents.len() > 1 && !is_folder {
            let what = "with several sources, the destination must be a folder".to_owned();
            return Err(self.wrong(what, "end it with a slash", &copy.to));
        }
        let mut entries = Vec::new();
        for (word, found) in &all {
            let failed = |what: String| self.wrong(what, "", word);
            if found.is_folder {
                // One that is there keeps its rights.
                if !stage.files.is_folder(&place) {
                    entries.push(folder_entry(&place));
                }
                source.folder(found, &place, &mut entries).map_err(failed)?;
                continue;
            }
            if copy.is_add && self.archive(&found.path, &place, word, &mut entries)? {
                continue;
            }
            let base = found.name.rsplit('/').next().unwrap_or_default();
            let path = if is_folder { join(&place, base) } else { place.clone() };
            entries.extend(source.entry(&found.path, path).map_err(failed)?);
        }
        for document in &copy.documents {
            entries.push(self.document(stage, document, &place, is_folder, &copy.to)?);
        }
        for entry in entries.iter_mut() {
            entry.user = owner.user;
            entry.group = owner.group;
            if !matches!(entry.content, Content::Link(_)) {
                entry.mode = owner.mode.unwrap_or(entry.mode);
            }
        }
        Ok(entries)
    }

    /// The files of another stage or image; `None`: those of the context.
    fn root(&self, stage: &Stage, at: usize, copy: &Copy) -> Result<Option<PathBuf>, BuildError> {
        let Some(from) = &copy.from else { return Ok(None) };
        let name = Word { text: self.value(stage, from)?, span: from.span.clone() };
        let number = name.text.parse().ok().filter(|number| *number < at);
        if let Some(other) = self.plan.stage(&name.text, at).or(number) {
            let Some(other) = self.done.get(&other) else {
                let help = "write the stage's name as it stands, without a variable";
                return Err(self.wrong(format!("stage {} is not built", name.text), help, from));
            };
            return Ok(Some(self.root_of(other)?));
        }
        let image = self.image(&name, None)?;
        Ok(Some(self.images.rootfs(&image)?))
    }

    fn missing(&self, pattern: &str, word: &Word, ignore: Option<&Ignore>) -> BuildError {
        let name = clean(pattern);
        match ignore {
            Some(ignore) if ignore.hides(&name) => {
                let what = format!("{pattern} is hidden by .dockerignore");
                self.wrong(what, "take it out there, or leave it out here", word)
            }
            Some(_) => {
                let what = format!("{pattern} is not in the build context {}", self.context.display());
                self.wrong(what, "names are looked up in the folder that the build is given", word)
            }
            None => self.wrong(format!("{pattern} is not in that image"), "correct the name", word),
        }
    }

    fn owner(&self, stage: &Stage, copy: &Copy) -> Result<Owner, BuildError> {
        let mut owner = Owner::default();
        if let Some(word) = &copy.chmod {
            let text = self.value(stage, word)?;
            let mode =
                u32::from_str_radix(text.trim_start_matches("0o"), 8).ok().filter(|mode| *mode <= 0o7777);
            let help = "write it in octal, such as 0644";
            owner.mode = Some(mode.ok_or_else(|| self.wrong(format!("{text:?} is no mode"), help, word))?);
        }
        if let Some(word) = &copy.chown {
            let text = self.value(stage, word)?;
            let (user, group) =
                text.split_once(':').map_or((text.as_str(), None), |(user, group)| (user, Some(group)));
            owner.user = self.id(stage, "etc/passwd", user, word)?;
            // As `chown USER` does in Docker: the group has the user's number.
            owner.group = match group {
                Some(group) => self.id(stage, "etc/group", group, word)?,
                None => owner.user,
            };
        }
        Ok(owner)
    }

    /// A number, or that of a name in the image (`NAME:…:NUMBER:…`).
    fn id(&self, stage: &Stage, table: &str, name: &str, word: &Word) -> Result<u32, BuildError> {
        if let Ok(id) = name.parse() {
            return Ok(id);
        }
        let mut text = String::new();
        if !stage.layers.is_empty()
            && let Ok(file) = fs::File::open(self.root_of(stage)?.join(table))
        {
            // One that cannot be read has nobody in it.
            let _ = file.take(PASSWD_MAX_BYTES).read_to_string(&mut text);
        }
        let mut lines = text.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let id = lines.find(|line| line.first() == Some(&name)).and_then(|line| line.get(2)?.parse().ok());
        let what = || format!("the image has no {name:?} in /{table}");
        id.ok_or_else(|| self.wrong(what(), "write its number", word))
    }

    fn document(
        &self,
        stage: &Stage,
        document: &Heredoc,
        place: &str,
        is_folder: bool,
        to: &Word,
    ) -> Result<Entry, BuildError> {
        let mut content = document.content.clone();
        if document.expand {
            let expanded = expand_document(&content, &stage.clone_variables(), self.plan.escape);
            content =
                expanded.map_err(|what| self.wrong(what, "quote its name, and $ means a dollar", to))?;
        }
        let name = document.name.trim_start_matches("<<").trim_start_matches('-').trim_matches(['"', '\'']);
        let path = if is_folder { join(place, name) } else { place.to_owned() };
        Ok(Entry { path, content: Content::Bytes(content.into_bytes()), mode: 0o644, user: 0, group: 0 })
    }

    /// Unpacks what is an archive; whether it was one.
    fn archive(
        &self,
        path: &Path,
        place: &str,
        word: &Word,
        entries: &mut Vec<Entry>,
    ) -> Result<bool, BuildError> {
        let failed = |what: String| self.wrong(format!("{}: {what}", path.display()), "", word);
        let open = || fs::File::open(path).map_err(|error| failed(error.to_string()));
        let mut first = Vec::new();
        open()?.take(6).read_to_end(&mut first).map_err(|error| failed(error.to_string()))?;
        if let Some((_, kind)) = OTHER_ARCHIVES.iter().find(|(magic, _)| first.starts_with(magic)) {
            let help = "pack it with gzip or zstd, or COPY it as it is";
            return Err(self.wrong(
                format!("{} is packed with {kind}, which is not read here", path.display()),
                help,
                word,
            ));
        }
        let is_packed = detect(&first) != Compression::None;
        let mut head = Vec::new();
        let read = plain(open()?).and_then(|plain| plain.take(512).read_to_end(&mut head));
        let is_tar = head.get(TAR_MAGIC.0..).is_some_and(|rest| rest.starts_with(TAR_MAGIC.1));
        match read {
            // Packed, but no archive: as Docker does, it is a file.
            Err(_) if is_packed => return Ok(false),
            Err(error) => return Err(failed(error.to_string())),
            Ok(_) if !is_tar => return Ok(false),
            Ok(_) => {}
        }
        let contexts = self.images.layout.folder("contexts")?;
        let unpacked = tempfile::tempdir_in(contexts).map_err(|error| failed(error.to_string()))?;
        let folder = unpacked.path().to_owned();
        // It must live until its layer is made.
        self.unpacked.borrow_mut().push(unpacked);
        let mut budget =
            Budget { bytes: self.images.limits.bytes_max, entries: self.images.limits.entries_max };
        let archive = plain(open()?).map_err(|error| failed(error.to_string()))?;
        unpack(archive, &folder, &mut budget).map_err(|error| match error {
            UnpackError::Tree(TreeError::Io { error, .. }) => ImageError::io(&folder, error).into(),
            other => {
                let help = "COPY takes it as it is; do not unpack it, unless you know who made it and why";
                self.wrong(format!("{}: {other}", path.display()), help, word)
            }
        })?;
        let source = Source {
            root: &folder,
            ignore: None,
            entries_max: usize::try_from(self.images.limits.entries_max).unwrap_or(usize::MAX),
        };
        let found = Found { name: String::new(), path: folder.clone(), is_folder: true };
        source.folder(&found, place, entries).map_err(failed)?;
        Ok(true)
    }
}

fn folder_entry(path: &str) -> Entry {
    Entry { path: path.to_owned(), content: Content::Folder, mode: 0o755, user: 0, group: 0 }
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn clean_last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
