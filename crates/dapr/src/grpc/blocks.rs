//! Secrets, configuration, locks, bindings and metadata over gRPC.

use crate::blocks::{self, Claim};
use crate::error::Problem;
use crate::proto::common::v1::ConfigurationItem;
use crate::proto::runtime::v1::{
    GetBulkSecretRequest, GetBulkSecretResponse, GetConfigurationRequest, GetConfigurationResponse,
    GetMetadataResponse, GetSecretRequest, GetSecretResponse, InvokeBindingRequest, InvokeBindingResponse,
    MetadataHttpEndpoint, PubsubSubscription, PubsubSubscriptionRule, PubsubSubscriptionRules,
    PubsubSubscriptionType, RegisteredComponents, SecretResponse, TryLockRequest, TryLockResponse,
    UnlockRequest, UnlockResponse,
};
use crate::runtime::{Caller, Dapr};
use crate::subscriptions::{Source, Subscription};
use sampan_capabilities::configuration::Item;
use std::collections::BTreeMap;

pub async fn secret(
    dapr: &Dapr,
    caller: &Caller,
    call: GetSecretRequest,
) -> Result<GetSecretResponse, Problem> {
    let found = blocks::secret(dapr, caller, &call.store_name, &call.key, &call.metadata).await?;
    Ok(GetSecretResponse { data: found.unwrap_or_default() })
}

pub async fn secrets(
    dapr: &Dapr,
    caller: &Caller,
    call: GetBulkSecretRequest,
) -> Result<GetBulkSecretResponse, Problem> {
    let found = blocks::secrets(dapr, caller, &call.store_name).await?;
    let data = found.into_iter().map(|(name, secrets)| (name, SecretResponse { secrets })).collect();
    Ok(GetBulkSecretResponse { data })
}

pub async fn configuration(
    dapr: &Dapr,
    caller: &Caller,
    call: GetConfigurationRequest,
) -> Result<GetConfigurationResponse, Problem> {
    let found = blocks::configuration(dapr, caller, &call.store_name, &call.keys).await?;
    Ok(GetConfigurationResponse { items: items(found) })
}

pub fn items(found: BTreeMap<String, Item>) -> BTreeMap<String, ConfigurationItem> {
    let item = |Item { value, version, metadata }| ConfigurationItem { value, version, metadata };
    found.into_iter().map(|(key, one)| (key, item(one))).collect()
}

pub async fn try_lock(
    dapr: &Dapr,
    caller: &Caller,
    call: TryLockRequest,
) -> Result<TryLockResponse, Problem> {
    let claim = Claim { resource: &call.resource_id, owner: &call.lock_owner };
    let expiry_seconds = i64::from(call.expiry_in_seconds);
    let success = blocks::try_lock(dapr, caller, &call.store_name, claim, expiry_seconds).await?;
    Ok(TryLockResponse { success })
}

pub async fn unlock(dapr: &Dapr, caller: &Caller, call: UnlockRequest) -> Result<UnlockResponse, Problem> {
    let claim = Claim { resource: &call.resource_id, owner: &call.lock_owner };
    let done = blocks::unlock(dapr, caller, &call.store_name, claim).await?;
    Ok(UnlockResponse { status: blocks::unlock_status(done) })
}

pub async fn binding(
    dapr: &Dapr,
    caller: &Caller,
    call: InvokeBindingRequest,
) -> Result<InvokeBindingResponse, Problem> {
    let InvokeBindingRequest { name, data, metadata, operation } = call;
    let invoked = blocks::invoke_binding(dapr, caller, &name, &operation, &data, &metadata).await?;
    Ok(InvokeBindingResponse { data: invoked.data.unwrap_or_default().into(), metadata: invoked.metadata })
}

pub fn metadata(dapr: &Dapr, caller: &Caller) -> Result<GetMetadataResponse, Problem> {
    caller.check_all("the metadata of the app")?;
    let components = dapr.components.listed.iter().map(|one| RegisteredComponents {
        name: one.name.clone(),
        r#type: one.kind.clone(),
        version: one.version.clone(),
        capabilities: one.capabilities.iter().map(|&name| name.to_owned()).collect(),
    });
    let subscriptions = dapr.subscriptions();
    let subscriptions = subscriptions.iter().map(|(source, one)| subscription(*source, one));
    let endpoints = dapr.endpoints.iter();
    Ok(GetMetadataResponse {
        id: dapr.app_id().to_owned(),
        registered_components: components.collect(),
        extended_metadata: dapr.extended(),
        subscriptions: subscriptions.collect(),
        http_endpoints: endpoints.map(|one| MetadataHttpEndpoint { name: one.name.clone() }).collect(),
        runtime_version: dapr.version().to_owned(),
        ..GetMetadataResponse::default()
    })
}

fn subscription(source: Source, one: &Subscription) -> PubsubSubscription {
    let rule = |(expression, path): (&str, &str)| PubsubSubscriptionRule {
        r#match: expression.to_owned(),
        path: path.to_owned(),
    };
    let kind = match source {
        Source::Declared => PubsubSubscriptionType::Declarative,
        Source::Programmatic => PubsubSubscriptionType::Programmatic,
        Source::Streaming => PubsubSubscriptionType::Streaming,
    };
    PubsubSubscription {
        pubsub_name: one.pubsub.clone(),
        topic: one.topic.clone(),
        metadata: one.metadata.clone(),
        rules: Some(PubsubSubscriptionRules { rules: one.paths().map(rule).collect() }),
        dead_letter_topic: one.dead_letter_topic.clone().unwrap_or_default(),
        r#type: kind.into(),
    }
}
