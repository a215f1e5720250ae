//! Roll: a local time on a closed day moves to an open one, at the same time of day.
//!
//! Which open day is decided by the run of closed days that the time is in, so the search goes from open day to open day:
//! what falls on one is what is named on it, and on the closed days that give their times to it.

use flintwheel_model::definition::Roll;

use crate::closed::Closed;
use crate::reach::{Reach, TURN};

const DAY: i64 = 86_400;
/// A time moves no further than this; with no open day within it, nothing is due.
const MAX_ROLL_DAYS: i64 = 366;

/// The first local time at or after `from`, with those of closed days moved. `first_local` yields the first named one at or
/// after another, whether its day is open or not.
pub(crate) fn first_rolled(
    closed: &Closed,
    roll: Roll,
    first_local: impl Fn(i64) -> Option<i64>,
    from: i64,
    reach: &Reach,
) -> Option<i64> {
    let mut day = from.div_euclid(DAY);
    while reach.goes_on(day * DAY) {
        let open = closed.open_day_from(day)?;
        let (first, last) = sources(closed, roll, open);
        let second = if open == from.div_euclid(DAY) { from.rem_euclid(DAY) } else { 0 };
        if let Some(second) = earliest(closed, &first_local, open, (first, last), second, reach) {
            return Some(open * DAY + second);
        }
        reach.take(TURN);
        // Nothing is named before that, so nothing moves to a day before the open one that it may move back to.
        let named = first_local((last + 1) * DAY)?.div_euclid(DAY);
        day = closed.open_day_to(named, named - MAX_ROLL_DAYS).unwrap_or(named).max(open + 1);
    }
    None
}

/// The days whose times fall on an open day: itself, and those of the closed days around it that move to it.
fn sources(closed: &Closed, roll: Roll, open: i64) -> (i64, i64) {
    let (nearest, furthest) = (open - MAX_ROLL_DAYS, open + MAX_ROLL_DAYS);
    let before = || closed.open_day_to(open - 1, nearest - 1);
    let after = || closed.open_day_from(open + 1).filter(|day| *day <= furthest + 1);
    let first = match roll {
        Roll::Skip | Roll::Previous => open,
        Roll::Next => before().map_or(nearest, |before| before + 1),
        // From the middle on; the later day of two as near.
        Roll::Nearest => before().map_or(nearest, |before| (before + open + 1).div_euclid(2)),
    };
    let last = match roll {
        Roll::Skip | Roll::Next => open,
        Roll::Previous => after().map_or(furthest, |after| after - 1),
        Roll::Nearest => after().map_or(furthest, |after| (open + after + 1).div_euclid(2) - 1),
    };
    (first, last)
}

/// The earliest second of an open day, from one on, that is named on one of its sources and not excluded there.
fn earliest(
    closed: &Closed,
    first_local: impl Fn(i64) -> Option<i64>,
    open: i64,
    (first, last): (i64, i64),
    from: i64,
    reach: &Reach,
) -> Option<i64> {
    let (mut found, mut day, mut second) = (None, first, from);
    while day <= last && reach.is_left() {
        reach.take(TURN);
        let Some(named) = first_local(day * DAY + second) else { break };
        if named.div_euclid(DAY) > day {
            (day, second) = (named.div_euclid(DAY), from);
            continue;
        }
        let named = named.rem_euclid(DAY);
        match closed.open_second_from(open, named, reach) {
            Some(allowed) if allowed > named => second = allowed,
            allowed => {
                found = found.into_iter().chain(allowed).min();
                (day, second) = (day + 1, from);
            }
        }
    }
    // With the last steps taken, an earlier one may not have been seen.
    found.filter(|_| reach.is_left())
}
