//! Files as components call them: wasmtime-wasi's, with the calls that take a path replaced so that mounted
//! files are found, and with the listing of preopens cut to those that a guest may see.

pub(crate) mod wasi_p2;
pub(crate) mod wasi_p3;

use crate::Host;
use std::sync::Arc;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::WasiView;
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;

/// Where a call with a path goes.
enum Place {
    /// Where the guest said.
    AsSaid,
    /// To a mounted file: its real directory and its name there.
    MountedFile { directory: Resource<Descriptor>, name: String },
}

/// Every preopen of the guest with its name, as new descriptors, without the hidden ones.
fn list_preopens(host: &mut Host) -> Result<Vec<(Resource<Descriptor>, String)>> {
    host.files.explain_nothing_mounted();
    let mut shown = host.filesystem().get_directories()?;
    let hidden = shown.split_off(host.files.shown().len());
    for (directory, _) in hidden {
        host.ctx().table.delete(directory)?;
    }
    Ok(shown)
}

/// Whether `path` beneath `directory` is a mounted file.
fn find(host: &mut Host, directory: &Resource<Descriptor>, path: &str) -> Result<Place> {
    if !host.files.has_mounted_files() {
        return Ok(Place::AsSaid);
    }
    let descriptors = preopened_descriptors(host)?;
    let Descriptor::Dir(directory) = host.ctx().table.get(directory)? else { return Ok(Place::AsSaid) };
    let directory = Arc::clone(&directory.dir);
    let table = host.ctx().table;
    let preopen = descriptors.iter().position(|rep| {
        let preopen = table.get(&Resource::<Descriptor>::new_borrow(*rep));
        matches!(preopen, Ok(Descriptor::Dir(preopen)) if Arc::ptr_eq(&preopen.dir, &directory))
    });
    let redirect = preopen.and_then(|preopen| host.files.intercept(preopen, path));
    Ok(match redirect {
        None => Place::AsSaid,
        Some(redirect) => Place::MountedFile {
            directory: Resource::new_borrow(descriptors[redirect.preopen]),
            name: redirect.name.clone(),
        },
    })
}

/// A descriptor of each preopen, in order, which the guest does not have. Made once; the guest cannot close
/// what it has no handle of.
fn preopened_descriptors(host: &mut Host) -> Result<Arc<[u32]>> {
    if let Some(descriptors) = &host.files.descriptors {
        return Ok(Arc::clone(descriptors));
    }
    let all = host.filesystem().get_directories()?;
    let descriptors: Arc<[u32]> = all.iter().map(|(directory, _)| directory.rep()).collect();
    host.files.descriptors = Some(Arc::clone(&descriptors));
    Ok(descriptors)
}

/// Whether something opened as a mounted file has since become a directory on the host, which was not
/// granted. It is closed.
fn is_directory(host: &mut Host, opened: &Resource<Descriptor>) -> Result<bool> {
    let table = host.ctx().table;
    let directory = matches!(table.get(opened)?, Descriptor::Dir(_));
    if directory {
        table.delete(Resource::<Descriptor>::new_own(opened.rep()))?;
    }
    Ok(directory)
}
