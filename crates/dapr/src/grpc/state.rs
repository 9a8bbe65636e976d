//! State over gRPC: values are bytes, whatever they hold.

use super::convert;
use crate::error::Problem;
use crate::proto::runtime::v1::{
    BulkStateItem, DeleteBulkStateRequest, DeleteStateRequest, ExecuteStateTransactionRequest,
    GetBulkStateRequest, GetBulkStateResponse, GetStateRequest, GetStateResponse, QueryStateItem,
    QueryStateRequest, QueryStateResponse, SaveStateRequest,
};
use crate::runtime::{Caller, Dapr};
use crate::state::{self, Item};
use sampan_capabilities::keyvalue::Entry;
use std::collections::BTreeMap;

fn metadata(entry: &Entry) -> BTreeMap<String, String> {
    let expires = entry.expires.map(state::rfc3339);
    expires.into_iter().map(|expires| ("ttlExpireTime".to_owned(), expires)).collect()
}

pub async fn get(dapr: &Dapr, caller: &Caller, call: GetStateRequest) -> Result<GetStateResponse, Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let found = dapr.outbound(&call.store_name);
    let found = found.run(|| state::get(&store, &call.store_name, &call.key)).await?;
    let Some(entry) = found else { return Ok(GetStateResponse::default()) };
    let metadata = metadata(&entry);
    Ok(GetStateResponse { data: entry.value.into(), etag: entry.version.unwrap_or_default(), metadata })
}

pub async fn get_bulk(
    dapr: &Dapr,
    caller: &Caller,
    call: GetBulkStateRequest,
) -> Result<GetBulkStateResponse, Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let target = dapr.outbound(&call.store_name);
    let found = target.run(|| state::get_bulk(&store, &call.store_name, call.keys.clone())).await?;
    let items = found.into_iter().map(|item| match item.found {
        Ok(Some(entry)) => BulkStateItem {
            key: item.key,
            metadata: metadata(&entry),
            data: entry.value.into(),
            etag: entry.version.unwrap_or_default(),
            error: String::new(),
        },
        Ok(None) => BulkStateItem { key: item.key, ..BulkStateItem::default() },
        Err(problem) => BulkStateItem { key: item.key, error: problem.message, ..BulkStateItem::default() },
    });
    Ok(GetBulkStateResponse { items: items.collect() })
}

pub async fn save(dapr: &Dapr, caller: &Caller, call: SaveStateRequest) -> Result<(), Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let items: Vec<Item> = call.states.into_iter().map(convert::item).collect();
    let target = dapr.outbound(&call.store_name);
    target.run(|| state::save(&store, &call.store_name, items.clone())).await
}

pub async fn delete(dapr: &Dapr, caller: &Caller, call: DeleteStateRequest) -> Result<(), Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let item = convert::deletion(call.key, call.etag, call.options, call.metadata);
    let target = dapr.outbound(&call.store_name);
    target.run(|| state::delete(&store, &call.store_name, item.clone())).await
}

pub async fn delete_bulk(dapr: &Dapr, caller: &Caller, call: DeleteBulkStateRequest) -> Result<(), Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let items: Vec<Item> = call
        .states
        .into_iter()
        .map(|one| convert::deletion(one.key, one.etag, one.options, one.metadata))
        .collect();
    let target = dapr.outbound(&call.store_name);
    target.run(|| state::delete_many(&store, &call.store_name, items.clone())).await
}

pub async fn transact(
    dapr: &Dapr,
    caller: &Caller,
    call: ExecuteStateTransactionRequest,
) -> Result<(), Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let mut items = Vec::new();
    for operation in call.operations {
        // An operation without a request asks for nothing.
        let Some(request) = operation.request else { continue };
        let mut item = convert::item(request);
        for (name, value) in &call.metadata {
            item.metadata.insert(name.clone(), value.clone());
        }
        items.push(match operation.operation_type.as_str() {
            "upsert" => item,
            "delete" => Item { value: None, ..item },
            other => return Err(Problem::unknown_operation(other)),
        });
    }
    if items.is_empty() {
        return Ok(());
    }
    let target = dapr.outbound(&call.store_name);
    target.run(|| state::transact(&store, &call.store_name, items.clone())).await
}

pub async fn query(
    dapr: &Dapr,
    caller: &Caller,
    call: QueryStateRequest,
) -> Result<QueryStateResponse, Problem> {
    let store = state::store(dapr, caller, &call.store_name).await?;
    let target = dapr.outbound(&call.store_name);
    let found = target.run(|| state::query(&store, &call.store_name, call.query.as_bytes())).await?;
    let results = found.items.into_iter().map(|(key, entry)| QueryStateItem {
        key,
        data: entry.value.into(),
        etag: entry.version.unwrap_or_default(),
        error: String::new(),
    });
    Ok(QueryStateResponse {
        results: results.collect(),
        token: found.token.unwrap_or_default(),
        metadata: BTreeMap::new(),
    })
}
