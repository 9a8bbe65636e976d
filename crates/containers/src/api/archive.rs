//! Files into a container and out of it (`docker cp`, `docker export`), as they come and go.

use super::answer::{Answered, Failure, Writer, json, status, streamed};
use super::call::{Asked, Call, Upload, outside};
use crate::{Container, Error, PathStat};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use http::header::{HeaderName, HeaderValue};
use http::{Response, StatusCode};
use rustix::fs::FileType;
use serde_json::json;
use std::io::{Read, Write};
use std::sync::Arc;

const STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");
const TAR: &str = "application/x-tar";

/// A file's mode in Go's bits (`io/fs`, `FileMode`).
fn go_mode(mode: u32) -> u32 {
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => 1 << 31,
        FileType::Symlink => 1 << 27,
        FileType::BlockDevice => 1 << 26,
        FileType::CharacterDevice => 1 << 26 | 1 << 21,
        FileType::Fifo => 1 << 25,
        FileType::Socket => 1 << 24,
        _ => 0,
    };
    let special = [(0o4000, 1 << 23), (0o2000, 1 << 22), (0o1000, 1 << 20)];
    let special = special.into_iter().filter(|(bit, _)| mode & bit != 0).map(|(_, bit)| bit);
    kind | special.sum::<u32>() | mode & 0o777
}

fn with_stat<T>(response: &mut Response<T>, stat: &PathStat) -> Result<(), Failure> {
    let text = json!({
        "name": stat.name, "size": stat.size, "mode": go_mode(stat.mode),
        "mtime": super::inspect::time(DateTime::from_timestamp(stat.modified_seconds, 0)),
        "linkTarget": stat.link_target,
    });
    let value = HeaderValue::from_str(&STANDARD.encode(text.to_string()));
    response.headers_mut().insert(STAT, value.map_err(|error| Failure::internal(error.to_string()))?);
    Ok(())
}

fn path(query: &super::call::Query) -> Result<String, Failure> {
    query
        .get("path")
        .map(str::to_owned)
        .ok_or_else(|| Failure::bad("missing parameter: 'path' cannot be empty"))
}

pub fn stat(asked: &Asked, container: &Container) -> Answered {
    let stat = container.stat(&path(&asked.query)?)?;
    let mut response = status(StatusCode::OK)?;
    with_stat(&mut response, &stat)?;
    Ok(response)
}

/// Sends an archive that is made while it is read.
async fn send(
    call: Call,
    name: &str,
    path: String,
    archive: impl FnOnce(&Container, &str, &mut Writer) -> Result<(), Error> + Send + 'static,
) -> Answered {
    let (api, name) = (Arc::clone(&call.api), name.to_owned());
    let (container, path, stat) = outside(move || {
        let container = api.containers.find(&name)?;
        let stat = container.stat(&path)?;
        Ok((container, path, stat))
    })
    .await?;
    let (out, mut response) = streamed(TAR);
    with_stat(&mut response, &stat)?;
    tokio::task::spawn_blocking(move || {
        let mut writer = Writer::new(out.clone());
        let written = archive(&container, &path, &mut writer);
        match written.map(|()| writer.flush()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => out.fail_blocking(error),
            Err(error) => out.fail_blocking(error),
        }
    });
    Ok(response)
}

pub async fn get(call: Call, name: &str) -> Answered {
    let path = path(&call.query)?;
    send(call, name, path, |container, path, out| container.copy_out(path, out)).await
}

pub async fn export(call: Call, name: &str) -> Answered {
    send(call, name, "/".to_owned(), |container, path, out| container.copy_out(path, out)).await
}

pub async fn put(call: Call, name: &str) -> Answered {
    let (path, name) = (path(&call.query)?, name.to_owned());
    let api = call.api;
    let mut upload = Upload::of(call.request.into_body());
    outside(move || {
        let container = api.containers.find(&name)?;
        container.copy_in(&path, &mut upload).map_err(|error| match error {
            Error::Invalid(what) if what.ends_with("read-only") => Failure::new(StatusCode::FORBIDDEN, what),
            Error::File { error, .. } if error.kind() == std::io::ErrorKind::NotADirectory => {
                Failure::bad(format!("extraction point is not a directory: {path}"))
            }
            other => other.into(),
        })?;
        // What follows an archive's end is padding; it is read so that the connection can go on.
        std::io::copy(&mut upload.by_ref().take(PADDING_MAX_BYTES), &mut std::io::sink())
            .map_err(|error| Failure::bad(error.to_string()))?;
        Ok(())
    })
    .await?;
    status(StatusCode::OK)
}

const PADDING_MAX_BYTES: u64 = 1 << 20;

/// What a container changed of its image's files is not known.
pub fn changes(_asked: &Asked, _container: &Container) -> Answered {
    json(&json!([]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_in_go() {
        for (mode, go) in [
            (0o100_644, 0o644),
            (0o040_755, 1 << 31 | 0o755),
            (0o120_777, 1 << 27 | 0o777),
            (0o104_755, 1 << 23 | 0o755),
            (0o041_777, 1 << 31 | 1 << 20 | 0o777),
        ] {
            assert_eq!(go_mode(mode), go, "{mode:o}");
        }
    }
}
