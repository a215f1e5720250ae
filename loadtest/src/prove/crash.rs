//! Kills the engine at random moments under load, some of them while it is still starting, and lets the ledger judge.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::scene::{Asked, Target, directory, engine, settle};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::engine::Engine;
use crate::events::{EventLoad, EventStream};
use crate::ledger::Verdict;
use crate::plan::{self, Planned};
use crate::report::{Kind, Report};

/// Batches of events under way: what comes in during a restart waits here.
const WINDOW: usize = 3_000;
const PATIENCE: Duration = Duration::from_secs(180);

/// What one round does.
struct Round {
    what: &'static str,
    kills: u32,
    longest_life: f64,
    timed: Vec<Planned>,
    events_per_second: u32,
}

pub(super) async fn run(scale: Scale, seed: u64) -> Result<Report> {
    let mut report = Report::new("crash", "kills at random moments lose and double nothing");
    report.figure("seed", seed);
    let mut random = StdRng::seed_from_u64(seed);
    let dir = directory()?;
    let into_standin = Round {
        what: "stand-in",
        kills: scale.pick(30, 5),
        longest_life: 8.0,
        timed: plan::mixed("default", 2000),
        events_per_second: 2000,
    };
    let target = Target::standin(dir.path()).await?;
    round(&mut report, into_standin, &target, dir.path(), &mut random).await?;

    let dir = directory()?;
    let into_temporal = Round {
        what: "real Temporal",
        kills: scale.pick(20, 3),
        longest_life: 10.0,
        timed: plan::even("default", 250, 10),
        events_per_second: 25,
    };
    let target = Target::real(dir.path()).await?;
    round(&mut report, into_temporal, &target, dir.path(), &mut random).await?;
    Ok(report)
}

async fn round(report: &mut Report, round: Round, target: &Target, dir: &Path, random: &mut StdRng) -> Result<()> {
    let (mut engine, door) = engine(dir, target.sink()).await?;
    let subscriptions = plan::subscriptions("default", 20);
    let timed = door.apply(round.timed.clone()).await?;
    door.apply(subscriptions.clone()).await?;
    let load = EventLoad { run: "crash".to_owned(), types: 20, per_second: round.events_per_second, data_bytes: 200 };
    let stream = EventStream::start(door.events("default", WINDOW), load);
    let ready = kill_again_and_again(&round, &mut engine, random).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let log = stream.stop(PATIENCE).await?;
    let asked = Asked { timed: &timed, events: vec![(&log, &subscriptions)], end_us: now_us() };
    let verdict = settle(target, dir, &asked, PATIENCE).await?;
    engine.check_running()?;
    tell(report, &round, &verdict, log.counts(), ready);
    Ok(())
}

/// Returns how long each restart took that was allowed to finish, in order of length.
async fn kill_again_and_again(round: &Round, engine: &mut Engine, random: &mut StdRng) -> Result<Vec<Duration>> {
    let mut ready = Vec::new();
    for kill in 1..=round.kills {
        tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.3..round.longest_life))).await;
        engine.check_running()?;
        engine.kill().await?;
        progress(format!("{}: kill {kill} of {}", round.what, round.kills));
        if random.random_bool(0.2) {
            engine.spawn()?;
            tokio::time::sleep(Duration::from_secs_f64(random.random_range(0.0..0.5))).await;
            engine.kill().await?;
        }
        ready.push(engine.start_again().await?);
    }
    ready.sort();
    Ok(ready)
}

fn tell(report: &mut Report, round: &Round, verdict: &Verdict, events: (u64, u64), ready: Vec<Duration>) {
    let what = round.what;
    report.figure(format!("{what}: kills"), format!("{} and some more while starting", round.kills));
    report.figure(format!("{what}: firings due"), verdict.due);
    report.figure(format!("{what}: events sent / acknowledged"), format!("{} / {}", events.0, events.1));
    report.figure(format!("{what}: calls sent again with the same ids"), verdict.repeats);
    if let (Some(middle), Some(longest)) = (ready.get(ready.len() / 2), ready.last()) {
        report.figure(format!("{what}: ready again, median / longest"), format!("{middle:.2?} / {longest:.2?}"));
    }
    let findings = [
        ("missing", &verdict.missing),
        ("twice", &verdict.twice),
        ("early", &verdict.early),
        ("unknown", &verdict.unknown),
    ];
    for (kind, found) in findings {
        report.check(Kind::Bar, format!("{what}: {} {kind}", found.count), found.count == 0);
        for example in &found.examples {
            report.note(format!("{what}: {kind}: {example}"));
        }
    }
    report.check(Kind::Bar, format!("{what}: something was due and started"), verdict.due > 0 && verdict.started > 0);
}
