//! What happens to containers, as lines in a file that every process appends to and everybody may follow.

use crate::Error;
use crate::follow::Watch;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

/// The file is begun anew after this many bytes; the one before is kept.
const FILE_MAX_BYTES: u64 = 4 << 20;

/// One thing that happened, with Docker's words.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub time: DateTime<Utc>,
    /// `container`, `image`, `volume`.
    pub kind: String,
    /// `create`, `start`, `die`, `stop`, `kill`, `pause`, …
    pub action: String,
    pub id: String,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct Events {
    path: PathBuf,
}

impl Events {
    pub(crate) fn at(path: PathBuf) -> Self {
        Events { path }
    }

    /// Writes an event down. That it fails (a full disk) does not stop what it tells of.
    pub fn tell(&self, kind: &str, action: &str, id: &str, attributes: BTreeMap<String, String>) {
        let (kind, action, id) = (kind.to_owned(), action.to_owned(), id.to_owned());
        let event = Event { time: Utc::now(), kind, action, id, attributes };
        let _ = self.append(&event);
    }

    fn append(&self, event: &Event) -> std::io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > FILE_MAX_BYTES) {
            fs::rename(&self.path, self.path.with_extension("json.1"))?;
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        // One write of a short line to a file that is open for appending is whole.
        File::options().create(true).append(true).open(&self.path)?.write_all(&line)
    }

    /// What happened between two times, in order, and what happens from now on if `until` is not given. Ends when
    /// `to` returns false.
    ///
    /// # Errors
    /// If the file cannot be read or watched.
    pub fn read(
        &self,
        since: Option<DateTime<Utc>>,
        until: Option<DateTime<Utc>>,
        to: &mut dyn FnMut(Event) -> bool,
    ) -> Result<(), Error> {
        let begin = Utc::now();
        let since = since.unwrap_or(begin);
        let older = self.path.with_extension("json.1");
        let mut take = |line: &str| {
            let Ok(event) = serde_json::from_str::<Event>(line) else { return true };
            let fits = event.time >= since && until.is_none_or(|until| event.time <= until);
            !fits || to(event)
        };
        if let Ok(file) = File::open(&older) {
            for line in BufReader::new(file).lines().map_while(Result::ok) {
                if !take(&line) {
                    return Ok(());
                }
            }
        }
        // It must be there to be watched.
        File::options().create(true).append(true).open(&self.path).map_err(Error::file(&self.path))?;
        let mut watch = Watch::new(&self.path)?;
        loop {
            while let Some(line) = watch.line()? {
                if !take(&line) {
                    return Ok(());
                }
            }
            if until.is_some_and(|until| until <= Utc::now()) || !watch.wait(until)? {
                return Ok(());
            }
        }
    }
}
