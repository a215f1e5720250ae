//! Which of a schedule's coming due times differ: what a Temporal server would start, beside what is due here. They differ only where clocks change,
//! so it is looked there.

use std::collections::BTreeSet;

use flintwheel_schedule::Plan;
use serde::Serialize;

use super::cause::{Cause, cause};
use super::times::Times;
use super::zone::{DAY, HOUR, next_change};

const SECOND: i64 = 1_000_000;
/// Around each change of clocks: what is searched with another weekday is a day, and jumps are two hours.
const BEFORE: i64 = 3 * HOUR;
const AFTER: i64 = DAY + 3 * HOUR;
/// Times that are looked at, on each side: some tens of milliseconds. A schedule of seconds has them all within a year.
const MOST: usize = 400_000;

/// How due times differ around changes of clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Times that only the Temporal server has.
    pub only_there: usize,
    /// Times that are due here only.
    pub only_here: usize,
    /// The first one, in seconds since the Unix epoch.
    pub first: i64,
    /// Whether that one is due here.
    pub first_is_here: bool,
    /// Why, as far as known.
    pub causes: Vec<Cause>,
    /// Up to when it was looked, in seconds since the Unix epoch.
    pub until: i64,
}

/// Compares due times from one second up to another; none where they are the same.
pub fn compare(there: &Times, here: &Plan, from: i64, to: i64) -> Option<Difference> {
    let (mut found, mut causes, mut seen, mut at) = (Difference::default(), BTreeSet::new(), 0, from);
    found.until = to;
    while let Some(change) = next_change(there.zone(), at, to) {
        let (begin, end) = ((change.at - BEFORE).max(from), change.at + AFTER);
        let (theirs, ours) =
            (walk(begin, end, |after| there.next(after)), walk(begin, end, |after| next_of(here, after)));
        seen += theirs.len().max(ours.len());
        if seen > MOST {
            found.until = change.at;
            break;
        }
        for second in theirs.symmetric_difference(&ours) {
            let is_here = ours.contains(second);
            if found.only_here + found.only_there == 0 {
                (found.first, found.first_is_here) = (*second, is_here);
            }
            *if is_here { &mut found.only_here } else { &mut found.only_there } += 1;
            causes.extend(cause(there.zone(), *second));
        }
        at = change.at;
    }
    found.causes = causes.into_iter().collect();
    (found.only_here + found.only_there > 0).then_some(found)
}

fn walk(begin: i64, end: i64, next: impl Fn(i64) -> Option<i64>) -> BTreeSet<i64> {
    let times = std::iter::successors(next(begin - 1), |time| next(*time));
    times.take_while(|time| *time < end).take(MOST + 1).collect()
}

fn next_of(plan: &Plan, after: i64) -> Option<i64> {
    plan.next(after * SECOND).map(|time| time.div_euclid(SECOND))
}
