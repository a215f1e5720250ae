//! What happens to machines: a clock is set wrong, a disk gets full or breaks. Under load, on nodes of a cluster: each says so in clear words,
//! what it leads goes to others, nothing is lost, doubled or early, and when the mishap is over it takes part again.
//!
//! Each node has a small disk ([`crate::disk`]) and a wall clock ([`crate::wrong_clock`]) of its own.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use flintwheel_client::{ApplyOptions, Client, ClusterNode, Error, Options, reason};
use flintwheel_model::ActivityDefinition;
use serde_json::json;

use super::scene::{Busy, Load, Outcome, directory};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::cluster::Seat;
use crate::disk::{Disk, Disturbance, Disturbed};
use crate::report::{Kind, Report};
use crate::wrong_clock::WrongClock;

const NODES: usize = 3;
/// Of each disk. A node keeps a twentieth of it free.
const DISK_BYTES: u64 = 4 << 30;
const RESERVE: u64 = DISK_BYTES / 20;
/// Less than the reserve, more than the eighth of it from which on due times wait too.
const LOW: u64 = RESERVE * 3 / 5;
/// For what should come soon. Bars say how soon.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two looks.
const STEP: Duration = Duration::from_millis(100);
/// For a node to notice, to tell the others, and to give away what it leads; in seconds.
const SOON_S: f64 = 15.0;
/// Seconds by which clocks are set wrong: less than what is taken for a jump to be asked about, and minutes.
const SOME: i64 = 30;
const MINUTES: i64 = 300;

/// When a mishap was on that must not hold up what is due, in microseconds since the epoch.
struct Window {
    what: &'static str,
    from_us: i64,
    to_us: i64,
}

struct Stage {
    busy: Busy,
    report: Report,
    windows: Vec<Window>,
    /// How long each mishap is looked at.
    lasts: Duration,
    /// Asks once: what is refused is to be seen.
    client: Client,
    probes: u32,
}

pub(super) async fn run(scale: Scale) -> Result<Report> {
    // Dropped in the opposite order: nodes end, disks are let go, the directory goes.
    let room = directory()?;
    let disks: Vec<Disk> =
        (1..=NODES).map(|number| Disk::make(room.path(), number, DISK_BYTES)).collect::<Result<_>>()?;
    let dir = directory()?;
    let clock = |number| WrongClock::make(dir.path(), number);
    let clocks: Vec<WrongClock> = (1..=NODES).map(clock).collect::<Result<_>>()?;
    let seat = |(place, (disk, clock)): (usize, (&Disk, &WrongClock))| Seat {
        data_dir: disk.path().join("data"),
        within: clock.within(),
        ..Seat::local(dir.path(), place + 1)
    };
    let seats: Vec<Seat> = disks.iter().zip(&clocks).enumerate().map(seat).collect();
    let load = Load {
        run: "mishaps",
        definitions: scale.pick(5000, 500),
        events_per_second: scale.pick(1000, 200),
        real: false,
    };
    let busy = Busy::start_at(dir, &seats, Ipv4Addr::LOCALHOST.into(), load).await?;
    let doors: Vec<String> = busy.cluster.doors().iter().map(ToString::to_string).collect();
    let client = Client::new(&doors, Options { retry_for: Duration::ZERO, ..Options::default() })?;
    let report =
        Report::new("mishaps", "disks full and broken, clocks wrong, under load: said, survived, over by itself");
    let lasts = Duration::from_secs(scale.pick(30, 8));
    let mut stage = Stage { busy, report, windows: Vec::new(), lasts, client, probes: 0 };
    stage.clock_jumps(&clocks).await?;
    stage.clock_minutes_apart(&clocks, MINUTES).await?;
    stage.clock_minutes_apart(&clocks, -MINUTES).await?;
    stage.disks_low(&disks).await?;
    stage.disk_full(&disks).await?;
    stage.disk_breaks().await?;
    let Stage { busy, mut report, windows, .. } = stage;
    tell(&mut report, &busy.judge().await?, &windows);
    Ok(report)
}

impl Stage {
    /// A clock is set ahead while its node leads: it does not follow at once, and fires nothing early.
    async fn clock_jumps(&mut self, clocks: &[WrongClock]) -> Result<()> {
        let place = self.busy.cluster.busiest().await?;
        progress(format!("the clock of node {} jumps ahead by {SOME} s", place + 1));
        let from_us = now_us();
        clocks[place].set(SOME)?;
        let noticed = self.until(format!("node {} doubts its clock", place + 1), async |stage| {
            Ok(stage.busy.cluster.nodes[place].metrics().await?.count("flintwheel_clock_held") == 1)
        });
        let noticed = noticed.await?;
        tokio::time::sleep(self.lasts).await;
        clocks[place].set(0)?;
        self.until(format!("node {} believes its clock", place + 1), async |stage| {
            Ok(stage.busy.cluster.nodes[place].metrics().await?.count("flintwheel_clock_held") == 0)
        })
        .await?;
        self.windows.push(Window { what: "a clock had jumped", from_us, to_us: now_us() });
        self.report.at_most(Kind::Bar, "clock jumps ahead: seconds until it is doubted", noticed, SOON_S);
        self.all_take_part("clock jumps").await
    }

    /// A node starts with a clock that is minutes off: it leads nothing, is not ready, and says by how much.
    async fn clock_minutes_apart(&mut self, clocks: &[WrongClock], seconds: i64) -> Result<()> {
        let place = self.busy.cluster.busiest().await?;
        progress(format!("node {} starts again with a clock that is off by {seconds} s", place + 1));
        self.busy.cluster.nodes[place].stop().await?;
        clocks[place].set(seconds)?;
        self.busy.cluster.nodes[place].spawn()?;
        let said = self.until(format!("node {} is seen to be off by {seconds} s", place + 1), async |stage| {
            let off = stage.node(place).await?.clock_ahead_ms.unwrap_or(0);
            Ok((off - seconds * 1000).abs() < 10_000)
        });
        let said = said.await?;
        let word = if seconds > 0 { "s ahead of" } else { "s behind" };
        self.until(format!("/readyz of node {} names the clock", place + 1), async |stage| {
            Ok(stage.busy.cluster.nodes[place].page("/readyz").await?.body.contains(word))
        })
        .await?;
        let page = self.busy.cluster.nodes[place].page("/readyz").await?;
        let left = self.until(format!("node {} leads nothing", place + 1), async |stage| {
            Ok(stage.node(place).await?.leaders == 0)
        });
        let (left, from_us) = (left.await?, now_us());
        tokio::time::sleep(self.lasts).await;
        self.windows.push(Window { what: "a clock was minutes off", from_us, to_us: now_us() });
        let led = self.node(place).await?.leaders;
        let name = format!("clock {seconds:+} s");
        self.report.at_most(Kind::Bar, &format!("{name}: seconds until all know it"), said, SOON_S);
        self.report.at_most(Kind::Bar, &format!("{name}: seconds until its node leads nothing"), left, SOON_S);
        self.report.note(format!("{name}: /readyz says {:?}", page.body.trim()));
        self.report.check(Kind::Bar, format!("{name}: its node leads {led} shards"), led == 0);
        clocks[place].set(0)?;
        if seconds > 0 {
            // Time never runs backward for a node: it would wait until the others have caught up with it.
            self.busy.cluster.nodes[place].stop().await?;
            self.busy.cluster.nodes[place].start_again().await?;
        }
        self.all_take_part(&name).await
    }

    /// One disk low, then a majority of them: nothing new is taken in, what exists goes on firing, and it is over when there is room.
    async fn disks_low(&mut self, disks: &[Disk]) -> Result<()> {
        let place = self.busy.cluster.busiest().await?;
        progress(format!("the disk of node {} gets low", place + 1));
        disks[place].leave(LOW)?;
        let handed = self.until(format!("node {} is low and leads nothing", place + 1), async |stage| {
            let node = stage.node(place).await?;
            Ok(node.disk_low && node.leaders == 0)
        });
        let handed = handed.await?;
        let taken = self.probe().await;
        self.report.at_most(Kind::Bar, "one disk low: seconds until its node leads nothing", handed, SOON_S);
        self.report.check(
            Kind::Bar,
            format!("one disk low: a new definition is taken ({})", told(&taken)),
            taken.is_ok(),
        );
        let second = (place + 1) % NODES;
        progress(format!("and that of node {}", second + 1));
        let from_us = now_us();
        disks[second].leave(LOW)?;
        let refused = self.until("new definitions are refused".to_owned(), async |stage| {
            Ok(stage.probe_once().await.is_err_and(|error| error.reason == reason::DISK_LOW))
        });
        let refused = refused.await?;
        tokio::time::sleep(self.lasts).await;
        self.windows.push(Window { what: "a majority of disks was low", from_us, to_us: now_us() });
        let error =
            self.probe_once().await.err().context("a new definition is taken while a majority of disks is low")?;
        self.report.at_most(Kind::Bar, "two disks low: seconds until nothing new is taken", refused, SOON_S);
        self.report.note(format!("two disks low: {}", error.message));
        disks[place].make_room()?;
        disks[second].make_room()?;
        let taken = self
            .until("new definitions are taken again".to_owned(), async |stage| Ok(stage.probe_once().await.is_ok()));
        let taken = taken.await?;
        self.report.at_most(Kind::Bar, "room again: seconds until all is taken in", taken, SOON_S);
        self.all_take_part("disks low").await
    }

    /// A disk is full at once: the node ends with a word that says why, the others carry on, and with room it is there again.
    async fn disk_full(&mut self, disks: &[Disk]) -> Result<()> {
        let place = self.busy.cluster.busiest().await?;
        progress(format!("the disk of node {} is full", place + 1));
        disks[place].leave(0)?;
        self.ends("disk full", place, "No space left on device").await?;
        disks[place].make_room()?;
        self.busy.cluster.nodes[place].start_again().await?;
        self.all_take_part("disk full").await
    }

    /// Syncs fail: the node ends at the first one.
    async fn disk_breaks(&mut self) -> Result<()> {
        let place = self.busy.cluster.busiest().await?;
        progress(format!("the disk of node {} breaks", place + 1));
        let (pid, log) = (self.busy.cluster.nodes[place].process()?.id(), self.busy.dir.path().join("strace.log"));
        let broken = Disturbed::begin(pid, Disturbance::Failing, &log)?;
        self.ends("disk breaks", place, "Input/output error").await?;
        drop(broken);
        self.busy.cluster.nodes[place].start_again().await?;
        self.all_take_part("disk breaks").await
    }

    /// A node ends by itself and says why; the others go on without it.
    async fn ends(&mut self, name: &str, place: usize, why: &str) -> Result<()> {
        let begun = Instant::now();
        let said = self.busy.cluster.nodes[place].has_ended(PATIENCE).await?;
        let ended = begun.elapsed().as_secs_f64();
        // The log has some room that it took before the disk was full.
        self.report.figure(format!("{name}: its node ends after"), format!("{ended:.1} s"));
        let says = said.contains(why) && said.contains("nothing more is acknowledged");
        self.report.check(Kind::Bar, format!("{name}: its node says that, and why"), says);
        if !says {
            self.report.note(format!("{name}: {said}"));
        }
        let without = self.until("the others lead all shards".to_owned(), async |stage| {
            let state = stage.busy.cluster.state().await?;
            let gone = state.nodes.iter().any(|node| node.id == place as u64 + 1 && !node.alive);
            let led = |shard: &flintwheel_client::ClusterShard| shard.leader.is_some_and(|id| id != place as u64 + 1);
            Ok(gone && state.shards.iter().all(led))
        });
        let without = without.await?;
        tokio::time::sleep(self.lasts / 3).await;
        let taken = self.probe().await;
        self.report.at_most(Kind::Bar, &format!("{name}: seconds until the others lead all shards"), without, SOON_S);
        self.report.check(
            Kind::Bar,
            format!("{name}: the others take a new definition ({})", told(&taken)),
            taken.is_ok(),
        );
        Ok(())
    }

    async fn all_take_part(&mut self, name: &str) -> Result<()> {
        match self.busy.cluster.serving(PATIENCE).await {
            Ok(took) => self.report.figure(format!("{name}: all take part again after"), format!("{took:.1?}")),
            Err(why) => bail!("{name}: {PATIENCE:?} after it was over {why}"),
        }
        // Leaders are spread again, so that the next mishap meets a node that leads.
        self.busy.cluster.settle().await?;
        self.busy.cluster.check_running()
    }

    async fn node(&self, place: usize) -> Result<ClusterNode> {
        let state = self.busy.cluster.state().await?;
        let node = state.nodes.into_iter().find(|node| node.id == place as u64 + 1);
        node.with_context(|| format!("node {} is no part of the cluster", place + 1))
    }

    /// Asks once, whoever is there.
    async fn probe_once(&mut self) -> Result<(), Error> {
        let client = self.client.clone();
        self.apply_new(&client).await
    }

    /// As a user's client does: what passes is tried again, at other nodes too.
    async fn probe(&mut self) -> Result<(), Error> {
        let client = self.busy.door.client().clone();
        self.apply_new(&client).await
    }

    /// Applies a definition that there is not yet, which never fires.
    async fn apply_new(&mut self, client: &Client) -> Result<(), Error> {
        self.probes += 1;
        let definition: ActivityDefinition = serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
            "metadata": {"namespace": "probes", "id": format!("probe-{}", self.probes)},
            "spec": {"start_workflow": {"type": "T", "task_queue": "q"}},
        }))
        .expect("a definition");
        client.apply(&definition, ApplyOptions::default()).await.map(|_| ())
    }

    /// Seconds until something is so. What can't be asked at the moment is not so yet.
    async fn until(&mut self, what: String, mut so: impl AsyncFnMut(&mut Self) -> Result<bool>) -> Result<f64> {
        let begun = Instant::now();
        let mut last = None;
        while begun.elapsed() < PATIENCE {
            match so(self).await {
                Ok(true) => return Ok(begun.elapsed().as_secs_f64()),
                Ok(false) => last = None,
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(STEP).await;
        }
        match last {
            Some(error) => Err(error.context(format!("after {PATIENCE:?} it can't be asked whether {what}"))),
            None => bail!("not within {PATIENCE:?}: {what}"),
        }
    }
}

fn told(taken: &Result<(), Error>) -> &str {
    taken.as_ref().map_or_else(|error| error.message.as_str(), |()| "it is")
}

/// What the ledger says, and how what was due fared meanwhile.
fn tell(report: &mut Report, outcome: &Outcome, windows: &[Window]) {
    outcome.tell(report);
    for Window { what, from_us, to_us } in windows {
        let within = outcome.timed_starts().filter(|(due, _)| (from_us..to_us).contains(&due));
        let late: Vec<f64> = within.map(|(due, came)| (came - due) as f64 / 1e6).collect();
        let most = late.iter().copied().fold(0.0, f64::max);
        report.figure(format!("while {what}: due, most seconds late"), format!("{}, {most:.1}", late.len()));
        report.check(Kind::Bar, format!("while {what} firing went on"), !late.is_empty() && most <= SOON_S);
    }
}
