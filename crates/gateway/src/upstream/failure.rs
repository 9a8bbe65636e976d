//! Why there is no response of a server, and what the client gets in its place.

use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use sampan_app::RetryOn;
use sampan_service::{Body, Unanswered};
use std::io;
use std::time::Duration;

use crate::respond;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("no server of the upstream is well")]
    NoServer,
    #[error("the upstream has all the requests that it may have, and as many wait")]
    QueueFull,
    #[error("the upstream had all the requests that it may have for too long")]
    QueueTime,
    #[error("the upstream has all the connections that it may have")]
    Connections,
    #[error("no connection: {0}")]
    Connect(io::Error),
    #[error("no connection within {0:?}")]
    ConnectTime(Duration),
    #[error("TLS: {0}")]
    Tls(io::Error),
    #[error("the connection ended before the response: {0}")]
    Reset(hyper::Error),
    #[error("the connection was gone before it took the request")]
    Gone,
    #[error("what came is no HTTP response: {0}")]
    BadResponse(hyper::Error),
    #[error("no response within {0:?}")]
    FirstByte(Duration),
    #[error("the time for the whole exchange is over")]
    Total,
    #[error("the server switched protocols, which nobody had asked for")]
    Switched,
    #[error("the client did not go on with its request's body in time")]
    ClientSlow,
    #[error("the client's body ended before its end")]
    ClientBody,
}

impl Failure {
    pub fn status(&self) -> StatusCode {
        match self {
            Failure::NoServer | Failure::QueueFull | Failure::QueueTime | Failure::Connections => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Failure::ConnectTime(_) | Failure::FirstByte(_) | Failure::Total => StatusCode::GATEWAY_TIMEOUT,
            Failure::ClientSlow => StatusCode::REQUEST_TIMEOUT,
            Failure::ClientBody => StatusCode::BAD_REQUEST,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// The label in metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Failure::NoServer => "no_server",
            Failure::QueueFull => "queue_full",
            Failure::QueueTime => "queue_time",
            Failure::Connections => "connections",
            Failure::Connect(_) => "connect",
            Failure::ConnectTime(_) => "connect_timeout",
            Failure::Tls(_) => "tls",
            Failure::Reset(_) | Failure::Gone => "reset",
            Failure::BadResponse(_) => "bad_response",
            Failure::FirstByte(_) => "first_byte",
            Failure::Total => "total",
            Failure::Switched => "switched",
            Failure::ClientSlow | Failure::ClientBody => "client",
        }
    }

    /// What went wrong with the connection.
    pub fn of_transport(&self) -> Option<String> {
        match self {
            Failure::Connect(error) | Failure::Tls(error) => Some(error.to_string()),
            _ => None,
        }
    }

    /// Under which reason a retry falls, if any.
    pub fn retry_on(&self) -> Option<RetryOn> {
        match self {
            Failure::Connect(_) | Failure::ConnectTime(_) | Failure::Tls(_) => Some(RetryOn::Connect),
            Failure::Reset(_) | Failure::Gone | Failure::BadResponse(_) => Some(RetryOn::Reset),
            Failure::FirstByte(_) => Some(RetryOn::Timeout),
            _ => None,
        }
    }

    /// Whether it is the server's fault.
    pub fn of_server(&self) -> bool {
        self.retry_on().is_some()
    }

    /// What the client gets. Which server failed, and how, is not for strangers.
    pub fn respond(&self) -> Response<Body> {
        let status = self.status();
        let mut response = match status {
            StatusCode::SERVICE_UNAVAILABLE => respond::text(status, "no server can take the request now\n"),
            StatusCode::GATEWAY_TIMEOUT => respond::text(status, "the server did not answer in time\n"),
            StatusCode::BAD_GATEWAY => respond::text(status, "the server gave no valid answer\n"),
            _ => respond::text(status, "the request's body did not come to its end\n"),
        };
        response.extensions_mut().insert(Unanswered);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
