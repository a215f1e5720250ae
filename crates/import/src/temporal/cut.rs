//! Where a schedule is cut in two: which due time is the last of the one side, so that none is missed and none is done by both.
//!
//! A schedule that is told to pause does so a little later, and says no more than that it is paused by now, and what it has started. It starts what is
//! due in its order, so what it has started tells what it has dealt with; for what an overlap policy left out, its counters do. All that is due
//! later is for whoever takes over.

use chrono::DateTime;
use flintwheel_schedule::Plan;

use super::schedule::{Info, Overlap};
use super::times::Times;

const SECOND: i64 = 1_000_000;
/// How far two clocks may be apart: nodes of a cluster tolerate no more among each other. What was due just before a schedule was last seen to act
/// counts as done only where it says so.
const APART: i64 = 5 * SECOND;
/// Due times that are gone through between the last look at a schedule that acts and the first one at a paused one. A schedule of seconds has as many
/// in some hours; who was interrupted longer than that takes over from there.
const MOST: usize = 20_000;

/// What is known of a schedule that is paused by now. Times are microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its due times without jitter, as they are here.
    pub plan: &'a Plan,
    /// The same as they are there, where they can be told.
    pub times: Option<&'a Times>,
    /// How far a due time may be moved.
    pub window: i64,
    /// What becomes of a due time while a run is open.
    pub overlap: Overlap,
    /// When it was last seen to act.
    pub seen: i64,
    /// What it had passed over by then.
    pub passed_over: i64,
    /// What it has done.
    pub info: &'a Info,
    /// Now.
    pub now: i64,
}

/// What each side has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handed {
    /// Due times after this one are for who takes over; in microseconds since the Unix epoch.
    pub after: i64,
    /// How many of them have passed by now.
    pub late: usize,
}

/// Where a schedule ends that has been paused, and a definition begins.
pub fn forth(facts: &Facts<'_>) -> Handed {
    let Facts { plan, seen, window, now, info, .. } = *facts;
    let started = nominal_times(facts);
    let last = started.iter().copied().max().unwrap_or(0);
    let from = (seen - window - APART).max(last).max(0);
    let due = following(plan, from, now);
    // Of what it has passed over since, some may be older than what it has started last.
    let older = if last > seen { following(plan, seen, last) } else { Vec::new() };
    let older = older.iter().filter(|time| !started.contains(time)).count();
    let passed_over = usize::try_from(info.passed_over - facts.passed_over).unwrap_or(0).saturating_sub(older);
    let theirs = match usize::try_from(info.waiting).unwrap_or(0) {
        0 => passed_over.min(due.len()),
        // What waits there is dropped by the pause: it waits here.
        waiting => due.len().saturating_sub(if replaces(facts.overlap) { 1 } else { waiting }),
    };
    let after = if theirs == 0 { from } else { due[theirs - 1] };
    Handed { after, late: due.len() - theirs }
}

/// Whether a paused schedule is done with what it was starting when it was paused. Its second kind of scheduler starts that all the same, and tells of it
/// only when it is there; until then it counts among what waits, beside what waits for a run and is dropped.
pub fn is_settled(info: &Info, overlap: Overlap) -> bool {
    let waits_for_a_run = !info.running.is_empty() && !matches!(overlap, Overlap::Skip | Overlap::AllowAll);
    info.waiting == 0 || waits_for_a_run
}

fn replaces(overlap: Overlap) -> bool {
    matches!(overlap, Overlap::CancelOther | Overlap::TerminateOther)
}

/// Those after one, up to another.
fn following(plan: &Plan, after: i64, through: i64) -> Vec<i64> {
    let times = std::iter::successors(plan.next(after), |time| plan.next(*time));
    times.take_while(|time| *time <= through).take(MOST).collect()
}

/// Of what it has started: a workflow id ends with its due time. What somebody set off by hand bears a time that the schedule does not name.
fn nominal_times(facts: &Facts<'_>) -> Vec<i64> {
    let named = |time: &i64| {
        let (second, before) = (time.div_euclid(SECOND), time - 1);
        let there = facts.times.and_then(|times| times.next(second - 1));
        facts.plan.next(before) == Some(*time) || there == Some(second)
    };
    facts.info.started.iter().filter_map(|id| nominal(id)).filter(named).collect()
}

/// The due time at the end of a workflow id, such as `nightly-2026-11-27T09:00:00Z`.
fn nominal(workflow_id: &str) -> Option<i64> {
    const LEN: usize = "2026-11-27T09:00:00Z".len();
    let text = workflow_id.get(workflow_id.len().checked_sub(LEN)?..)?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros())
}

/// Due times that neither side would do after a schedule has been let go on: from the last one that was decided here to the first one that it does by
/// itself. `decided` is in microseconds.
pub fn back(facts: &Facts<'_>, decided: i64) -> Vec<i64> {
    let started = nominal_times(facts).into_iter().filter(|time| *time > decided);
    // Moved by jitter, but never to the one that follows.
    let coming = facts.info.coming.iter().filter_map(|moved| {
        let from = moved - facts.window - 1;
        following(facts.plan, from, *moved).pop()
    });
    let Some(first) = started.chain(coming).filter(|time| *time > decided).min() else {
        return following(facts.plan, decided, facts.now);
    };
    following(facts.plan, decided, first - 1)
}
