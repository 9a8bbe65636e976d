//! `sampan volume`.

use super::folder;
use super::table::table;
use crate::fail::{Fail, print_stdout};
use clap::Subcommand;
use sampan_containers::Volume;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;

#[derive(Subcommand)]
pub enum Verb {
    /// Make a volume
    Create { name: String },
    /// List volumes
    Ls {
        /// Only names
        #[arg(short, long)]
        quiet: bool,
    },
    /// Show volumes as JSON
    Inspect {
        #[arg(required = true)]
        names: Vec<String>,
    },
    /// Remove volumes
    Rm {
        #[arg(required = true)]
        names: Vec<String>,
    },
}

pub fn run(verb: Verb) -> Result<ExitCode, Fail> {
    let containers = folder()?;
    match verb {
        Verb::Create { name } => {
            containers.create_volume(&name, BTreeMap::new())?;
            print_stdout(&format!("{name}\n"))
        }
        Verb::Ls { quiet } => {
            let names = containers.list_volumes().into_iter().map(|volume| volume.name);
            if quiet {
                return print_stdout(&names.map(|name| format!("{name}\n")).collect::<String>());
            }
            let rows: Vec<_> = names.map(|name| vec!["local".to_owned(), name]).collect();
            print_stdout(&table(&["DRIVER", "VOLUME NAME"], &rows))
        }
        Verb::Inspect { names } => {
            let all = names.iter().map(|name| Ok(described(&containers.volume(name)?)));
            let all = all.collect::<Result<Vec<_>, Fail>>()?;
            print_stdout(&format!("{:#}\n", serde_json::Value::from(all)))
        }
        Verb::Rm { names } => {
            for name in names {
                containers.remove_volume(&name)?;
                print_stdout(&format!("{name}\n"))?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn described(volume: &Volume) -> serde_json::Value {
    json!({
        "Name": volume.name,
        "Driver": "local",
        "Mountpoint": volume.path,
        "CreatedAt": volume.created_at,
        "Labels": volume.labels,
        "Scope": "local",
    })
}
