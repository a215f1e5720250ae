//! The Temporal sink: sends starts over several connections and reads their answers. No retry, no queue.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flintwheel_model::firing::{Start, StartOutcome};
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::error::CallError;
use crate::options::OptionsError;
use crate::target::Target;
use crate::{outcome, request};

/// Temporal Cloud routes by this header.
const NAMESPACE_HEADER: &str = "temporal-namespace";

/// One Temporal cluster to start workflows in. Made without a connection: it connects when first used, and again
/// by itself whenever the connection is lost.
#[derive(Debug)]
pub struct TemporalSink {
    target: Target,
    clients: Vec<WorkflowServiceClient<Channel>>,
    next: AtomicUsize,
}

impl TemporalSink {
    /// Checks the settings (certificates too) and connects to nothing yet.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn new(target: Target) -> Result<Self, OptionsError> {
        let clients = target.channels()?.into_iter().map(WorkflowServiceClient::new).collect();
        Ok(Self { target, clients, next: AtomicUsize::new(0) })
    }

    /// Where it goes.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends one start, once, and waits for its answer at most the target's start timeout.
    ///
    /// Sending the same start again is harmless: its ids are the same, so Temporal answers with the first run.
    pub async fn start(&self, start: &Start) -> StartOutcome {
        let message = request::start_request(start, self.target.identity());
        let request = self.request(&start.temporal_namespace, message);
        let mut client = self.client();
        let limit = self.target.start_timeout();
        match tokio::time::timeout(limit, client.start_workflow_execution(request)).await {
            Ok(Ok(answer)) => outcome::started(answer.into_inner()),
            Ok(Err(status)) => outcome::failed(&status, &start.request_id),
            Err(_) => StartOutcome::Retry { reason: format!("no answer within {limit:?}"), target_wide: true },
        }
    }

    /// A client over the next connection.
    pub(crate) fn client(&self) -> WorkflowServiceClient<Channel> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.clients[turn % self.clients.len()].clone()
    }

    /// A message with the target's headers and deadline.
    pub(crate) fn request<M>(&self, namespace: &str, message: M) -> Request<M> {
        let mut request = Request::new(message);
        request.set_timeout(self.target.start_timeout());
        let metadata = request.metadata_mut();
        for (name, value) in self.target.headers() {
            metadata.insert(name, value.clone());
        }
        // A namespace that can't stand in a header is refused by Temporal itself, with a better message.
        if let Ok(value) = AsciiMetadataValue::try_from(namespace) {
            metadata.insert(NAMESPACE_HEADER, value);
        }
        request
    }

    /// Waits for an answer for as long as a start may take. The deadline in the request alone doesn't cover the time
    /// that a call waits for its connection.
    pub(crate) async fn call<M>(
        &self,
        call: impl Future<Output = Result<Response<M>, Status>>,
    ) -> Result<M, CallError> {
        let limit: Duration = self.target.start_timeout();
        let answer = tokio::time::timeout(limit, call).await.map_err(|_| CallError::Timeout(limit))?;
        Ok(answer?.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Secret, TemporalOptions};

    #[tokio::test]
    async fn every_call_carries_the_headers_the_key_and_the_namespace() {
        let options = TemporalOptions {
            api_key: Some(Secret::from("k".to_owned())),
            headers: [("x-team".to_owned(), Secret::from("a".to_owned()))].into(),
            ..TemporalOptions::default()
        };
        let target = options.resolve_in(Some(&Default::default())).expect("options");
        let request = TemporalSink::new(target).expect("sink").request("prod", ());
        let header = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        assert_eq!(header("authorization"), Some("Bearer k"));
        assert_eq!(header("x-team"), Some("a"));
        assert_eq!(header("temporal-namespace"), Some("prod"));
        assert!(header("grpc-timeout").is_some());
    }
}
