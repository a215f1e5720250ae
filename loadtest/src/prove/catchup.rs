//! An engine whose clock is an hour behind is killed, and one with the right time goes on: an outage of an hour, in which each of a million definitions was
//! due once. What was missed must be made up for at the pace that is set, while other definitions fire in time, memory stays as it is, and the account is
//! complete. Once into a sink that only counts, once into the stand-in.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use flintwheel_client::{Occurrence, OccurrenceQuery, Outcome, PageRequest};
use flintwheel_model::ActivityDefinition;
use futures::{StreamExt, TryStreamExt, stream};

use super::outage_report::{Sample, lasting};
use super::scene::{NAMESPACE, SHARDS, Target, directory, percentile, timed};
use super::{Scale, progress};
use crate::clock::now_us;
use crate::door::Door;
use crate::engine::{Engine, EngineOptions, Sink};
use crate::plan::{self, Planned};
use crate::report::{Kind, Report, number};
use crate::rhythm::Rhythm;
use crate::wrong_clock::WrongClock;

const HOUR_S: i64 = 3600;
const HOUR_US: i64 = HOUR_S * 1_000_000;
/// Definitions that are due every few seconds all the time, in the same namespace.
const LIVE: u32 = 200;
const LIVE_EVERY: u32 = 5;
const LIVE_P99_MS: f64 = 1000.0;
/// As the pace is kept: a fifth of a second and one may come together, at each of so many looks.
const OVER: f64 = 1.05;
/// More is a backlog in memory.
const SLACK_MIB: f64 = 64.0;
/// Of the definitions, so many are looked at in the account one by one.
const LOOKED_AT: usize = 2000;
const PATIENCE: Duration = Duration::from_secs(1800);

pub(super) async fn run(scale: Scale) -> Result<Report> {
    let mut report =
        Report::new("catchup", "what an outage of an hour has left is made up for at a pace, behind what is due");
    let count: u32 = scale.pick(1_000_000, 20_000);
    for (what, pace, real) in
        [("sink that counts", scale.pick(10_000, 1_000), false), ("stand-in", scale.pick(3_000, 1_000), true)]
    {
        let dir = directory()?;
        let target = if real { Some(Target::standin(dir.path()).await?) } else { None };
        let mut stage =
            Stage::outage(dir.path(), target.as_ref().map_or(Sink::Null, Target::sink), count, pace).await?;
        let drained = stage.drain().await?;
        stage.tell(&mut report, what, &drained).await?;
        if let Some(target) = target {
            let started = target.started(dir.path()).await?;
            let twice = stage.count_starts(started.iter().map(|line| line.workflow_id.as_str()));
            report.check(
                Kind::Bar,
                format!("{what}: each of {count} started once for the hour that was missed"),
                twice?,
            );
        }
        stage.engine.stop().await?;
    }
    Ok(report)
}

/// After the outage.
struct Stage {
    engine: Engine,
    door: Door,
    count: u32,
    pace: u32,
    live: Vec<String>,
    /// When the engine was killed, by its own clock, and when it took work again, in microseconds since the Unix epoch.
    killed_us: i64,
    ready_us: i64,
}

/// How what was missed was made up for.
struct Drained {
    seconds: f64,
    /// Of late due times, in each second.
    rates: Vec<f64>,
    samples: Vec<Sample>,
    after: Sample,
}

/// A due time of those that are due all the time.
struct Other {
    /// When it was due, from when the engine took work again.
    at_s: f64,
    decided_ms: f64,
    started_ms: f64,
}

impl Stage {
    async fn outage(dir: &Path, sink: Sink, count: u32, pace: u32) -> Result<Self> {
        let clock = WrongClock::make(dir, 0)?;
        clock.set(-HOUR_S)?;
        let more = vec![format!("--catch-up-pace={pace}/s")];
        let options = EngineOptions { data_dir: dir.join("engine"), sink, shards: SHARDS, more };
        let host = std::net::Ipv4Addr::LOCALHOST.into();
        let mut engine = Engine::new(options)?.at(host, clock.within());
        engine.start_again().await?;
        let door = Door::new(engine.grpc())?;
        let hourly: Vec<ActivityDefinition> =
            plan::even(NAMESPACE, count, HOUR_S as u32).iter().map(Planned::definition).collect();
        door.load(&hourly).await?;
        drop(hourly);
        progress(format!("{count} definitions are loaded, an hour ago"));
        engine.kill().await?;
        let killed_us = now_us() - HOUR_US;
        clock.set(0)?;
        engine.start_again().await?;
        let ready_us = now_us();
        let rhythm = |n| Rhythm::Interval { every: LIVE_EVERY, phase: n % LIVE_EVERY };
        let live: Vec<Planned> = (0..LIVE).map(|n| Planned::timed(NAMESPACE, format!("live-{n}"), rhythm(n))).collect();
        let ids = live.iter().map(|planned| planned.id.clone()).collect();
        door.apply(live).await?;
        Ok(Self { engine, door, count, pace, live: ids, killed_us, ready_us })
    }

    /// Watches until nothing is late any more.
    async fn drain(&mut self) -> Result<Drained> {
        let (begun, mut samples, mut rates) = (Instant::now(), Vec::new(), Vec::new());
        // What is due in time, by the second: the hourly ones, and those that are live.
        let in_time = f64::from(self.count) / HOUR_S as f64 + f64::from(LIVE) / f64::from(LIVE_EVERY);
        let mut before = (Instant::now(), self.decided().await?);
        let mut seen = false;
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.engine.check_running()?;
            samples.push(self.sample().await?);
            let now = (Instant::now(), self.decided().await?);
            let seconds = (now.0 - before.0).as_secs_f64();
            rates.push(((now.1 - before.1) / seconds - in_time).max(0.0));
            before = now;
            let late = self.engine.metrics().await?.sum("flintwheel_catching_up", &[])?;
            seen |= late > 0.0;
            if seen && late == 0.0 && rates.last().is_some_and(|rate| *rate < f64::from(self.pace) / 10.0) {
                break;
            }
            if begun.elapsed() > PATIENCE {
                bail!("{late} definitions are still late after {PATIENCE:?}");
            }
        }
        // The last seconds made up for nothing: they only waited to be told.
        let last = rates.iter().rposition(|rate| *rate > f64::from(self.pace) / 10.0).map_or(0, |last| last + 1);
        rates.truncate(last);
        let seconds = rates.len() as f64;
        progress(format!("made up for in {seconds} s"));
        tokio::time::sleep(Duration::from_secs(15)).await;
        Ok(Drained { seconds, rates, samples, after: self.sample().await? })
    }

    async fn decided(&self) -> Result<f64> {
        Ok(self.engine.metrics().await?.count("flintwheel_decisions_total") as f64)
    }

    async fn sample(&self) -> Result<Sample> {
        let (resident, buffers) = self.engine.memory().await?;
        Ok(Sample { at_us: now_us(), resident, buffers })
    }

    async fn tell(&self, report: &mut Report, what: &str, drained: &Drained) -> Result<()> {
        let pace = f64::from(self.pace);
        let missed = f64::from(self.count) * (self.ready_us - self.killed_us).min(HOUR_US) as f64 / HOUR_US as f64;
        report.figure(
            format!("{what}: missed, and made up for in"),
            format!("{} in {} s", number(missed), drained.seconds),
        );
        // The first and the last second are parts of one.
        let whole = drained.rates.get(1..drained.rates.len().saturating_sub(1)).unwrap_or(&[]);
        let mean = whole.iter().sum::<f64>() / whole.len().max(1) as f64;
        report.figure(format!("{what}: a second, set / kept"), format!("{} / {}", number(pace), number(mean)));
        report.at_most(Kind::Bar, &format!("{what}: made up for a second, on average"), mean, pace * OVER);
        report.at_least(Kind::Aim, &format!("{what}: made up for a second, on average"), mean, pace * 0.8);
        self.tell_others(report, what, drained).await?;
        let own = |sample: &Sample| sample.resident.saturating_sub(sample.buffers) as f64 / f64::from(1 << 20);
        let during = lasting(&drained.samples) as f64 / f64::from(1 << 20);
        report.figure(
            format!("{what}: memory beside the databases' buffers, meanwhile / after"),
            format!("{during:.0} / {:.0} MiB", own(&drained.after)),
        );
        report.at_most(
            Kind::Bar,
            &format!("{what}: lasting MiB more than after"),
            during - own(&drained.after),
            SLACK_MIB,
        );
        let odd = self.look_at_account().await?;
        report.check(
            Kind::Bar,
            format!("{what}: in the account, each due time of {LOOKED_AT} definitions fired once"),
            odd.is_empty(),
        );
        odd.iter().take(5).for_each(|odd| report.note(format!("{what}: {odd}")));
        Ok(())
    }

    /// How late those were that are due all the time: until they were decided, and until they were started.
    async fn tell_others(&self, report: &mut Report, what: &str, drained: &Drained) -> Result<()> {
        let others = self.others(drained).await?;
        let sorted = |late: fn(&Other) -> f64| {
            let mut all: Vec<f64> = others.iter().map(late).collect();
            all.sort_unstable_by(f64::total_cmp);
            all
        };
        let (decided, started) = (sorted(|other| other.decided_ms), sorted(|other| other.started_ms));
        let figures = |late: &[f64]| {
            let most = late.last().copied().unwrap_or_default();
            format!("{:.1} / {:.1} / {most:.1} ms", percentile(late, 0.5), percentile(late, 0.99))
        };
        report.figure(
            format!("{what}: meanwhile, {} others: decided late p50 / p99 / most", number(others.len() as f64)),
            figures(&decided),
        );
        report.figure(format!("{what}: meanwhile, started late p50 / p99 / most"), figures(&started));
        let slow: Vec<f64> =
            others.iter().filter(|other| other.started_ms > LIVE_P99_MS).map(|other| other.at_s).collect();
        if let (Some(first), Some(last)) =
            (slow.iter().copied().reduce(f64::min), slow.iter().copied().reduce(f64::max))
        {
            report.figure(
                format!("{what}: of them later than {LIVE_P99_MS} ms"),
                format!("{}, due from second {first:.0} to {last:.0} of it", slow.len()),
            );
        }
        report.at_most(
            Kind::Bar,
            &format!("{what}: others meanwhile, ms late, p99"),
            percentile(&started, 0.99),
            LIVE_P99_MS,
        );
        Ok(())
    }

    /// What became of those that are due all the time, while what was missed was made up for.
    async fn others(&self, drained: &Drained) -> Result<Vec<Other>> {
        let end_us = self.ready_us + (drained.seconds * 1e6) as i64;
        let mut all = Vec::new();
        for id in &self.live {
            for o in self.occurrences(id).await? {
                let due_us = o.due.timestamp_micros();
                // Those of this moment may be on their way.
                if (self.ready_us..end_us).contains(&due_us) {
                    let started = o.started_at.with_context(|| format!("{id}: {} is not started", o.firing_key))?;
                    all.push(Other {
                        at_s: (due_us - self.ready_us) as f64 / 1e6,
                        decided_ms: (o.decided_at - o.due).as_seconds_f64() * 1e3,
                        started_ms: (started - o.due).as_seconds_f64() * 1e3,
                    });
                }
            }
        }
        ensure!(!all.is_empty(), "nothing was due while it was made up for");
        Ok(all)
    }

    /// All that ended, of one definition, oldest first.
    async fn occurrences(&self, id: &str) -> Result<Vec<Occurrence>> {
        let (namespace, definition_id) = (NAMESPACE.to_owned(), id.to_owned());
        let query = OccurrenceQuery { namespace, definition_id, ..OccurrenceQuery::default() };
        let page = PageRequest { size: 1000, token: String::new() };
        let mut all = self.door.client().occurrences(&query, page).await?.items;
        all.reverse();
        Ok(all)
    }

    /// What is wrong in the account of some definitions: each must have fired at each hour since it was there, and once.
    async fn look_at_account(&self) -> Result<Vec<String>> {
        let step = (self.count as usize / LOOKED_AT).max(1);
        let ids = (0..self.count as usize).step_by(step).map(|n| format!("even-{n}"));
        let looks = stream::iter(ids.map(|id| async move {
            let all = self.occurrences(&id).await?;
            anyhow::Ok(odd(&all, (self.killed_us, self.ready_us)).map(|why| format!("{id}: {why}")))
        }));
        let odd: Vec<Option<String>> = looks.buffer_unordered(32).try_collect().await?;
        Ok(odd.into_iter().flatten().collect())
    }

    /// Whether each definition has one start for the hour that was missed, and none has two for any.
    fn count_starts<'a>(&self, workflow_ids: impl Iterator<Item = &'a str>) -> Result<bool> {
        let mut missed: HashMap<String, u32> = HashMap::with_capacity(self.count as usize);
        let mut all = 0_u64;
        for workflow_id in workflow_ids {
            let (key, due_us) = timed(workflow_id).with_context(|| format!("{workflow_id} is of no due time"))?;
            if key.id.starts_with("even-") && (self.killed_us..self.ready_us).contains(&due_us) {
                *missed.entry(key.id).or_default() += 1;
                all += 1;
            }
        }
        // Between the kill and the return there is a little more than an hour: some were due twice in it.
        let once = missed.len() == self.count as usize;
        let more = all - missed.len() as u64;
        let due_twice = f64::from(self.count) * (self.ready_us - self.killed_us - HOUR_US) as f64 / HOUR_US as f64;
        progress(format!("{} started, {more} of them for a second due time", missed.len()));
        Ok(once && (more as f64) <= due_twice * 1.1 + 2.0 * f64::from(self.count) / HOUR_S as f64)
    }
}

/// What is wrong with the occurrences of an hourly definition, oldest first.
fn odd(all: &[Occurrence], (killed_us, ready_us): (i64, i64)) -> Option<String> {
    if let Some(o) = all.iter().find(|o| o.outcome != Outcome::Fired || o.started_at.is_none() || o.count != 1) {
        return Some(format!("{} did not fire: {} {}", o.firing_key, o.outcome.as_str(), o.reason));
    }
    let dues: Vec<i64> = all.iter().map(|o| o.due.timestamp_micros()).collect();
    if let Some(pair) = dues.windows(2).find(|pair| pair[1] - pair[0] != HOUR_US) {
        return Some(format!("due at {} and then at {}", pair[0], pair[1]));
    }
    let within = dues.iter().any(|due| (killed_us..ready_us).contains(due));
    (!within).then(|| "it has not fired for the hour that was missed".to_owned())
}
