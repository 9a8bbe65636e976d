//! `sampan pull` and `sampan push`.

use super::progress::Progress;
use super::{failed, platform, reference, refused, runtime, store};
use crate::fail::{Fail, print_stdout};
use sampan_images::{Image, Images, PullSettings, Reference, Transfer};
use std::process::ExitCode;

/// Fetch an image from a registry
#[derive(clap::Args)]
pub struct PullArgs {
    /// REGISTRY/NAME:TAG, or @DIGEST after the name; names without a registry are Docker Hub's
    name: String,

    /// Which of an image's platforms [default: wasi/wasm, wasip1/wasm or wasip2/wasm]
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<String>,

    /// Print the name only
    #[arg(short, long)]
    quiet: bool,
}

/// Bring an image to the registry that its name says
#[derive(clap::Args)]
pub struct PushArgs {
    /// REGISTRY/NAME:TAG
    name: String,

    /// Print the name only
    #[arg(short, long)]
    quiet: bool,
}

pub fn pull(args: &PullArgs) -> Result<ExitCode, Fail> {
    let (images, reference) = (store()?, reference(&args.name)?);
    let before = images.find(&reference.to_string()).ok();
    let image = fetched(&images, &reference, args.platform.as_deref(), args.quiet)?;
    if args.quiet {
        return print_stdout(&format!("{reference}\n"));
    }
    let is_new = before.is_none_or(|before| before.manifest != image.manifest);
    let status = if is_new { "Downloaded newer image for" } else { "Image is up to date for" };
    print_stdout(&format!("Digest: {}\nStatus: {status} {}\n{reference}\n", image.manifest, args.name))
}

/// Fetches an image, and shows how far that is.
pub fn fetched(
    images: &Images,
    reference: &Reference,
    wanted: Option<&str>,
    quiet: bool,
) -> Result<Image, Fail> {
    let progress = Progress::new(quiet);
    let settings = PullSettings {
        platform: platform(wanted)?,
        transfer: Transfer::of_user(progress.observer()).map_err(refused)?,
    };
    runtime()?.block_on(images.pull(reference, &settings)).map_err(failed)
}

pub fn push(args: &PushArgs) -> Result<ExitCode, Fail> {
    let (images, reference) = (store()?, reference(&args.name)?);
    let progress = Progress::new(args.quiet);
    let transfer = Transfer::of_user(progress.observer()).map_err(refused)?;
    let digest = runtime()?.block_on(images.push(&reference, &transfer)).map_err(failed)?;
    if args.quiet {
        return print_stdout(&format!("{reference}\n"));
    }
    print_stdout(&format!("{reference}: digest: {digest}\n"))
}
