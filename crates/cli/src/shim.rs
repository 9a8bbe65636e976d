//! `containerd-shim-sampan-v1`: what makes guests of the shim's processes.

use crate::guest;
use oci_spec::runtime::Spec;
use sampan_shim::{Guests, Run};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Where containers' native code is kept, unless `SAMPAN_CACHE_DIR` says otherwise: containerd's user may have no home.
const CACHE: &str = "/var/cache/sampan";

pub fn main() -> ExitCode {
    sampan_shim::main(Guests { prepare })
}

fn prepare(spec: &Spec, rootfs: &Path) -> Result<Run, String> {
    let cache = std::env::var_os("SAMPAN_CACHE_DIR").map_or(CACHE.into(), PathBuf::from);
    use_cache(&cache);
    // Volumes are mounted in the container already: they are below its `/`, and not where they are on the host.
    let mut spec = spec.clone();
    spec.set_mounts(None);
    let read_only = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or_default();
    let guest = guest::prepare(&spec, rootfs).map_err(|fail| fail.text().trim_end().to_owned())?;

    // What serves compiles its code when it runs, in the container, from where the cache is reached through this only.
    let cache = File::open(&cache).ok();
    Ok(Box::new(move |root| {
        if let Some(cache) = &cache {
            use_cache(Path::new(&format!("/proc/self/fd/{}", cache.as_raw_fd())));
        }
        let ended = guest.run(root, read_only, None);
        ended.unwrap_or_else(|fail| {
            let code = fail.code;
            fail.print();
            code
        })
    }))
}

fn use_cache(folder: &Path) {
    // SAFETY: the shim calls this in processes that have one thread.
    unsafe { std::env::set_var("SAMPAN_CACHE_DIR", folder) };
}
