//! What becomes of a definition that is due: one decision where it is on time, a chain of them where it is late. Pure: time is passed in.

use flintwheel_model::definition::MisfireMode;
use flintwheel_schedule::catchup::{CatchUp, LATE_AFTER, Outcome, SkipReason};
use flintwheel_shard::entry::{Decision, NEVER};
use flintwheel_shard::occurrence::Reason;

use crate::plans::{PlanId, Timing};

/// Due times of one definition that are decided at once when it is late; the rest waits for the next entry, so that a definition with a
/// million missed ones holds nobody up.
const CHAIN: u32 = 256;

/// Due times of one definition that are passed over at once where whoever restored it holds them too old: a fraction of a millisecond.
const PASSED_OVER: u32 = 4096;

/// A definition that is due: what the wheel holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Armed {
    /// Which definition.
    pub number: u64,
    /// The nominal time that its cursor stands at.
    pub nominal: i64,
    /// The generation that it was armed at.
    pub generation: u32,
    /// Its timing.
    pub plan: PlanId,
}

/// What else than its schedule decides about a due definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// Microseconds since the epoch.
    pub now: i64,
    /// What was due before does not fire.
    pub skip_before: i64,
    /// Whoever resumed it wants each due time up to here, whatever the misfire mode says.
    pub wanted_through: Option<i64>,
    /// So many of its due times may fire at once.
    pub firings: usize,
}

impl Circumstances {
    /// As they mostly are.
    pub fn at(now: i64) -> Self {
        Self { now, skip_before: i64::MIN, wanted_through: None, firings: usize::MAX }
    }
}

/// How far a definition has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Came {
    /// Its next nominal time, or [`NEVER`].
    pub next: i64,
    /// How many of its due times fire.
    pub fired: usize,
}

/// Appends what becomes of a due definition; nothing where it may not fire and has nothing to skip.
pub fn decide(armed: &Armed, timing: &Timing, with: Circumstances, out: &mut Vec<Decision>) -> Came {
    let due = timing.due(armed.nominal);
    if due < with.skip_before {
        return Came { next: pass_over(armed, timing, with.skip_before, out), fired: 0 };
    }
    let next = timing.plan.next(armed.nominal).unwrap_or(NEVER);
    let late = with.now - due;
    let window = i64::try_from(timing.misfire.window.micros()).unwrap_or(i64::MAX);
    let on_time = late < LATE_AFTER && late <= window && with.firings > 0;
    if on_time && (next == NEVER || timing.due(next) > with.now) {
        out.push(decision(armed, armed.nominal, due, next, None, 1));
        return Came { next, fired: 1 };
    }
    catch_up(armed, timing, with, out)
}

fn pass_over(armed: &Armed, timing: &Timing, before: i64, out: &mut Vec<Decision>) -> i64 {
    let (mut next, mut count) = (armed.nominal, 0);
    while next != NEVER && timing.due(next) < before && count < PASSED_OVER {
        next = timing.plan.next(next).unwrap_or(NEVER);
        count += 1;
    }
    out.push(decision(armed, armed.nominal, armed.nominal, next, Some(Reason::Restored), count));
    next
}

fn catch_up(armed: &Armed, timing: &Timing, with: Circumstances, out: &mut Vec<Decision>) -> Came {
    let wanted = with.wanted_through.filter(|through| armed.nominal <= *through);
    let mut policy = timing.misfire;
    if wanted.is_some() {
        policy.mode = MisfireMode::All;
    }
    let mut late = CatchUp::new(&timing.plan, policy, timing.seed, armed.nominal - 1, with.now);
    // The cursor's nominal time counts even if a newer time-zone database would not name it any more.
    let mut came = Came { next: armed.nominal, fired: 0 };
    for _ in 0..CHAIN {
        // What comes after is the definition's own business again.
        if wanted.is_some_and(|through| came.next > through) {
            break;
        }
        let Some(outcome) = late.next() else { break };
        let next = timing.plan.next(late.handled_through()).unwrap_or(NEVER);
        let at = came.next;
        match outcome {
            Outcome::Fire(_) if came.fired == with.firings => break,
            Outcome::Fire(time) => {
                out.push(decision(armed, at, time.due, next, None, 1));
                came.fired += 1;
            }
            Outcome::Skip { first, count, reason, .. } => {
                out.push(decision(armed, at, first, next, Some(word(reason)), count));
            }
        }
        came.next = next;
    }
    came
}

fn decision(armed: &Armed, nominal: i64, due: i64, next: i64, skip: Option<Reason>, count: u32) -> Decision {
    Decision { number: armed.number, generation: armed.generation, nominal, due, next, skip, count }
}

fn word(reason: SkipReason) -> Reason {
    match reason {
        SkipReason::OutsideWindow => Reason::Late,
        SkipReason::NotLatest => Reason::Superseded,
        SkipReason::PolicyNone => Reason::Misfire,
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_model::definition::{Interval, MisfirePolicy, ScheduleTrigger};
    use flintwheel_model::duration::Span;
    use flintwheel_schedule::Plan;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn timing(mode: MisfireMode, window: u64) -> Timing {
        let every = Interval::every(Span::from_secs(60), Span::ZERO);
        let trigger = ScheduleTrigger { interval: vec![every], ..ScheduleTrigger::default() };
        let plan = Plan::compile(&trigger, SCHEDULE_FIELD, 0).expect("valid");
        let misfire = MisfirePolicy { mode, window: Span::from_secs(window), ..MisfirePolicy::default() };
        Timing { plan, misfire, seed: 0 }
    }

    const SCHEDULE_FIELD: &str = "s";

    type Found = (Vec<(i64, Option<Reason>, u32)>, i64);

    fn decided(mode: MisfireMode, window: u64, now_secs: i64) -> Found {
        decided_with(mode, window, Circumstances::at(now_secs * SECOND))
    }

    fn decided_since(mode: MisfireMode, window: u64, now_secs: i64, skip_before: i64) -> Found {
        decided_with(mode, window, Circumstances { skip_before, ..Circumstances::at(now_secs * SECOND) })
    }

    fn decided_with(mode: MisfireMode, window: u64, with: Circumstances) -> Found {
        let armed = Armed { number: 1, nominal: 600 * SECOND, generation: 1, plan: 0 };
        let mut out = Vec::new();
        let came = decide(&armed, &timing(mode, window), with, &mut out);
        assert!(out.windows(2).all(|w| w[0].next == w[1].nominal), "each decision begins where the one before ends");
        assert_eq!(out.last().map_or(armed.nominal, |d| d.next), came.next);
        assert_eq!(out.iter().filter(|d| d.skip.is_none()).count(), came.fired);
        (out.into_iter().map(|d| (d.nominal / SECOND, d.skip, d.count)).collect(), came.next / SECOND)
    }

    #[test]
    fn no_more_fire_than_may_and_what_is_skipped_costs_nothing() {
        let with = |firings, now: i64| Circumstances { firings, ..Circumstances::at(now * SECOND) };
        let fire = |at| (at, None, 1);
        assert_eq!(decided_with(MisfireMode::All, 86_400, with(2, 890)), (vec![fire(600), fire(660)], 720));
        assert_eq!(decided_with(MisfireMode::All, 86_400, with(0, 890)), (vec![], 600));
        assert_eq!(decided_with(MisfireMode::All, 86_400, with(0, 610)), (vec![], 600), "also one that is on time");
        let skipped = (600, Some(Reason::Superseded), 4);
        assert_eq!(decided_with(MisfireMode::Latest, 86_400, with(0, 890)), (vec![skipped], 840));
        let late = (600, Some(Reason::Late), 4);
        assert_eq!(decided_with(MisfireMode::All, 100, with(1, 890)), (vec![late, fire(840)], 900));
    }

    #[test]
    fn what_is_wanted_fires_whatever_the_mode_and_what_comes_after_goes_by_it() {
        let wanted = |through: i64, now: i64| Circumstances {
            wanted_through: Some(through * SECOND),
            ..Circumstances::at(now * SECOND)
        };
        let fire = |at| (at, None, 1);
        for mode in [MisfireMode::Latest, MisfireMode::None] {
            let (decisions, next) = decided_with(mode, 86_400, wanted(700, 1_300));
            assert_eq!((decisions, next), (vec![fire(600), fire(660)], 720), "{mode:?}");
            assert_eq!(decided_with(mode, 86_400, wanted(599, 890)), decided(mode, 86_400, 890), "{mode:?}: passed");
        }
        let (decisions, _) = decided_with(MisfireMode::None, 100, wanted(900, 890));
        assert_eq!(decisions, [(600, Some(Reason::Late), 4), fire(840)], "what is too late is too late");
    }

    #[test]
    fn on_time_it_fires_once() {
        assert_eq!(decided(MisfireMode::All, 86_400, 600), (vec![(600, None, 1)], 660));
        assert_eq!(
            decided(MisfireMode::None, 86_400, 659),
            (vec![(600, None, 1)], 660),
            "less than a minute is not late"
        );
    }

    #[test]
    fn a_window_shorter_than_a_minute_counts_too() {
        assert_eq!(decided(MisfireMode::All, 30, 640), (vec![(600, Some(Reason::Late), 1)], 660));
        assert_eq!(decided(MisfireMode::All, 30, 630), (vec![(600, None, 1)], 660));
    }

    #[test]
    fn late_ones_go_by_the_policy() {
        let fire = |at| (at, None, 1);
        let all = (600..=840).step_by(60).map(fire).collect::<Vec<_>>();
        assert_eq!(decided(MisfireMode::All, 86_400, 840), (all, 900));
        let latest = vec![(600, Some(Reason::Superseded), 4), fire(840)];
        assert_eq!(decided(MisfireMode::Latest, 86_400, 890), (latest, 900));
        let (none, next) = decided(MisfireMode::None, 86_400, 890);
        assert_eq!((none[0], next), ((600, Some(Reason::Misfire), 4), 900));
        let (windowed, _) = decided(MisfireMode::All, 100, 890);
        assert_eq!(windowed, vec![(600, Some(Reason::Late), 4), fire(840)]);
    }

    #[test]
    fn what_was_due_before_a_restore_counts_from_is_passed_over_whatever_the_policy() {
        for mode in [MisfireMode::All, MisfireMode::Latest, MisfireMode::None] {
            for (before, count, next) in [(601, 1, 660), (720, 2, 720), (721, 3, 780), (100_000, 1657, 100_020)] {
                let decided = decided_since(mode, 86_400, 840, before * SECOND);
                assert_eq!(decided, (vec![(600, Some(Reason::Restored), count)], next), "{mode:?} {before}");
            }
            assert_eq!(decided_since(mode, 86_400, 600, 600 * SECOND), (vec![(600, None, 1)], 660));
        }
        let long = decided_since(MisfireMode::All, 86_400, 840, i64::MAX);
        assert_eq!(long, (vec![(600, Some(Reason::Restored), PASSED_OVER)], 600 + 60 * i64::from(PASSED_OVER)));
    }

    #[test]
    fn a_long_outage_is_decided_in_parts() {
        let (decisions, next) = decided(MisfireMode::All, 10 * 86_400, 600 + 60 * 1000);
        assert_eq!((decisions.len(), next), (CHAIN as usize, 600 + 60 * i64::from(CHAIN)));
    }
}
