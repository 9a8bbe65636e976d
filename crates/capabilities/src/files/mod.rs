//! Files: folders and single files of the host that the guest may open (`-v HOST:GUEST[:ro]`).

use crate::{Explain, GrantError};
use sampan_app::Mount;
use wasmtime_wasi::{FsPerms, WasiCtxBuilder};

/// The mounts of one guest.
#[derive(Default)]
pub struct Files {}

impl Files {
    /// Opens what is mounted and preopens it in `wasi`.
    pub fn new(
        mounts: &[Mount],
        _workdir: Option<&str>,
        wasi: &mut WasiCtxBuilder,
        _explain: &Explain,
    ) -> Result<Self, GrantError> {
        for mount in mounts {
            let perms = if mount.read_only { FsPerms::ReadOnly } else { FsPerms::ReadWrite };
            wasi.preopened_dir(&mount.host, &mount.guest, perms).map_err(|error| GrantError {
                what: format!("cannot mount {}: {error}", mount.host.display()),
                help: None,
            })?;
        }
        Ok(Files {})
    }
}
