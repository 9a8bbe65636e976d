//! A component and others that answer some of its imports, made one component before it is compiled, as Spin composes
//! a component with its dependencies (spinframework/spin, `crates/compose/src/lib.rs`).

mod deny;

use crate::detect::detect;
use crate::wrap;
use std::borrow::Cow;
use std::collections::HashMap;
use wasm_compose::graph::{Component, ComponentId, CompositionGraph, EncodeOptions, InstanceId};
use wasmparser::{Parser, Validator, WasmFeatures};

/// A component that answers imports of another one.
#[derive(Clone, Copy, Debug)]
pub struct Dependency<'a> {
    /// Which imports it answers: see [`answers`].
    pub name: &'a str,
    pub wasm: &'a [u8],
    /// The export that answers, where it has another name than the import.
    pub export: Option<&'a str>,
    /// Whether it may reach what the component may reach. Otherwise it reaches nothing of the host.
    pub inherits: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    #[error("{what} is no component: {why}")]
    NoComponent { what: String, why: String },
    #[error("the dependency `{0}` answers no import of the component")]
    Unmatched(String),
    #[error("the dependencies `{first}` and `{second}` both answer the import `{import}`")]
    Twice { import: String, first: String, second: String },
    #[error("the dependency `{name}` has no export `{export}`")]
    NoExport { name: String, export: String },
    #[error("the dependency `{name}` does not fit the import `{import}`: {why}")]
    Unfit { name: String, import: String, why: String },
    #[error("the dependency `{name}` cannot be kept from the host: {why}")]
    Undeniable { name: String, why: String },
    #[error("it cannot be made one with its dependencies: {0}")]
    Encode(String),
}

impl ComposeError {
    /// What to do next.
    pub fn help(&self) -> &'static str {
        match self {
            ComposeError::NoComponent { .. } => {
                "dependencies and who has them are components: build for wasm32-wasip2"
            }
            ComposeError::Unmatched(_) => "`sampan inspect FILE.wasm` shows what the component imports",
            ComposeError::Twice { .. } => "remove one of the two, or name a single interface by each",
            ComposeError::NoExport { .. } => {
                "write `export = \"NAME\"`; `sampan inspect FILE.wasm` shows what the dependency exports"
            }
            ComposeError::Unfit { .. } => "build both with the same version of the interface",
            ComposeError::Undeniable { .. } => "let it inherit: `inherit_configuration = true`",
            ComposeError::Encode(_) => "compose them when they are built, for example with `wac plug`",
        }
    }
}

/// Whether a dependency of this name answers an import: `ns:pkg/interface@1.0.0`, without the version any version of it,
/// without the interface all interfaces of the package; a plain name means itself.
pub fn answers(name: &str, import: &str) -> bool {
    let versioned = |text: &'_ str| -> (String, Option<String>) {
        let (base, version) =
            text.split_once('@').map_or((text, None), |(base, version)| (base, Some(version)));
        (base.to_owned(), version.map(str::to_owned))
    };
    let ((name, version), (import, import_version)) = (versioned(name), versioned(import));
    if version.is_some() && version != import_version {
        return false;
    }
    let is_package = name.contains(':') && !name.contains('/');
    name == import || is_package && import.split_once('/').is_some_and(|(package, _)| package == name)
}

/// The component with its dependencies inside.
pub fn compose(main: &[u8], dependencies: &[Dependency<'_>]) -> Result<Vec<u8>, ComposeError> {
    let main = component("it", main)?;
    let mut graph = Graph::default();
    let main = graph.add("component", main)?;
    let mut taken: HashMap<String, &str> = HashMap::new();
    for (at, dependency) in dependencies.iter().enumerate() {
        let name = dependency.name.to_owned();
        let what = format!("the dependency `{name}`");
        let wasm = component(&what, dependency.wasm)?;
        let wasm = if dependency.inherits { wasm } else { denied(&name, wasm)? };
        let plug = graph.add(&format!("dependency-{at}"), wasm)?;
        let imports: Vec<String> =
            graph.imports(main).into_iter().filter(|import| answers(&name, import)).collect();
        if imports.is_empty() {
            return Err(ComposeError::Unmatched(name));
        }
        for import in imports {
            if let Some(first) = taken.insert(import.clone(), dependency.name) {
                return Err(ComposeError::Twice { import, first: first.to_owned(), second: name });
            }
            graph.connect(&name, plug, dependency.export.unwrap_or(&import), main, &import)?;
        }
    }
    graph.encode(main)
}

/// A dependency with what answers its imports in place of the host.
fn denied<'a>(name: &str, wasm: Cow<'a, [u8]>) -> Result<Cow<'a, [u8]>, ComposeError> {
    let undeniable = |why: String| ComposeError::Undeniable { name: name.to_owned(), why };
    let Some(denying) = deny::component(&wasm).map_err(|why| undeniable(why.to_string()))? else {
        return Ok(wasm);
    };
    let mut graph = Graph::default();
    // On its own: where a third component has the same imports, their resources are taken for the same.
    let plug = graph.add("dependency", wasm)?;
    let host = graph.add("host", Cow::Owned(denying))?;
    for import in graph.imports(plug) {
        if graph.exports(host, &import) {
            graph.connect(name, host, &import, plug, &import)?;
        }
    }
    let whole = graph.encode(plug)?;
    let mut left = Graph::default();
    let node = left.add("whole", Cow::Borrowed(&whole))?;
    match left.imports(node).into_iter().find(|import| !deny::is_given(import)) {
        Some(import) => Err(undeniable(format!("it would still reach `{import}`"))),
        None => Ok(Cow::Owned(whole)),
    }
}

/// The bytes of a component, whatever form they have.
fn component<'a>(what: &str, wasm: &'a [u8]) -> Result<Cow<'a, [u8]>, ComposeError> {
    let no = |why: String| ComposeError::NoComponent { what: what.to_owned(), why };
    let wasm = wat::parse_bytes(wasm).map_err(|error| no(error.to_string()))?;
    let kind = detect(&wasm).map_err(|error| no(error.to_string()))?;
    let wasm = wrap::to_component(&kind, wasm).map_err(|error| no(error.to_string()))?;
    if Parser::is_component(&wasm) { Ok(wasm) } else { Err(no(format!("it is {}", kind.describe()))) }
}

type Node = (ComponentId, InstanceId);

struct Graph<'a> {
    graph: CompositionGraph<'a>,
    validator: Validator,
}

impl Default for Graph<'_> {
    fn default() -> Self {
        let validator = Validator::new_with_features(WasmFeatures::all());
        Graph { graph: CompositionGraph::new(), validator }
    }
}

impl<'a> Graph<'a> {
    fn add(&mut self, name: &str, wasm: Cow<'a, [u8]>) -> Result<Node, ComposeError> {
        let component = Component::from_bytes(&mut self.validator, name, wasm);
        let added = component.and_then(|component| self.graph.add_component(component));
        let node = added.and_then(|id| Ok((id, self.graph.instantiate(id)?)));
        node.map_err(|error| ComposeError::Encode(format!("{error:#}")))
    }

    /// One component that exports what this node exports.
    fn encode(&self, node: Node) -> Result<Vec<u8>, ComposeError> {
        let options = EncodeOptions { define_components: true, export: Some(node.1), validate: true };
        self.graph.encode(options).map_err(|error| ComposeError::Encode(format!("{error:#}")))
    }

    fn imports(&self, of: Node) -> Vec<String> {
        let component = self.graph.get_component(of.0);
        let imports = component.into_iter().flat_map(|component| component.imports());
        imports.map(|(_, name, _)| name.to_owned()).collect()
    }

    fn exports(&self, of: Node, name: &str) -> bool {
        self.graph.get_component(of.0).is_some_and(|component| component.export_by_name(name).is_some())
    }

    fn connect(
        &mut self,
        name: &str,
        plug: Node,
        export: &str,
        socket: Node,
        import: &str,
    ) -> Result<(), ComposeError> {
        let find = |node: Node| self.graph.get_component(node.0);
        let from = find(plug).and_then(|component| component.export_by_name(export));
        let to = find(socket).and_then(|component| component.import_by_name(import));
        let (Some((from, ..)), Some((to, _))) = (from, to) else {
            return Err(ComposeError::NoExport { name: name.to_owned(), export: export.to_owned() });
        };
        self.graph.connect(plug.1, Some(from), socket.1, to).map_err(|error| {
            let (name, import) = (name.to_owned(), import.to_owned());
            ComposeError::Unfit { name, import, why: format!("{error:#}") }
        })
    }
}

#[cfg(test)]
mod tests;
