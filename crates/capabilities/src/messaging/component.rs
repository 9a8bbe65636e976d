//! Dapr's `pubsub.*` components: from their metadata to a broker's description.

use crate::{Properties, PropertyError};
use sampan_app::MessagingBackend;

/// The broker that the metadata describes; `None`: the type is none of ours.
pub fn describe(kind: &str, _properties: &Properties) -> Result<Option<MessagingBackend>, PropertyError> {
    match kind {
        "pubsub.in-memory" => Ok(Some(MessagingBackend::Memory)),
        _ => Ok(None),
    }
}
