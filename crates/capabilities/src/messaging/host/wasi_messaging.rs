//! wasi:messaging@0.2.0-draft: clients by name, messages as resources, and the handler of what comes in.
//!
//! Nobody answers a message of these brokers, so `request-reply` returns the draft's error.

use super::{Connected, HELD_BYTES_MAX, Messaging};
use crate::Host;
use crate::messaging::{BrokerError, CONTENT_TYPE_KEY, METADATA_BYTES_MAX, Message, Received};
use std::collections::BTreeMap;
use wasmtime::component::{Resource, ResourceTableError};
use wasmtime::{Result, Store};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit/wasi-messaging-0.2.0-draft",
        world: "wasi:messaging/messaging-request-reply",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "wasi:messaging/types.client": crate::messaging::host::Connected,
            "wasi:messaging/types.message": crate::messaging::host::HeldMessage,
            "wasi:messaging/request-reply.request-options": crate::messaging::host::wasi_messaging::Options,
        },
        trappable_error_type: {
            "wasi:messaging/types.error" => crate::messaging::host::wasi_messaging::Failure,
        },
        require_store_data_send: true,
    });
}

pub use generated::MessagingRequestReplyPre;
pub use generated::wasi::messaging::{producer, request_reply, types};

/// The longest content type.
const CONTENT_TYPE_BYTES_MAX: usize = 1 << 10;
const NO_REPLIES: &str = "the broker has no request and reply";

/// What a guest's handler says of a message: why it could not handle it.
pub type Handled = Result<(), String>;

/// A message in the guest's hands: one that came, or one that it makes.
#[derive(Default)]
pub struct HeldMessage {
    topic: Option<String>,
    content_type: Option<String>,
    data: Vec<u8>,
    metadata: BTreeMap<String, String>,
}

impl HeldMessage {
    fn bytes(&self) -> usize {
        self.data.len() + self.metadata_bytes()
    }

    fn metadata_bytes(&self) -> usize {
        self.metadata.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    fn of(received: &Received) -> Self {
        let Received { topic, content_type, data, metadata } = received.clone();
        HeldMessage { topic: Some(topic), content_type, data: data.into(), metadata }
    }

    fn into_message(self) -> Message {
        let HeldMessage { content_type, data, mut metadata, .. } = self;
        metadata.extend(content_type.map(|kind| (CONTENT_TYPE_KEY.to_owned(), kind)));
        Message { data: data.into(), metadata }
    }
}

/// Options of a request that nobody answers.
pub struct Options;

/// The guest's error, or a trap for a handle that is none and for what no call could tell.
pub enum Failure {
    Broker(BrokerError),
    Trap(wasmtime::Error),
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        Failure::Broker(error)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => {
                Failure::Broker(BrokerError::Other("too many open clients and messages".to_owned()))
            }
            other => Failure::Trap(other.into()),
        }
    }
}

fn said(error: BrokerError) -> types::Error {
    match error {
        BrokerError::AccessDenied | BrokerError::NoSuchBroker => {
            types::Error::PermissionDenied(error.to_string())
        }
        BrokerError::Unavailable(_) => types::Error::Connection(error.to_string()),
        other => types::Error::Other(other.to_string()),
    }
}

/// Calls the handler of a fresh instance.
pub async fn handle(
    pre: &MessagingRequestReplyPre<Host>,
    store: &mut Store<Host>,
    received: &Received,
) -> Result<Handled> {
    let guest = pre.instantiate_async(&mut *store).await?;
    let message = store.data_mut().messaging.hold(HeldMessage::of(received))?;
    let handled = guest.wasi_messaging_incoming_handler().call_handle(store, message).await?;
    Ok(handled.map_err(|error| match error {
        types::Error::Timeout => "timeout".to_owned(),
        types::Error::Connection(why) => format!("no connection: {why}"),
        types::Error::PermissionDenied(why) => format!("permission denied: {why}"),
        types::Error::Other(why) => why,
    }))
}

impl Messaging {
    /// A message for the guest. The draft has no error for too many: that is a trap.
    fn hold(&mut self, message: HeldMessage) -> Result<Resource<HeldMessage>> {
        self.grow(0, message.bytes())?;
        Ok(self.table.push(message)?)
    }

    /// Counts a message that was of so many bytes and now is of so many.
    fn grow(&mut self, before: usize, after: usize) -> Result<()> {
        let held_bytes = self.held_bytes - before + after;
        if held_bytes > HELD_BYTES_MAX {
            return Err(wasmtime::format_err!("it holds messages of more than {HELD_BYTES_MAX} bytes"));
        }
        self.held_bytes = held_bytes;
        Ok(())
    }

    fn take(&mut self, message: Resource<HeldMessage>) -> Result<HeldMessage, ResourceTableError> {
        let message = self.table.delete(message)?;
        self.held_bytes -= message.bytes();
        Ok(message)
    }

    /// Changes a message by a function that says what is wrong with what it was given.
    fn change<E>(
        &mut self,
        message: &Resource<HeldMessage>,
        change: impl FnOnce(&mut HeldMessage) -> Result<(), E>,
    ) -> Result<Result<(), E>> {
        let held = self.table.get_mut(message)?;
        let before = held.bytes();
        let changed = change(held);
        let after = held.bytes();
        self.grow(before, after)?;
        Ok(changed)
    }
}

impl types::Host for Messaging {
    fn convert_error(&mut self, failure: Failure) -> Result<types::Error> {
        match failure {
            Failure::Broker(error) => Ok(said(error)),
            Failure::Trap(error) => Err(error),
        }
    }
}

impl types::HostClient for Messaging {
    async fn connect(&mut self, name: String) -> Result<Resource<Connected>, Failure> {
        let client = self.find(&name)?.client().await?;
        Ok(self.table.push(Connected(Some(client)))?)
    }

    async fn disconnect(&mut self, client: Resource<Connected>) -> Result<(), Failure> {
        self.table.get_mut(&client)?.0 = None;
        Ok(())
    }

    async fn drop(&mut self, client: Resource<Connected>) -> Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl types::HostMessage for Messaging {
    async fn new(&mut self, data: Vec<u8>) -> Result<Resource<HeldMessage>> {
        self.hold(HeldMessage { data, ..HeldMessage::default() })
    }

    async fn topic(&mut self, message: Resource<HeldMessage>) -> Result<Option<String>> {
        Ok(self.table.get(&message)?.topic.clone())
    }

    async fn content_type(&mut self, message: Resource<HeldMessage>) -> Result<Option<String>> {
        Ok(self.table.get(&message)?.content_type.clone())
    }

    async fn set_content_type(
        &mut self,
        message: Resource<HeldMessage>,
        kind: String,
    ) -> Result<Result<(), ()>> {
        self.change(&message, |message| {
            if kind.len() > CONTENT_TYPE_BYTES_MAX {
                return Err(());
            }
            message.content_type = Some(kind);
            Ok(())
        })
    }

    async fn data(&mut self, message: Resource<HeldMessage>) -> Result<Vec<u8>> {
        Ok(self.table.get(&message)?.data.clone())
    }

    async fn set_data(&mut self, message: Resource<HeldMessage>, data: Vec<u8>) -> Result<()> {
        let changed = self.change(&message, |message| {
            message.data = data;
            Ok::<(), std::convert::Infallible>(())
        })?;
        changed.map_err(|never| match never {})
    }

    async fn metadata(&mut self, message: Resource<HeldMessage>) -> Result<Option<types::Metadata>> {
        let metadata = &self.table.get(&message)?.metadata;
        let pairs = || metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok((!metadata.is_empty()).then(pairs))
    }

    async fn add_metadata(
        &mut self,
        message: Resource<HeldMessage>,
        key: String,
        value: String,
    ) -> Result<Result<(), types::MetadataError>> {
        self.change(&message, |message| {
            let before = message.metadata.get(&key).map_or(0, |value| key.len() + value.len());
            fits(message.metadata_bytes() - before + key.len() + value.len())?;
            message.metadata.insert(key, value);
            Ok(())
        })
    }

    async fn set_metadata(
        &mut self,
        message: Resource<HeldMessage>,
        metadata: types::Metadata,
    ) -> Result<Result<(), types::MetadataError>> {
        self.change(&message, |message| {
            fits(metadata.iter().map(|(key, value)| key.len() + value.len()).sum())?;
            message.metadata = metadata.into_iter().collect();
            Ok(())
        })
    }

    async fn remove_metadata(&mut self, message: Resource<HeldMessage>, key: String) -> Result<()> {
        let changed = self.change(&message, |message| {
            message.metadata.remove(&key);
            Ok::<(), std::convert::Infallible>(())
        })?;
        changed.map_err(|never| match never {})
    }

    async fn drop(&mut self, message: Resource<HeldMessage>) -> Result<()> {
        self.take(message)?;
        Ok(())
    }
}

fn fits(bytes: usize) -> Result<(), types::MetadataError> {
    if bytes <= METADATA_BYTES_MAX {
        return Ok(());
    }
    let why = format!("a message's metadata of {bytes} bytes is larger than {METADATA_BYTES_MAX} bytes");
    Err(types::MetadataError::Invalid(Some(why)))
}

impl producer::Host for Messaging {
    async fn send(
        &mut self,
        client: Resource<Connected>,
        topic: String,
        message: Resource<HeldMessage>,
    ) -> Result<(), Failure> {
        // The message is the host's from now on, whatever becomes of it.
        let message = self.take(message)?.into_message();
        let Connected(client) = self.table.get(&client)?;
        let gone = || BrokerError::Unavailable("the client has disconnected".to_owned());
        let client = client.clone().ok_or_else(gone)?;
        Ok(client.publish_one(topic, message).await?)
    }
}

impl request_reply::Host for Messaging {
    async fn request(
        &mut self,
        _: Resource<Connected>,
        _: String,
        _: Resource<HeldMessage>,
        options: Option<Resource<Options>>,
    ) -> Result<Vec<Resource<HeldMessage>>, Failure> {
        if let Some(options) = options {
            self.table.delete(options)?;
        }
        Err(BrokerError::Other(NO_REPLIES.to_owned()).into())
    }

    async fn reply(
        &mut self,
        _: Resource<HeldMessage>,
        message: Resource<HeldMessage>,
    ) -> Result<(), Failure> {
        self.take(message)?;
        Err(BrokerError::Other(NO_REPLIES.to_owned()).into())
    }
}

impl request_reply::HostRequestOptions for Messaging {
    async fn new(&mut self) -> Result<Resource<Options>> {
        Ok(self.table.push(Options)?)
    }

    async fn set_timeout_ms(&mut self, options: Resource<Options>, _: u32) -> Result<()> {
        self.table.get(&options)?;
        Ok(())
    }

    async fn set_expected_replies(&mut self, options: Resource<Options>, _: u32) -> Result<()> {
        self.table.get(&options)?;
        Ok(())
    }

    async fn drop(&mut self, options: Resource<Options>) -> Result<()> {
        self.table.delete(options)?;
        Ok(())
    }
}
