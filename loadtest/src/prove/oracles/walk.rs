//! The slow literal way: each second or minute of a window is asked whether the local clock matches. In every zone, mostly
//! around clock changes.

use chrono::{DateTime, Datelike, Offset, TimeZone, Timelike};
use chrono_tz::{TZ_VARIANTS, Tz};
use rand::Rng;
use rand::rngs::StdRng;

use super::spec::Spec;
use super::{Tally, next, plan};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// 1973-01-01 to 2098-12-31: before, Monrovia's offset had seconds; after, compiled-in offsets end.
const YEARS: std::ops::Range<i64> = 94_694_400..4_070_908_800;
/// Times that a window is asked for, beside each due time in it.
const ASKED: usize = 40;

/// Walks so many windows; a case is one spec, zone and time.
pub fn compare(windows: u32, chance: &mut StdRng, tally: &mut Tally) {
    for number in 0..windows {
        let zone = TZ_VARIANTS[number as usize % TZ_VARIANTS.len()];
        let with_seconds = chance.random_bool(0.2);
        let spec = Spec::random(chance, with_seconds);
        let (around, step) = if with_seconds { (3 * HOUR, 1) } else { (2 * DAY, 60) };
        let middle = place(zone, chance);
        compare_window(&spec, zone, (middle - around)..(middle + around), step, chance, tally);
    }
}

fn compare_window(
    spec: &Spec,
    zone: Tz,
    window: std::ops::Range<i64>,
    step: i64,
    chance: &mut StdRng,
    tally: &mut Tally,
) {
    let (from, to) = (window.start, window.end);
    let due: Vec<i64> = window.step_by(step as usize).filter(|second| is_due(spec, zone, *second)).collect();
    let plan = plan(&spec.seven(), zone.name());
    let asked = (0..ASKED).map(|_| chance.random_range(from..to)).chain(due.iter().copied());
    for after in asked.chain([from - 1]) {
        let expected = due.get(due.partition_point(|time| *time <= after)).copied();
        let found = plan.as_ref().and_then(|plan| next(plan, after)).filter(|time| *time < to);
        tally.case(found == expected, || {
            format!("{} in {zone} after {after}: walked {expected:?}, found {found:?}", spec.seven())
        });
    }
}

fn is_due(spec: &Spec, zone: Tz, second: i64) -> bool {
    let local = zone.timestamp_opt(second, 0).single().expect("an instant has one local time");
    spec.second.holds(local.second())
        && spec.minute.holds(local.minute())
        && spec.hour.holds(local.hour())
        && spec.day.holds(local.day())
        && spec.month.holds(local.month())
        && spec.weekday.holds(local.weekday().num_days_from_sunday())
}

/// A whole minute: mostly near a clock change, where there is one in the year after a random time.
fn place(zone: Tz, chance: &mut StdRng) -> i64 {
    let any = chance.random_range(YEARS) / 60 * 60;
    let changed = |hour: &i64| offset(zone, *hour) != offset(zone, hour + HOUR);
    let hour = any / HOUR * HOUR;
    let change = (hour..(hour + 365 * DAY).min(YEARS.end - 3 * DAY)).step_by(HOUR as usize).find(changed);
    change.filter(|_| chance.random_bool(0.8)).unwrap_or(any)
}

/// What the local clock is ahead of UTC, in seconds.
pub fn offset(zone: Tz, second: i64) -> i32 {
    let utc = DateTime::from_timestamp(second, 0).expect("a time").naive_utc();
    zone.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}
