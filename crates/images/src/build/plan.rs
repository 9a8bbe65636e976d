//! The stages of a Dockerfile: which there are, which are needed, and what the variables before them mean.

use super::instruction::{Instruction, Word, instruction};
use super::parse::{File, Line, Wrong};
use super::words::{Variables, expand};
use super::{BuildError, BuildSettings};
use crate::Platform;
use std::collections::{BTreeMap, BTreeSet};

/// Each needs files of its own.
const STAGES_MAX: usize = 200;
/// Arguments that proxies have, which everybody may give and nobody declares.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

pub struct Plan {
    pub escape: char,
    pub stages: Vec<StagePlan>,
    /// Those that the target needs, in order.
    pub needed: Vec<usize>,
    /// Those before the first FROM.
    pub globals: Variables,
    /// The build's arguments, and whether anything declares them.
    pub arguments: BTreeMap<String, bool>,
}

pub struct StagePlan {
    pub from: Line,
    pub name: Option<String>,
    pub image: Word,
    pub platform: Option<Platform>,
    /// Of the file; those of ONBUILD come at run time.
    pub steps: Vec<(Line, Instruction)>,
}

impl Plan {
    /// The stage before `before` that a name or a number means.
    pub fn stage(&self, name: &str, before: usize) -> Option<usize> {
        find(&self.stages, name, before)
    }
}

fn find(stages: &[StagePlan], name: &str, before: usize) -> Option<usize> {
    let wanted = name.to_ascii_lowercase();
    let known = &stages[..before.min(stages.len())];
    known.iter().rposition(|stage| stage.name.as_deref() == Some(wanted.as_str()))
}

pub fn plan(file: &File, settings: &BuildSettings<'_>) -> Result<Plan, BuildError> {
    let mut globals = platforms(&settings.platform);
    let mut stages: Vec<StagePlan> = Vec::new();
    let mut declared = BTreeSet::new();
    for line in &file.lines {
        let read = instruction(line, file.escape).map_err(|wrong| settings.wrong(wrong))?;
        if let Instruction::Arg(arguments) = &read {
            declared.extend(arguments.iter().map(|(name, _)| name.clone()));
        }
        match (read, stages.last_mut()) {
            (Instruction::From { image, platform, name }, _) => {
                if stages.len() == STAGES_MAX {
                    let what = format!("the file has more than {STAGES_MAX} stages");
                    return Err(settings.wrong(Wrong { what, help: "", span: line.span.clone() }));
                }
                let image = value(&image, &globals, file.escape, settings)?;
                let platform =
                    platform.map(|word| value(&word, &globals, file.escape, settings)).transpose()?;
                let platform = platform.map(|word| {
                    word.text.parse::<Platform>().map_err(|help| {
                        let what = "the platform is not valid".to_owned();
                        settings.wrong(Wrong { what, help, span: word.span })
                    })
                });
                let platform = platform.transpose()?;
                stages.push(StagePlan { from: line.clone(), name, image, platform, steps: Vec::new() });
            }
            (Instruction::Arg(arguments), None) => {
                for (name, default) in arguments {
                    let given = settings.arguments.get(&name).cloned();
                    let default =
                        default.map(|word| value(&word, &globals, file.escape, settings)).transpose()?;
                    if let Some(known) = given.or(default.map(|word| word.text)) {
                        globals.insert(name, known);
                    }
                }
            }
            (_, None) => {
                let what = format!("{} stands before the first FROM", line.name);
                let help = "begin with FROM scratch, or FROM the image to build on";
                return Err(settings.wrong(Wrong { what, help, span: line.span.clone() }));
            }
            (read, Some(stage)) => stage.steps.push((line.clone(), read)),
        }
    }
    let needed = needed(&stages, settings)?;
    let arguments = settings.arguments.keys().map(|name| {
        let is_known = declared.contains(name) || PROXIES.contains(&name.to_ascii_lowercase().as_str());
        (name.clone(), is_known)
    });
    Ok(Plan { escape: file.escape, needed, globals, arguments: arguments.collect(), stages })
}

/// A word with the values of the variables before the first FROM.
fn value(
    word: &Word,
    variables: &Variables,
    escape: char,
    settings: &BuildSettings<'_>,
) -> Result<Word, BuildError> {
    match expand(&word.text, variables, escape) {
        Ok(text) => Ok(Word { text, span: word.span.clone() }),
        Err(what) => Err(settings.wrong(Wrong { what, help: "", span: word.span.clone() })),
    }
}

/// What BuildKit declares by itself.
fn platforms(platform: &Platform) -> Variables {
    let mut variables = Variables::new();
    for prefix in ["TARGET", "BUILD"] {
        variables.insert(format!("{prefix}PLATFORM"), platform.to_string());
        variables.insert(format!("{prefix}OS"), platform.os.clone());
        variables.insert(format!("{prefix}ARCH"), platform.architecture.clone());
        variables.insert(format!("{prefix}VARIANT"), platform.variant.clone().unwrap_or_default());
    }
    variables
}

fn needed(stages: &[StagePlan], settings: &BuildSettings<'_>) -> Result<Vec<usize>, BuildError> {
    let nowhere = |what: String, help: &'static str| settings.wrong(Wrong { what, help, span: 0..0 });
    if stages.is_empty() {
        return Err(nowhere(
            "the file has no FROM".to_owned(),
            "begin with FROM scratch, or FROM the image to build on",
        ));
    }
    let target = match &settings.target {
        None => stages.len() - 1,
        Some(name) => {
            let number = name.parse().ok().filter(|number| *number < stages.len());
            let known = find(stages, name, stages.len()).or(number);
            let names =
                stages.iter().filter_map(|stage| stage.name.as_deref()).collect::<Vec<_>>().join(", ");
            known.ok_or_else(|| {
                nowhere(format!("there is no stage `{name}`; there are: {names}"), "correct --target")
            })?
        }
    };
    let mut found = BTreeSet::new();
    let mut to_do = vec![target];
    while let Some(at) = to_do.pop() {
        if !found.insert(at) {
            continue;
        }
        let stage = &stages[at];
        to_do.extend(find(stages, &stage.image.text, at));
        for (_, step) in &stage.steps {
            if let Instruction::Copy(copy) = step
                && let Some(from) = &copy.from
            {
                let number = from.text.parse().ok().filter(|number| *number < at);
                to_do.extend(find(stages, &from.text, at).or(number));
            }
        }
    }
    Ok(found.into_iter().collect())
}
