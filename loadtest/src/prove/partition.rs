//! Nodes of a cluster are cut off in every way, frozen, and given slow disks, at random, under load. Nothing is lost or doubled, all is soon as it was, and what clients
//! were told of definitions meanwhile can be explained by one order of their calls.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::scene::{Busy, Load, NAMESPACE, Outcome, directory};
use super::{Manner, Scale, progress};
use crate::clock::now_us;
use crate::cluster::{Cluster, Seat};
use crate::disk::{Disturbance, Disturbed};
use crate::linear::{Finding, judge};
use crate::network::Network;
use crate::registers::{History, Registers};
use crate::report::{Kind, Report};

const NODES: usize = 3;
/// The one of the three that a real Temporal has a part in.
const STARTS: &str = "no start was late";
/// All must be as before within this time of healing, in seconds.
const BAR_S: f64 = 5.0;
/// What is later than this, in microseconds, waited for something: in a cluster at rest starts and acknowledgements take some hundredths of a second.
const LATE_US: i64 = 1_000_000;
/// For the cluster to be as before; far beyond the bar, so that the figure is known.
const PATIENCE: Duration = Duration::from_secs(60);
/// Before each sync of a slow disk, in milliseconds.
const SLOW_MS: std::ops::Range<u64> = 100..1000;

/// What is done to the cluster. Nodes are places in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// A node hears nobody, and nobody hears it.
    Isolated(usize),
    /// It hears the others, who don't hear it.
    Mute(usize),
    /// They hear it, it hears nobody.
    Deaf(usize),
    /// Of two nodes the second doesn't hear the first.
    OneWay(usize, usize),
    /// Two nodes hear nothing of each other; the third is a bridge between them.
    Bridge(usize, usize),
    /// A node stands still.
    Frozen(usize),
    /// Each of its syncs takes longer.
    SlowDisk(usize, Duration),
}

impl Fault {
    fn kind(self) -> &'static str {
        match self {
            Self::Isolated(_) => "isolated",
            Self::Mute(_) => "mute",
            Self::Deaf(_) => "deaf",
            Self::OneWay(..) => "one way",
            Self::Bridge(..) => "bridge",
            Self::Frozen(_) => "frozen",
            Self::SlowDisk(..) => "slow disk",
        }
    }

    /// One of each kind, in random order. The busiest node is met more often than others; it alone is frozen and slowed down.
    fn round(busiest: usize, random: &mut StdRng) -> Vec<Self> {
        let mut node = || if random.random_bool(0.5) { busiest } else { random.random_range(0..NODES) };
        let [isolated, mute, deaf, from, at] = std::array::from_fn(|_| node());
        let other = |node: usize, random: &mut StdRng| (node + random.random_range(1..NODES)) % NODES;
        let mut round = vec![
            Self::Isolated(isolated),
            Self::Mute(mute),
            Self::Deaf(deaf),
            Self::OneWay(from, other(from, random)),
            Self::Bridge(at, other(at, random)),
            Self::Frozen(busiest),
            Self::SlowDisk(busiest, Duration::from_millis(random.random_range(SLOW_MS))),
        ];
        round.shuffle(random);
        round
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::OneWay(from, to) | Self::Bridge(from, to) => write!(f, "{kind}: nodes {} and {}", from + 1, to + 1),
            Self::SlowDisk(node, delay) => write!(f, "{kind}: node {}, {delay:?} more for each sync", node + 1),
            Self::Isolated(node) | Self::Mute(node) | Self::Deaf(node) | Self::Frozen(node) => {
                write!(f, "{kind}: node {}", node + 1)
            }
        }
    }
}

/// A fault that is over.
struct Healed {
    fault: Fault,
    begun_us: i64,
    healed_us: i64,
    /// Until all nodes took part again, as the cluster tells it; or what was missing.
    serving: Result<Duration, String>,
}

pub(super) async fn run(manner: Manner) -> Result<Report> {
    let Manner { scale, real, seed } = manner;
    let name = if real { "partition --real" } else { "partition" };
    let mut report = Report::new(name, "nodes cut off, frozen, and with slow disks, under load");
    report.figure("seed", seed);
    progress(format!("seed {seed}"));
    let network = Network::make(NODES)?;
    let dir = directory()?;
    let seats: Vec<Seat> = (0..NODES).map(|node| seat(&network, dir.path(), node)).collect();
    let full = Load {
        run: "partition",
        definitions: scale.pick(5000, 500),
        events_per_second: scale.pick(1000, 200),
        real: false,
    };
    let load = if real { Load::real("partition") } else { full };
    let mut busy = Busy::start_at(dir, &seats, network.host(), load).await?;
    let registers = Registers::start(&busy.cluster.doors(), NAMESPACE, scale.pick(24, 8), seed)?;
    let healed = trouble(&network, &mut busy, scale, seed).await?;
    let histories = registers.stop().await;
    let outcome = busy.judge().await?;
    outcome.tell(&mut report);
    tell_settling(&mut report, &healed, &outcome, real);
    tell_histories(&mut report, histories).await?;
    Ok(report)
}

fn seat(network: &Network, dir: &Path, node: usize) -> Seat {
    let (host, peer_host) = (network.client_address(node), network.peer_address(node));
    Seat { host, peer_host, within: network.within(node), ..Seat::local(dir, node + 1) }
}

/// One fault after the other, with a calm before each.
async fn trouble(network: &Network, busy: &mut Busy, scale: Scale, seed: u64) -> Result<Vec<Healed>> {
    let mut random = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let calm = Duration::from_secs(scale.pick(8, 3));
    let length = Duration::from_secs(scale.pick(600, 1));
    let mut healed: Vec<Healed> = Vec::new();
    while begun.elapsed() < length {
        let busiest = busy.cluster.busiest().await?;
        for fault in Fault::round(busiest, &mut random) {
            tokio::time::sleep(calm).await;
            let lasts = match fault {
                Fault::Frozen(_) => Duration::from_secs(scale.pick(30, 4)),
                _ => Duration::from_secs_f64(random.random_range(scale.pick(5.0..20.0, 2.0..4.0))),
            };
            progress(format!("{fault}, for {lasts:.1?}"));
            let (begun_us, log) = (now_us(), busy.dir.path().join("strace.log"));
            inflict(network, &busy.cluster, fault, lasts, &log).await?;
            let healed_us = now_us();
            let serving = busy.cluster.serving(PATIENCE).await;
            progress(match &serving {
                Ok(after) => format!("healed; all take part after {after:.1?}"),
                Err(why) => format!("healed; after {PATIENCE:?} {why}"),
            });
            busy.cluster.check_running()?;
            healed.push(Healed { fault, begun_us, healed_us, serving });
        }
    }
    tokio::time::sleep(calm).await;
    Ok(healed)
}

/// From the begin of a fault to its end.
async fn inflict(network: &Network, cluster: &Cluster, fault: Fault, lasts: Duration, log: &Path) -> Result<()> {
    let others = |node: usize| (0..NODES).filter(move |other| *other != node);
    match fault {
        Fault::Isolated(node) => others(node).try_for_each(|other| network.cut_both(node, other))?,
        Fault::Mute(node) => others(node).try_for_each(|other| network.cut(node, other))?,
        Fault::Deaf(node) => others(node).try_for_each(|other| network.cut(other, node))?,
        Fault::OneWay(from, to) => network.cut(from, to)?,
        Fault::Bridge(one, other) => network.cut_both(one, other)?,
        Fault::Frozen(node) => {
            let process = cluster.nodes[node].process()?;
            process.freeze()?;
            tokio::time::sleep(lasts).await;
            return process.thaw();
        }
        Fault::SlowDisk(node, delay) => {
            let pid = cluster.nodes[node].process()?.id();
            let slow = Disturbed::begin(pid, Disturbance::Slow(delay), log)?;
            tokio::time::sleep(lasts).await;
            return slow.end().await;
        }
    }
    tokio::time::sleep(lasts).await;
    network.heal()
}

/// Seconds until something was as before, by kind of fault: the longest of them.
#[derive(Default)]
struct Longest {
    count: u32,
    cluster: f64,
    starts: f64,
    events: f64,
}

fn tell_settling(report: &mut Report, healed: &[Healed], outcome: &Outcome, real: bool) {
    let starts: Vec<(i64, i64)> = outcome.timed_starts().collect();
    let events = outcome.events.acknowledged();
    let mut kinds: BTreeMap<&str, Longest> = BTreeMap::new();
    for (place, one) in healed.iter().enumerate() {
        let until_us = healed.get(place + 1).map_or(i64::MAX, |next| next.begun_us);
        let longest = kinds.entry(one.fault.kind()).or_default();
        longest.count += 1;
        let serving = one.serving.as_ref().map_or(f64::INFINITY, Duration::as_secs_f64);
        longest.cluster = longest.cluster.max(serving);
        longest.starts = longest.starts.max(last_late(&starts, one.healed_us, until_us));
        longest.events = longest.events.max(last_late(&events, one.healed_us, until_us));
        if let Err(why) = &one.serving {
            report.note(format!("{}: {PATIENCE:?} after healing {why}", one.fault));
        }
    }
    for (kind, longest) in &kinds {
        let Longest { count, cluster, starts, events } = longest;
        report.figure(
            format!("{kind}, {count} times: as before after, most (nodes / starts / acknowledgements)"),
            format!("{cluster:.1} / {starts:.1} / {events:.1} s"),
        );
    }
    let most = |of: fn(&Longest) -> f64| kinds.values().map(of).fold(0.0, f64::max);
    for (what, seconds) in [
        ("all nodes took part", most(|longest| longest.cluster)),
        (STARTS, most(|longest| longest.starts)),
        ("no acknowledgement was late", most(|longest| longest.events)),
    ] {
        // How soon a real Temporal takes what has waited is its own affair.
        let kind = if real && what == STARTS { Kind::Aim } else { Kind::Bar };
        report.at_most(kind, &format!("seconds from healing until {what}, most"), seconds, BAR_S);
    }
}

/// Of what was due and came at these times: seconds from healing until the last thing came that was late, before the next fault.
fn last_late(due_and_came: &[(i64, i64)], healed_us: i64, until_us: i64) -> f64 {
    let came = due_and_came.iter().filter(|(due, came)| came - due > LATE_US && (healed_us..until_us).contains(came));
    came.map(|(_, came)| (came - healed_us) as f64 / 1e6).fold(0.0, f64::max)
}

async fn tell_histories(report: &mut Report, histories: Vec<History>) -> Result<()> {
    let operations: usize = histories.iter().map(|history| history.operations.len()).sum();
    let silent = histories.iter().flat_map(|history| &history.operations).filter(|one| one.answer.is_none()).count();
    let count = histories.len();
    report.figure(
        "definitions read and written; calls; of them without an answer",
        format!("{count}; {operations}; {silent}"),
    );
    let judged = tokio::task::spawn_blocking(move || {
        let judged = histories.into_iter().map(|history| (judge(&history.operations), history));
        judged.collect::<Vec<_>>()
    })
    .await?;
    let (mut impossible, mut undecided, mut odd) = (0, 0, 0);
    for (finding, history) in judged {
        odd += history.odd.len();
        history.odd.iter().take(3).for_each(|odd| report.note(format!("{}: {odd}", history.id)));
        match finding {
            Finding::Explained => {}
            Finding::Undecided => undecided += 1,
            Finding::Impossible(why) => {
                impossible += 1;
                tell_history(&history);
                report.note(format!("{}: {why}", history.id));
            }
        }
    }
    report.check(Kind::Bar, format!("{impossible} histories of definitions are not linearizable"), impossible == 0);
    report.check(Kind::Bar, format!("{undecided} histories are too entangled to judge"), undecided == 0);
    report.check(Kind::Bar, format!("{odd} calls were refused that should not have been"), odd == 0);
    report.check(Kind::Bar, "definitions were read and written", operations > silent);
    Ok(())
}

/// All calls of a definition, for who looks for the reason.
fn tell_history(history: &History) {
    let mut operations = history.operations.clone();
    operations.sort_by_key(|operation| operation.began_us);
    let calls: Vec<String> = operations.iter().map(ToString::to_string).collect();
    progress(format!("{} can't be explained:\n  {}", history.id, calls.join("\n  ")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_each_kind_once_and_never_a_node_with_itself() {
        for seed in 0..100 {
            let busiest = (seed % 3) as usize;
            let round = Fault::round(busiest, &mut StdRng::seed_from_u64(seed));
            let kinds: std::collections::BTreeSet<_> = round.iter().map(|fault| fault.kind()).collect();
            assert_eq!((kinds.len(), round.len()), (7, 7));
            for fault in round {
                match fault {
                    Fault::OneWay(one, other) | Fault::Bridge(one, other) => assert_ne!(one, other, "seed {seed}"),
                    Fault::Frozen(node) | Fault::SlowDisk(node, _) => assert_eq!(node, busiest),
                    Fault::Isolated(node) | Fault::Mute(node) | Fault::Deaf(node) => assert!(node < NODES),
                }
            }
        }
    }

    #[test]
    fn settled_is_when_the_last_late_one_has_come() {
        let second = 1_000_000;
        let starts = [
            // On time; late, before healing; late, after; a little late; late, after the next fault.
            (11 * second, 11 * second + 1000),
            (4 * second, 9 * second),
            (9 * second, 12 * second),
            (13 * second, 14 * second),
            (14 * second, 21 * second),
        ];
        assert_eq!(last_late(&starts, 10 * second, 20 * second), 2.0);
        assert_eq!(last_late(&starts[..2], 10 * second, 20 * second), 0.0);
    }
}
