//! One guest to be run as a program: its arguments, what it may touch and how much it may use.

use crate::{Grants, Limits};

/// What `sampan run`, and later a container or a trigger, hands to the runtime.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// Arguments as the guest sees them; the first is the program's own name.
    pub args: Vec<String>,
    pub grants: Grants,
    pub limits: Limits,
    /// The guest's working directory, an absolute path inside the guest. `None` means `/`.
    pub workdir: Option<String>,
    pub entry: Entry,
    /// Say on standard error which flag would have granted a refused call.
    pub explain: bool,
}

/// Where a guest starts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Entry {
    /// The start that its kind defines: `_start`, `wasi:cli/run`, or the start section alone.
    #[default]
    Command,
    /// A named export, with arguments in text: numbers for a module, WAVE for a component.
    Invoke { function: String, args: Vec<String> },
}
