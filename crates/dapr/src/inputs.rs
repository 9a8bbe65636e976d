//! Input bindings: events from outside that become requests to the app.

use crate::app::{CallError, Protocol, To};
use crate::plan::Route;
use crate::runtime::Dapr;
use crate::subscriptions::Destination;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use sampan_capabilities::bindings::component::{self as bindings, Binding};
use sampan_capabilities::bindings::{Event, Input, Schedule};
use sampan_capabilities::messaging::Outcome;
use std::sync::{Arc, Weak};

/// Starts the bindings that the app wants.
pub async fn start(dapr: &Arc<Dapr>) {
    let over_grpc = match dapr.app.protocol {
        Protocol::Http => Vec::new(),
        Protocol::Grpc => listed(dapr).await,
    };
    for (name, (description, route)) in &dapr.components.inputs {
        let wants = match dapr.app.protocol {
            _ if route.said => true,
            Protocol::Http => wants(dapr, route).await,
            Protocol::Grpc => over_grpc.contains(name),
        };
        if !wants {
            continue;
        }
        match bindings::open(name, description).await {
            Ok(Binding::Output(_)) => {}
            Ok(Binding::Input(input)) => {
                let stopped = dapr.running.stopped();
                let (name, path) = (name.clone(), route.path.clone());
                let events = Events { name, path, destination: Destination::App, input };
                dapr.spawn(run(Arc::downgrade(dapr), events, stopped));
            }
            Err(error) => dapr.note(&error.what),
        }
    }
}

/// A component that the time starts.
#[derive(Clone, Debug)]
pub struct Scheduled {
    pub name: String,
    pub schedule: Schedule,
    pub component: String,
    pub path: String,
}

/// Starts the schedules of a manifest. A tick that comes while the one before is being handled waits for it.
pub fn start_schedules(dapr: &Arc<Dapr>, scheduled: Vec<Scheduled>) {
    for Scheduled { name, schedule, component, path } in scheduled {
        let input = Input::of_schedule(schedule);
        let events = Events { name, path, destination: Destination::Component(component), input };
        dapr.spawn(run(Arc::downgrade(dapr), events, dapr.running.stopped()));
    }
}

/// Events from one place, and where they go.
struct Events {
    name: String,
    path: String,
    destination: Destination,
    input: Input,
}

/// Dapr's question to an app: OPTIONS, answered with success or with 405.
async fn wants(dapr: &Dapr, route: &Route) -> bool {
    let asked = dapr.app.call(To::App, Method::OPTIONS, &route.path, HeaderMap::new(), Bytes::new()).await;
    asked.is_ok_and(|reply| reply.status.is_success() || reply.status == StatusCode::METHOD_NOT_ALLOWED)
}

async fn listed(dapr: &Dapr) -> Vec<String> {
    let Ok(mut client) = dapr.app.grpc() else { return Vec::new() };
    client.list_input_bindings(()).await.map(|list| list.into_inner().bindings).unwrap_or_default()
}

async fn run(dapr: Weak<Dapr>, mut events: Events, stopped: impl Future<Output = ()> + Send) {
    let mut stopped = std::pin::pin!(stopped);
    loop {
        let event = tokio::select! {
            event = events.input.next() => event,
            () = &mut stopped => return,
        };
        let Some(dapr) = dapr.upgrade() else { return };
        let failed = match event {
            Ok(event) => {
                let sent = send(&dapr, &events, event).await;
                dapr.policies.count(&events.name, &[if sent.is_ok() { Outcome::Ack } else { Outcome::Drop }]);
                sent.err().map(|error| error.to_string())
            }
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = failed {
            dapr.note(&format!("{}: {why}", events.name));
        }
    }
}

/// Why the app did not take an event.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{0}")]
    Call(#[from] CallError),
    #[error("the app answered {0}")]
    Status(StatusCode),
    #[error("the app answered {0}")]
    Grpc(tonic::Code),
}

async fn send(dapr: &Dapr, events: &Events, event: Event) -> Result<(), Refused> {
    let Event { data, metadata } = event;
    if dapr.app.protocol == Protocol::Grpc && events.destination == Destination::App {
        let request = crate::proto::runtime::v1::BindingEventRequest {
            name: events.name.clone(),
            data: data.into(),
            metadata,
        };
        let sent = dapr.app.grpc()?.on_binding_event(request).await;
        return sent.map(drop).map_err(|status| Refused::Grpc(status.code()));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &metadata {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let reply = dapr
        .app
        .post(events.destination.to(), &events.path, "application/json", headers, data.into())
        .await?;
    if reply.status.is_success() { Ok(()) } else { Err(Refused::Status(reply.status)) }
}
