//! Each overlap policy beside real Temporal Schedules that are asked for the same, by either of Temporal's schedulers: the same runs in the
//! same order. A worker ends workflows when it is told, the oldest first, on both sides alike. Where Temporal's schedulers differ from each
//! other, ours must do as one of them.

use std::time::Duration;

use anyhow::{Context, Result};
use flintwheel_client::{ApplyOptions, Client, Options};
use flintwheel_model::definition::OverlapPolicy;
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    Schedule, ScheduleAction, SchedulePatch, SchedulePolicies, ScheduleSpec, TriggerImmediatelyRequest, schedule_action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use temporalio_common::protos::temporal::api::workflowservice::v1::{CreateScheduleRequest, PatchScheduleRequest};
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::progress;
use super::scene::directory;
use crate::clock::now_us;
use crate::engine::{Engine, EngineOptions, Sink};
use crate::hand_worker::{Ending, HandWorker};
use crate::raw_temporal::RawTemporal;
use crate::report::{Kind, Report};
use crate::temporal_dev::TemporalDev;

const NAMESPACE: &str = "default";
const QUEUE: &str = "by-hand";
/// Triggers of one schedule within a second would have the same workflow id.
const APART: Duration = Duration::from_millis(1500);
/// For all sides to see what has ended, and to start what follows.
const SETTLED: Duration = Duration::from_secs(7);
/// Triggers before the first run ends, and after it.
const FIRST: usize = 4;
const THEN: usize = 2;
/// Runs that are ended, one after the other.
const ENDS: usize = 6;
/// What makes a server use its second scheduler.
pub(super) const CHASM: [&str; 2] =
    ["history.enableCHASMSchedulerCreation=true", "history.chasmSchedulerCreationRolloutPercent=100"];

pub(super) async fn run() -> Result<Report> {
    let mut report = Report::new("overlap", "overlap policies beside Temporal's own schedules");
    progress("beside Temporal's first scheduler");
    let first = compare(&[]).await?;
    progress("beside Temporal's second scheduler (CHASM)");
    let second = compare(&CHASM).await?;
    for (policy, first, second) in OverlapPolicy::ALL.into_iter().zip(first).zip(second).map(|((p, f), s)| (p, f, s)) {
        let what = policy.as_str();
        let runs = format!("{:?} / {:?} / {:?}", first.ours, first.theirs, second.theirs);
        report.figure(format!("{what}: runs, ours / first scheduler / second (CHASM)"), runs);
        let same = first.is_same() && second.is_same();
        let differ = first.theirs != second.theirs;
        if differ {
            report.note(format!("{what}: Temporal's schedulers differ from each other"));
        }
        let as_one = first.ours == second.ours && (first.is_same() || second.is_same());
        report.check(Kind::Bar, format!("{what}: the same runs in the same order"), same || (differ && as_one));
    }
    Ok(report)
}

/// Which of the triggers have run, in order.
struct Ran {
    ours: Vec<usize>,
    theirs: Vec<usize>,
}

impl Ran {
    fn is_same(&self) -> bool {
        self.ours == self.theirs
    }
}

/// By policy.
async fn compare(settings: &[&str]) -> Result<Vec<Ran>> {
    let dir = directory()?;
    let server = TemporalDev::start_set(dir.path(), settings).await?;
    let sink = Sink::Temporal { address: server.address(), namespace: NAMESPACE.to_owned() };
    let options = EngineOptions { data_dir: dir.path().join("data"), sink, shards: 4, more: Vec::new() };
    let mut engine = Engine::start(options).await?;
    let mut stage = Stage::new(&server, &engine).await?;
    for _ in 0..FIRST {
        stage.trigger().await?;
    }
    tokio::time::sleep(SETTLED).await;
    for round in 0..ENDS {
        stage.end_oldest().await?;
        if round == 0 {
            tokio::time::sleep(SETTLED).await;
            for _ in 0..THEN {
                stage.trigger().await?;
            }
        }
        tokio::time::sleep(SETTLED).await;
    }
    engine.check_running()?;
    let mut compared = Vec::new();
    for policy in OverlapPolicy::ALL {
        let (ours, theirs) = (stage.ran(&ours(policy)).await?, stage.ran(&theirs(policy)).await?);
        compared.push(Ran { ours, theirs });
    }
    Ok(compared)
}

/// A definition's id.
fn id(policy: OverlapPolicy) -> String {
    policy.as_str().replace('_', "-")
}

/// What the workflow ids of the definition begin with.
fn ours(policy: OverlapPolicy) -> String {
    format!("flintwheel:{NAMESPACE}:{}:m:", id(policy))
}

/// What those of the schedule begin with.
fn theirs(policy: OverlapPolicy) -> String {
    format!("theirs-{}-", id(policy))
}

struct Stage {
    client: Client,
    temporal: WorkflowServiceClient<Channel>,
    raw: RawTemporal,
    worker: HandWorker,
    /// When each trigger was asked for, in microseconds since the epoch.
    asked: Vec<i64>,
}

impl Stage {
    async fn new(server: &TemporalDev, engine: &Engine) -> Result<Self> {
        let client = Client::new(&[engine.grpc().to_string()], Options::default())?;
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address()))?;
        let temporal = WorkflowServiceClient::new(endpoint.connect_lazy());
        let worker = HandWorker::new(server.address(), NAMESPACE, QUEUE)?;
        let mut stage = Self { client, temporal, raw: server.client()?, worker, asked: Vec::new() };
        for policy in OverlapPolicy::ALL {
            stage.client.apply(&definition(policy)?, ApplyOptions::default()).await?;
            stage.temporal.create_schedule(schedule(policy)).await.context("create a schedule")?;
        }
        Ok(stage)
    }

    /// Triggers all of them, on both sides.
    async fn trigger(&mut self) -> Result<()> {
        let request = self.asked.len().to_string();
        self.asked.push(now_us());
        for policy in OverlapPolicy::ALL {
            let key = DefinitionKey::new(NAMESPACE, id(policy));
            self.client.trigger(&key, &request, None, None).await?;
            let trigger = TriggerImmediatelyRequest::default();
            let patch = SchedulePatch { trigger_immediately: Some(trigger), ..SchedulePatch::default() };
            let request = PatchScheduleRequest {
                namespace: NAMESPACE.to_owned(),
                schedule_id: id(policy),
                patch: Some(patch),
                request_id: Uuid::new_v4().to_string(),
                ..PatchScheduleRequest::default()
            };
            self.temporal.patch_schedule(request).await.context("trigger a schedule")?;
        }
        tokio::time::sleep(APART).await;
        Ok(())
    }

    /// Ends the oldest open run of each.
    async fn end_oldest(&mut self) -> Result<()> {
        let mut open = self.raw.list_where(NAMESPACE, "ExecutionStatus = 'Running'").await?;
        open.sort_by_key(|run| run.first_us);
        for policy in OverlapPolicy::ALL {
            for prefix in [ours(policy), theirs(policy)] {
                let Some(run) = open.iter().find(|run| run.workflow_id.starts_with(&prefix)) else { continue };
                let ending = match policy {
                    OverlapPolicy::CancelOther => Ending::Cancel,
                    _ => Ending::Complete("null".to_owned()),
                };
                self.worker.end(&run.workflow_id, ending).await?;
            }
        }
        Ok(())
    }

    /// Which of the triggers have run, in the order in which they began.
    async fn ran(&self, prefix: &str) -> Result<Vec<usize>> {
        let mut runs = self.raw.list_where(NAMESPACE, "").await?;
        runs.retain(|run| run.workflow_id.starts_with(prefix));
        runs.sort_by_key(|run| run.first_us);
        runs.iter().map(|run| self.which(&run.workflow_id[prefix.len()..])).collect()
    }

    /// Which trigger a run is of: ours say so, theirs name the second in which they were triggered.
    fn which(&self, rest: &str) -> Result<usize> {
        if let Ok(number) = rest.parse() {
            return Ok(number);
        }
        let second = chrono::DateTime::parse_from_rfc3339(rest).with_context(|| format!("{rest} is no time"))?;
        let nearest =
            (0..self.asked.len()).min_by_key(|i| (self.asked[*i] - second.timestamp_micros() - 500_000).abs());
        nearest.context("nothing was triggered")
    }
}

/// Fires by hand only. One that allows all is watched because of what it gives on.
fn definition(policy: OverlapPolicy) -> Result<ActivityDefinition> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id(policy)},
        "spec": {
            "trigger": {"schedule": {
                "at": "2099-01-01T00:00:00Z", "overlap_policy": policy.as_str(), "carry_last_result": true,
            }},
            "start_workflow": {"type": "ByHand", "task_queue": QUEUE, "task_timeout": "2m"},
        },
    }))?)
}

fn schedule(policy: OverlapPolicy) -> CreateScheduleRequest {
    let overlap = match policy {
        OverlapPolicy::Skip => ScheduleOverlapPolicy::Skip,
        OverlapPolicy::BufferOne => ScheduleOverlapPolicy::BufferOne,
        OverlapPolicy::BufferAll => ScheduleOverlapPolicy::BufferAll,
        OverlapPolicy::CancelOther => ScheduleOverlapPolicy::CancelOther,
        OverlapPolicy::TerminateOther => ScheduleOverlapPolicy::TerminateOther,
        OverlapPolicy::AllowAll => ScheduleOverlapPolicy::AllowAll,
    };
    let workflow = NewWorkflowExecutionInfo {
        workflow_id: theirs(policy).trim_end_matches('-').to_owned(),
        workflow_type: Some(WorkflowType { name: "ByHand".to_owned() }),
        task_queue: Some(TaskQueue { name: QUEUE.to_owned(), ..TaskQueue::default() }),
        workflow_task_timeout: Duration::from_secs(120).try_into().ok(),
        ..NewWorkflowExecutionInfo::default()
    };
    let action = ScheduleAction { action: Some(schedule_action::Action::StartWorkflow(workflow)) };
    let policies = SchedulePolicies { overlap_policy: overlap as i32, ..SchedulePolicies::default() };
    CreateScheduleRequest {
        namespace: NAMESPACE.to_owned(),
        schedule_id: id(policy),
        schedule: Some(Schedule {
            spec: Some(ScheduleSpec::default()),
            action: Some(action),
            policies: Some(policies),
            ..Schedule::default()
        }),
        identity: "proof".to_owned(),
        request_id: Uuid::new_v4().to_string(),
        ..CreateScheduleRequest::default()
    }
}
