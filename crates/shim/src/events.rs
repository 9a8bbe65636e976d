//! What happened, told to containerd in the order in which it happened.

use containerd_shim_protos::events::task;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{MessageField, MessageFull};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::{topics, ttrpc};
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Events that wait while containerd is away; a busy container makes few.
const QUEUE_MAX: usize = 4096;
/// containerd that is restarted is back within that time, and asks for what it missed otherwise.
const ATTEMPTS_MAX: u32 = 30;
const ATTEMPT_PAUSE: Duration = Duration::from_secs(1);
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// Where events are handed over. All of them go through one queue, so order is kept, also over attempts.
#[derive(Clone)]
pub struct Publisher {
    namespace: String,
    queue: mpsc::Sender<Envelope>,
}

impl Publisher {
    /// The task ends when the last publisher is gone and the queue is empty.
    pub fn start(address: String, namespace: String) -> (Self, JoinHandle<()>) {
        let (queue, receiver) = mpsc::channel(QUEUE_MAX);
        (Publisher { namespace, queue }, tokio::spawn(deliver(address, receiver)))
    }

    pub fn publish<E: Event>(&self, event: E) {
        let any = Any {
            type_url: E::descriptor().full_name().to_owned(),
            value: event.write_to_bytes().unwrap_or_default(),
            ..Any::default()
        };
        let envelope = Envelope {
            timestamp: timestamp(SystemTime::now()),
            namespace: self.namespace.clone(),
            topic: event.topic().to_owned(),
            event: MessageField::some(any),
            ..Envelope::default()
        };
        if self.queue.try_send(envelope).is_err() {
            eprintln!("an event is lost: containerd takes none, and {QUEUE_MAX} wait");
        }
    }
}

async fn deliver(address: String, mut queue: mpsc::Receiver<Envelope>) {
    let mut client = None;
    while let Some(envelope) = queue.recv().await {
        let request = ForwardRequest { envelope: MessageField::some(envelope), ..ForwardRequest::default() };
        for _ in 0..ATTEMPTS_MAX {
            match forward(&address, &mut client, &request).await {
                Ok(()) => break,
                // containerd has it, and does not like it.
                Err(ttrpc::Error::RpcStatus(status)) => {
                    eprintln!("containerd refuses an event: {}", status.message());
                    break;
                }
                Err(_) => {
                    client = None;
                    tokio::time::sleep(ATTEMPT_PAUSE).await;
                }
            }
        }
    }
}

async fn forward(
    address: &str,
    client: &mut Option<EventsClient>,
    request: &ForwardRequest,
) -> ttrpc::Result<()> {
    let client = match client {
        Some(client) => client,
        None => {
            let path = address.strip_prefix("unix://").unwrap_or(address);
            client.insert(EventsClient::new(Client::connect(&format!("unix://{path}")).await?))
        }
    };
    let context = ttrpc::context::with_duration(ATTEMPT_TIMEOUT);
    client.forward(context, request).await.map(|_| ())
}

pub fn timestamp(time: SystemTime) -> MessageField<Timestamp> {
    MessageField::some(Timestamp::from(time))
}

/// An event and the topic under which containerd expects it.
pub trait Event: MessageFull {
    fn topic(&self) -> &'static str;
}

macro_rules! topics {
    ($($event:ident: $topic:ident,)*) => {
        $(impl Event for task::$event {
            fn topic(&self) -> &'static str {
                topics::$topic
            }
        })*
    };
}

topics! {
    TaskCreate: TASK_CREATE_EVENT_TOPIC,
    TaskStart: TASK_START_EVENT_TOPIC,
    TaskExit: TASK_EXIT_EVENT_TOPIC,
    TaskDelete: TASK_DELETE_EVENT_TOPIC,
    TaskOOM: TASK_OOM_EVENT_TOPIC,
    TaskPaused: TASK_PAUSED_EVENT_TOPIC,
    TaskResumed: TASK_RESUMED_EVENT_TOPIC,
    TaskExecAdded: TASK_EXEC_ADDED_EVENT_TOPIC,
    TaskExecStarted: TASK_EXEC_STARTED_EVENT_TOPIC,
}
