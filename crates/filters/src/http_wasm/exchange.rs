//! One exchange as an http-wasm guest sees it: both heads, both bodies, and what it changed of them.

use crate::common::headers::{self, Edit};
use crate::common::is_bodyless;
use crate::common::outgoing::Outgoing;
use crate::common::source::Source;
use http::header::TRAILER;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, response};
use sampan_service::{Body, Peer};
use wasmtime::{Result, bail};

/// Feature bits of `enable_features`.
pub const BUFFER_REQUEST: u32 = 1;
pub const BUFFER_RESPONSE: u32 = 2;
pub const TRAILERS: u32 = 4;
pub const FEATURES: u32 = BUFFER_REQUEST | BUFFER_RESPONSE | TRAILERS;

/// So many changes of trailers are kept for when they come.
const EDITS_MAX: usize = 1000;

/// The request as it came.
pub struct Given {
    pub head: Parts,
    pub body: Source,
    pub buffer_bytes: u64,
}

pub struct Exchange {
    pub features: u32,
    /// The request is with whoever is next, or was.
    pub after_next: bool,
    pub request: Parts,
    pub request_body: Message,
    pub response: response::Parts,
    pub response_body: Message,
    buffer_bytes: u64,
}

/// The body of one direction, with its trailers.
#[derive(Default)]
pub struct Message {
    /// What came; `None` for a response that did not.
    pub source: Option<Source>,
    /// What the guest wrote in its place.
    written: Option<Vec<u8>>,
    /// What it changed of the trailers.
    edits: Vec<Edit>,
}

impl Exchange {
    pub fn new(given: Given, features: u32) -> Box<Self> {
        let mut exchange = Box::new(Exchange {
            features: 0,
            after_next: false,
            request: given.head,
            request_body: Message { source: Some(given.body), ..Message::default() },
            response: Response::new(()).into_parts().0,
            response_body: Message::default(),
            buffer_bytes: given.buffer_bytes,
        });
        exchange.enable(features);
        exchange
    }

    pub fn enable(&mut self, features: u32) {
        self.features |= features & FEATURES;
        let keep = [(BUFFER_REQUEST, &self.request_body), (BUFFER_RESPONSE, &self.response_body)];
        for (feature, message) in keep {
            if self.features & feature != 0
                && let Some(source) = &message.source
            {
                source.keep_all();
            }
        }
    }

    pub fn needs(&self, feature: u32, what: &str, name: &str) -> Result<()> {
        if self.features & feature == 0 {
            bail!("{what} needs the feature {name}, which it did not enable");
        }
        Ok(())
    }

    pub fn before_next(&self, what: &str) -> Result<()> {
        if self.after_next {
            bail!("{what} is not possible after the next handler");
        }
        Ok(())
    }

    /// What concerns the response is the guest's until the next handler has answered, and then only where it said
    /// that it would want it.
    pub fn response_is_open(&self, what: &str) -> Result<()> {
        match self.after_next {
            true => self.needs(BUFFER_RESPONSE, what, "buffer_response"),
            false => Ok(()),
        }
    }

    pub fn write(&mut self, request: bool, bytes: &[u8]) -> Result<()> {
        let limit = self.buffer_bytes;
        let message = if request { &mut self.request_body } else { &mut self.response_body };
        let written = message.written.get_or_insert_default();
        if (written.len() + bytes.len()) as u64 > limit {
            bail!("it writes a body of more than the {limit} bytes that it may buffer (limits.buffer)");
        }
        written.extend_from_slice(bytes);
        Ok(())
    }

    /// The request for whoever is next.
    pub fn hand_on(&mut self) -> Request<Body> {
        self.after_next = true;
        let (mut head, _) = Request::new(()).into_parts();
        std::mem::swap(&mut head, &mut self.request);
        // The guest may still ask for it when it is gone.
        self.request.method = head.method.clone();
        self.request.uri = head.uri.clone();
        self.request.version = head.version;
        self.request.headers = head.headers.clone();
        if let Some(peer) = head.extensions.get::<Peer>() {
            self.request.extensions.insert(*peer);
        }
        let body = self.request_body.finish(&mut head.headers);
        Request::from_parts(head, body)
    }

    /// The response of whoever is next. What the guest said of one before is merged, as far as it can be.
    pub fn answered(&mut self, head: response::Parts, source: Source) {
        let early = std::mem::replace(&mut self.response, head);
        headers::merge(&mut self.response.headers, early.headers);
        let edits = std::mem::take(&mut self.response_body.edits);
        self.response_body = Message { source: Some(source), written: None, edits };
        self.enable(self.features);
    }

    /// The response that the guest made itself.
    pub fn local(mut self) -> Response<Body> {
        if is_bodyless(self.response.status) {
            headers::set_length(&mut self.response.headers, None);
            return Response::from_parts(self.response, sampan_service::empty());
        }
        self.respond()
    }

    /// The next one's response, with the guest's changes.
    pub fn respond(mut self) -> Response<Body> {
        let body = self.response_body.finish(&mut self.response.headers);
        Response::from_parts(self.response, body)
    }
}

impl Message {
    /// Trailers as the guest sees them: those that came, with its own changes.
    pub fn trailers(&self) -> Result<HeaderMap> {
        let mut trailers = self.source.as_ref().and_then(Source::trailers).unwrap_or_default();
        for edit in &self.edits {
            edit.clone().apply(&mut trailers)?;
        }
        Ok(trailers)
    }

    pub fn edit_trailers(&mut self, edit: Edit) -> Result<()> {
        if self.edits.len() >= EDITS_MAX {
            bail!("it changes trailers more than {EDITS_MAX} times");
        }
        self.edits.push(edit);
        // Says so at once, where it is too much.
        self.trailers().map(drop)
    }

    /// The body as it goes on, and what its head must say of it.
    fn finish(&mut self, head: &mut HeaderMap) -> Body {
        let (mut outgoing, whole) = match (self.written.take(), &self.source) {
            (Some(written), _) => (Outgoing::written(written), false),
            (None, Some(source)) => source.hand_on(),
            (None, None) => (Outgoing::written(Vec::new()), false),
        };
        let edits = std::mem::take(&mut self.edits);
        let trailers = !edits.is_empty();
        if trailers {
            announce(head, &edits);
            outgoing.edit_trailers(edits);
        }
        if trailers || !whole {
            headers::set_length(head, outgoing.length());
        }
        outgoing.into_body()
    }
}

/// HTTP/1.1 sends no trailers but those that the head names.
fn announce(head: &mut HeaderMap, edits: &[Edit]) {
    let mut names: Vec<&str> = edits.iter().map(Edit::name).collect();
    names.sort_unstable();
    names.dedup();
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        head.append(TRAILER, value);
    }
}
