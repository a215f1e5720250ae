//! A thousand definitions due in the same second, beside a thousand Temporal Schedules due in one, on the same server, in one run, by each of Temporal's
//! schedulers; and a bare client loop that makes as many starts. How late the last one begins, by the server's own record.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, SecondsFormat};
use flintwheel_model::ActivityDefinition;
use futures::{StreamExt, TryStreamExt, stream};
use serde_json::json;
use temporalio_common::protos::temporal::api::common::v1::WorkflowType;
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Schedule, ScheduleAction, SchedulePolicies, ScheduleSpec, schedule_action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::CreateScheduleRequest;
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::overlap::CHASM;
use super::scene::{NAMESPACE, directory, percentile};
use super::{Scale, progress};
use crate::bare::{self, BareLoad};
use crate::clock::now_us;
use crate::door::Door;
use crate::engine::{Engine, EngineOptions, Sink};
use crate::raw_temporal::RawTemporal;
use crate::report::{Kind, Report, number};
use crate::temporal_dev::TemporalDev;

/// Calls on their way while schedules are created, and in the bare loop: as many as the engine has.
const IN_FLIGHT: usize = 128;
/// For schedules to be created and to come to rest.
const CREATED_WITHIN: Duration = Duration::from_secs(240);
const REST: Duration = Duration::from_secs(10);
/// For all of them to be started.
const STARTED_WITHIN: Duration = Duration::from_secs(180);
const HOUR: i64 = 3600;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("herd", "a thousand due in one second, beside Temporal Schedules and a bare loop");
    let count = scale.pick(1000, 100);
    let mut compared = Vec::new();
    for (which, settings) in [("first scheduler", &[][..]), ("second scheduler (CHASM)", &CHASM)] {
        progress(format!("beside Temporal's {which}"));
        compared.push((which, compare(count, settings).await?));
    }
    report.figure("due in the same second", number(count as f64));
    for (which, Compared { ours, theirs, bare }) in &compared {
        let shown = |herd: &Herd| format!("{:.2} / {:.2} s", herd.p50_s, herd.max_s);
        report.figure(format!("beside the {which}: theirs, late p50 / max"), shown(theirs));
        report.figure(format!("beside the {which}: ours, late p50 / max"), shown(ours));
        report.figure(format!("beside the {which}: bare loop, p50 / max"), shown(bare));
        let ends = format!("ours ends {:.2} s after it is due, before the {which} ({:.2} s)", ours.max_s, theirs.max_s);
        report.check(Kind::Bar, ends, ours.max_s < theirs.max_s);
        let times = ours.max_s / bare.max_s;
        report.at_most(Kind::Aim, &format!("beside the {which}: as long as the bare loop, times"), times, 2.0);
    }
    Ok(report)
}

struct Compared {
    ours: Herd,
    theirs: Herd,
    bare: Herd,
}

/// How late starts were, in seconds.
struct Herd {
    p50_s: f64,
    max_s: f64,
}

/// One after the other on one server: each has it to itself while it is measured.
async fn compare(count: usize, settings: &[&str]) -> Result<Compared> {
    let dir = directory()?;
    let server = TemporalDev::start_set(dir.path(), settings).await?;
    let sink = Sink::Temporal { address: server.address(), namespace: NAMESPACE.to_owned() };
    let options = EngineOptions { data_dir: dir.path().join("data"), sink, shards: 16, more: Vec::new() };
    let mut engine = Engine::start(options).await?;
    let door = Door::new(engine.grpc())?;
    let raw = server.client()?;

    let due_us = create_schedules(&server, count).await?;
    let theirs = measure(&raw, "theirs-", count, due_us).await?;
    progress(format!("theirs: the last one after {:.2} s", theirs.max_s));

    let due_us = (now_us() / 1_000_000 + 15) * 1_000_000;
    let definitions = (0..count).map(|n| definition(n, due_us)).collect::<Result<Vec<_>>>()?;
    door.load(&definitions).await?;
    let ours = measure(&raw, "flintwheel:", count, due_us).await?;
    progress(format!("ours: the last one after {:.2} s", ours.max_s));

    tokio::time::sleep(REST).await;
    let client = Arc::new(RawTemporal::new(server.address(), 4)?);
    let begun_us = now_us();
    let load = BareLoad { in_flight: IN_FLIGHT, length: Duration::MAX, input_bytes: 20 };
    bare::start_all(client, NAMESPACE, "bare", load, count as u64).await?;
    let bare = measure(&raw, "bare-", count, begun_us).await?;
    progress(format!("bare loop: the last one after {:.2} s", bare.max_s));
    engine.check_running()?;
    Ok(Compared { ours, theirs, bare })
}

/// Schedules that are due once an hour, all at the second that is returned, in microseconds since the epoch.
async fn create_schedules(server: &TemporalDev, count: usize) -> Result<i64> {
    let due_s = now_us() / 1_000_000 + (CREATED_WITHIN + REST).as_secs() as i64;
    // A probe tells how long it takes: then the others are due as soon as they can be there.
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address()))?;
    let client = WorkflowServiceClient::new(endpoint.connect_lazy());
    let begun = Instant::now();
    let probes = count / 20;
    create(&client, "probe", 0..probes, due_s).await?;
    let each = begun.elapsed().as_secs_f64() / probes as f64;
    let needs = (each * count as f64 * 2.0) as i64 + REST.as_secs() as i64;
    let due_s = due_s.min(now_us() / 1_000_000 + needs);
    create(&client, "theirs", 0..count, due_s).await?;
    let left = due_s - now_us() / 1_000_000;
    ensure!(left > 2, "{count} schedules took so long to create that they were due {left} s after it");
    progress(format!("{count} schedules are there, due in {left} s"));
    Ok(due_s * 1_000_000)
}

async fn create(
    client: &WorkflowServiceClient<Channel>,
    prefix: &str,
    numbers: std::ops::Range<usize>,
    due_s: i64,
) -> Result<()> {
    let each = numbers.map(|n| {
        let (mut client, request) = (client.clone(), schedule(format!("{prefix}-{n}"), due_s));
        async move { client.create_schedule(request).await.context("create a schedule").map(drop) }
    });
    stream::iter(each).buffer_unordered(16).try_collect().await
}

fn schedule(id: String, due_s: i64) -> CreateScheduleRequest {
    let seconds = |seconds: i64| Duration::from_secs(seconds.unsigned_abs()).try_into().ok();
    let interval = IntervalSpec { interval: seconds(HOUR), phase: seconds(due_s % HOUR) };
    let workflow = NewWorkflowExecutionInfo {
        workflow_id: id.clone(),
        workflow_type: Some(WorkflowType { name: "LoadTest".to_owned() }),
        task_queue: Some(TaskQueue { name: "loadtest".to_owned(), ..TaskQueue::default() }),
        ..NewWorkflowExecutionInfo::default()
    };
    let overlap = ScheduleOverlapPolicy::AllowAll as i32;
    CreateScheduleRequest {
        namespace: NAMESPACE.to_owned(),
        schedule_id: id,
        schedule: Some(Schedule {
            spec: Some(ScheduleSpec { interval: vec![interval], ..ScheduleSpec::default() }),
            action: Some(ScheduleAction { action: Some(schedule_action::Action::StartWorkflow(workflow)) }),
            policies: Some(SchedulePolicies { overlap_policy: overlap, ..SchedulePolicies::default() }),
            ..Schedule::default()
        }),
        identity: "proof".to_owned(),
        request_id: Uuid::new_v4().to_string(),
        ..CreateScheduleRequest::default()
    }
}

fn definition(n: usize, due_us: i64) -> Result<ActivityDefinition> {
    let due = DateTime::from_timestamp_micros(due_us).map(|due| due.to_rfc3339_opts(SecondsFormat::Secs, true));
    Ok(serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": format!("herd-{n}")},
        "spec": {
            "trigger": {"schedule": {"at": due}},
            "start_workflow": {"type": "LoadTest", "task_queue": "loadtest"},
        },
    }))?)
}

/// Waits until as many are started as are due, and says how late they were.
async fn measure(raw: &RawTemporal, prefix: &str, count: usize, due_us: i64) -> Result<Herd> {
    let ahead = u64::try_from(due_us - now_us()).unwrap_or(0);
    tokio::time::sleep(Duration::from_micros(ahead)).await;
    let begun = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut runs = raw.list_where(NAMESPACE, "WorkflowType = 'LoadTest'").await?;
        runs.retain(|run| run.workflow_id.starts_with(prefix));
        if runs.len() >= count {
            let mut late: Vec<f64> = runs.iter().map(|run| (run.first_us - due_us) as f64 / 1e6).collect();
            late.sort_unstable_by(f64::total_cmp);
            ensure!(late.len() == count, "{} runs of {prefix} for {count}", late.len());
            return Ok(Herd { p50_s: percentile(&late, 0.5), max_s: percentile(&late, 1.0) });
        }
        if begun.elapsed() > STARTED_WITHIN {
            bail!("{} of {count} runs of {prefix} are there after {STARTED_WITHIN:?}", runs.len());
        }
    }
}
