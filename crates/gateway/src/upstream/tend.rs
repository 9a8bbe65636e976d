//! What an upstream does beside its requests: names are looked up again, servers are asked whether they are well,
//! and connections that nobody uses are closed. The tasks end with the upstream.

use super::Inner;
use super::connect::Connected;
use super::link::Unanswered;
use super::server::Server;
use super::wait::Wait;
use futures::stream::{self, StreamExt};
use http::header::{HOST, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use sampan_app::HealthCheck;
use sampan_service::{Body, empty};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

/// Addresses of one name that are used.
const ADDRESSES_MAX: usize = 64;
/// Names of one upstream that are looked up at once: each occupies a thread.
const LOOKUPS_MAX: usize = 8;
/// Servers of one upstream that are asked at once.
const CHECKS_MAX: usize = 64;
/// Unused connections are looked at no less often.
const SWEEP_MAX: Duration = Duration::from_secs(15);

/// Finds the addresses of a name and a port; may block.
pub type Lookup = Arc<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync>;

/// As the system does it.
pub fn system_lookup() -> Lookup {
    Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()))
}

pub async fn look_up_again(inner: Weak<Inner>, every: Duration) {
    loop {
        sleep(every).await;
        let Some(inner) = inner.upgrade() else { return };
        look_up(&inner).await;
    }
}

/// Looks all names up. One that is not found keeps its last addresses.
pub async fn look_up(inner: &Arc<Inner>) {
    let mut lookups = Vec::new();
    for (entry, server) in inner.spec.servers.iter().enumerate() {
        if server.host.parse::<IpAddr>().is_err() {
            lookups.push(look_up_one(inner.lookup.clone(), entry, server.host.clone(), server.port));
        }
    }
    let found: Vec<_> = stream::iter(lookups).buffer_unordered(LOOKUPS_MAX).collect().await;
    inner.resolved(found.into_iter().filter_map(|(entry, found)| {
        let mut addresses = found.ok()?;
        // The system may give them in another order each time.
        addresses.sort_unstable();
        addresses.dedup();
        addresses.truncate(ADDRESSES_MAX);
        (!addresses.is_empty()).then_some((entry, addresses))
    }));
}

async fn look_up_one(
    lookup: Lookup,
    entry: usize,
    host: String,
    port: u16,
) -> (usize, io::Result<Vec<SocketAddr>>) {
    let found = tokio::task::spawn_blocking(move || lookup(&host, port)).await;
    (entry, found.unwrap_or_else(|ended| Err(io::Error::other(ended))))
}

pub async fn check_again(inner: Weak<Inner>, health: HealthCheck) {
    let mut ticks = interval(health.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(inner) = inner.upgrade() else { return };
        let servers = inner.cluster.load().servers.clone();
        let checks: Vec<_> =
            servers.into_iter().map(|server| check_one(inner.clone(), server, health.clone())).collect();
        stream::iter(checks).buffer_unordered(CHECKS_MAX).collect::<Vec<()>>().await;
    }
}

async fn check_one(inner: Arc<Inner>, server: Arc<Server>, health: HealthCheck) {
    let checked = timeout(health.timeout, check(&inner, &server, &health)).await;
    server.checked(checked.is_ok_and(|well| well), &health);
}

/// Whether a server answers as one that is well, on a connection of its own: one that stands may hide that no
/// other can be made.
async fn check(inner: &Inner, server: &Server, health: &HealthCheck) -> bool {
    let Ok(connected) = inner.connector.connect(server).await else { return false };
    let deadline = Instant::now() + health.timeout;
    let wait = Wait { deadline, silence: health.timeout, upload: None };
    let Some(request) = question(server, health, &connected) else { return false };
    let answered: Result<Response<Incoming>, Unanswered> = match connected {
        Connected::Http1(mut link) => link.send(Box::new(request), wait).await,
        Connected::Http2(shared) => shared.share_anyway().send(Box::new(request), wait).await,
    };
    let good = |status: StatusCode| {
        health.status.iter().any(|(low, high)| (*low..=*high).contains(&status.as_u16()))
    };
    answered.is_ok_and(|response| good(response.status()))
}

fn question(server: &Server, health: &HealthCheck, connected: &Connected) -> Option<Request<Body>> {
    let named = health.host.as_ref().and_then(|host| HeaderValue::from_str(host).ok());
    let host = named.unwrap_or_else(|| server.host.clone());
    let request = Request::get(health.path.as_str())
        .header(HOST, host.clone())
        .header(USER_AGENT, HeaderValue::from_static("sampan-health"));
    let mut request = request.body(empty()).ok()?;
    super::headers::dress(&mut request, connected.protocol(server), &host, &sampan_app::HostHeader::Client);
    Some(request)
}

pub async fn sweep_again(inner: Weak<Inner>, idle: Duration) {
    loop {
        sleep((idle / 2).min(SWEEP_MAX)).await;
        let Some(inner) = inner.upgrade() else { return };
        let now = Instant::now();
        for server in &inner.cluster.load().servers {
            for mut list in server.idle.each() {
                list.retain_mut(|link| now.saturating_duration_since(link.since) < idle && link.alive());
            }
            for mut list in server.shared.each() {
                list.retain(|one| {
                    let used = !one.unused() || now.saturating_duration_since(one.since) < idle;
                    used && !one.closed()
                });
            }
        }
    }
}
