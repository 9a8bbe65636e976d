//! wasi:filesystem 0.2: the calls that differ from wasmtime-wasi's.

use super::{Place, find, is_directory, list_preopens};
use crate::Host;
use crate::link_component::WASI_0_2;
use wasmtime::component::{Linker, LinkerInstance, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, HostDescriptor, NewTimestamp, OpenFlags, PathFlags,
};

/// What a function of WASI returns: a result for the guest.
pub(crate) type ToGuest<T> = Result<(Result<T, ErrorCode>,)>;

type Dir = Resource<Descriptor>;

/// Defines `wasi:filesystem/preopens`, all of it.
pub(crate) fn define_preopens(linker: &mut Linker<Host>) -> Result<()> {
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{WASI_0_2}"))?;
    preopens.func_wrap("get-directories", |mut store: StoreContextMut<'_, Host>, (): ()| {
        Ok((list_preopens(store.data_mut())?,))
    })
}

/// Replaces calls of `wasi:filesystem/types`, which is already defined.
pub(crate) fn replace_types(linker: &mut Linker<Host>) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{WASI_0_2}"))?;
    replace_lookups(&mut types)?;
    replace_changes_of_one(&mut types)?;
    replace_changes_of_two(&mut types)
}

/// Opening, and reading and changing metadata: follow to the mounted file.
fn replace_lookups(types: &mut LinkerInstance<'_, Host>) -> Result<()> {
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: StoreContextMut<'_, Host>,
         (dir, follow, path, open, flags): (Dir, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::new(async move { open_at(store.data_mut(), dir, follow, path, open, flags).await })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.stat-at",
        |mut store: StoreContextMut<'_, Host>, (dir, follow, path): (Dir, PathFlags, String)| {
            Box::new(async move {
                let host = store.data_mut();
                let (dir, follow, path) = redirect(host, dir, follow, path)?;
                to_guest(HostDescriptor::stat_at(&mut host.filesystem(), dir, follow, path).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.metadata-hash-at",
        |mut store: StoreContextMut<'_, Host>, (dir, follow, path): (Dir, PathFlags, String)| {
            Box::new(async move {
                let host = store.data_mut();
                let (dir, follow, path) = redirect(host, dir, follow, path)?;
                to_guest(HostDescriptor::metadata_hash_at(&mut host.filesystem(), dir, follow, path).await)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.set-times-at",
        |mut store: StoreContextMut<'_, Host>,
         (dir, follow, path, accessed, modified): (Dir, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::new(async move {
                let host = store.data_mut();
                let (dir, follow, real) = redirect(host, dir, follow, path.clone())?;
                let mut fs = host.filesystem();
                let done = HostDescriptor::set_times_at(&mut fs, dir, follow, real, accessed, modified).await;
                changed(host, &path, done)
            })
        },
    )
}

pub(crate) async fn open_at(
    host: &mut Host,
    dir: Dir,
    follow: PathFlags,
    path: String,
    open: OpenFlags,
    flags: DescriptorFlags,
) -> ToGuest<Dir> {
    match find(host, &dir, &path)? {
        Place::AsSaid => {
            let mut fs = host.filesystem();
            let opened = HostDescriptor::open_at(&mut fs, dir, follow, path.clone(), open, flags).await;
            changed(host, &path, opened)
        }
        Place::MountedFile { directory, name } => {
            let mut fs = host.filesystem();
            let follow = PathFlags::empty();
            let opened = HostDescriptor::open_at(&mut fs, directory, follow, name, open, flags).await;
            let (opened,) = changed(host, &path, opened)?;
            let Ok(file) = opened else { return Ok((opened,)) };
            if is_directory(host, &file)? {
                return Ok((Err(ErrorCode::IsDirectory),));
            }
            Ok((Ok(file),))
        }
    }
}

/// What changes one name: a mounted file is like a mount point, which systems keep ("busy").
#[derive(Clone, Copy)]
enum Change {
    CreateDirectory,
    RemoveDirectory,
    UnlinkFile,
}

fn replace_changes_of_one(types: &mut LinkerInstance<'_, Host>) -> Result<()> {
    for (name, change) in [
        ("[method]descriptor.create-directory-at", Change::CreateDirectory),
        ("[method]descriptor.remove-directory-at", Change::RemoveDirectory),
        ("[method]descriptor.unlink-file-at", Change::UnlinkFile),
    ] {
        types.func_wrap_async(
            name,
            move |mut store: StoreContextMut<'_, Host>, (dir, path): (Dir, String)| {
                Box::new(async move {
                    let host = store.data_mut();
                    if is_mounted_file(host, &dir, &path)? {
                        return Ok((Err(ErrorCode::Busy),));
                    }
                    let mut fs = host.filesystem();
                    let name = path.clone();
                    let done = match change {
                        Change::CreateDirectory => {
                            HostDescriptor::create_directory_at(&mut fs, dir, name).await
                        }
                        Change::RemoveDirectory => {
                            HostDescriptor::remove_directory_at(&mut fs, dir, name).await
                        }
                        Change::UnlinkFile => HostDescriptor::unlink_file_at(&mut fs, dir, name).await,
                    };
                    changed(host, &path, done)
                })
            },
        )?;
    }
    Ok(())
}

fn replace_changes_of_two(types: &mut LinkerInstance<'_, Host>) -> Result<()> {
    types.func_wrap_async(
        "[method]descriptor.symlink-at",
        |mut store: StoreContextMut<'_, Host>, (dir, target, path): (Dir, String, String)| {
            Box::new(async move {
                let host = store.data_mut();
                if is_mounted_file(host, &dir, &path)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let mut fs = host.filesystem();
                let done = HostDescriptor::symlink_at(&mut fs, dir, target, path.clone()).await;
                changed(host, &path, done)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.rename-at",
        |mut store: StoreContextMut<'_, Host>, (old_dir, old, new_dir, new): (Dir, String, Dir, String)| {
            Box::new(async move {
                let host = store.data_mut();
                if is_mounted_file(host, &old_dir, &old)? || is_mounted_file(host, &new_dir, &new)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let mut fs = host.filesystem();
                let done = HostDescriptor::rename_at(&mut fs, old_dir, old, new_dir, new.clone()).await;
                changed(host, &new, done)
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.link-at",
        |mut store: StoreContextMut<'_, Host>,
         (old_dir, follow, old, new_dir, new): (Dir, PathFlags, String, Dir, String)| {
            Box::new(async move {
                let host = store.data_mut();
                if is_mounted_file(host, &old_dir, &old)? || is_mounted_file(host, &new_dir, &new)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let mut fs = host.filesystem();
                let done = HostDescriptor::link_at(&mut fs, old_dir, follow, old, new_dir, new.clone()).await;
                changed(host, &new, done)
            })
        },
    )
}

fn is_mounted_file(host: &mut Host, dir: &Dir, path: &str) -> Result<bool> {
    Ok(matches!(find(host, dir, path)?, Place::MountedFile { .. }))
}

fn redirect(host: &mut Host, dir: Dir, follow: PathFlags, path: String) -> Result<(Dir, PathFlags, String)> {
    Ok(match find(host, &dir, &path)? {
        Place::AsSaid => (dir, follow, path),
        Place::MountedFile { directory, name } => (directory, PathFlags::empty(), name),
    })
}

/// The result of a call that may have been refused because the mount is read-only.
fn changed<T>(host: &Host, path: &str, result: FsResult<T>) -> ToGuest<T> {
    let (result,) = to_guest(result)?;
    if let Err(ErrorCode::NotPermitted) = result {
        host.files.explain_read_only(Some(path));
    }
    Ok((result,))
}

fn to_guest<T>(result: FsResult<T>) -> ToGuest<T> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(error.downcast()?),
    },))
}
