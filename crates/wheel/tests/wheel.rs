//! What comes out of the wheel, and when; every case is compared with a sorted map that does the same the plain way.

use std::collections::BTreeMap;

use flintwheel_wheel::Wheel;
use proptest::prelude::*;

const HOUR: i64 = 3_600_000_000;

/// Items by the millisecond in which they come out.
#[derive(Default)]
struct Model {
    by_tick: BTreeMap<i64, Vec<(i64, u32)>>,
    now: i64,
}

impl Model {
    fn insert(&mut self, due: i64, item: u32) {
        let tick = if due <= 0 { 0 } else { (due - 1) / 1_000 + 1 };
        self.by_tick.entry(tick).or_default().push((due, item));
    }

    fn advance(&mut self, now: i64) -> Vec<(i64, u32)> {
        self.now = self.now.max(now);
        let later = self.by_tick.split_off(&(self.now.max(0) / 1_000 + 1));
        std::mem::replace(&mut self.by_tick, later).into_values().flatten().collect()
    }

    fn len(&self) -> usize {
        self.by_tick.values().map(Vec::len).sum()
    }
}

fn sorted(mut items: Vec<(i64, u32)>) -> Vec<(i64, u32)> {
    items.sort_unstable();
    items
}

fn advance(wheel: &mut Wheel<u32>, now: i64) -> Vec<(i64, u32)> {
    let mut out = Vec::new();
    wheel.advance(now, &mut out);
    out
}

#[test]
fn comes_out_at_the_end_of_its_millisecond_and_never_early() {
    for (due, still_in, out_at) in [
        (5_000, 4_999, 5_000),
        (5_001, 5_999, 6_000),
        (5_999, 5_999, 6_000),
        (256_000, 255_999, 256_000),
        (65_536_000, 65_535_999, 65_536_000),
        (HOUR, HOUR - 1, HOUR),
        (1_000_000 * HOUR + 1, 1_000_000 * HOUR + 999, 1_000_000 * HOUR + 1_000),
    ] {
        let mut wheel = Wheel::new(0);
        wheel.insert(due, 7);
        assert_eq!(advance(&mut wheel, still_in), [], "{due} at {still_in}");
        assert_eq!(advance(&mut wheel, out_at), [(due, 7)], "{due} at {out_at}");
        assert!(wheel.is_empty());
    }
}

#[test]
fn what_is_already_due_comes_out_next_and_oldest_first() {
    let mut wheel = Wheel::new(HOUR);
    for (due, item) in [(HOUR, 1), (-5, 2), (HOUR - 1, 3), (0, 4), (i64::MIN, 5), (HOUR + 1_000, 6)] {
        wheel.insert(due, item);
    }
    assert_eq!(wheel.next_due_hint(), Some(HOUR));
    assert_eq!(advance(&mut wheel, HOUR), [(i64::MIN, 5), (-5, 2), (0, 4), (HOUR - 1, 3), (HOUR, 1)]);
    assert_eq!(wheel.len(), 1);
}

#[test]
fn a_clock_that_jumps_back_changes_nothing() {
    let mut wheel = Wheel::new(HOUR);
    wheel.insert(HOUR + 2_000, 1);
    assert_eq!(advance(&mut wheel, HOUR + 1_000), []);
    assert_eq!(advance(&mut wheel, 0), []);
    wheel.insert(HOUR, 2);
    assert_eq!(advance(&mut wheel, 0), [(HOUR, 2)]);
    assert_eq!(advance(&mut wheel, HOUR + 2_000), [(HOUR + 2_000, 1)]);
}

#[test]
fn sleeping_until_the_hint_reaches_every_item_in_few_steps() {
    let dues = [1_000, 999_000, 3 * HOUR, 3 * HOUR + 1, 10_000 * HOUR, 900_000 * HOUR + 123];
    let mut wheel = Wheel::new(0);
    for (item, due) in (0..).zip(dues) {
        wheel.insert(due, item);
    }
    let (mut out, mut steps) = (Vec::new(), 0);
    while let Some(hint) = wheel.next_due_hint() {
        wheel.advance(hint, &mut out);
        steps += 1;
    }
    assert_eq!(out.iter().map(|(due, _)| *due).collect::<Vec<_>>(), dues);
    assert!(steps <= 6 * dues.len(), "{steps} steps");
}

#[derive(Clone, Debug)]
enum Step {
    /// Puts an item in, so far from the present.
    Insert(i64),
    /// Moves the clock on.
    Advance(i64),
    /// Moves the clock to where the wheel says it wants to be woken.
    Wake,
}

/// Distances of all sizes, so that every level is used.
fn distance() -> impl Strategy<Value = i64> {
    (0..55_u32, any::<i64>()).prop_map(|(bits, noise)| noise & ((1 << bits) - 1))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => distance().prop_map(Step::Insert),
        1 => (0..2_000_i64).prop_map(|past| Step::Insert(-past)),
        2 => distance().prop_map(Step::Advance),
        1 => Just(Step::Wake),
    ]
}

#[test]
fn what_is_taken_out_does_not_come_and_all_else_does() {
    let start = 1_790_000_000_000_000;
    let mut wheel = Wheel::new(start);
    let dues: Vec<i64> = (0..200_i64).map(|n| start + n * n * n * 1_000 - 5_000).collect();
    dues.iter().zip(0_u32..).for_each(|(due, item)| wheel.insert(*due, item));
    let odd = |item: &u32| item % 2 == 1;
    wheel.take_out(odd);
    let mut held: Vec<u32> = wheel
        .iter()
        .map(|(due, item)| {
            assert_eq!(due, dues[*item as usize]);
            *item
        })
        .collect();
    held.sort_unstable();
    assert_eq!((held, wheel.len()), ((0..200).filter(|item| !odd(item)).collect(), 100));
    let out = advance(&mut wheel, start + 200 * 200 * 200 * 1_000);
    assert_eq!(out.iter().map(|(_, item)| *item).collect::<Vec<_>>(), (0..200).step_by(2).collect::<Vec<_>>());
    assert!(wheel.is_empty() && wheel.next_due_hint().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gives_out_what_a_sorted_map_would(start in 0..4_102_444_800_000_000_i64, steps in prop::collection::vec(step(), 1..200)) {
        let mut wheel = Wheel::new(start);
        let mut model = Model { now: start, ..Model::default() };
        for (item, step) in (0..).zip(steps) {
            let now = match step {
                Step::Insert(offset) => {
                    wheel.insert(model.now + offset, item);
                    model.insert(model.now + offset, item);
                    continue;
                }
                Step::Advance(by) => model.now + by,
                Step::Wake => wheel.next_due_hint().unwrap_or(model.now),
            };
            let first = model.by_tick.keys().next().map(|tick| tick * 1_000);
            prop_assert!(wheel.next_due_hint() <= first.map(|due| due.max(model.now)), "the hint is not too late");
            let out = advance(&mut wheel, now);
            prop_assert!(out.iter().all(|(due, _)| *due <= model.now.max(now)), "nothing is early");
            prop_assert!(out.is_sorted_by_key(|(due, _)| (due - 1).div_euclid(1_000)), "in order");
            prop_assert_eq!(sorted(out), sorted(model.advance(now)));
            prop_assert_eq!(wheel.len(), model.len());
            prop_assert_eq!(wheel.next_due_hint().is_none(), wheel.is_empty());
        }
    }
}
