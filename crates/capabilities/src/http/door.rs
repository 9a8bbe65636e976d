//! The door: every outbound request of a guest passes [`Door::send`].

use super::body::ResponseBody;
use super::connect::Connector;
use super::local::{self, Local};
use super::policy::{Policy, Target};
use super::pool::{Lease, Pool, Sent};
use super::{Body, Error, MAX_RESPONSE_HEAD_BYTES, Timeouts};
use crate::Explain;
use http::header::{
    CONNECTION, HOST, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use rustls::ClientConfig;
use sampan_app::Origin;
use sampan_service::{Granted, Handler, Traffic, remove_named_by_connection};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

/// Requests of one door whose response was not read to its end.
const MAX_UNDER_WAY: usize = 1024;
/// Kept connections that may turn out dead before a new one is made.
const MAX_STALE: usize = 3;
/// Timers take no more; a guest may ask for the age of the universe.
const MAX_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// Grants, and the connections made under them. Shared by whatever has the same grants, usually one guest.
pub struct Door {
    policy: Policy,
    connector: Connector,
    pool: Arc<Pool>,
    places: Arc<Semaphore>,
    local: Option<Arc<Local>>,
    /// What the guest may do at Dapr's API, which is not an origin's business.
    dapr: Arc<[String]>,
}

/// Dapr's API, and what the guest may do there.
type ToDapr = (Arc<dyn Handler>, Granted);

impl Door {
    pub fn new(origins: &[Origin], explain: &Explain) -> Self {
        Door::with_tls(origins, explain, None)
    }

    /// A door that trusts other certificates than this machine's.
    pub fn with_tls(origins: &[Origin], explain: &Explain, tls: Option<Arc<ClientConfig>>) -> Self {
        Door {
            policy: Policy::new(origins, explain),
            connector: Connector::new(tls),
            pool: Arc::default(),
            places: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
            local: None,
            dapr: Arc::default(),
        }
    }

    /// A door that leads to handlers of this process too.
    pub fn with_local(self, local: Arc<Local>) -> Self {
        Door { local: Some(local), ..self }
    }

    /// A door that leads to Dapr's API under these grants.
    pub fn with_dapr(self, grants: &[String]) -> Self {
        Door { dapr: grants.into(), ..self }
    }

    /// Counts the bytes of connections that are made from now on.
    pub fn count(&self, traffic: &Arc<Traffic>) {
        self.connector.traffic.get_or_init(|| Arc::clone(traffic));
    }

    /// Sends one request, whose URI is absolute, and returns when the response's headers have come. Follows
    /// no redirect. Dropping the future, or later the body, cancels the request.
    pub async fn send(&self, request: Request<Body>, timeouts: Timeouts) -> Result<Response<Body>, Error> {
        // 1. Where to, and may the guest go there? Before anything that the network could notice.
        let target = Target::of(request.uri())?;
        let dapr = match self.way(&target) {
            Ok(dapr) => dapr,
            Err(refused) => {
                if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                    local::leave_unread(request.into_body(), place);
                }
                return Err(refused);
            }
        };
        let mut request = tidy(request)?;

        // 2. A place among the guest's requests under way.
        let deadline = Instant::now() + timeouts.connect.min(MAX_TIMEOUT);
        let place = self.place(deadline).await?;

        // 3. To Dapr, with what the guest may do there.
        if let Some((handler, granted)) = dapr {
            request.extensions_mut().insert(granted);
            let (first_byte, between) = (timeouts.first_byte.min(MAX_TIMEOUT), timeouts.between_bytes);
            return local::send(handler, request, first_byte, between.min(MAX_TIMEOUT), place).await;
        }

        // 4. To a handler of this process; names that are for these alone are not looked up elsewhere.
        if let Some(handler) = self.local.as_ref().and_then(|local| local.find(&target)) {
            let (first_byte, between) = (timeouts.first_byte.min(MAX_TIMEOUT), timeouts.between_bytes);
            return local::send(handler, request, first_byte, between.min(MAX_TIMEOUT), place).await;
        }
        if self.local.is_some() && local::is_internal(&target) {
            return Err(Error::Unavailable(format!("no component answers at {target}")));
        }

        // 5. Over the network, on a connection of this door.
        self.exchange(&target, request, timeouts, deadline, place).await
    }

    /// To Dapr's API, or (`None`) elsewhere, where the guest may go.
    fn way(&self, target: &Target) -> Result<Option<ToDapr>, Error> {
        match self.local.as_ref().and_then(|local| local.dapr(target)) {
            Some(handler) => Ok(Some((handler, self.granted(target)?))),
            None => self.policy.check(target).map(|()| None),
        }
    }

    /// What the guest may do at Dapr's API: what its grant `dapr` names, or everything, where the address itself
    /// is granted.
    fn granted(&self, target: &Target) -> Result<Granted, Error> {
        if self.dapr.is_empty() {
            self.policy.check(target)?;
            return Ok(Granted(Arc::new(["*".to_owned()])));
        }
        Ok(Granted(Arc::clone(&self.dapr)))
    }

    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Error> {
        let place = timeout_at(deadline, Arc::clone(&self.places).acquire_owned());
        place.await.map_err(|_| Error::LimitReached)?.map_err(|_| Error::LimitReached)
    }

    #[cfg(test)]
    pub async fn occupy_all_places(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.places).acquire_many_owned(MAX_UNDER_WAY as u32).await.unwrap()
    }

    async fn connect(&self, target: &Target, deadline: Instant) -> Result<Lease, Error> {
        let sender = self.connector.connect(&self.policy, target, deadline).await?;
        Ok(self.pool.lease(target, sender))
    }

    /// A connection, and whether it was there before: of requests that start at once, one connects, and if the
    /// server speaks HTTP/2 the others share what it made.
    async fn connect_or_share(&self, target: &Target, deadline: Instant) -> Result<(Lease, bool), Error> {
        let gate = self.pool.gate(target);
        let turn = timeout_at(deadline, gate.acquire()).await.map_err(|_| Error::ConnectTimeout)?;
        if turn.is_ok()
            && let Some(lease) = self.pool.take(target)
        {
            return Ok((lease, true));
        }
        let lease = self.connect(target, deadline).await?;
        if !lease.is_shared() {
            gate.close();
        }
        Ok((lease, false))
    }

    async fn exchange(
        &self,
        target: &Target,
        mut request: Request<Body>,
        timeouts: Timeouts,
        deadline: Instant,
        place: OwnedSemaphorePermit,
    ) -> Result<Response<Body>, Error> {
        let mut stale = 0;
        loop {
            let kept = if stale < MAX_STALE { self.pool.take(target) } else { None };
            let (mut lease, reused) = match kept {
                Some(lease) => (lease, true),
                None if target.tls => self.connect_or_share(target, deadline).await?,
                None => (self.connect(target, deadline).await?, false),
            };
            let sent = timeout(timeouts.first_byte.min(MAX_TIMEOUT), lease.send(request)).await;
            match sent.map_err(|_| Error::ReadTimeout)? {
                Sent::Response(response) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                    return Err(Error::UpgradeRefused);
                }
                // The libraries bound what they buffer, which may be a little more.
                Sent::Response(response) if head_bytes(response.headers()) > MAX_RESPONSE_HEAD_BYTES => {
                    return Err(Error::ResponseHeadTooLarge);
                }
                Sent::Response(response) => {
                    let between_bytes = timeouts.between_bytes.min(MAX_TIMEOUT);
                    return Ok(response
                        .map(|body| ResponseBody::new(body, between_bytes, lease, place).boxed_unsync()));
                }
                // The server closed the connection while it was unused: that is no news about this request.
                Sent::Unsent(back, _) if reused => {
                    request = back;
                    stale += 1;
                }
                Sent::Unsent(_, error) | Sent::Failed(error) => return Err(error),
            }
        }
    }
}

fn head_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum()
}

/// Removes what concerns the connection and not the request: the connection is this door's business, and a
/// `Host` header that differs from the granted origin would reach another site of the same server.
fn tidy(mut request: Request<Body>) -> Result<Request<Body>, Error> {
    // CONNECT would turn the server into a tunnel to anywhere.
    if request.method() == Method::CONNECT {
        return Err(Error::BadMethod);
    }
    let headers = request.headers_mut();
    remove_named_by_connection(headers);
    let keep_alive = HeaderName::from_static("keep-alive");
    let proxy_connection = HeaderName::from_static("proxy-connection");
    let settings = HeaderName::from_static("http2-settings");
    let names = [CONNECTION, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TRANSFER_ENCODING, UPGRADE];
    for name in names.into_iter().chain([keep_alive, proxy_connection, settings]) {
        headers.remove(name);
    }
    if headers.get(TE).is_some_and(|te| te != "trailers") {
        headers.remove(TE);
    }
    Ok(request)
}
