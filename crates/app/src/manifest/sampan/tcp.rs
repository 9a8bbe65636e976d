//! `[[tcp]]`: connections that are handed on as they are.

use super::{filter, parse_address, read_tls};
use crate::manifest::Source;
use crate::manifest::findings::{Findings, quoted};
use crate::manifest::routes;
use crate::manifest::tree::Table;
use crate::manifest::variables::Variables;
use crate::{App, Listen, TcpRoute};

const TO_HELP: &str = "write to = \"upstream:NAME\" of an [upstream.NAME] with `servers`";
const CONNECTIONS_MAX: u32 = 1_000_000;

pub(super) fn read(
    mut table: Table<'_>,
    source: &Source<'_>,
    variables: &Variables,
    app: &App,
    f: &mut Findings,
) -> Option<TcpRoute> {
    let listen =
        table.require("listen", f, "add `listen = \"127.0.0.1:5432\"`").and_then(|value| value.string(f));
    let address = listen.and_then(|text| parse_address(text, f));
    let tls = table.table("tls", f).and_then(|tls| read_tls(tls, source, f));
    let to = table.require("to", f, TO_HELP).and_then(|value| value.string(f));
    let upstream = to.and_then(|to| match to.text.strip_prefix("upstream:") {
        Some(name) => routes::upstream(to, name, app, f),
        None => {
            f.error_help(to.span, format!("{} takes no connections", quoted(to.text)), TO_HELP);
            None
        }
    });
    let filters = filter::uses(&mut table, variables, app, f);
    let idle = table.duration("idle", f).unwrap_or(TcpRoute::IDLE_DEFAULT);
    let connections = table.number_u32("connections", 1, CONNECTIONS_MAX, f);
    table.finish(f);
    let address = address?;
    let taken = app.listen.iter().map(|one| one.address).chain(app.tcp.iter().map(|one| one.listen.address));
    // Of port 0 each gets its own.
    if let Some(text) = listen.filter(|_| address.port() != 0 && taken.into_iter().any(|one| one == address))
    {
        let message = format!("{} listens already", quoted(text.text));
        f.error_help(text.span, message, "give each [[tcp]] and [[listen]] an address of its own");
    }
    Some(TcpRoute {
        listen: Listen { address, tls },
        upstream: upstream?,
        filters,
        idle,
        connections: connections.unwrap_or(TcpRoute::CONNECTIONS_DEFAULT),
    })
}
