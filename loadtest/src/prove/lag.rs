//! From the due time to the arrival of the start call: with a firing now and then, and with a thousand each second.

use std::time::Duration;

use anyhow::Result;

use super::scene::{Asked, Target, directory, engine, settle};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::ledger::Verdict;
use crate::plan::{self, Planned};
use crate::report::{Kind, Report};

const DEFINITIONS: u32 = 10_000;

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report = Report::new("lag", "from due to the start call");
    let length = Duration::from_secs(scale.pick(300, 20));
    // Each second, one of them.
    let sparse = measure(plan::even("default", DEFINITIONS, DEFINITIONS), length).await?;
    tell(&mut report, "one firing a second", &sparse);
    // Each second, a thousand of them at the same instant: the last one waits for all before it.
    let dense = measure(plan::even("default", DEFINITIONS, 10), length / 5).await?;
    tell(&mut report, "a thousand at each second", &dense);
    report.at_most(Kind::Aim, "one firing a second: p99 in ms", sparse.lag_ms(99.0), 10.0);
    Ok(report)
}

async fn measure(plan: Vec<Planned>, length: Duration) -> Result<Verdict> {
    let dir = directory()?;
    let target = Target::standin(dir.path()).await?;
    let (mut engine, door) = engine(dir.path(), target.sink()).await?;
    let timed = door.apply(plan).await?;
    progress(format!("measuring for {length:?}"));
    tokio::time::sleep(length).await;
    let asked = Asked { timed: &timed, events: Vec::new(), end_us: now_us() };
    let verdict = settle(&target, dir.path(), &asked, Duration::from_secs(30)).await?;
    engine.check_running()?;
    Ok(verdict)
}

fn tell(report: &mut Report, what: &str, verdict: &Verdict) {
    let [p50, p99, p999] = [50.0, 99.0, 99.9].map(|percentile| verdict.lag_ms(percentile));
    report.figure(format!("{what}: firings"), verdict.started);
    report.figure(format!("{what}: p50 / p99 / p99.9"), format!("{p50:.1} / {p99:.1} / {p999:.1} ms"));
    report.check(
        Kind::Bar,
        format!("{what}: nothing missing, twice, early or unknown"),
        verdict.is_clean() && verdict.due > 0,
    );
}
