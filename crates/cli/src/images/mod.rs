//! The verbs for images: what is here, what registries have, and what is built.

mod archive;
pub mod build;
pub mod inspect;
mod list;
mod login;
mod names;
mod progress;
pub mod transfer;

use crate::fail::Fail;
use clap::Subcommand;
use sampan_images::{ImageError, Images, ParseReferenceError, Platform, PullError, Reference};
use std::process::ExitCode;
use tokio::runtime::Runtime;

#[derive(Subcommand)]
pub enum Verb {
    Pull(transfer::PullArgs),
    Push(transfer::PushArgs),
    Images(list::Args),
    Tag(names::TagArgs),
    Rmi(names::RmiArgs),
    Save(archive::SaveArgs),
    Load(archive::LoadArgs),
    Login(login::LoginArgs),
    Logout(login::LogoutArgs),
}

pub fn dispatch(verb: Verb) -> Result<ExitCode, Fail> {
    match verb {
        Verb::Pull(args) => transfer::pull(&args),
        Verb::Push(args) => transfer::push(&args),
        Verb::Images(args) => list::run(&args),
        Verb::Tag(args) => names::tag(&args),
        Verb::Rmi(args) => names::rmi(&args),
        Verb::Save(args) => archive::save(&args),
        Verb::Load(args) => archive::load(&args),
        Verb::Login(args) => login::login(&args),
        Verb::Logout(args) => login::logout(&args),
    }
}

/// The images of this user.
pub fn store() -> Result<Images, Fail> {
    Images::of_user().ok_or_else(|| failed(ImageError::NoPlace))
}

pub fn failed(error: ImageError) -> Fail {
    Fail::new(error.to_string()).help(error.help())
}

fn refused(error: PullError) -> Fail {
    Fail::new(error.to_string()).help(error.help())
}

pub fn reference(text: &str) -> Result<Reference, Fail> {
    text.parse().map_err(|error: ParseReferenceError| {
        Fail::new(format!("{text:?} is no name of an image: {error}")).help(error.help)
    })
}

fn platform(text: Option<&str>) -> Result<Option<Platform>, Fail> {
    let parse = |text: &str| {
        let parsed: Result<Platform, _> = text.parse();
        parsed.map_err(|help| Fail::new(format!("{text:?} is no platform")).help(help))
    };
    text.map(parse).transpose()
}

fn runtime() -> Result<Runtime, Fail> {
    let built = tokio::runtime::Builder::new_current_thread().enable_all().build();
    built.map_err(|error| Fail::new(format!("cannot begin to wait for the network: {error}")))
}

/// So many digits of an id are enough for a person.
fn short(hex: &str) -> &str {
    hex.get(..12).unwrap_or(hex)
}
