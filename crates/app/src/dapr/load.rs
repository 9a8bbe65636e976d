//! From a folder of YAML files to [`Resources`].

use super::fields::Fields;
use super::{Resources, component, configuration, endpoint, in_scope, resiliency, subscription, yaml};
use crate::manifest::findings::{Findings, Span, nearest, quoted};
use crate::manifest::read_text;
use crate::{Diagnostic, Severity};
use std::path::{Path, PathBuf};

/// Files of a folder.
const FILES_MAX: usize = 1000;
/// More findings than this help nobody.
const FINDINGS_MAX: usize = 200;
const KINDS: [&str; 5] = ["Component", "Subscription", "Resiliency", "Configuration", "HTTPEndpoint"];
/// Versions of `dapr.io` that those kinds have.
const VERSIONS: [&str; 2] = ["dapr.io/v1alpha1", "dapr.io/v2alpha1"];

/// A document of a file.
pub(super) struct Document<'a> {
    pub file: &'a Path,
    text: &'a str,
    /// From 1.
    pub line: usize,
    needs: Vec<(Need, Span)>,
}

impl Document<'_> {
    pub fn line_of(&self, span: Span) -> usize {
        self.text[..self.text.floor_char_boundary(span.start)].bytes().filter(|b| *b == b'\n').count() + 1
    }

    /// Another resource must be there; asked when all are read.
    pub fn needs(&mut self, need: Need, span: Span) {
        self.needs.push((need, span));
    }
}

/// What a resource names, and may be in another file.
pub(super) enum Need {
    PubSub(String),
    Timeout(String),
    Retry(String),
    Breaker(String),
}

/// Reads all `*.yaml` and `*.yml` of a folder, by their names.
///
/// # Errors
/// All findings, of which at least one is an error.
pub fn load(folder: &Path) -> Result<Resources, Vec<Diagnostic>> {
    let files = files(folder).map_err(|(message, help)| vec![no_place(folder, message, Some(help))])?;
    let mut reader = Reader::default();
    for file in &files {
        match read_text(file) {
            Ok(text) => reader.read(file, &text),
            Err(error) => {
                let message = format!("cannot read {}: {error}", file.display());
                let help = "check the file, or move it elsewhere";
                reader.findings.push(no_place(file, message, Some(help)));
            }
        }
    }
    reader.finish(folder)
}

/// As [`load`], of one file whose text is at hand.
///
/// # Errors
/// All findings, of which at least one is an error.
pub fn parse(file: &Path, text: &str) -> Result<Resources, Vec<Diagnostic>> {
    let mut reader = Reader::default();
    reader.read(file, text);
    reader.finish(file)
}

#[derive(Default)]
struct Reader {
    resources: Resources,
    findings: Vec<Diagnostic>,
    /// What is named in a file.
    needs: Vec<(PathBuf, Need, Span)>,
}

impl Reader {
    fn read(&mut self, file: &Path, text: &str) {
        let mut f = Findings::new(file);
        self.needs.extend(read_file(file, text, &mut self.resources, &mut f));
        self.findings.append(&mut f.into_list());
    }

    fn finish(mut self, from: &Path) -> Result<Resources, Vec<Diagnostic>> {
        let findings = &mut self.findings;
        let resources = &self.resources;
        findings
            .extend(self.needs.iter().filter_map(|(file, need, span)| unmet(need, file, *span, resources)));
        report_twice(resources, findings);
        if findings.len() > FINDINGS_MAX {
            let message = format!("{} more findings are not shown", findings.len() - FINDINGS_MAX);
            // Errors are what must be corrected.
            findings.sort_by_key(|one| one.severity == Severity::Warning);
            findings.truncate(FINDINGS_MAX);
            findings.push(no_place(from, message, None));
        }
        if findings.iter().any(|one| one.severity == Severity::Error) {
            return Err(self.findings);
        }
        self.resources.warnings = self.findings;
        Ok(self.resources)
    }
}

fn no_place(file: &Path, message: String, help: Option<&str>) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        message,
        file: file.to_owned(),
        span: None,
        hidden: false,
        help: help.map(str::to_owned),
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, (String, &'static str)> {
    let unreadable = |error: std::io::Error| {
        let message = format!("cannot read the folder {}: {error}", folder.display());
        (message, "name a folder with Dapr's component files")
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        // Kubernetes mounts files beside hidden folders of their versions.
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && extension.is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
        if files.len() > FILES_MAX {
            let message = format!("there are more than {FILES_MAX} YAML files in {}", folder.display());
            return Err((message, "name a folder that holds Dapr's component files only"));
        }
    }
    files.sort();
    Ok(files)
}

type Needs = Vec<(PathBuf, Need, Span)>;

fn read_file(file: &Path, text: &str, resources: &mut Resources, f: &mut Findings) -> Needs {
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) => {
            report_syntax(text, &error, f);
            return Vec::new();
        }
    };
    let mut needs = Vec::new();
    for node in &documents {
        let mut document = Document { file, text, line: node.line, needs: Vec::new() };
        read_document(node, &mut document, resources, f);
        needs.extend(document.needs.into_iter().map(|(need, span)| (file.to_owned(), need, span)));
    }
    needs
}

/// Says what is no YAML. A line that may hold a secret is not shown.
fn report_syntax(text: &str, error: &yaml::SyntaxError, f: &mut Findings) {
    let at = text.floor_char_boundary(error.at.min(text.len()));
    let start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    let line = text[start..].lines().next().unwrap_or_default().to_ascii_lowercase();
    let secrets = ["value", "password", "secret", "token", "key", "://"];
    f.hide(secrets.iter().any(|word| line.contains(word)));
    let end = start + line.len().max(at - start);
    f.error(Span { start: at, end }, format!("this is not YAML: {}", error.message));
    f.hide(false);
}

fn read_document(
    node: &yaml::Node,
    document: &mut Document<'_>,
    resources: &mut Resources,
    f: &mut Findings,
) {
    let Some(mut fields) = Fields::new("", node, f) else { return };
    let version = fields.text("apiVersion", f);
    let Some(kind) = fields.text("kind", f) else {
        let help = "resources of Dapr have `apiVersion: dapr.io/v1alpha1` and a `kind`";
        f.warn(fields.span, "a document without a `kind` is passed over", help);
        return;
    };
    let foreign = version.filter(|version| !version.text.starts_with("dapr.io/"));
    if let Some(version) = foreign {
        let message = format!("a resource of {} is passed over", quoted(version.text));
        f.warn(version.span, message, "only resources of `dapr.io` are read");
        return;
    }
    if !KINDS.contains(&kind.text) {
        let help = match nearest(kind.text, KINDS) {
            Some(one) => format!("did you mean `{one}`?"),
            None => format!("kinds that are read: {}", KINDS.join(", ")),
        };
        f.warn(kind.span, format!("a resource of kind {} is passed over", quoted(kind.text)), help);
        return;
    }
    if let Some(version) = version.filter(|version| !VERSIONS.contains(&version.text)) {
        let message = format!("the version {} is not known", quoted(version.text));
        f.error_help(version.span, message, format!("versions are {}", VERSIONS.join(" and ")));
        return;
    }
    match kind.text {
        "Component" => resources.components.extend(component::read(fields, document, f)),
        "Subscription" => resources.subscriptions.extend(subscription::read(fields, document, f)),
        "Resiliency" => resources.resiliency.extend(resiliency::read(fields, document, f)),
        "Configuration" => resources.configurations.extend(configuration::read(fields, document, f)),
        _ => resources.endpoints.extend(endpoint::read(fields, document, f)),
    }
}

/// A finding for what is named and is nowhere.
fn unmet(need: &Need, file: &Path, span: Span, resources: &Resources) -> Option<Diagnostic> {
    let mut known: Vec<&str> = match need {
        Need::PubSub(_) => {
            let brokers = resources.components.iter().filter(|one| one.kind.starts_with("pubsub."));
            brokers.map(|one| one.name.as_str()).collect()
        }
        Need::Timeout(_) => names(resources, |one| one.timeouts.keys().collect()),
        Need::Retry(_) => names(resources, |one| one.retries.keys().collect()),
        Need::Breaker(_) => names(resources, |one| one.breakers.keys().collect()),
    };
    let (what, name) = match need {
        Need::PubSub(name) => ("pub/sub component", name),
        Need::Timeout(name) => ("timeout", name),
        Need::Retry(name) => ("retry policy", name),
        Need::Breaker(name) => ("circuit breaker", name),
    };
    // These are there without being declared.
    let built_in = matches!(need, Need::Retry(_)) && resiliency::BUILT_IN.contains(&name.as_str());
    if built_in || known.contains(&name.as_str()) {
        return None;
    }
    known.sort_unstable();
    let help = match nearest(name, known.iter().copied()) {
        Some(one) => format!("did you mean `{one}`?"),
        None if known.is_empty() => format!("there is no {what} in this folder"),
        None => format!("there are: {}", known.join(", ")),
    };
    Some(Diagnostic {
        // A component may come from another folder; policies are of these files.
        severity: if matches!(need, Need::PubSub(_)) { Severity::Warning } else { Severity::Error },
        message: format!("there is no {what} {}", quoted(name)),
        file: file.to_owned(),
        span: Some(span.start..span.end),
        hidden: false,
        help: Some(help),
    })
}

fn names(resources: &Resources, of: impl Fn(&super::Resiliency) -> Vec<&String>) -> Vec<&str> {
    resources.resiliency.iter().flat_map(of).map(String::as_str).collect()
}

/// Two components or endpoints of one name, for one app.
fn report_twice(resources: &Resources, findings: &mut Vec<Diagnostic>) {
    let components = resources.components.iter().map(|one| (&one.name, &one.scopes, &one.file, one.line));
    let endpoints = resources.endpoints.iter().map(|one| (&one.name, &one.scopes, &one.file, one.line));
    for list in [components.collect::<Vec<_>>(), endpoints.collect()] {
        for (at, (name, scopes, file, line)) in list.iter().enumerate() {
            let other = list[..at].iter().find(|(other, others, ..)| {
                other == name
                    && (scopes.is_empty() || others.is_empty() || scopes.iter().any(|s| in_scope(others, s)))
            });
            let Some((_, _, first, first_line)) = other else { continue };
            let message = format!(
                "the name {} is there twice: in {} (line {first_line}) and in {} (line {line})",
                quoted(name),
                first.display(),
                file.display(),
            );
            let help = "rename one of them, or give them different `scopes`";
            findings.push(no_place(file, message, Some(help)));
        }
    }
}
