//! `sampan cache`: the native code kept on this machine.

use crate::fail::Fail;
use sampan_engine::cache::Cache;
use std::process::ExitCode;

/// Show or remove the native code that is kept on this machine
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the artifacts, the most recently used first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print where the cache is and how much it holds
    Size,
    /// Remove everything
    Clear,
}

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    let Some(cache) = Cache::of_user() else {
        return Err(
            Fail::new("there is no place for a cache").help("set HOME, XDG_CACHE_HOME or SAMPAN_CACHE_DIR")
        );
    };
    let fail = |error: std::io::Error| {
        Fail::new(format!("cannot use the cache {}: {error}", cache.path().display()))
            .help("check who owns the folder, or set SAMPAN_CACHE_DIR to another")
    };
    match args.action.unwrap_or(Action::Size) {
        Action::List { json } => {
            let listed = cache.list().map_err(fail)?;
            let text = if json {
                let entries: Vec<_> = listed
                    .iter()
                    .map(|one| {
                        let used = one.last_used.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
                        serde_json::json!({
                            "digest": format!("sha256:{}", one.digest),
                            "code": one.code_key,
                            "bytes": one.bytes,
                            "last_used_unix_s": used.as_secs(),
                        })
                    })
                    .collect();
                format!("{:#}\n", serde_json::Value::Array(entries))
            } else {
                let mut text = format!("{:<14}{:>10}  CODE\n", "DIGEST", "KIB");
                for one in &listed {
                    let digest = one.digest.get(..12).unwrap_or(&one.digest);
                    text.push_str(&format!(
                        "{digest:<14}{:>10}  {}\n",
                        one.bytes.div_ceil(1024),
                        one.code_key
                    ));
                }
                text
            };
            crate::fail::print_stdout(&text)
        }
        Action::Size => {
            let listed = cache.list().map_err(fail)?;
            let bytes: u64 = listed.iter().map(|one| one.bytes).sum();
            let mebibytes = bytes as f64 / f64::from(1 << 20);
            crate::fail::print_stdout(&format!(
                "{}: {} artifacts, {mebibytes:.1} MiB\n",
                cache.path().display(),
                listed.len()
            ))
        }
        Action::Clear => {
            let (count, bytes) = cache.clear().map_err(fail)?;
            let mebibytes = bytes as f64 / f64::from(1 << 20);
            crate::fail::print_stdout(&format!("removed {count} artifacts, {mebibytes:.1} MiB\n"))
        }
    }
}
