//! Schedules of a real Temporal move here while all is under load, some of them back again, with the program that moves them killed on the way: each
//! due time of each schedule must have been started once, by one of the two.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use flintwheel_client::{ApplyOptions, Client, Options};
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use futures::{StreamExt, TryStreamExt, stream};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use temporalio_common::protos::temporal::api::common::v1::{Payload, Payloads, WorkflowType};
use temporalio_common::protos::temporal::api::enums::v1::ScheduleOverlapPolicy;
use temporalio_common::protos::temporal::api::schedule::v1::{
    IntervalSpec, Schedule, ScheduleAction, SchedulePolicies, ScheduleSpec, ScheduleState, schedule_action,
};
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::NewWorkflowExecutionInfo;
use temporalio_common::protos::temporal::api::workflowservice::v1::CreateScheduleRequest;
use temporalio_common::protos::temporal::api::workflowservice::v1::workflow_service_client::WorkflowServiceClient;
use tonic::transport::{Channel, Endpoint};
use uuid::Uuid;

use super::scene::directory;
use super::{Scale, progress};
use crate::clock::now_us;
use crate::engine::{Engine, EngineOptions, Sink};
use crate::process::own_binary;
use crate::report::{Kind, Report, number};
use crate::temporal_dev::TemporalDev;

const NAMESPACE: &str = "default";
const SECOND: i64 = 1_000_000;
/// Nobody runs what is started; it ends by this, and keeps no other from running.
const ENDS_AFTER: Duration = Duration::from_secs(3);
/// The longest that jitter moves a due time, in seconds. Long enough that some are done on one side, and on the other would still be ahead, when they move; short enough that
/// none meets the run of the one before.
const JITTER: u64 = 20;
/// Due times so near to the end are not counted: they may be on their way.
const ON_THE_WAY: i64 = 30 * SECOND;
/// How long what has not been started by then is waited for, and looked for again: a busy server is late.
const LATE: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(5);
/// Definitions here that fire each second beside, into the same Temporal.
const LOAD: usize = 10;
/// What makes a server use its second scheduler.
const CHASM: [&str; 2] =
    ["history.enableCHASMSchedulerCreation=true", "history.chasmSchedulerCreationRolloutPercent=100"];
const POLICIES: [ScheduleOverlapPolicy; 6] = [
    ScheduleOverlapPolicy::Skip,
    ScheduleOverlapPolicy::BufferOne,
    ScheduleOverlapPolicy::BufferAll,
    ScheduleOverlapPolicy::CancelOther,
    ScheduleOverlapPolicy::TerminateOther,
    ScheduleOverlapPolicy::AllowAll,
];

pub(super) async fn run(scale: Scale, seed: u64) -> Result<Report> {
    let mut report = Report::new("import", "schedules of a real Temporal moved here and back under load");
    let mut chance = StdRng::seed_from_u64(seed);
    for (which, count, settings) in [
        ("first scheduler", scale.pick(1000, 60), &[][..]),
        ("second scheduler (CHASM)", scale.pick(200, 30), &CHASM[..]),
    ] {
        progress(format!("{which}: {count} schedules"));
        let schedules: Vec<Planned> = (0..count).map(|number| Planned::random(number, &mut chance)).collect();
        moved(&mut report, which, &schedules, settings, scale, &mut chance).await?;
    }
    report.figure("seed", seed);
    Ok(report)
}

/// On their own for a while; then here; then a part of them there again.
async fn moved(
    report: &mut Report,
    which: &str,
    schedules: &[Planned],
    settings: &[&str],
    scale: Scale,
    chance: &mut StdRng,
) -> Result<()> {
    let dir = directory()?;
    let server = TemporalDev::start_set(dir.path(), settings).await?;
    let sink = Sink::Temporal { address: server.address(), namespace: NAMESPACE.to_owned() };
    let options = EngineOptions { data_dir: dir.path().join("data"), sink, shards: 4, more: Vec::new() };
    let mut engine = Engine::start(options).await?;
    let stage = Stage { dir: dir.path(), server: &server, grpc: engine.grpc().to_string() };
    let awhile = Duration::from_secs(scale.pick(60, 20));
    stage.load().await?;
    stage.create(schedules).await?;
    // A server that was given a thousand at once starts them late at first, and passes over what was due before that. It is theirs until they move.
    tokio::time::sleep(awhile / 2).await;
    let begin = now_us();
    tokio::time::sleep(awhile / 2).await;

    progress("they move here; the program is killed on the way");
    let forth = vec!["--switch-over"];
    let killed_after = chance.random_range(300..scale.pick(6_000, 1_500));
    report.figure(format!("{which}: moved"), stage.twice("moved", &forth, killed_after).await?);
    tokio::time::sleep(awhile).await;

    progress("a quarter of them go back; the program is killed on the way");
    let some = schedules.iter().step_by(4).map(|one| one.id.as_str());
    let back: Vec<&str> = ["--back"].into_iter().chain(some).collect();
    let killed_after = chance.random_range(300..scale.pick(3_000, 1_000));
    report.figure(format!("{which}: back"), stage.twice("back", &back, killed_after).await?);
    tokio::time::sleep(awhile).await;

    engine.check_running()?;
    let span = (begin, now_us() - ON_THE_WAY);
    let begun = Instant::now();
    let tally = loop {
        let starts = server.started(NAMESPACE).await?;
        let tally = count(schedules, starts.iter().map(|line| line.workflow_id.as_str()), span)?;
        // What is late, or not yet in the list, is not missed.
        if tally.missed.is_empty() || begun.elapsed() > LATE {
            break tally;
        }
        tokio::time::sleep(AGAIN).await;
    };
    tally.tell(report, which);
    Ok(())
}

/// What was started, beside what was due.
#[derive(Default)]
struct Tally {
    due: u64,
    missed: Vec<String>,
    doubled: Vec<String>,
    there: u64,
    here: u64,
}

/// Of what was due between two times.
fn count<'a>(schedules: &[Planned], starts: impl Iterator<Item = &'a str>, (begin, end): (i64, i64)) -> Result<Tally> {
    let (mut there, mut here) = (HashMap::new(), HashMap::new());
    for id in starts {
        if let Some(rest) = id.strip_prefix("there-") {
            *there.entry(rest.to_owned()).or_insert(0u32) += 1;
        } else if let Some(rest) = id.strip_prefix(&format!("flintwheel:{NAMESPACE}:")) {
            *here.entry(rest.replacen(":t:", "-", 1)).or_insert(0u32) += 1;
        }
    }
    let mut tally = Tally::default();
    for one in schedules {
        let plan = one.plan()?;
        let times = std::iter::successors(plan.next(begin), |time| plan.next(*time)).take_while(|time| *time < end);
        for time in times {
            let shown = chrono::DateTime::from_timestamp_micros(time).context("a time")?;
            let key = format!("{}-{}", one.id, shown.format("%Y-%m-%dT%H:%M:%SZ"));
            let (a, b) = (there.get(&key).copied().unwrap_or(0), here.get(&key).copied().unwrap_or(0));
            (tally.there, tally.here) = (tally.there + u64::from(a), tally.here + u64::from(b));
            tally.due += u64::from(!one.paused);
            match (a + b, one.paused) {
                (0, false) => tally.missed.push(key),
                (1, false) | (0, true) => {}
                _ => tally.doubled.push(format!("{key} ({a} there, {b} here)")),
            }
        }
    }
    Ok(tally)
}

impl Tally {
    fn tell(&self, report: &mut Report, which: &str) {
        let Self { missed, doubled, .. } = self;
        let started = format!("{} there, {} here", number(self.there as f64), number(self.here as f64));
        report.figure(format!("{which}: due times"), format!("{}: started {started}", number(self.due as f64)));
        report.check(Kind::Bar, format!("{which}: {} missed", missed.len()), missed.is_empty());
        let what = format!("{which}: {} doubled, or of what is paused", doubled.len());
        report.check(Kind::Bar, what, doubled.is_empty());
        report.check(Kind::Bar, format!("{which}: both sides have started some"), self.there > 0 && self.here > 0);
        for (what, keys) in [("missed", missed), ("doubled", doubled)] {
            keys.iter().take(10).for_each(|key| report.note(format!("{which}: {what}: {key}")));
        }
    }
}

/// One schedule.
struct Planned {
    id: String,
    /// Lines of Temporal's dialect, or an interval and its phase in seconds.
    cron: Vec<String>,
    interval: Option<(u64, u64)>,
    zone: &'static str,
    /// In seconds.
    jitter: u64,
    policy: ScheduleOverlapPolicy,
    paused: bool,
}

impl Planned {
    /// Twice a minute or rarer, at any second: together below what Temporal lets a namespace start, and never two so near that the second one finds
    /// the first one's run open.
    fn random(number: usize, chance: &mut StdRng) -> Self {
        let second = chance.random_range(0..60);
        let (cron, interval) = match chance.random_range(0..3) {
            0 => {
                let every = *[30, 40, 60, 90, 120].choose(chance).expect("it is not empty");
                (Vec::new(), Some((every, chance.random_range(0..every))))
            }
            1 => (vec![format!("{second} * * * * * *")], None),
            _ => (vec![format!("{second} */2 * * * * *"), format!("{} 1/2 * * * * *", (second + 30) % 60)], None),
        };
        let zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"];
        Self {
            id: format!("s{number}"),
            cron,
            interval,
            zone: zones.choose(chance).expect("it is not empty"),
            jitter: *[0, 0, 0, JITTER].choose(chance).expect("it is not empty"),
            policy: *POLICIES.choose(chance).expect("it is not empty"),
            paused: chance.random_bool(0.05),
        }
    }

    /// Without jitter.
    fn plan(&self) -> Result<Plan> {
        let interval: Vec<Value> = self
            .interval
            .iter()
            .map(|(every, phase)| json!({"every": format!("{every}s"), "phase": format!("{phase}s")}))
            .collect();
        let schedule = json!({"cron": self.cron, "interval": interval, "timezone": self.zone});
        let trigger: ScheduleTrigger = serde_json::from_value(schedule)?;
        Plan::compile(&trigger, "schedule", 0).map_err(|why| anyhow!("{}: {why}", self.id))
    }

    fn request(&self) -> CreateScheduleRequest {
        let length = |seconds: u64| Duration::from_secs(seconds).try_into().ok();
        let interval = |(every, phase): &(u64, u64)| IntervalSpec { interval: length(*every), phase: length(*phase) };
        let spec = ScheduleSpec {
            cron_string: self.cron.clone(),
            interval: self.interval.iter().map(interval).collect(),
            timezone_name: self.zone.to_owned(),
            jitter: (self.jitter > 0).then(|| length(self.jitter)).flatten(),
            ..ScheduleSpec::default()
        };
        let payload = Payload {
            metadata: [("encoding".to_owned(), b"json/plain".to_vec())].into(),
            data: json!({"schedule": self.id, "template": "{{ not one }}"}).to_string().into_bytes(),
            ..Payload::default()
        };
        let start = NewWorkflowExecutionInfo {
            workflow_id: format!("there-{}", self.id),
            workflow_type: Some(WorkflowType { name: "Moved".to_owned() }),
            task_queue: Some(TaskQueue { name: "nobody".to_owned(), ..TaskQueue::default() }),
            input: Some(Payloads { payloads: vec![payload] }),
            workflow_execution_timeout: ENDS_AFTER.try_into().ok(),
            ..NewWorkflowExecutionInfo::default()
        };
        let policies = SchedulePolicies { overlap_policy: self.policy as i32, ..SchedulePolicies::default() };
        let notes = "of the proof".to_owned();
        let schedule = Schedule {
            spec: Some(spec),
            action: Some(ScheduleAction { action: Some(schedule_action::Action::StartWorkflow(start)) }),
            policies: Some(policies),
            state: Some(ScheduleState { paused: self.paused, notes, ..ScheduleState::default() }),
        };
        CreateScheduleRequest {
            namespace: NAMESPACE.to_owned(),
            schedule_id: self.id.clone(),
            schedule: Some(schedule),
            request_id: Uuid::new_v4().to_string(),
            ..CreateScheduleRequest::default()
        }
    }
}

struct Stage<'a> {
    dir: &'a Path,
    server: &'a TemporalDev,
    grpc: String,
}

impl Stage<'_> {
    /// What else goes on here.
    async fn load(&self) -> Result<()> {
        let client = Client::new(std::slice::from_ref(&self.grpc), Options::default())?;
        for number in 0..LOAD {
            let definition = serde_json::from_value(json!({
                "apiVersion": "flintwheel.dev/v1",
                "kind": "ActivityDefinition",
                "metadata": {"id": format!("load-{number}")},
                "spec": {
                    "trigger": {"schedule": {"interval": {"every": "1s"}}},
                    "start_workflow": {"type": "Load", "task_queue": "nobody", "execution_timeout": "5s"},
                },
            }))?;
            client.apply(&definition, ApplyOptions::default()).await?;
        }
        Ok(())
    }

    async fn create(&self, schedules: &[Planned]) -> Result<()> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.server.address()))?;
        let client: WorkflowServiceClient<Channel> = WorkflowServiceClient::new(endpoint.connect_lazy());
        let create = |one: &Planned| {
            let (mut client, request) = (client.clone(), one.request());
            async move { client.create_schedule(request).await.map(drop) }
        };
        let calls: Vec<_> = schedules.iter().map(create).collect();
        stream::iter(calls).buffer_unordered(16).try_collect::<()>().await.context("create schedules")
    }

    /// Begins it, kills it after so many milliseconds, and says the same again; what came of that.
    async fn twice(&self, what: &str, arguments: &[&str], killed_after: u64) -> Result<String> {
        let mut child = self.command(arguments)?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let ended = tokio::time::timeout(Duration::from_millis(killed_after), child.wait()).await;
        child.kill().await.ok();
        let begun = Instant::now();
        let lines = self.to_its_end(arguments).await?;
        let elapsed = begun.elapsed();
        let by_the_second = lines.iter().filter(|line| line["outcome"] == what).count();
        let killed = if ended.is_err() { "killed while it was at work" } else { "it had ended before it was killed" };
        let of = lines.len();
        Ok(format!("{by_the_second} of {of} after the kill, in {elapsed:.1?}; {killed} after {killed_after} ms"))
    }

    fn command(&self, arguments: &[&str]) -> Result<tokio::process::Command> {
        let mut command = tokio::process::Command::new(own_binary("flintwheel", "FLINTWHEEL_BIN")?);
        command.args(["import", "temporal", "--yes", "--side-by-side", "16", "--years", "0", "-o", "json"]);
        command.args(arguments);
        command.env("FLINTWHEEL_ADDRESS", &self.grpc);
        command.env("FLINTWHEEL_TEMPORAL_ADDRESS", self.server.address().to_string());
        // Nothing of whoever runs this.
        command.env("HOME", self.dir).env("XDG_CONFIG_HOME", self.dir).kill_on_drop(true);
        Ok(command)
    }

    /// What it says of each schedule.
    async fn to_its_end(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = self.command(arguments)?.output().await?;
        let text = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}: {}", output.status, &text[..text.floor_char_boundary(2000)]);
        Ok(serde_json::from_slice(&output.stdout)?)
    }
}
