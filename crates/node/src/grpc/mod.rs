//! The gRPC door: `flintwheel.v1`, health and reflection.
//!
//! Each service translates: messages to the types of `client` and `model`, faults to statuses with details. It decides nothing.

mod admin;
mod backup;
mod calendar;
mod cluster;
mod dead;
mod definition;
mod event;
mod health;
mod operation;
mod schedule;
mod waiting;
mod wire;

pub use waiting::init_only_routes;

use flintwheel_model::limits::MESSAGE_BYTES;
use flintwheel_proto::FILE_DESCRIPTOR_SET;
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
use tonic::service::Routes;
use tonic_reflection::server::Builder;

use crate::server::Doors;

/// All services, beside those of other rooms. Streams end when `stopping` is cancelled.
pub fn routes(doors: &Doors, extra: Routes, stopping: &CancellationToken) -> Routes {
    let definitions = DefinitionServiceServer::new(definition::Definitions(doors.clone()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let events = EventServiceServer::new(event::Events { doors: doors.clone(), stopping: stopping.clone() })
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let dead = DeadLetterServiceServer::new(dead::DeadLetters(doors.clone()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let operations = OperationServiceServer::new(operation::Operations(doors.clone()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let admin = AdminServiceServer::new(admin::Admin(doors.clone())).max_decoding_message_size(MESSAGE_BYTES);
    let backups = BackupServiceServer::new(backup::Backups { doors: doors.clone(), stopping: stopping.clone() })
        .max_decoding_message_size(MESSAGE_BYTES);
    let calendars = CalendarServiceServer::new(calendar::Calendars(doors.clone()))
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    let cluster = ClusterServiceServer::new(cluster::Cluster(doors.clone())).max_decoding_message_size(MESSAGE_BYTES);
    let schedules =
        ScheduleServiceServer::new(schedule::Schedules(doors.clone())).max_decoding_message_size(MESSAGE_BYTES);
    let routes = extra
        .add_service(definitions)
        .add_service(events)
        .add_service(dead)
        .add_service(operations)
        .add_service(admin)
        .add_service(backups)
        .add_service(calendars)
        .add_service(cluster)
        .add_service(schedules)
        .add_service(health::service(doors.api.clone(), stopping.clone()));
    let router = reflection(routes).into_axum_router();
    router.layer(axum::middleware::map_response(wire::mend)).into()
}

/// Both versions: older tools know `v1alpha` only.
fn reflection(routes: Routes) -> Routes {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().expect("the descriptors are compiled in");
    let v1alpha = builder().build_v1alpha().expect("the descriptors are compiled in");
    routes.add_service(v1).add_service(v1alpha)
}
