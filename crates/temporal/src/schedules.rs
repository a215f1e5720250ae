//! Temporal's schedules: which there are, what they are, and the calls that stop one, let it go on, and have it make up for what was due.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use flintwheel_import::temporal::{
    Action, Calendar, Info, Interval, Overlap, Payload, Policies, Priority, Range, Retry, Schedule, Spec, State,
    Versioning, WorkerVersion,
};
use temporalio_common::protos::temporal::api::common::v1 as common;
use temporalio_common::protos::temporal::api::deployment::v1::{Deployment, WorkerDeploymentVersion};
use temporalio_common::protos::temporal::api::enums::v1::{ScheduleOverlapPolicy, VersioningBehavior};
use temporalio_common::protos::temporal::api::schedule::v1 as schedule;
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::Override;
use temporalio_common::protos::temporal::api::workflow::v1::{NewWorkflowExecutionInfo, VersioningOverride};
use temporalio_common::protos::temporal::api::workflowservice::v1::{
    DescribeScheduleRequest, DescribeScheduleResponse, ListSchedulesRequest, PatchScheduleRequest,
    UpdateScheduleRequest,
};

use crate::error::CallError;
use crate::sink::TemporalSink;

/// Rows of one page.
const PAGE: i32 = 500;
const MICROS: i64 = 1_000_000;

/// A schedule and what it has done.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// What it is.
    pub schedule: Schedule,
    /// What it has done.
    pub info: Info,
}

/// What is to become of a schedule. Notes replace those that it has, and must not be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It stops.
    Pause {
        /// Why.
        note: String,
    },
    /// It starts what was due from one time up to another, both included, as if it were due now. Microseconds since the Unix epoch.
    Backfill {
        /// The first.
        from: i64,
        /// The last, jitter included.
        through: i64,
    },
}

impl TemporalSink {
    /// One page of the ids of all schedules of a namespace, and the token of the next page (empty: none). Visibility lags behind by up to some seconds.
    pub async fn schedules(&self, namespace: &str, page_token: Vec<u8>) -> Result<(Vec<String>, Vec<u8>), CallError> {
        let message = ListSchedulesRequest {
            namespace: namespace.to_owned(),
            maximum_page_size: PAGE,
            next_page_token: page_token,
            ..ListSchedulesRequest::default()
        };
        let mut client = self.client();
        let answer = self.call(client.list_schedules(self.request(namespace, message))).await?;
        Ok((answer.schedules.into_iter().map(|entry| entry.schedule_id).collect(), answer.next_page_token))
    }

    /// What a schedule is, and what it has done. `CallError::NotFound` if there is none.
    pub async fn describe_schedule(&self, namespace: &str, id: &str) -> Result<Described, CallError> {
        Ok(described(self.described(namespace, id).await?))
    }

    async fn described(&self, namespace: &str, id: &str) -> Result<DescribeScheduleResponse, CallError> {
        let message = DescribeScheduleRequest { namespace: namespace.to_owned(), schedule_id: id.to_owned() };
        let mut client = self.client();
        self.call(client.describe_schedule(self.request(namespace, message))).await
    }

    /// Lets a paused schedule go on with what its spec names after this moment, under a note. What was named before, and moved to later by jitter, it
    /// forgets, because all of it is written anew: one that is only unpaused may still start it. An answer means that it was taken down; a change
    /// that somebody makes in between undoes it, which [`Self::describe_schedule`] tells some time later.
    pub async fn resume_schedule(
        &self,
        namespace: &str,
        id: &str,
        note: &str,
        request_id: &str,
    ) -> Result<(), CallError> {
        let before = self.described(namespace, id).await?;
        let Some(mut schedule) = before.schedule.filter(|schedule| schedule.state.as_ref().is_some_and(|s| s.paused))
        else {
            return Ok(());
        };
        let state = schedule.state.get_or_insert_default();
        (state.paused, state.notes) = (false, note.to_owned());
        let message = UpdateScheduleRequest {
            namespace: namespace.to_owned(),
            schedule_id: id.to_owned(),
            schedule: Some(schedule),
            conflict_token: before.conflict_token,
            identity: self.target().identity().to_owned(),
            request_id: request_id.to_owned(),
            // What is not given stays as it is.
            ..UpdateScheduleRequest::default()
        };
        let mut client = self.client();
        self.call(client.update_schedule(self.request(namespace, message))).await.map(drop)
    }

    /// Asks for it. An answer means that it was taken down; what has come of it is told by [`Self::describe_schedule`] some time later.
    /// The same request id asks once, as far as the server remembers.
    pub async fn switch_schedule(
        &self,
        namespace: &str,
        id: &str,
        switch: &Switch,
        request_id: &str,
    ) -> Result<(), CallError> {
        let message = PatchScheduleRequest {
            namespace: namespace.to_owned(),
            schedule_id: id.to_owned(),
            patch: Some(patch(switch)),
            identity: self.target().identity().to_owned(),
            request_id: request_id.to_owned(),
        };
        let mut client = self.client();
        self.call(client.patch_schedule(self.request(namespace, message))).await.map(drop)
    }
}

fn patch(switch: &Switch) -> schedule::SchedulePatch {
    match switch {
        Switch::Pause { note } => schedule::SchedulePatch { pause: note.clone(), ..Default::default() },
        Switch::Backfill { from, through } => {
            let request = schedule::BackfillRequest {
                start_time: Some(timestamp(*from)),
                end_time: Some(timestamp(*through)),
                overlap_policy: ScheduleOverlapPolicy::Unspecified as i32,
            };
            schedule::SchedulePatch { backfill_request: vec![request], ..Default::default() }
        }
    }
}

fn described(answer: DescribeScheduleResponse) -> Described {
    let schedule::Schedule { spec, action, policies, state } = answer.schedule.unwrap_or_default();
    let action = action.and_then(|action| action.action);
    let action = action.map(|schedule::schedule_action::Action::StartWorkflow(start)| start_of(start));
    let memo = answer.memo.map(|memo| memo.fields).unwrap_or_default();
    let attributes = answer.search_attributes.map(|found| found.indexed_fields).unwrap_or_default();
    let schedule = Schedule {
        spec: spec_of(spec.unwrap_or_default()),
        action,
        policies: policies_of(policies.unwrap_or_default()),
        state: state_of(state.unwrap_or_default()),
        memo: sorted(memo.into_keys()),
        // Temporal's own begin so, and are set anew by whoever starts something.
        search_attributes: sorted(attributes.into_keys().filter(|name| !name.starts_with("Temporal"))),
    };
    Described { schedule, info: info_of(answer.info.unwrap_or_default()) }
}

fn sorted(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn spec_of(spec: schedule::ScheduleSpec) -> Spec {
    Spec {
        structured_calendar: spec.structured_calendar.into_iter().map(calendar_of).collect(),
        exclude_structured_calendar: spec.exclude_structured_calendar.into_iter().map(calendar_of).collect(),
        interval: spec
            .interval
            .into_iter()
            .map(|one| Interval { every: span(one.interval), phase: span(one.phase) })
            .collect(),
        start_time: spec.start_time.map(|time| micros(time.seconds, time.nanos)),
        end_time: spec.end_time.map(|time| micros(time.seconds, time.nanos)),
        jitter: span(spec.jitter),
        timezone_name: spec.timezone_name,
        timezone_data: !spec.timezone_data.is_empty(),
    }
}

fn calendar_of(calendar: schedule::StructuredCalendarSpec) -> Calendar {
    let ranges = |ranges: Vec<schedule::Range>| {
        ranges.into_iter().map(|one| Range { start: one.start, end: one.end, step: one.step }).collect()
    };
    Calendar {
        second: ranges(calendar.second),
        minute: ranges(calendar.minute),
        hour: ranges(calendar.hour),
        day_of_month: ranges(calendar.day_of_month),
        month: ranges(calendar.month),
        year: ranges(calendar.year),
        day_of_week: ranges(calendar.day_of_week),
        comment: calendar.comment,
    }
}

fn start_of(start: NewWorkflowExecutionInfo) -> Action {
    let named = |fields: HashMap<String, common::Payload>| {
        fields.into_iter().map(|(name, value)| (name, payload_of(value))).collect()
    };
    let metadata = start.user_metadata.unwrap_or_default();
    Action {
        workflow_id: start.workflow_id,
        workflow_type: start.workflow_type.unwrap_or_default().name,
        task_queue: start.task_queue.unwrap_or_default().name,
        input: start.input.unwrap_or_default().payloads.into_iter().map(payload_of).collect(),
        memo: named(start.memo.unwrap_or_default().fields),
        execution_timeout: span(start.workflow_execution_timeout),
        run_timeout: span(start.workflow_run_timeout),
        task_timeout: span(start.workflow_task_timeout),
        retry_policy: start.retry_policy.map(retry_of),
        search_attributes: named(start.search_attributes.unwrap_or_default().indexed_fields),
        header: named(start.header.unwrap_or_default().fields),
        summary: metadata.summary.map(payload_of),
        details: metadata.details.map(payload_of),
        priority: start.priority.filter(|priority| *priority != common::Priority::default()).map(priority_of),
        versioning_override: start.versioning_override.map(versioning_of),
    }
}

fn priority_of(priority: common::Priority) -> Priority {
    Priority {
        priority_key: priority.priority_key,
        fairness_key: priority.fairness_key,
        fairness_weight: priority.fairness_weight,
    }
}

/// Schedules of older clients say it in the fields that are deprecated now; a server hands them on as they were written.
#[expect(deprecated, reason = "they are read, not written")]
fn versioning_of(versioning: VersioningOverride) -> Versioning {
    let version = |version: WorkerDeploymentVersion| WorkerVersion {
        deployment_name: version.deployment_name,
        build_id: version.build_id,
    };
    let VersioningOverride { r#override, behavior, deployment, pinned_version } = versioning;
    match r#override {
        Some(Override::Pinned(pinned)) => pinned.version.map(|to| Versioning::Pinned(version(to))),
        Some(Override::AutoUpgrade(true)) => Some(Versioning::AutoUpgrade),
        Some(Override::AutoUpgrade(false)) => None,
        Some(Override::OneTime(one)) => one.target_deployment_version.map(|to| Versioning::OneTime(version(to))),
        None if behavior == VersioningBehavior::AutoUpgrade as i32 => Some(Versioning::AutoUpgrade),
        None if behavior == VersioningBehavior::Pinned as i32 => pinned_before(deployment, &pinned_version),
        None => None,
    }
    .unwrap_or(Versioning::Unknown)
}

/// The version, as older clients wrote it: by its parts, or as one text, in which the first dot ends the deployment's name.
fn pinned_before(deployment: Option<Deployment>, text: &str) -> Option<Versioning> {
    let (deployment_name, build_id) = match deployment {
        Some(Deployment { series_name, build_id }) => (series_name, build_id),
        None => text.split_once('.').map(|(name, build)| (name.to_owned(), build.to_owned()))?,
    };
    Some(Versioning::Pinned(WorkerVersion { deployment_name, build_id }))
}

fn retry_of(policy: common::RetryPolicy) -> Retry {
    Retry {
        initial_interval: span(policy.initial_interval),
        backoff_coefficient: policy.backoff_coefficient,
        maximum_interval: span(policy.maximum_interval),
        maximum_attempts: policy.maximum_attempts,
        non_retryable_error_types: policy.non_retryable_error_types,
    }
}

fn payload_of(payload: common::Payload) -> Payload {
    let encoding = payload.metadata.get("encoding").map(|name| String::from_utf8_lossy(name).into_owned());
    Payload { encoding: encoding.unwrap_or_default(), data: payload.data }
}

fn policies_of(policies: schedule::SchedulePolicies) -> Policies {
    let overlap = match policies.overlap_policy() {
        ScheduleOverlapPolicy::Unspecified | ScheduleOverlapPolicy::Skip => Overlap::Skip,
        ScheduleOverlapPolicy::BufferOne => Overlap::BufferOne,
        ScheduleOverlapPolicy::BufferAll => Overlap::BufferAll,
        ScheduleOverlapPolicy::CancelOther => Overlap::CancelOther,
        ScheduleOverlapPolicy::TerminateOther => Overlap::TerminateOther,
        ScheduleOverlapPolicy::AllowAll => Overlap::AllowAll,
    };
    let catchup_window = policies.catchup_window.map(|window| span(Some(window)));
    Policies { overlap, catchup_window, pause_on_failure: policies.pause_on_failure }
}

fn state_of(state: schedule::ScheduleState) -> State {
    let remaining_actions = state.limited_actions.then_some(state.remaining_actions);
    State { notes: state.notes, paused: state.paused, remaining_actions }
}

fn info_of(info: schedule::ScheduleInfo) -> Info {
    let id = |execution: common::WorkflowExecution| execution.workflow_id;
    Info {
        passed_over: info.overlap_skipped + info.missed_catchup_window + info.buffer_dropped,
        waiting: info.buffer_size,
        running: info.running_workflows.into_iter().map(id).collect(),
        started: info.recent_actions.into_iter().filter_map(|action| action.start_workflow_result).map(id).collect(),
        coming: info.future_action_times.into_iter().map(|time| micros(time.seconds, time.nanos)).collect(),
    }
}

/// In microseconds; 0 where it is negative. Generic because the message's own type is not exported under a name.
fn span<D>(length: Option<D>) -> i64
where
    Duration: TryFrom<D>,
{
    let length = length.and_then(|length| Duration::try_from(length).ok()).unwrap_or_default();
    i64::try_from(length.as_micros()).unwrap_or(i64::MAX)
}

/// Generic for the same reason. Before 1970 nothing is due.
fn timestamp<T: From<SystemTime>>(micros: i64) -> T {
    (SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(micros).unwrap_or(0))).into()
}

fn micros(seconds: i64, nanos: i32) -> i64 {
    seconds.saturating_mul(MICROS).saturating_add(i64::from(nanos) / 1000)
}

#[cfg(test)]
mod tests {
    use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::{
        OneTimeOverride, PinnedOverride,
    };

    use super::*;

    fn theirs(deployment_name: &str, build_id: &str) -> Option<WorkerDeploymentVersion> {
        Some(WorkerDeploymentVersion { deployment_name: deployment_name.to_owned(), build_id: build_id.to_owned() })
    }

    fn ours(deployment_name: &str, build_id: &str) -> WorkerVersion {
        WorkerVersion { deployment_name: deployment_name.to_owned(), build_id: build_id.to_owned() }
    }

    #[test]
    #[expect(deprecated, reason = "older clients write them")]
    fn a_version_is_read_however_it_was_written() {
        let none = VersioningOverride::default;
        let new = |found| VersioningOverride { r#override: Some(found), ..none() };
        let (pinned, auto) = (VersioningBehavior::Pinned as i32, VersioningBehavior::AutoUpgrade as i32);
        let deployment = Some(Deployment { series_name: "d".to_owned(), build_id: "1.2".to_owned() });
        for (written, read) in [
            (
                new(Override::Pinned(PinnedOverride { behavior: 1, version: theirs("d", "1.2") })),
                Versioning::Pinned(ours("d", "1.2")),
            ),
            (new(Override::Pinned(PinnedOverride::default())), Versioning::Unknown),
            (new(Override::AutoUpgrade(true)), Versioning::AutoUpgrade),
            (new(Override::AutoUpgrade(false)), Versioning::Unknown),
            (
                new(Override::OneTime(OneTimeOverride { target_deployment_version: theirs("d", "b") })),
                Versioning::OneTime(ours("d", "b")),
            ),
            (VersioningOverride { behavior: auto, ..none() }, Versioning::AutoUpgrade),
            (VersioningOverride { behavior: pinned, deployment, ..none() }, Versioning::Pinned(ours("d", "1.2"))),
            (
                VersioningOverride { behavior: pinned, pinned_version: "d.1.2".to_owned(), ..none() },
                Versioning::Pinned(ours("d", "1.2")),
            ),
            (
                VersioningOverride { behavior: pinned, pinned_version: "__unversioned__".to_owned(), ..none() },
                Versioning::Unknown,
            ),
            (none(), Versioning::Unknown),
        ] {
            assert_eq!(versioning_of(written.clone()), read, "{written:?}");
        }
    }

    #[test]
    fn a_priority_that_says_nothing_is_none() {
        let start = |priority| start_of(NewWorkflowExecutionInfo { priority, ..Default::default() }).priority;
        assert_eq!(start(None), None);
        assert_eq!(start(Some(common::Priority::default())), None);
        let said = common::Priority { fairness_weight: 0.1, ..Default::default() };
        assert_eq!(start(Some(said)), Some(Priority { fairness_weight: 0.1, ..Default::default() }));
    }
}
