//! The upstreams of an app: made at its start, kept over a reload where nothing about them changed, so that what is
//! known of their servers, and open connections, stay.

use crate::fail::Fail;
use crate::file_id::FileId;
use sampan_app::dapr::{AppChannel, AppProtocol};
use sampan_app::{App, UpstreamProtocol, UpstreamServer};
use sampan_gateway::Upstream;
use sampan_runtime::serve::Machine;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// One upstream, ready to serve.
#[derive(Clone)]
pub struct UpstreamPiece {
    pub upstream: Arc<Upstream>,
    words: sampan_app::Upstream,
    /// Of its certificates and keys: they change without the manifest's words.
    files: Vec<Option<FileId>>,
}

pub fn load(
    machine: &Machine,
    app: &App,
    before: Option<&HashMap<String, UpstreamPiece>>,
) -> Result<HashMap<String, UpstreamPiece>, Fail> {
    let mut pieces = HashMap::new();
    for (name, spec) in &app.upstreams {
        let files: Vec<_> = files(spec).iter().map(|path| FileId::of(path)).collect();
        let same = before.and_then(|before| before.get(name));
        let same = same.filter(|piece| piece.words == *spec && piece.files == files);
        let piece = match same {
            Some(piece) => piece.clone(),
            None => {
                let starting = Upstream::start(&app.name, spec, &machine.overflow);
                let upstream = machine.overflow.block_on(starting).map_err(|error| {
                    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
                    let cause = cause.unwrap_or_default();
                    Fail::new(format!("app {}, upstream {name}: {error}{cause}", app.name)).help(error.help())
                })?;
                UpstreamPiece { upstream: Arc::new(upstream), words: spec.clone(), files }
            }
        };
        pieces.insert(name.clone(), piece);
    }
    Ok(pieces)
}

/// An ordinary program beside Sampan, which Dapr calls its app.
pub fn beside(machine: &Machine, app: &str, channel: &AppChannel) -> Result<Arc<Upstream>, Fail> {
    let server = UpstreamServer { host: channel.host.clone(), port: channel.port, tls: false, weight: 1 };
    let protocol = match channel.protocol {
        AppProtocol::Http => UpstreamProtocol::Http1,
        AppProtocol::Grpc => UpstreamProtocol::H2,
    };
    let spec = sampan_app::Upstream {
        name: "dapr-app".to_owned(),
        servers: vec![server],
        protocol,
        // It may begin to listen after Sampan, and is asked again and again until then.
        outlier: None,
        ..sampan_app::Upstream::default()
    };
    let starting = Upstream::start(app, &spec, &machine.overflow);
    let upstream = machine.overflow.block_on(starting);
    let upstream = upstream.map_err(|error| Fail::new(format!("app {app}: {error}")).help(error.help()))?;
    Ok(Arc::new(upstream))
}

fn files(spec: &sampan_app::Upstream) -> Vec<PathBuf> {
    let client = spec.tls.client.iter().flat_map(|files| [files.cert.clone(), files.key.clone()]);
    spec.tls.ca.iter().cloned().chain(client).collect()
}
