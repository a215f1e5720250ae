//! The proofs: each sets up an engine and what surrounds it, puts it through something, and reports figures against bars.

mod catchup;
mod crash;
mod dispatch;
mod failover;
mod firing;
mod footprint;
mod fuzz;
mod herd;
mod idle;
mod import;
mod ingest;
mod lag;
mod mishaps;
mod next;
mod oracles;
mod outage;
mod outage_report;
mod overdue;
mod overlap;
mod parity;
mod partition;
mod power;
mod power_damage;
mod rebalance;
mod replication;
mod rolling;
mod scene;
mod upgrade;

use anyhow::Result;

use crate::report::Report;

/// A proof by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Proof {
    /// Kills at random moments: nothing missing, twice or early
    Crash,
    /// Temporal stopped and frozen: nothing lost, memory flat, drained in order
    Outage,
    /// Starts per second, beside a bare client loop
    Dispatch,
    /// Decisions per second, durable, without a sink
    Firing,
    /// Events per second, acknowledged and durable, beside NATS JetStream
    Ingest,
    /// A million definitions: time to load, memory, disk, time to be ready again
    Footprint,
    /// From due to the start call
    Lag,
    /// The node of a cluster that leads most is killed under load: nothing lost, and how long its shards stand still
    Failover,
    /// All nodes of a cluster restarted, one after the other, under load: how late starts are
    Rolling,
    /// A cluster of the version before becomes one of this version, node by node, under load
    Upgrade,
    /// A thousand shards on three nodes without work: what they cost, and how soon those of a dead node have leaders
    Idle,
    /// Nodes of a cluster cut off, frozen, and on slow disks: nothing lost, soon settled, reads and writes linearizable
    Partition,
    /// Power of all nodes lost, files of one damaged: nothing acknowledged is lost, what is damaged is repaired
    Power,
    /// Disks full and failing, clocks wrong, on nodes of a cluster under load: each says so, nothing is lost, and it ends by itself
    Mishaps,
    /// A cluster grown by a node and shrunk again under load: how long, how many MB/s, and what it costs those who wait
    Rebalance,
    /// A million definitions overdue after an outage of an hour: made up for at a pace, while what is due fires in time
    Catchup,
    /// A definition that is armed and then forgotten, on purpose: how soon that is found, and that it is told
    Overdue,
    /// A thousand definitions due in one second, beside a thousand Temporal Schedules and a bare client loop
    Herd,
    /// Each overlap policy beside real Temporal Schedules: the same runs in the same order
    Overlap,
    /// Firings and events per second with three replicas, beside one
    Replication,
    /// From a due time to the next one, beside the crates cron and croner; bytes of a compiled schedule
    Next,
    /// Texts that come near to schedules and calendars, fed to each parser: no panic, no hang, no growth
    Fuzz,
    /// Due times beside a literal walk, the crates cron and croner, and Python's croniter and dateutil
    Oracles,
    /// Due times beside a real Temporal server's own: where they differ, and why
    Parity,
    /// Schedules of a real Temporal moved here and back under load: each due time started once
    Import,
}

impl Proof {
    /// Whether it can be run against a real Temporal instead of the stand-in. Others need none, or use both anyway.
    pub fn takes_real(self) -> bool {
        matches!(self, Self::Failover | Self::Rolling | Self::Partition | Self::Power | Self::Rebalance)
    }

    /// Whether it makes choices by chance.
    pub fn takes_seed(self) -> bool {
        matches!(
            self,
            Self::Crash | Self::Partition | Self::Power | Self::Oracles | Self::Fuzz | Self::Parity | Self::Import
        )
    }
}

/// How a proof is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manner {
    /// How much of it.
    pub scale: Scale,
    /// Whether workflows are started in a real Temporal, at a rate that it carries.
    pub real: bool,
    /// What chance begins with.
    pub seed: u64,
}

impl std::fmt::Display for Proof {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(clap::ValueEnum::to_possible_value(self).expect("no proof is hidden").get_name())
    }
}

/// How much of it: all, or as little as still shows that it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// What the bars are meant for.
    Full,
    /// A minute or two.
    Quick,
}

impl Scale {
    /// One of two values.
    pub fn pick<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// Runs one.
pub async fn run(proof: Proof, manner: Manner) -> Result<Report> {
    let Manner { scale, real, seed } = manner;
    match proof {
        Proof::Crash => crash::run(scale, seed).await,
        Proof::Outage => outage::run(scale).await,
        Proof::Dispatch => dispatch::run(scale).await,
        Proof::Firing => firing::run(scale).await,
        Proof::Ingest => ingest::run(scale).await,
        Proof::Footprint => footprint::run(scale).await,
        Proof::Lag => lag::run(scale).await,
        Proof::Failover => failover::run(scale, real).await,
        Proof::Rolling => rolling::run(scale, real).await,
        Proof::Upgrade => upgrade::run(scale).await,
        Proof::Partition => partition::run(manner).await,
        Proof::Power => power::run(manner).await,
        Proof::Mishaps => mishaps::run(scale).await,
        Proof::Rebalance => rebalance::run(scale, real).await,
        Proof::Replication => replication::run(scale).await,
        Proof::Idle => idle::run(scale).await,
        Proof::Fuzz => fuzz::run(scale, seed).await,
        Proof::Next => next::run(scale).await,
        Proof::Oracles => oracles::run(scale, seed).await,
        Proof::Overlap => overlap::run().await,
        Proof::Catchup => catchup::run(scale).await,
        Proof::Overdue => overdue::run(scale).await,
        Proof::Herd => herd::run(scale).await,
        Proof::Parity => parity::run(scale, seed).await,
        Proof::Import => import::run(scale, seed).await,
    }
}

/// Tells a person who waits what is going on; the report itself goes to standard output.
fn progress(text: impl std::fmt::Display) {
    eprintln!("{} {text}", chrono::Local::now().format("%H:%M:%S"));
}
