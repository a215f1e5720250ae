//! Runs and how to ask for them.

use flintwheel_model::Violations;
use flintwheel_proto::v1;

use super::at::At;
use super::record::{read_instant, read_optional};
use super::{definition, json, known, required, time};
use crate::types::{Run, RunQuery, RunStatus, SpawnedTask, TaskKind, TaskStatus, TriggerKind};

/// To the wire.
pub fn to_proto(run: &Run) -> Result<v1::Run, Violations> {
    Ok(v1::Run {
        run_id: run.run_id.clone(),
        r#ref: Some(definition::key_to_proto(&run.definition)),
        version_used: run.version_used,
        scheduled_for: Some(time::timestamp(run.scheduled_for)),
        fired_at: Some(time::timestamp(run.fired_at)),
        context_snapshot: Some(json::object_to_proto(&run.context_snapshot, "context_snapshot")?),
        tasks_spawned: run.tasks_spawned.iter().map(write_task).collect(),
        status: status_to_proto(run.status).into(),
        workflow_id: run.workflow_id.clone(),
        error: run.error.clone(),
        ended_at: run.ended_at.map(time::timestamp),
        started_at: Some(time::timestamp(run.started_at)),
        trigger_kind: kind_to_proto(run.trigger_kind).into(),
        incarnation: run.incarnation,
    })
}

/// From the wire.
pub fn from_proto(proto: v1::Run) -> Result<Run, Violations> {
    let definition = definition::key_from_proto(proto.r#ref, "ref")?;
    let context_snapshot = json::object_from_proto(proto.context_snapshot.unwrap_or_default(), "context_snapshot")?;
    let mut faults = Violations::default();
    let status = read_status(proto.status, At::root("status"), &mut faults);
    let kind = read_kind(proto.trigger_kind, At::root("trigger_kind"), &mut faults);
    let tasks = At::root("tasks_spawned");
    let spawned = proto.tasks_spawned.into_iter().enumerate();
    let run = Run {
        run_id: proto.run_id,
        definition,
        incarnation: proto.incarnation,
        version_used: proto.version_used,
        trigger_kind: required(kind, At::root("trigger_kind"), &mut faults).unwrap_or(TriggerKind::Manual),
        scheduled_for: read_instant(proto.scheduled_for, At::root("scheduled_for"), &mut faults),
        fired_at: read_instant(proto.fired_at, At::root("fired_at"), &mut faults),
        started_at: read_instant(proto.started_at, At::root("started_at"), &mut faults),
        ended_at: read_optional(proto.ended_at, At::root("ended_at"), &mut faults),
        status: required(status, At::root("status"), &mut faults).unwrap_or(RunStatus::Failed),
        error: proto.error,
        workflow_id: proto.workflow_id,
        context_snapshot,
        tasks_spawned: spawned.filter_map(|(i, task)| read_task(task, tasks.index(i), &mut faults)).collect(),
    };
    faults.into_result().map(|()| run)
}

/// To the wire.
pub fn query_to_proto(query: &RunQuery, page_size: u32, page_token: String) -> v1::ListRunsRequest {
    v1::ListRunsRequest {
        namespace: query.namespace.clone(),
        definition_id: query.definition_id.clone(),
        statuses: query.statuses.iter().map(|status| status_to_proto(*status).into()).collect(),
        since: query.since.map(time::timestamp),
        page_size,
        page_token,
    }
}

/// From the wire; the page stays with the request.
pub fn query_from_proto(proto: &v1::ListRunsRequest) -> Result<RunQuery, Violations> {
    let mut faults = Violations::default();
    let at = At::root("statuses");
    let statuses = proto.statuses.iter().enumerate();
    let query = RunQuery {
        namespace: proto.namespace.clone(),
        definition_id: proto.definition_id.clone(),
        statuses: statuses.filter_map(|(i, number)| read_status(*number, at.index(i), &mut faults)).collect(),
        since: read_optional(proto.since, At::root("since"), &mut faults),
    };
    faults.into_result().map(|()| query)
}

fn write_task(task: &SpawnedTask) -> v1::SpawnedTask {
    let kind = match task.kind {
        TaskKind::Workflow => v1::TaskKind::Workflow,
        TaskKind::Activity => v1::TaskKind::Activity,
    };
    let status = match task.status {
        TaskStatus::Waiting => v1::TaskStatus::Waiting,
        TaskStatus::Running => v1::TaskStatus::Running,
        TaskStatus::Completed => v1::TaskStatus::Completed,
        TaskStatus::Failed => v1::TaskStatus::Failed,
        TaskStatus::Cancelled => v1::TaskStatus::Cancelled,
        TaskStatus::Skipped => v1::TaskStatus::Skipped,
    };
    v1::SpawnedTask {
        name: task.name.clone(),
        kind: kind.into(),
        r#type: task.type_name.clone(),
        id: task.id.clone(),
        status: status.into(),
        detail: task.detail.clone(),
    }
}

fn read_task(proto: v1::SpawnedTask, at: At<'_>, faults: &mut Violations) -> Option<SpawnedTask> {
    let kind = known(proto.kind, at.field("kind"), faults).and_then(read_task_kind);
    let status = known(proto.status, at.field("status"), faults).and_then(read_task_status);
    let kind = required(kind, at.field("kind"), faults)?;
    let status = required(status, at.field("status"), faults)?;
    let v1::SpawnedTask { name, r#type: type_name, id, detail, .. } = proto;
    Some(SpawnedTask { name, kind, type_name, id, status, detail })
}

fn read_task_kind(proto: v1::TaskKind) -> Option<TaskKind> {
    match proto {
        v1::TaskKind::Workflow => Some(TaskKind::Workflow),
        v1::TaskKind::Activity => Some(TaskKind::Activity),
        v1::TaskKind::Unspecified => None,
    }
}

fn read_task_status(proto: v1::TaskStatus) -> Option<TaskStatus> {
    match proto {
        v1::TaskStatus::Waiting => Some(TaskStatus::Waiting),
        v1::TaskStatus::Running => Some(TaskStatus::Running),
        v1::TaskStatus::Completed => Some(TaskStatus::Completed),
        v1::TaskStatus::Failed => Some(TaskStatus::Failed),
        v1::TaskStatus::Cancelled => Some(TaskStatus::Cancelled),
        v1::TaskStatus::Skipped => Some(TaskStatus::Skipped),
        v1::TaskStatus::Unspecified => None,
    }
}

fn status_to_proto(status: RunStatus) -> v1::RunStatus {
    match status {
        RunStatus::Running => v1::RunStatus::Running,
        RunStatus::Completed => v1::RunStatus::Completed,
        RunStatus::Failed => v1::RunStatus::Failed,
        RunStatus::Cancelled => v1::RunStatus::Cancelled,
    }
}

fn read_status(number: i32, at: At<'_>, faults: &mut Violations) -> Option<RunStatus> {
    match known(number, at, faults)? {
        v1::RunStatus::Running => Some(RunStatus::Running),
        v1::RunStatus::Completed => Some(RunStatus::Completed),
        v1::RunStatus::Failed => Some(RunStatus::Failed),
        v1::RunStatus::Cancelled => Some(RunStatus::Cancelled),
        v1::RunStatus::Unspecified => None,
    }
}

fn kind_to_proto(kind: TriggerKind) -> v1::TriggerKind {
    match kind {
        TriggerKind::Time => v1::TriggerKind::Time,
        TriggerKind::Event => v1::TriggerKind::Event,
        TriggerKind::Manual => v1::TriggerKind::Manual,
    }
}

fn read_kind(number: i32, at: At<'_>, faults: &mut Violations) -> Option<TriggerKind> {
    match known(number, at, faults)? {
        v1::TriggerKind::Time => Some(TriggerKind::Time),
        v1::TriggerKind::Event => Some(TriggerKind::Event),
        v1::TriggerKind::Manual => Some(TriggerKind::Manual),
        v1::TriggerKind::Unspecified => None,
    }
}
