//! `sampan inspect`: what a wasm file is, holds, and may ask for.

use crate::containers;
use crate::fail::{Fail, print_stdout};
use crate::images;
use sampan_engine::detect::DetectError;
use sampan_engine::inspect::{inspect, render_text};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Show what a wasm file is, imports, exports and may ask for; or all that is known of a container or an image
#[derive(clap::Args)]
pub struct Args {
    /// FILE.wasm, FILE.wat, - for standard input, a container, or an image
    file: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Larger files are no wasm.
const MAX_BYTES: u64 = 4 << 30;
/// Lines are no longer than this, also on a wide terminal.
const WIDTH: usize = 80;

pub fn run(args: Args) -> Result<ExitCode, Fail> {
    if let Some(text) = kept(&args.file)? {
        return print_stdout(&text);
    }
    let name = args.file.display();
    let mut bytes = Vec::new();
    let read = if args.file.as_os_str() == "-" {
        std::io::stdin().take(MAX_BYTES).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(&args.file).and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes))
    };
    read.map_err(|error| {
        Fail::new(format!("cannot read {name}: {error}")).help("check the path of the wasm file")
    })?;

    let trusted = crate::key::trusted();
    let report = match inspect(&bytes, &trusted) {
        Err(DetectError::TextFormat) => {
            let binary = wat::parse_bytes(&bytes).map_err(|error| {
                Fail::new(format!("{name}: {error}")).help("correct the text; the message names the place")
            })?;
            inspect(&binary, &trusted)
        }
        report => report,
    };
    let report =
        report.map_err(|error| Fail::new(format!("{name}: {error}")).help("name a .wasm or .wat file"))?;
    if args.json {
        let json = serde_json::to_string_pretty(&report);
        let json = json.map_err(|error| Fail::new(format!("cannot print the report: {error}")))?;
        return print_stdout(&format!("{json}\n"));
    }
    print_stdout(&render_text(&report, WIDTH))
}

/// What is known of a container or an image, if the name is none of a file.
fn kept(name: &Path) -> Result<Option<String>, Fail> {
    let Some(text) = name.to_str().filter(|_| !name.is_file() && name != Path::new("-")) else {
        return Ok(None);
    };
    let folder = containers::folder()?;
    let described = match folder.find(text) {
        Ok(container) => Some(containers::described(&folder, &container)?),
        Err(_) => images::inspect::described(text)?,
    };
    Ok(described.map(|described| format!("{:#}\n", serde_json::Value::from(vec![described]))))
}
