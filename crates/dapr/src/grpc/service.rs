//! The service: each call of the API, handed to its building block.

use super::{blocks, convert, publish, state, stream};
use crate::invoke;
use crate::proto::common::v1 as common;
use crate::proto::runtime::v1::dapr_server;
use crate::proto::runtime::v1::{self as wire, *};
use crate::runtime::{Caller, Dapr};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// One call's service.
pub struct Service {
    pub dapr: Arc<Dapr>,
    pub caller: Caller,
}

type Answer<T> = Result<Response<T>, Status>;

fn done<T>(outcome: Result<T, crate::error::Problem>) -> Answer<T> {
    Ok(Response::new(outcome?))
}

#[tonic::async_trait]
impl dapr_server::Dapr for Service {
    async fn invoke_service(&self, call: Request<InvokeServiceRequest>) -> Answer<common::InvokeResponse> {
        done(invoke::over_grpc(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn get_state(&self, call: Request<GetStateRequest>) -> Answer<GetStateResponse> {
        done(state::get(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn get_bulk_state(&self, call: Request<GetBulkStateRequest>) -> Answer<GetBulkStateResponse> {
        done(state::get_bulk(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn save_state(&self, call: Request<SaveStateRequest>) -> Answer<()> {
        done(state::save(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn query_state_alpha1(&self, call: Request<QueryStateRequest>) -> Answer<QueryStateResponse> {
        done(state::query(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn delete_state(&self, call: Request<DeleteStateRequest>) -> Answer<()> {
        done(state::delete(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn delete_bulk_state(&self, call: Request<DeleteBulkStateRequest>) -> Answer<()> {
        done(state::delete_bulk(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn execute_state_transaction(&self, call: Request<ExecuteStateTransactionRequest>) -> Answer<()> {
        done(state::transact(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn publish_event(&self, call: Request<PublishEventRequest>) -> Answer<()> {
        let trace = convert::trace(call.metadata());
        done(publish::one(&self.dapr, &self.caller, call.into_inner(), &trace).await)
    }

    async fn bulk_publish_event(&self, call: Request<BulkPublishRequest>) -> Answer<BulkPublishResponse> {
        let trace = convert::trace(call.metadata());
        done(publish::bulk(&self.dapr, &self.caller, call.into_inner(), &trace).await)
    }

    async fn bulk_publish_event_alpha1(
        &self,
        call: Request<BulkPublishRequest>,
    ) -> Answer<BulkPublishResponse> {
        self.bulk_publish_event(call).await
    }

    type SubscribeTopicEventsAlpha1Stream = stream::Events;

    async fn subscribe_topic_events_alpha1(
        &self,
        call: Request<tonic::Streaming<SubscribeTopicEventsRequestAlpha1>>,
    ) -> Answer<stream::Events> {
        done(stream::events(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn invoke_binding(&self, call: Request<InvokeBindingRequest>) -> Answer<InvokeBindingResponse> {
        done(blocks::binding(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn get_secret(&self, call: Request<GetSecretRequest>) -> Answer<GetSecretResponse> {
        done(blocks::secret(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn get_bulk_secret(&self, call: Request<GetBulkSecretRequest>) -> Answer<GetBulkSecretResponse> {
        done(blocks::secrets(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn get_configuration_alpha1(
        &self,
        call: Request<GetConfigurationRequest>,
    ) -> Answer<GetConfigurationResponse> {
        self.get_configuration(call).await
    }

    async fn get_configuration(
        &self,
        call: Request<GetConfigurationRequest>,
    ) -> Answer<GetConfigurationResponse> {
        done(blocks::configuration(&self.dapr, &self.caller, call.into_inner()).await)
    }

    type SubscribeConfigurationAlpha1Stream = stream::Changes;

    async fn subscribe_configuration_alpha1(
        &self,
        call: Request<SubscribeConfigurationRequest>,
    ) -> Answer<stream::Changes> {
        self.subscribe_configuration(call).await
    }

    type SubscribeConfigurationStream = stream::Changes;

    async fn subscribe_configuration(
        &self,
        call: Request<SubscribeConfigurationRequest>,
    ) -> Answer<stream::Changes> {
        done(stream::changes(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn unsubscribe_configuration_alpha1(
        &self,
        call: Request<UnsubscribeConfigurationRequest>,
    ) -> Answer<UnsubscribeConfigurationResponse> {
        self.unsubscribe_configuration(call).await
    }

    async fn unsubscribe_configuration(
        &self,
        call: Request<UnsubscribeConfigurationRequest>,
    ) -> Answer<UnsubscribeConfigurationResponse> {
        let call = call.into_inner();
        crate::blocks::configuration_store(&self.dapr, &self.caller, &call.store_name)?;
        let ok = self.dapr.watches.end(&call.id);
        let message = if ok { String::new() } else { format!("there is no subscription {}", call.id) };
        Ok(Response::new(UnsubscribeConfigurationResponse { ok, message }))
    }

    async fn try_lock_alpha1(&self, call: Request<TryLockRequest>) -> Answer<TryLockResponse> {
        done(blocks::try_lock(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn unlock_alpha1(&self, call: Request<UnlockRequest>) -> Answer<UnlockResponse> {
        done(blocks::unlock(&self.dapr, &self.caller, call.into_inner()).await)
    }

    async fn get_metadata(&self, _: Request<GetMetadataRequest>) -> Answer<GetMetadataResponse> {
        done(blocks::metadata(&self.dapr, &self.caller))
    }

    async fn set_metadata(&self, call: Request<SetMetadataRequest>) -> Answer<()> {
        self.caller.check_all("the metadata of the app")?;
        let SetMetadataRequest { key, value } = call.into_inner();
        done(self.dapr.extend(key, value))
    }

    async fn shutdown(&self, _: Request<wire::ShutdownRequest>) -> Answer<()> {
        self.caller.check_all("the end of the process")?;
        self.dapr.shut_down();
        Ok(Response::new(()))
    }
}
