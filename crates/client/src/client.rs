//! The client: cheap to clone, all clones share their connections.

use std::sync::Arc;

use flintwheel_proto::v1::admin_service_client::AdminServiceClient;
use flintwheel_proto::v1::calendar_service_client::CalendarServiceClient;
use flintwheel_proto::v1::cluster_service_client::ClusterServiceClient;
use flintwheel_proto::v1::dead_letter_service_client::DeadLetterServiceClient;
use flintwheel_proto::v1::definition_service_client::DefinitionServiceClient;
use flintwheel_proto::v1::event_service_client::EventServiceClient;
use flintwheel_proto::v1::operation_service_client::OperationServiceClient;
use flintwheel_proto::v1::run_service_client::RunServiceClient;
use flintwheel_proto::v1::schedule_service_client::ScheduleServiceClient;

use crate::error::Error;
use crate::options::Options;
use crate::transport::{Transport, Transports};

mod admin;
mod backup;
mod batch;
mod calendars;
mod cluster;
mod dead;
mod definitions;
mod events;
mod operations;
mod runs;
mod schedules;

pub use backup::ShardExport;
pub use batch::{BATCH_ITEMS, Progress};
pub use definitions::NextOf;
pub use events::{PublishResult, RejectedEvent};

/// Answers may be larger than requests: a page of a thousand definitions, for one.
const ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A connection to a Flintwheel cluster.
#[derive(Clone)]
pub struct Client {
    pub(crate) transports: Arc<Transports>,
    pub(crate) options: Arc<Options>,
    /// Reads of definitions may show what any replica knows by now.
    pub(crate) stale: bool,
    /// Of changes that are given none; empty: each gets one of its own.
    request_id: String,
}

impl Client {
    /// Prepares connections to one or more nodes of one cluster (`HOST:PORT`); the first call makes them. When a node is away, the
    /// next one is asked. Calls about one definition go to the node that leads its shard, once an answer has told which
    /// ([`Options::follow_leaders`]).
    pub fn new(addresses: &[String], options: Options) -> Result<Self, Error> {
        let (transports, options) = (Transports::new(addresses, &options)?, Arc::new(options));
        Ok(Self { transports, options, stale: false, request_id: String::new() })
    }

    /// The same, whose reads of definitions and occurrences any replica may answer: they work where a shard has no leader, and what they
    /// show was right once. Without it, they show all that was acknowledged before.
    #[must_use]
    pub fn stale(&self) -> Self {
        Self { stale: true, ..self.clone() }
    }

    /// The same, whose changes of definitions have this request id (1 to 128 bytes), each of one definition. A caller who keeps it can make the
    /// same calls once more, within an hour, and be answered as the first time: nothing is changed twice, and nothing undone that others have
    /// changed since. An empty id is none.
    #[must_use]
    pub fn with_request_id(&self, request_id: &str) -> Self {
        Self { request_id: request_id.to_owned(), ..self.clone() }
    }

    /// Of one change. Whoever gives none gets a new one: it makes the client's own tries harmless.
    fn request_id(&self, given: &str) -> String {
        let known = [given, self.request_id.as_str()].into_iter().find(|id| !id.is_empty());
        known.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
    }
}

fn definition_service(transport: Transport) -> DefinitionServiceClient<Transport> {
    DefinitionServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}

fn calendar_service(transport: Transport) -> CalendarServiceClient<Transport> {
    CalendarServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}

pub(crate) fn event_service(transport: Transport) -> EventServiceClient<Transport> {
    EventServiceClient::new(transport)
}

fn schedule_service(transport: Transport) -> ScheduleServiceClient<Transport> {
    ScheduleServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}

fn dead_letter_service(transport: Transport) -> DeadLetterServiceClient<Transport> {
    DeadLetterServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}

fn operation_service(transport: Transport) -> OperationServiceClient<Transport> {
    OperationServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}

fn run_service(transport: Transport) -> RunServiceClient<Transport> {
    RunServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}

fn admin_service(transport: Transport) -> AdminServiceClient<Transport> {
    AdminServiceClient::new(transport)
}

fn cluster_service(transport: Transport) -> ClusterServiceClient<Transport> {
    ClusterServiceClient::new(transport).max_decoding_message_size(ANSWER_BYTES)
}
