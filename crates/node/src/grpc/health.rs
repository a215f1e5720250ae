//! `grpc.health.v1`: the node as a whole and each service follow whether the node takes work. What brings a backup, and shows how the cluster stands,
//! works while a backup is being brought.

use std::time::Duration;

use flintwheel_proto::v1::admin_service_server::AdminServiceServer;
use flintwheel_proto::v1::backup_service_server::BackupServiceServer;
use flintwheel_proto::v1::calendar_service_server::CalendarServiceServer;
use flintwheel_proto::v1::cluster_service_server::ClusterServiceServer;
use flintwheel_proto::v1::dead_letter_service_server::DeadLetterServiceServer;
use flintwheel_proto::v1::definition_service_server::DefinitionServiceServer;
use flintwheel_proto::v1::event_service_server::EventServiceServer;
use flintwheel_proto::v1::operation_service_server::OperationServiceServer;
use flintwheel_proto::v1::schedule_service_server::ScheduleServiceServer;
use tokio_util::sync::CancellationToken;
use tonic::server::NamedService;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::{HealthReporter, HealthService};

use super::admin::Admin;
use super::backup::Backups;
use super::calendar::Calendars;
use super::cluster::Cluster;
use super::dead::DeadLetters;
use super::definition::Definitions;
use super::event::Events;
use super::operation::Operations;
use super::schedule::Schedules;
use crate::api::Api;

/// How often the node is asked whether it takes work. It looks at each of its shards then, of which there may be thousands.
const EVERY: Duration = Duration::from_millis(500);
/// The name of the node as a whole is empty.
const NAMES: [&str; 10] = [
    "",
    DefinitionServiceServer::<Definitions>::NAME,
    EventServiceServer::<Events>::NAME,
    DeadLetterServiceServer::<DeadLetters>::NAME,
    OperationServiceServer::<Operations>::NAME,
    CalendarServiceServer::<Calendars>::NAME,
    ScheduleServiceServer::<Schedules>::NAME,
    AdminServiceServer::<Admin>::NAME,
    BackupServiceServer::<Backups>::NAME,
    ClusterServiceServer::<Cluster>::NAME,
];

/// Of them, those that work during a restore.
const DURING_RESTORE: [&str; 3] =
    [AdminServiceServer::<Admin>::NAME, BackupServiceServer::<Backups>::NAME, ClusterServiceServer::<Cluster>::NAME];

/// The service; a task keeps it up to date until `stopping` is cancelled. Then it says so, and ends whoever watches.
pub fn service(api: Api, stopping: CancellationToken) -> HealthServer<impl Health> {
    let reporter = HealthReporter::new();
    tokio::spawn(follow(reporter.clone(), api, stopping));
    HealthServer::new(HealthService::from_health_reporter(reporter))
}

async fn follow(mut reporter: HealthReporter, api: Api, stopping: CancellationToken) {
    let mut every = tokio::time::interval(EVERY);
    let mut told = None;
    while stopping.run_until_cancelled(every.tick()).await.is_some() {
        let fit = api.fit();
        let now = (status(&fit), status(&fit.and_then(|()| api.whole())));
        if told.replace(now) != Some(now) {
            tell(&reporter, now).await;
        }
    }
    tell(&reporter, (ServingStatus::NotServing, ServingStatus::NotServing)).await;
    for name in NAMES {
        reporter.clear_service_status(name).await;
    }
}

/// The service of a node that waits for its cluster: nothing of it takes work.
pub async fn not_serving() -> HealthServer<impl Health> {
    let reporter = HealthReporter::new();
    tell(&reporter, (ServingStatus::NotServing, ServingStatus::NotServing)).await;
    HealthServer::new(HealthService::from_health_reporter(reporter))
}

fn status(fit: &Result<(), String>) -> ServingStatus {
    if fit.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing }
}

async fn tell(reporter: &HealthReporter, (during_restore, otherwise): (ServingStatus, ServingStatus)) {
    for name in NAMES {
        let status = if DURING_RESTORE.contains(&name) { during_restore } else { otherwise };
        reporter.set_service_status(name, status).await;
    }
}
