//! What becomes of a definition that is due: one decision where it is on time, a chain of them where it is late. Pure: time is passed in.

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

/// Appends what becomes of a due definition; returns its next nominal time, or [`NEVER`]. What was due before `skip_before` does not fire.
pub fn decide(armed: &Armed, timing: &Timing, now: i64, skip_before: i64, out: &mut Vec<Decision>) -> i64 {
    let due = timing.due(armed.nominal);
    if due < skip_before {
        return pass_over(armed, timing, skip_before, out);
    }
    let next = timing.plan.next(armed.nominal).unwrap_or(NEVER);
    let late = now - due;
    let window = i64::try_from(timing.misfire.window.micros()).unwrap_or(i64::MAX);
    let on_time = late < LATE_AFTER && late <= window;
    if on_time && (next == NEVER || timing.due(next) > now) {
        out.push(decision(armed, armed.nominal, due, next, None, 1));
        return next;
    }
    catch_up(armed, timing, now, out)
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

fn catch_up(armed: &Armed, timing: &Timing, now: i64, out: &mut Vec<Decision>) -> i64 {
    let mut late = CatchUp::new(&timing.plan, timing.misfire, timing.seed, armed.nominal - 1, now);
    // The cursor's nominal time counts even if a newer time-zone database would not name it any more.
    let mut at = armed.nominal;
    for _ in 0..CHAIN {
        let Some(outcome) = late.next() else { break };
        let next = timing.plan.next(late.handled_through()).unwrap_or(NEVER);
        out.push(match outcome {
            Outcome::Fire(time) => decision(armed, at, time.due, next, None, 1),
            Outcome::Skip { first, count, reason, .. } => decision(armed, at, first, next, Some(word(reason)), count),
        });
        at = next;
    }
    at
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
    use flintwheel_model::definition::{Interval, MisfireMode, MisfirePolicy, ScheduleTrigger};
    use flintwheel_model::duration::Span;
    use flintwheel_schedule::Plan;

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn timing(mode: MisfireMode, window: u64) -> Timing {
        let every = Interval::every(Span::from_secs(60), Span::ZERO);
        let trigger = ScheduleTrigger { interval: vec![every], ..ScheduleTrigger::default() };
        let plan = Plan::compile(&trigger, SCHEDULE_FIELD, 0).expect("valid");
        Timing { plan, misfire: MisfirePolicy { mode, window: Span::from_secs(window) }, seed: 0 }
    }

    const SCHEDULE_FIELD: &str = "s";

    fn decided(mode: MisfireMode, window: u64, now_secs: i64) -> (Vec<(i64, Option<Reason>, u32)>, i64) {
        decided_since(mode, window, now_secs, i64::MIN)
    }

    fn decided_since(
        mode: MisfireMode,
        window: u64,
        now_secs: i64,
        skip_before: i64,
    ) -> (Vec<(i64, Option<Reason>, u32)>, i64) {
        let armed = Armed { number: 1, nominal: 600 * SECOND, generation: 1, plan: 0 };
        let mut out = Vec::new();
        let next = decide(&armed, &timing(mode, window), now_secs * SECOND, skip_before, &mut out);
        assert!(out.windows(2).all(|w| w[0].next == w[1].nominal), "each decision begins where the one before ends");
        assert_eq!(out.last().map(|d| d.next), Some(next));
        (out.into_iter().map(|d| (d.nominal / SECOND, d.skip, d.count)).collect(), next / SECOND)
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
