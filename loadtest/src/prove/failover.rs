//! Kills the node that leads most, again and again, under load: nothing is lost or doubled, and its shards go on soon.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use flintwheel_client::META_SHARD;

use super::scene::{Busy, Load, SHARDS, percentile, timed};
use super::{Scale, progress};
use crate::StartLine;
use crate::clock::now_us;
use crate::cluster::Cluster;
use crate::report::{Kind, Report};

/// Between the return of one node and the end of the next.
const CALM: Duration = Duration::from_secs(3);
/// A bar and an aim for the 99th percentile, in milliseconds.
const BAR_MS: f64 = 2000.0;
const AIM_MS: f64 = 1300.0;

/// One end of a node.
struct Kill {
    at_us: i64,
    /// What it led.
    shards: Vec<u32>,
}

pub(super) async fn run(scale: Scale, real: bool) -> Result<Report> {
    let name = if real { "failover --real" } else { "failover" };
    let mut report = Report::new(name, "the node that leads most is killed under load: nothing lost, soon going on");
    let full = Load {
        run: "failover",
        definitions: scale.pick(20_000, 2000),
        events_per_second: scale.pick(5000, 1000),
        real: false,
    };
    let mut busy = Busy::start(if real { Load::real("failover") } else { full }).await?;
    let mut kills = Vec::new();
    for number in 1..=scale.pick(30, 3) {
        tokio::time::sleep(CALM).await;
        kills.push(kill_the_busiest(&mut busy.cluster, number).await?);
    }
    tokio::time::sleep(CALM).await;
    let outcome = busy.judge().await?;
    let mut gaps = gaps(&kills, &outcome.started);
    gaps.sort_by(f64::total_cmp);
    report.figure("kills", kills.len());
    report.figure("shards that lost their leader", gaps.len());
    outcome.tell(&mut report);
    let at = |part| percentile(&gaps, part);
    report.figure(
        "until the next start, p50 / p99 / most",
        format!("{:.0} / {:.0} / {:.0} ms", at(0.5), at(0.99), at(1.0)),
    );
    if real {
        // Few are due each second: the time until the next one is due counts as well.
        report.note("how soon it goes on is judged by the run against the stand-in");
        return Ok(report);
    }
    report.at_most(Kind::Bar, "until the next start, p99 in ms", at(0.99), BAR_MS);
    report.at_most(Kind::Aim, "until the next start, p99 in ms", at(0.99), AIM_MS);
    Ok(report)
}

/// Ends it without a word, and starts it again when the others have taken over.
async fn kill_the_busiest(cluster: &mut Cluster, number: u32) -> Result<Kill> {
    let state = cluster.settle().await?;
    let mut led: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    for shard in state.shards.iter().filter(|shard| shard.shard != META_SHARD) {
        led.entry(shard.leader.context("a shard has no leader")?).or_default().push(shard.shard);
    }
    let (node, shards) = led.into_iter().max_by_key(|(_, shards)| shards.len()).context("nobody leads")?;
    let engine = &mut cluster.nodes[usize::try_from(node)? - 1];
    engine.check_running()?;
    let at_us = now_us();
    engine.kill().await?;
    progress(format!("kill {number}: node {node}, which led {} shards", shards.len()));
    tokio::time::sleep(CALM).await;
    cluster.nodes[usize::try_from(node)? - 1].start_again().await?;
    Ok(Kill { at_us, shards })
}

/// For each shard that lost its leader: milliseconds from then to the first start of a firing that was due after.
fn gaps(kills: &[Kill], started: &[StartLine]) -> Vec<f64> {
    let mut by_shard: BTreeMap<u32, Vec<(i64, i64)>> = BTreeMap::new();
    for line in started {
        if let Some((definition, due_us)) = timed(&line.workflow_id) {
            by_shard.entry(definition.shard(SHARDS)).or_default().push((due_us, line.first_us));
        }
    }
    let mut gaps = Vec::new();
    for kill in kills {
        for shard in &kill.shards {
            let starts = by_shard.get(shard).into_iter().flatten();
            let first = starts.filter(|(due, _)| *due > kill.at_us).map(|(_, first)| *first).min();
            gaps.extend(first.map(|first| (first - kill.at_us) as f64 / 1000.0));
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use flintwheel_model::DefinitionKey;

    use super::*;

    #[test]
    fn a_gap_ends_with_the_first_start_of_what_was_due_after_the_kill() {
        let id = |due: &str| format!("flintwheel:default:a:t:{due}");
        let line = |due, first_us| StartLine { first_us, workflow_id: id(due), ..StartLine::default() };
        let second = 1_000_000;
        let shard = DefinitionKey::new("default", "a").shard(SHARDS);
        let kills = [Kill { at_us: 5 * second, shards: vec![shard] }];
        let started = [
            // Due before, started after.
            line("1970-01-01T00:00:04Z", 6 * second),
            line("1970-01-01T00:00:07Z", 8 * second),
            line("1970-01-01T00:00:06Z", 7 * second),
        ];
        assert_eq!(gaps(&kills, &started), [2000.0]);
        assert_eq!(timed("flintwheel:default:a:e:x"), None);
    }
}
