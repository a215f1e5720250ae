//! What most proofs need: a directory, something to start workflows in, an engine, and the ledger at the end.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use flintwheel_model::DefinitionKey;
use tempfile::TempDir;

use super::progress;
use crate::StartLine;
use crate::clock::now_us;
use crate::cluster::{Cluster, Seat};
use crate::door::{Applied, Door};
use crate::engine::{Engine, EngineOptions, Sink};
use crate::events::{EventLoad, EventLog, EventStream};
use crate::ledger::{Expected, Ledger, Verdict};
use crate::plan::{self, Planned};
use crate::report::{Kind, Report};
use crate::standin::StandinProcess;
use crate::temporal_dev::TemporalDev;

/// As a node has by default.
pub(super) const SHARDS: u32 = 16;
/// Batches of events under way: what comes in while a shard has no leader waits here.
const WINDOW: usize = 3_000;
/// For everything that is due to be started in the end.
const PATIENCE: Duration = Duration::from_secs(180);
/// Event types, with a subscription each.
const TYPES: u32 = 20;
/// Temporal's.
pub(super) const NAMESPACE: &str = "default";
/// Another one there.
pub(super) const OTHER_NAMESPACE: &str = "other";

/// A directory for a run: under `$FLINTWHEEL_PROVE_DIR`, or where temporary files go. It must be on a real disk.
pub(super) fn directory() -> Result<TempDir> {
    let root = std::env::var_os("FLINTWHEEL_PROVE_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    tempfile::Builder::new()
        .prefix("flintwheel-prove-")
        .tempdir_in(&root)
        .with_context(|| format!("a directory in {}", root.display()))
}

/// An engine with its data in `dir`.
pub(super) async fn engine(dir: &Path, sink: Sink) -> Result<(Engine, Door)> {
    engine_with(dir, sink, Vec::new()).await
}

/// The same with more on its command line.
pub(super) async fn engine_with(dir: &Path, sink: Sink, more: Vec<String>) -> Result<(Engine, Door)> {
    let options = EngineOptions { data_dir: dir.join("engine"), sink, shards: SHARDS, more };
    let engine = Engine::start(options).await?;
    let door = Door::new(engine.grpc())?;
    Ok((engine, door))
}

/// What workflows are started in.
pub(super) enum Target {
    Standin(Box<StandinProcess>),
    Real(Box<TemporalDev>),
}

impl Target {
    pub(super) async fn standin(dir: &Path) -> Result<Self> {
        Ok(Self::Standin(Box::new(StandinProcess::start(dir).await?)))
    }

    pub(super) async fn real(dir: &Path) -> Result<Self> {
        Ok(Self::Real(Box::new(TemporalDev::start(dir, &[OTHER_NAMESPACE]).await?)))
    }

    /// One of the two, at this host of the machine.
    pub(super) async fn at(dir: &Path, host: IpAddr, real: bool) -> Result<Self> {
        if real {
            let server = TemporalDev::start_at(dir, &[OTHER_NAMESPACE], host).await?;
            return Ok(Self::Real(Box::new(server)));
        }
        Ok(Self::Standin(Box::new(StandinProcess::start_at(dir, host).await?)))
    }

    /// With its state in memory, on a processor of its own.
    pub(super) async fn real_apart(dir: &Path) -> Result<Self> {
        Ok(Self::Real(Box::new(TemporalDev::start_apart(dir, &[]).await?)))
    }

    pub(super) fn sink(&self) -> Sink {
        let address = match self {
            Self::Standin(standin) => standin.address(),
            Self::Real(server) => server.address(),
        };
        Sink::Temporal { address, namespace: NAMESPACE.to_owned() }
    }

    /// All that was started, in both namespaces.
    pub(super) async fn started(&self, dir: &Path) -> Result<Vec<StartLine>> {
        match self {
            Self::Real(server) => {
                let mut lines = server.started(NAMESPACE).await?;
                lines.extend(server.started(OTHER_NAMESPACE).await?);
                Ok(lines)
            }
            Self::Standin(standin) => {
                let path = dir.join("started.tsv");
                standin.export(&path).await?;
                let text = std::fs::read_to_string(&path)?;
                text.lines().map(|line| line.parse().map_err(Into::into)).collect()
            }
        }
    }
}

/// What was asked for, as the ledger's one side.
pub(super) struct Asked<'a> {
    pub(super) timed: &'a [Applied],
    /// Streams of events, and the subscriptions that they matched.
    pub(super) events: Vec<(&'a EventLog, &'a [Planned])>,
    /// Due times before this have to be started.
    pub(super) end_us: i64,
}

impl Asked<'_> {
    /// Everything that may be started until then.
    pub(super) fn expected(&self, until_us: i64) -> impl Iterator<Item = Expected> {
        let timed = self.timed.iter().flat_map(move |applied| applied.expected(self.end_us, until_us));
        let events = self.events.iter().flat_map(|(log, subscriptions)| log.expected(subscriptions));
        timed.chain(events)
    }

    pub(super) fn judge(&self, started: &[StartLine]) -> Verdict {
        // The engine goes on after the end of the proof's own time: what it starts then is judged too.
        let last_us = started.iter().map(|line| line.first_us).max().unwrap_or(0).max(self.end_us);
        let mut ledger = Ledger::default();
        self.expected(last_us + 5_000_000).for_each(|expected| ledger.expect(expected));
        started.iter().for_each(|line| ledger.saw(line));
        ledger.verdict()
    }
}

/// Judges as soon as nothing is missing any more, or when patience is at its end.
pub(super) async fn settle(target: &Target, dir: &Path, asked: &Asked<'_>, patience: Duration) -> Result<Verdict> {
    let begun = Instant::now();
    loop {
        let verdict = asked.judge(&target.started(dir).await?);
        if verdict.missing.count == 0 || begun.elapsed() > patience {
            return Ok(verdict);
        }
        progress(format!("{} of {} due firings are not started yet", verdict.missing.count, verdict.due));
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
}

/// Definition and due time (microseconds) of a workflow that a due time started: `prefix:namespace:id:t:2026-11-23T08:00:00Z`.
pub(super) fn timed(workflow_id: &str) -> Option<(DefinitionKey, i64)> {
    let mut parts = workflow_id.splitn(4, ':');
    let (_, namespace, id, key) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let due = chrono::DateTime::parse_from_rfc3339(key.strip_prefix("t:")?).ok()?;
    Some((DefinitionKey::new(namespace, id), due.timestamp_micros()))
}

/// Load for a cluster, and where it starts workflows.
pub(super) struct Load {
    /// Names the run; part of each event's id.
    pub(super) run: &'static str,
    /// Each is due every ten seconds.
    pub(super) definitions: u32,
    pub(super) events_per_second: u32,
    /// In a real Temporal instead of the stand-in.
    pub(super) real: bool,
}

impl Load {
    /// What a dev server carries beside three nodes on a small machine.
    pub(super) fn real(run: &'static str) -> Self {
        Self { run, definitions: 400, events_per_second: 20, real: true }
    }
}

/// Some nodes at rest, with schedules and a stream of events that go on until they are told to stop.
pub(super) struct Busy {
    pub(super) target: Target,
    pub(super) cluster: Cluster,
    pub(super) door: Door,
    pub(super) schedules: Vec<Applied>,
    subscriptions: Vec<Planned>,
    stream: EventStream,
    /// The last to be dropped: who still runs would write into it while it is removed.
    pub(super) dir: TempDir,
}

/// How it went, in the end.
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    pub(super) started: Vec<StartLine>,
    pub(super) events: EventLog,
}

impl Busy {
    /// Three nodes on loopback.
    pub(super) async fn start(load: Load) -> Result<Self> {
        let dir = directory()?;
        let seats: Vec<Seat> = (1..=3).map(|number| Seat::local(dir.path(), number)).collect();
        Self::start_at(dir, &seats, Ipv4Addr::LOCALHOST.into(), load).await
    }

    /// A node at each of these places, and what they start workflows in at this host.
    pub(super) async fn start_at(dir: TempDir, seats: &[Seat], host: IpAddr, load: Load) -> Result<Self> {
        let target = Target::at(dir.path(), host, load.real).await?;
        let cluster = Cluster::start_at(seats, &target.sink(), SHARDS).await?;
        progress(format!("{} nodes, at rest", seats.len()));
        let door = Door::of(&cluster.doors())?;
        let schedules = door.apply(plan::even(NAMESPACE, load.definitions, 10)).await?;
        let subscriptions = plan::subscriptions(NAMESPACE, TYPES);
        door.apply(subscriptions.clone()).await?;
        let per_second = load.events_per_second;
        let events = EventLoad { run: load.run.to_owned(), types: TYPES, per_second, data_bytes: 200 };
        let stream = EventStream::start(door.events(NAMESPACE, WINDOW), events);
        Ok(Self { target, cluster, door, schedules, subscriptions, stream, dir })
    }

    /// The events so far.
    pub(super) fn events(&self) -> EventLog {
        self.stream.log()
    }

    /// Ends the stream and then the nodes; what the ledger says.
    pub(super) async fn judge(mut self) -> Result<Outcome> {
        let log = self.stream.stop(PATIENCE).await?;
        let events = vec![(&log, &self.subscriptions[..])];
        let asked = Asked { timed: &self.schedules, events, end_us: now_us() };
        let verdict = settle(&self.target, self.dir.path(), &asked, PATIENCE).await?;
        let started = self.target.started(self.dir.path()).await?;
        for node in &mut self.cluster.nodes {
            node.kill().await?;
        }
        Ok(Outcome { verdict, started, events: log })
    }
}

impl Outcome {
    /// The figures of the load, and a bar for each kind of fault.
    pub(super) fn tell(&self, report: &mut Report) {
        let (verdict, (sent, acknowledged)) = (&self.verdict, self.events.counts());
        report.figure("firings due", verdict.due);
        report.figure("events sent / acknowledged", format!("{sent} / {acknowledged}"));
        report.figure("calls sent again with the same ids", verdict.repeats);
        for (kind, found) in [
            ("missing", &verdict.missing),
            ("twice", &verdict.twice),
            ("early", &verdict.early),
            ("unknown", &verdict.unknown),
        ] {
            report.check(Kind::Bar, format!("{} {kind}", found.count), found.count == 0);
            for example in &found.examples {
                report.note(format!("{kind}: {example}"));
            }
        }
        report.check(
            Kind::Bar,
            "something was due, sent and started",
            verdict.due > 0 && sent > 0 && verdict.started > 0,
        );
    }

    /// Of each start at a due time: when that was, and when the call arrived, in microseconds since the Unix epoch.
    pub(super) fn timed_starts(&self) -> impl Iterator<Item = (i64, i64)> {
        self.started.iter().filter_map(|line| Some((timed(&line.workflow_id)?.1, line.first_us)))
    }
}

/// The value below which this part of all is; `sorted` holds them in order.
pub(super) fn percentile(sorted: &[f64], part: f64) -> f64 {
    sorted.get(((sorted.len() as f64 * part).ceil() as usize).max(1) - 1).copied().unwrap_or(f64::MAX)
}
