//! Publishing over gRPC.

use crate::error::Problem;
use crate::proto::runtime::v1::{
    BulkPublishRequest, BulkPublishResponse, BulkPublishResponseFailedEntry, PublishEventRequest,
};
use crate::pubsub::{self, Entry, Event, Trace};
use crate::runtime::{Caller, Dapr};

pub async fn one(
    dapr: &Dapr,
    caller: &Caller,
    call: PublishEventRequest,
    trace: &Trace,
) -> Result<(), Problem> {
    let PublishEventRequest { pubsub_name, topic, data, data_content_type, metadata } = call;
    let event = Event { data, content_type: said(data_content_type), metadata };
    pubsub::publish(dapr, caller, &pubsub_name, &topic, event, trace).await
}

pub async fn bulk(
    dapr: &Dapr,
    caller: &Caller,
    call: BulkPublishRequest,
    trace: &Trace,
) -> Result<BulkPublishResponse, Problem> {
    let BulkPublishRequest { pubsub_name, topic, entries, metadata: over } = call;
    let entries = entries.into_iter().map(|entry| {
        let mut metadata = over.clone();
        metadata.extend(entry.metadata);
        let content_type = said(entry.content_type);
        Entry { id: entry.entry_id, event: Event { data: entry.event, content_type, metadata } }
    });
    let entries = entries.collect();
    let failed = pubsub::publish_bulk(dapr, caller, &pubsub_name, &topic, entries, trace).await?;
    let failed = failed.into_iter();
    let failed_entries =
        failed.map(|(entry_id, error)| BulkPublishResponseFailedEntry { entry_id, error }).collect();
    Ok(BulkPublishResponse { failed_entries })
}

fn said(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
