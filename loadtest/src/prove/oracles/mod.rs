//! Due times beside independent implementations: a literal walk of ours in every zone, the crates `cron` and `croner`, and
//! Python's croniter and dateutil. What differs is either told with its cause, or nothing may.

mod crates;
mod python;
pub(super) mod spec;
mod walk;

use std::collections::BTreeMap;

use anyhow::Result;
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Scale, progress};
use crate::report::{Kind, Report, number};

/// Differences that are shown; the others are counted.
const SHOWN: usize = 5;

pub(super) async fn run(scale: Scale, seed: u64) -> Result<Report> {
    let mut report = Report::new("oracles", "due times are those of independent implementations");
    let work = move |report: &mut Report| -> Result<()> {
        let mut chance = StdRng::seed_from_u64(seed);
        let mut walked = Tally::new("a literal walk");
        walk::compare(scale.pick(24_000, 1_200), &mut chance, &mut walked);
        walked.tell(report);
        let [cron, croner] = crates::compare(scale.pick(200_000, 10_000), &mut chance);
        cron.tell(report);
        croner.tell(report);
        python::croniter(scale.pick(50_000, 2_000), &mut chance)?.tell(report);
        python::dateutil(scale.pick(20_000, 500), seed)?.tell(report);
        report.figure("seed", seed);
        let least = scale.pick(1_000_000, 50_000);
        report.at_least(
            Kind::Bar,
            "random triples of spec, zone and time, walked",
            walked.cases as f64,
            f64::from(least),
        );
        Ok(())
    };
    // It computes for minutes: not on a thread that others wait for.
    tokio::task::spawn_blocking(move || work(&mut report).map(|()| report)).await?
}

/// How many cases were compared with one implementation, and what differed.
struct Tally {
    with: &'static str,
    cases: u64,
    /// Left out, by cause.
    explained: BTreeMap<&'static str, u64>,
    differed: u64,
    shown: Vec<String>,
}

impl Tally {
    fn new(with: &'static str) -> Self {
        Self { with, cases: 0, explained: BTreeMap::new(), differed: 0, shown: Vec::new() }
    }

    fn case(&mut self, same: bool, tell: impl FnOnce() -> String) {
        self.cases += 1;
        if !same {
            self.differed += 1;
            if self.shown.len() < SHOWN {
                self.shown.push(tell());
            }
        }
    }

    fn explain(&mut self, cause: &'static str) {
        *self.explained.entry(cause).or_default() += 1;
    }

    fn tell(&self, report: &mut Report) {
        let mut cases = format!("{} cases", number(self.cases as f64));
        for (cause, count) in &self.explained {
            cases.push_str(&format!("; {} not compared: {cause}", number(*count as f64)));
        }
        progress(format!("{}: {cases}, {} differ", self.with, self.differed));
        report.figure(format!("beside {}", self.with), cases);
        report.check(
            Kind::Bar,
            format!("{} unexplained differences from {}", self.differed, self.with),
            self.differed == 0,
        );
        for difference in &self.shown {
            report.note(format!("{}: {difference}", self.with));
        }
    }
}

/// A plan of one cron line; none where it never fires.
fn plan(line: &str, zone: &str) -> Option<Plan> {
    let trigger =
        ScheduleTrigger { cron: vec![line.to_owned()], timezone: Some(zone.to_owned()), ..ScheduleTrigger::default() };
    Plan::compile(&trigger, "schedule", 0).ok()
}

/// The next time in whole seconds.
fn next(plan: &Plan, after: i64) -> Option<i64> {
    plan.next(after * 1_000_000).map(|time| time.div_euclid(1_000_000))
}
