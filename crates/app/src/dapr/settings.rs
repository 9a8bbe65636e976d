//! `[dapr]` of a manifest: where Dapr's API is served, and to whom.

use super::Resources;
use crate::Secret;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The largest body of a request where a manifest does not say: Dapr's own.
pub const DAPR_BODY_BYTES: u64 = 4 << 20;

/// Dapr's API beside an app.
#[derive(Clone, Debug, PartialEq)]
pub struct Dapr {
    /// The folder with the resources.
    pub components: Option<PathBuf>,
    /// What the folder holds; templates are not filled in yet ([`super::DaprComponent::expand`]).
    pub resources: Resources,
    /// Where HTTP is served; `None`: to the guests of this process only.
    pub http: Option<SocketAddr>,
    /// The same of gRPC.
    pub grpc: Option<SocketAddr>,
    pub app_id: String,
    /// An ordinary process that is the app.
    pub app: Option<AppChannel>,
    /// What callers of the API must show.
    pub api_token: Option<Secret>,
    /// What the app is shown.
    pub app_token: Option<Secret>,
    pub max_body_bytes: u64,
}

impl Default for Dapr {
    fn default() -> Self {
        Dapr {
            components: None,
            resources: Resources::default(),
            http: None,
            grpc: None,
            app_id: String::new(),
            app: None,
            api_token: None,
            app_token: None,
            max_body_bytes: DAPR_BODY_BYTES,
        }
    }
}

/// How a process beside Sampan is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppChannel {
    pub host: String,
    pub port: u16,
    pub protocol: AppProtocol,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AppProtocol {
    #[default]
    Http,
    Grpc,
}
