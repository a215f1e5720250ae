//! Which due times a backfill has: so many at a time, in either direction, and how many there are. Pure.

use std::collections::VecDeque;

use flintwheel_schedule::Plan;
use flintwheel_shard::entry::{NEVER, Range};

/// Due times that are counted one by one, within a second or so; how many follow is estimated from them.
const COUNTED: u64 = 1_000_000;
/// How far back is looked at first, in microseconds.
const FIRST_SPAN: i64 = 3600 * 1_000_000;
/// Due times looked at in one span: in more than that, a shorter one is taken.
const LOOKED_AT: usize = 20_000;

/// How many due times a range has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// So many.
    pub total: u64,
    /// About so many: they were counted in the first part of the range only.
    pub estimated: bool,
}

/// Counts the due times from one time to another, both included, in microseconds since the epoch.
pub fn count(plan: &Plan, from: i64, to: i64) -> Count {
    count_up_to(plan, from, to, COUNTED)
}

fn count_up_to(plan: &Plan, from: i64, to: i64, most: u64) -> Count {
    let (mut at, mut total) = (from - 1, 0);
    while let Some(next) = plan.next(at).filter(|next| *next <= to) {
        total += 1;
        at = next;
        if total >= most {
            let (seen, all) = (i128::from(at) - i128::from(from) + 1, i128::from(to) - i128::from(from) + 1);
            let estimate = i128::from(total) * all / seen.max(1);
            return Count { total: u64::try_from(estimate).unwrap_or(u64::MAX), estimated: at < to };
        }
    }
    Count { total, estimated: false }
}

/// The first due time of a range, in its order, or [`NEVER`].
pub fn first(plan: &Plan, range: &Range) -> i64 {
    let from = if range.newest_first { range.to } else { range.from };
    coming(plan, range, from, 0).1
}

/// The next `count` due times of a range in its order, beginning at a position that may be one, and the position after them, or [`NEVER`].
pub fn coming(plan: &Plan, range: &Range, position: i64, count: usize) -> (Vec<i64>, i64) {
    let mut times = if range.newest_first {
        latest(plan, range.from, position, count + 1)
    } else {
        let first = plan.next(position - 1);
        let all = std::iter::successors(first, |time| plan.next(*time));
        all.take_while(|time| *time <= range.to).take(count + 1).collect()
    };
    let next = if times.len() > count { times.pop().unwrap_or(NEVER) } else { NEVER };
    (times, next)
}

/// The last `count` due times up to `position`, none before `from`, the last one first. A schedule can only be asked what comes next: so spans
/// before the position are looked at, longer ones while they hold too few, shorter ones where they hold more than anybody wants.
fn latest(plan: &Plan, from: i64, position: i64, count: usize) -> Vec<i64> {
    // The longest span that held too few, and the shortest that held too many.
    let (mut span, mut few, mut many) = (FIRST_SPAN, 0, None);
    loop {
        let begin = position.saturating_sub(span).max(from);
        let mut last: VecDeque<i64> = VecDeque::with_capacity(count + 1);
        let (mut at, mut looked_at) = (begin - 1, 0);
        while looked_at < LOOKED_AT
            && let Some(next) = plan.next(at).filter(|next| *next <= position)
        {
            (at, looked_at) = (next, looked_at + 1);
            last.push_back(next);
            if last.len() > count {
                last.pop_front();
            }
        }
        if looked_at == LOOKED_AT && plan.next(at).is_some_and(|next| next <= position) {
            many = Some(span);
            span = few + (span - few) / 2;
        } else if last.len() >= count || begin == from {
            return last.into_iter().rev().collect();
        } else {
            few = span;
            let longer = span.saturating_mul(if looked_at == 0 { 16 } else { 2 });
            span = many.map_or(longer, |many| span + (many - span) / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_model::definition::{Interval, ScheduleTrigger};
    use flintwheel_model::duration::Span;

    use super::*;

    const SECOND: i64 = 1_000_000;
    const HOUR: i64 = 3600 * SECOND;
    const DAY: i64 = 24 * HOUR;

    fn every(seconds: u64) -> Plan {
        let interval = vec![Interval::every(Span::from_secs(seconds), Span::ZERO)];
        compiled(&ScheduleTrigger { interval, ..ScheduleTrigger::default() })
    }

    fn compiled(trigger: &ScheduleTrigger) -> Plan {
        Plan::compile(trigger, "s", 0).expect("valid")
    }

    fn range(from: i64, to: i64, newest_first: bool) -> Range {
        Range { from, to, newest_first, rate: 1, policy: None }
    }

    /// All of it, so many at a time.
    fn all(plan: &Plan, range: &Range, at_a_time: usize) -> Vec<i64> {
        let (mut position, mut times) = (first(plan, range), Vec::new());
        while position != NEVER {
            let (mut some, next) = coming(plan, range, position, at_a_time);
            assert!(!some.is_empty() && some.len() <= at_a_time && some[0] == position, "{some:?}");
            times.append(&mut some);
            position = next;
        }
        times
    }

    #[test]
    fn both_directions_have_the_same_times_however_many_come_at_once() {
        let dense_then_seldom: ScheduleTrigger = serde_json::from_value(serde_json::json!({
            "cron": ["* 3 1 1 *", "0 12 * * mon"], "timezone": "Europe/Berlin"
        }))
        .expect("a schedule");
        for (plan, from, to) in [
            (every(60), 0, 0),
            (every(60), 1, 59 * SECOND),
            (every(60), 0, HOUR),
            (every(7), HOUR, HOUR + 999 * SECOND),
            (every(86_400), 0, 100 * DAY),
            (compiled(&dense_then_seldom), 0, 3 * 366 * DAY),
        ] {
            for at_a_time in [1, 3, 1000] {
                let oldest = all(&plan, &range(from, to, false), at_a_time);
                let mut newest = all(&plan, &range(from, to, true), at_a_time);
                assert!(newest.windows(2).all(|pair| pair[0] > pair[1]));
                newest.reverse();
                assert_eq!(newest, oldest, "{from} to {to}, {at_a_time} at a time");
                assert_eq!(count(&plan, from, to), Count { total: oldest.len() as u64, estimated: false });
            }
        }
    }

    #[test]
    fn a_span_that_holds_too_much_is_made_shorter() {
        let plan = every(1);
        let times = all(&plan, &range(0, 3 * SECOND, true), 2);
        assert_eq!(times, [3, 2, 1, 0].map(|second| second * SECOND));
        let (times, next) = coming(&plan, &range(0, 100 * DAY, true), 100 * DAY, 15_000);
        assert_eq!((times.len(), times[0], next), (15_000, 100 * DAY, 100 * DAY - 15_000 * SECOND));
        // Nothing for long, and before that far more than is looked at.
        let once: ScheduleTrigger =
            serde_json::from_value(serde_json::json!({"cron": ["* * * 1 1 * 2024", "0 0 0 1 6 * 2024"]}))
                .expect("a schedule");
        let plan = compiled(&once);
        let end = plan.next(0).expect("a first") + 200 * DAY;
        let newest = all(&plan, &range(end - 201 * DAY, end, true), 500);
        assert_eq!(newest.len() as u64, count(&plan, end - 201 * DAY, end).total);
    }

    #[test]
    fn what_is_too_much_to_count_is_estimated() {
        let ten_years = 10 * 365 * 24 * 3600;
        let counted = count_up_to(&every(1), 0, ten_years * SECOND, 10_000);
        let off = counted.total.abs_diff(ten_years as u64);
        assert!(counted.estimated && off <= ten_years as u64 / 1000, "{counted:?}");
        assert_eq!(count_up_to(&every(1), 0, 9 * SECOND, 10), Count { total: 10, estimated: false });
    }
}
