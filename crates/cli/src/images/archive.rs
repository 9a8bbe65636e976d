//! `sampan save` and `sampan load`.

use super::{failed, store};
use crate::fail::{Fail, print_stdout};
use sampan_images::{ImageError, familiar};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::NamedTempFile;

/// Write images into an archive (OCI's image layout, which Docker reads too)
#[derive(clap::Args)]
pub struct SaveArgs {
    /// Names or ids
    #[arg(required = true)]
    images: Vec<String>,

    /// The file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Read images from an archive (OCI's or Docker's, also compressed)
#[derive(clap::Args)]
pub struct LoadArgs {
    /// The file [default: standard input]
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,

    /// Print nothing
    #[arg(short, long)]
    quiet: bool,
}

pub fn save(args: &SaveArgs) -> Result<ExitCode, Fail> {
    let images = store()?;
    let Some(path) = &args.output else {
        if io::stdout().is_terminal() {
            return Err(Fail::new("an archive is nothing for a terminal").help("name a file with -o"));
        }
        images.save(&args.images, io::stdout().lock()).map_err(failed)?;
        return Ok(ExitCode::SUCCESS);
    };
    // Under another name first, so that nobody takes half of it for an archive.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder).map_err(|error| failed(ImageError::io(path, error)))?;
    images.save(&args.images, BufWriter::with_capacity(1 << 20, file.as_file_mut())).map_err(failed)?;
    file.persist(path).map_err(|error| failed(ImageError::io(path, error.error)))?;
    Ok(ExitCode::SUCCESS)
}

pub fn load(args: &LoadArgs) -> Result<ExitCode, Fail> {
    let images = store()?;
    let loaded = match &args.input {
        Some(path) => {
            let file = File::open(path).map_err(|error| failed(ImageError::io(path, error)))?;
            images.load(BufReader::new(file))
        }
        None if io::stdin().is_terminal() => {
            return Err(Fail::new("there is no archive at the terminal").help("name a file with -i"));
        }
        None => images.load(io::stdin().lock()),
    };
    let loaded = loaded.map_err(failed)?;
    if args.quiet {
        return Ok(ExitCode::SUCCESS);
    }
    let lines = loaded.iter().map(|image| match image.names.as_slice() {
        [] => format!("Loaded image ID: {}\n", image.id),
        names => names.iter().map(|name| format!("Loaded image: {}\n", familiar(name))).collect(),
    });
    print_stdout(&lines.collect::<String>())
}
