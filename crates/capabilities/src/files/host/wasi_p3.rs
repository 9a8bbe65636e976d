//! wasi:filesystem 0.3: the calls that differ from wasmtime-wasi's.

use super::{Place, find, is_directory, list_preopens};
use crate::Host;
use crate::link_component::WASI_0_3;
use wasmtime::component::{Accessor, Linker, LinkerInstance, Resource};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p3::bindings::filesystem::types::{
    DescriptorFlags, ErrorCode, HostDescriptorWithStore, NewTimestamp, OpenFlags, PathFlags,
};
use wasmtime_wasi::p3::filesystem::FilesystemResult;

/// What a function of WASI returns: a result for the guest.
type ToGuest<T> = Result<(Result<T, ErrorCode>,)>;

type Dir = Resource<Descriptor>;

/// Defines `wasi:filesystem/preopens`, all of it.
pub(crate) fn define_preopens(linker: &mut Linker<Host>) -> Result<()> {
    let mut preopens = linker.instance(&format!("wasi:filesystem/preopens@{WASI_0_3}"))?;
    preopens.func_wrap("get-directories", |mut store: StoreContextMut<'_, Host>, (): ()| {
        Ok((list_preopens(store.data_mut())?,))
    })
}

/// Replaces calls of `wasi:filesystem/types`, which is already defined.
pub(crate) fn replace_types(linker: &mut Linker<Host>) -> Result<()> {
    let mut types = linker.instance(&format!("wasi:filesystem/types@{WASI_0_3}"))?;
    replace_lookups(&mut types)?;
    replace_changes_of_one(&mut types)?;
    replace_changes_of_two(&mut types)
}

/// Opening, and reading and changing metadata: follow to the mounted file.
fn replace_lookups(types: &mut LinkerInstance<'_, Host>) -> Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |store: &Accessor<Host>,
         (dir, follow, path, open, flags): (Dir, PathFlags, String, OpenFlags, DescriptorFlags)| {
            Box::pin(open_at(store, dir, follow, path, open, flags))
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.stat-at",
        |store: &Accessor<Host>, (dir, follow, path): (Dir, PathFlags, String)| {
            Box::pin(async move {
                let (dir, follow, path) = redirect(store, dir, follow, path)?;
                to_guest(WasiFilesystem::stat_at(&filesystem(store), dir, follow, path).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.metadata-hash-at",
        |store: &Accessor<Host>, (dir, follow, path): (Dir, PathFlags, String)| {
            Box::pin(async move {
                let (dir, follow, path) = redirect(store, dir, follow, path)?;
                to_guest(WasiFilesystem::metadata_hash_at(&filesystem(store), dir, follow, path).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.set-times-at",
        |store: &Accessor<Host>,
         (dir, follow, path, accessed, modified): (Dir, PathFlags, String, NewTimestamp, NewTimestamp)| {
            Box::pin(async move {
                let (dir, follow, real) = redirect(store, dir, follow, path.clone())?;
                let fs = filesystem(store);
                let done = WasiFilesystem::set_times_at(&fs, dir, follow, real, accessed, modified).await;
                changed(store, &path, done)
            })
        },
    )
}

async fn open_at(
    store: &Accessor<Host>,
    dir: Dir,
    follow: PathFlags,
    path: String,
    open: OpenFlags,
    flags: DescriptorFlags,
) -> ToGuest<Dir> {
    let place = store.with(|mut store| find(store.get(), &dir, &path))?;
    let fs = filesystem(store);
    match place {
        Place::AsSaid => {
            let opened = WasiFilesystem::open_at(&fs, dir, follow, path.clone(), open, flags).await;
            changed(store, &path, opened)
        }
        Place::MountedFile { directory, name } => {
            let follow = PathFlags::empty();
            let opened = WasiFilesystem::open_at(&fs, directory, follow, name, open, flags).await;
            let (opened,) = changed(store, &path, opened)?;
            let Ok(file) = opened else { return Ok((opened,)) };
            if store.with(|mut store| is_directory(store.get(), &file))? {
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
        types.func_wrap_concurrent(name, move |store: &Accessor<Host>, (dir, path): (Dir, String)| {
            Box::pin(async move {
                if is_mounted_file(store, &dir, &path)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let fs = filesystem(store);
                let name = path.clone();
                let done = match change {
                    Change::CreateDirectory => WasiFilesystem::create_directory_at(&fs, dir, name).await,
                    Change::RemoveDirectory => WasiFilesystem::remove_directory_at(&fs, dir, name).await,
                    Change::UnlinkFile => WasiFilesystem::unlink_file_at(&fs, dir, name).await,
                };
                changed(store, &path, done)
            })
        })?;
    }
    Ok(())
}

fn replace_changes_of_two(types: &mut LinkerInstance<'_, Host>) -> Result<()> {
    types.func_wrap_concurrent(
        "[method]descriptor.symlink-at",
        |store: &Accessor<Host>, (dir, target, path): (Dir, String, String)| {
            Box::pin(async move {
                if is_mounted_file(store, &dir, &path)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let fs = filesystem(store);
                changed(store, &path, WasiFilesystem::symlink_at(&fs, dir, target, path.clone()).await)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.rename-at",
        |store: &Accessor<Host>, (old_dir, old, new_dir, new): (Dir, String, Dir, String)| {
            Box::pin(async move {
                if is_mounted_file(store, &old_dir, &old)? || is_mounted_file(store, &new_dir, &new)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let fs = filesystem(store);
                let done = WasiFilesystem::rename_at(&fs, old_dir, old, new_dir, new.clone()).await;
                changed(store, &new, done)
            })
        },
    )?;
    types.func_wrap_concurrent(
        "[method]descriptor.link-at",
        |store: &Accessor<Host>,
         (old_dir, follow, old, new_dir, new): (Dir, PathFlags, String, Dir, String)| {
            Box::pin(async move {
                if is_mounted_file(store, &old_dir, &old)? || is_mounted_file(store, &new_dir, &new)? {
                    return Ok((Err(ErrorCode::Busy),));
                }
                let fs = filesystem(store);
                let done = WasiFilesystem::link_at(&fs, old_dir, follow, old, new_dir, new.clone()).await;
                changed(store, &new, done)
            })
        },
    )
}

fn filesystem(store: &Accessor<Host>) -> Accessor<Host, WasiFilesystem> {
    store.with_getter::<WasiFilesystem>(Host::filesystem)
}

fn is_mounted_file(store: &Accessor<Host>, dir: &Dir, path: &str) -> Result<bool> {
    store.with(|mut store| Ok(matches!(find(store.get(), dir, path)?, Place::MountedFile { .. })))
}

fn redirect(
    store: &Accessor<Host>,
    dir: Dir,
    follow: PathFlags,
    path: String,
) -> Result<(Dir, PathFlags, String)> {
    Ok(match store.with(|mut store| find(store.get(), &dir, &path))? {
        Place::AsSaid => (dir, follow, path),
        Place::MountedFile { directory, name } => (directory, PathFlags::empty(), name),
    })
}

/// The result of a call that may have been refused because the mount is read-only.
fn changed<T>(store: &Accessor<Host>, path: &str, result: FilesystemResult<T>) -> ToGuest<T> {
    let (result,) = to_guest(result)?;
    if let Err(ErrorCode::NotPermitted) = result {
        store.with(|mut store| store.get().files.explain_read_only(Some(path)));
    }
    Ok((result,))
}

fn to_guest<T>(result: FilesystemResult<T>) -> ToGuest<T> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(error) => Err(error.downcast()?),
    },))
}
