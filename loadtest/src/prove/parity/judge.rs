//! One schedule in one zone, as the server and we have it. Where they differ, the literal walk says who is right; and where we are, what `import` says
//! beforehand must be just what the server did, and clocks must have done something near by that is known to lead to it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use chrono::DateTime;
use chrono_tz::Tz;
use flintwheel_import::temporal::{Cause, Times, cause};
use flintwheel_schedule::Plan;

use super::case::Case;
use super::farm::jitter_ms;

const SECOND: i64 = 1_000_000;
/// Differences that are shown.
const SHOWN: usize = 5;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Times that were compared, of both sides.
    pub times: u64,
    /// Of these, with jitter.
    pub jittered: u64,
    /// Only the server has them; only we have them.
    pub explained: BTreeMap<Cause, (u64, u64)>,
    /// In how many zones and schedules each cause shows.
    pub pairs: BTreeMap<Cause, u64>,
    /// One of each.
    pub examples: BTreeMap<Cause, String>,
    /// Differences in which we are wrong, or that nobody knows the cause of.
    pub unexplained: u64,
    /// Times that are not as `import` tells them.
    pub not_foretold: u64,
    /// Some of both.
    pub shown: Vec<String>,
    /// Queries.
    pub asked: u64,
    /// Queries that the server gave up, as so much is excluded: there is nothing to compare.
    pub given_up: u64,
}

impl AddAssign for Found {
    fn add_assign(&mut self, other: Self) {
        self.times += other.times;
        self.jittered += other.jittered;
        self.unexplained += other.unexplained;
        self.not_foretold += other.not_foretold;
        self.asked += other.asked;
        self.given_up += other.given_up;
        for (cause, (there, here)) in other.explained {
            let sum = self.explained.entry(cause).or_default();
            *sum = (sum.0 + there, sum.1 + here);
        }
        for (cause, count) in other.pairs {
            *self.pairs.entry(cause).or_default() += count;
        }
        for (cause, example) in other.examples {
            self.examples.entry(cause).or_insert(example);
        }
        self.shown.extend(other.shown);
        self.shown.truncate(SHOWN);
    }
}

/// What is compared.
pub struct Pair<'a> {
    pub case: &'a Case,
    pub zone: Tz,
    /// Of the years, in seconds since the Unix epoch.
    pub begin: i64,
    pub times: &'a Times,
    /// None where it never fires.
    pub plan: Option<&'a Plan>,
    /// With jitter.
    pub moved: Option<&'a Plan>,
    /// Of the server's jitter.
    pub seed: &'a str,
}

impl Pair<'_> {
    /// What the server said of the times after one second, up to another.
    pub fn judge(&self, listed: &[i64], after: i64, through: i64) -> Found {
        let mut found = Found::default();
        let foretold = self.foretold(after, through);
        // What jitter moves over an end of the window is listed on one side of it, and named on the other.
        let last = through - self.case.jitter;
        let mut there = BTreeSet::new();
        for moved in listed {
            match foretold.get(moved) {
                Some(nominal) => drop(there.insert(*nominal)),
                None => self.not_foretold(&mut found, *moved, "it is not foretold"),
            }
        }
        let listed: BTreeSet<i64> = listed.iter().copied().collect();
        for moved in foretold.keys().filter(|moved| !listed.contains(moved)) {
            self.not_foretold(&mut found, *moved, "it is foretold, and is not there");
        }
        let here = self.here(after, last, &mut found);
        there.retain(|nominal| *nominal <= last);
        found.times += there.union(&here).count() as u64;
        if self.case.jitter > 0 {
            found.jittered += there.len() as u64;
        }
        for second in there.symmetric_difference(&here) {
            self.differs(&mut found, *second, here.contains(second));
        }
        found
    }

    /// Nominal times by when they are due, in milliseconds, as `import` and the server's hash have it.
    fn foretold(&self, after: i64, through: i64) -> BTreeMap<i64, i64> {
        let mut foretold = BTreeMap::new();
        let mut at = after;
        while let Some(nominal) = self.times.next(at) {
            let gap = self.times.next_named(nominal).map_or(i64::MAX, |next| next - nominal);
            let moved = nominal * 1000 + jitter_ms(self.seed, nominal, self.case.jitter.min(gap) * 1000);
            if nominal > through {
                break;
            }
            if moved <= through * 1000 {
                foretold.insert(moved, nominal);
            }
            // It is asked on from when the last one is due.
            at = moved.div_euclid(1000);
        }
        foretold
    }

    /// Ours, each of which must be due within its window, and before the one that follows.
    fn here(&self, after: i64, last: i64, found: &mut Found) -> BTreeSet<i64> {
        let mut here = BTreeSet::new();
        let (Some(plan), Some(moved)) = (self.plan, self.moved) else { return here };
        let mut at = after * SECOND + SECOND - 1;
        while let Some(nominal) = plan.next(at).filter(|nominal| *nominal <= last * SECOND) {
            let due = moved.due(nominal, 7);
            let following = plan.next(nominal).unwrap_or(i64::MAX);
            let most = nominal.saturating_add(self.case.jitter * SECOND).max(nominal);
            if due < nominal || due > most || due >= following {
                found.unexplained += 1;
                self.show(found, nominal.div_euclid(SECOND), "our jitter leaves its window");
            }
            here.insert(nominal.div_euclid(SECOND));
            at = nominal;
        }
        here
    }

    fn differs(&self, found: &mut Found, second: i64, is_here: bool) {
        let right = self.case.is_due(self.zone, self.begin, second) == is_here;
        match cause(self.zone, second).filter(|_| right) {
            Some(cause) => {
                let (there, here) = found.explained.entry(cause).or_default();
                *if is_here { here } else { there } += 1;
                found.pairs.entry(cause).or_insert(1);
                found
                    .examples
                    .entry(cause)
                    .or_insert_with(|| self.text(second, if is_here { "only here" } else { "only there" }));
            }
            None => {
                found.unexplained += 1;
                let side = if is_here { "only here" } else { "only there" };
                self.show(
                    found,
                    second,
                    &format!("{side}, {}", if right { "and nobody knows why" } else { "where we are wrong" }),
                );
            }
        }
    }

    fn not_foretold(&self, found: &mut Found, moved: i64, why: &str) {
        found.not_foretold += 1;
        self.show(found, moved.div_euclid(1000), why);
    }

    fn show(&self, found: &mut Found, second: i64, why: &str) {
        if found.shown.len() < SHOWN {
            found.shown.push(self.text(second, why));
        }
    }

    fn text(&self, second: i64, why: &str) -> String {
        let time = DateTime::from_timestamp(second, 0).unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ");
        format!("{} in {}: {time}: {why}", self.case, self.zone)
    }
}
