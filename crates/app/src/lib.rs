//! What a user wrote (flags today; manifests later) as validated plain data that knows no engine.
//!
//! Nothing here opens, resolves or connects: parsing answers only whether the text makes sense, and the
//! crates that use the data decide what it means on this machine.

mod grants;
mod limits;
mod program;

pub use grants::{
    EnvFileError, Grants, HostPattern, Mount, NetRule, Origin, ParseGrantError, PortMap, PortPattern,
    Protocol, parse_env_file,
};
pub use limits::{Limits, ParseLimitError, parse_duration, parse_size};
pub use program::{Entry, Program};
