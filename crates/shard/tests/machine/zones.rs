//! Other time-zone data by example: which definitions move, and how far a shard is with them.

use flintwheel_shard::calendar_entry::Retimed;
use flintwheel_shard::entry::Body;
use flintwheel_shard::reply::Outcome;
use flintwheel_shard::zones::{Rezone, Zoned};

use crate::support::*;

fn rezone(shard: &mut Shard, version: &str, items: &[Retimed], from: u64, last: bool) -> u32 {
    let rezone = Rezone { version: version.into(), items: items.to_vec(), from, last };
    match shard.apply(Body::Rezone(rezone)).outcome {
        Outcome::Rezoned { moved } => moved,
        other => panic!("not the outcome of other zones: {other:?}"),
    }
}

fn item(shard: &Shard, number: u64, next: i64) -> Retimed {
    let slot = shard.machine.slots().get(number).expect("it is there");
    Retimed { number, generation: slot.generation, nominal: slot.next, next }
}

fn stands(shard: &Shard) -> Option<(String, u64, bool)> {
    shard.machine.zoned().map(|zoned| (zoned.version.clone(), zoned.from, zoned.done))
}

/// Three definitions, due an hour from now.
fn three() -> Shard {
    let mut shard = Shard::default();
    for id in ["a", "b", "c"] {
        shard.apply(Body::Define(vec![due(id, START + HOUR)]));
    }
    shard
}

#[test]
fn those_that_are_due_otherwise_move_and_all_have_been_looked_at_in_the_end() {
    let mut shard = three();
    let numbers: Vec<u64> = shard.machine.slots().iter().map(|(number, _)| number).collect();
    assert_eq!(stands(&shard), None);
    let first = item(&shard, numbers[0], START + 2 * HOUR);
    assert_eq!(rezone(&mut shard, "2026b", &[first], numbers[1], false), 1);
    assert_eq!(stands(&shard), Some(("2026b".into(), numbers[1], false)));
    assert_eq!(shard.machine.slots().get(numbers[0]).expect("there").next, START + 2 * HOUR);
    assert_eq!(rezone(&mut shard, "2026b", &[], numbers[2] + 1, true), 0);
    assert_eq!(stands(&shard), Some(("2026b".into(), numbers[2] + 1, true)));
    // What comes late, of who led before, moves nothing back.
    assert_eq!(rezone(&mut shard, "2026b", &[first], numbers[1], false), 0);
    assert_eq!(stands(&shard), Some(("2026b".into(), numbers[2] + 1, true)));
    // Newer data begins anew.
    assert_eq!(rezone(&mut shard, "2026c", &[], numbers[1], false), 0);
    assert_eq!(stands(&shard), Some(("2026c".into(), numbers[1], false)));
}

#[test]
fn one_that_has_changed_meanwhile_is_looked_at_again() {
    let mut shard = three();
    let numbers: Vec<u64> = shard.machine.slots().iter().map(|(number, _)| number).collect();
    let moves: Vec<Retimed> = numbers.iter().map(|number| item(&shard, *number, START + 2 * HOUR)).collect();
    shard.apply(Body::Define(vec![changed(due("b", START + 3 * HOUR), r#"{"changed":1}"#)]));
    assert_eq!(rezone(&mut shard, "2026b", &moves, numbers[2] + 1, true), 1);
    assert_eq!(stands(&shard), Some(("2026b".into(), numbers[1], false)));
    let next: Vec<i64> = numbers.iter().map(|number| shard.machine.slots().get(*number).expect("there").next).collect();
    assert_eq!(next, [START + 2 * HOUR, START + 3 * HOUR, START + HOUR]);
}

#[test]
fn how_far_a_shard_is_stands_in_its_state() {
    let mut shard = three();
    rezone(&mut shard, "2026b", &[], 2, false);
    let opened = shard.open();
    let stands = opened.zoned().map(|zoned| (zoned.version.as_str(), zoned.from, zoned.done));
    assert_eq!(stands, Some(("2026b", 2, false)));
    let zoned = Zoned { version: "x".repeat(65), from: 0, done: false };
    assert!(Zoned::decode(&zoned.encode()).is_err(), "it is too long");
}
