//! The zones that are compiled in.

use std::sync::{LazyLock, OnceLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use super::Zone;
use crate::limits::{FIRST_TIME, LAST_TIME};

/// Offsets are looked up at this distance (in seconds), and changes between two looked for. No zone ever changed twice
/// within a week since 1970.
const PROBE: i64 = 2 * 86_400;
/// 2100-01-01T00:00:00Z. The compiled-in offsets end in 2099.
const YEAR_2100: i64 = 4_102_444_800;
/// From 2094 to 2100. Both years begin on a Friday and have 365 days, so the same rules give the same dates.
const SIX_YEARS: i64 = 2191 * 86_400;

/// The zone of this name, if there is one.
pub(super) fn zone(name: &str) -> Option<&'static Zone> {
    static ZONES: LazyLock<Vec<OnceLock<Zone>>> =
        LazyLock::new(|| TZ_VARIANTS.iter().map(|_| OnceLock::new()).collect());
    let tz: Tz = name.parse().ok()?;
    Some(ZONES[tz as usize].get_or_init(|| load(tz)))
}

/// All names.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    TZ_VARIANTS.iter().map(|tz| tz.name())
}

fn load(tz: Tz) -> Zone {
    let last = LAST_TIME / 1_000_000;
    let mut spans = vec![(i64::MIN, offset_at(tz, FIRST_TIME))];
    for probe in (FIRST_TIME..last + PROBE).step_by(PROBE as usize) {
        let (before, after) = (offset_at(tz, probe), offset_at(tz, probe + PROBE));
        if before != after {
            spans.push((first_with_new_offset(tz, probe, probe + PROBE), after));
        }
    }
    Zone::of_spans(tz.name(), spans)
}

fn offset_at(tz: Tz, second: i64) -> i32 {
    let known = if second < YEAR_2100 { second } else { second - SIX_YEARS };
    let utc = DateTime::from_timestamp(known, 0).expect("a time from 1970 to 2101").naive_utc();
    tz.offset_from_utc_datetime(&utc).fix().local_minus_utc()
}

/// Halves the time between two instants with different offsets until the change is found.
fn first_with_new_offset(tz: Tz, mut before: i64, mut after: i64) -> i64 {
    let old = offset_at(tz, before);
    while after - before > 1 {
        let middle = before.midpoint(after);
        if offset_at(tz, middle) == old { before = middle } else { after = middle }
    }
    after
}

#[cfg(test)]
mod tests {
    use super::super::Span;
    use super::*;

    #[test]
    fn spans_have_the_offsets_of_the_database_in_every_zone() {
        const STEP: usize = 47 * 3600 + 1_234;
        for tz in TZ_VARIANTS {
            let zone = Zone::named(tz.name()).expect("it is known");
            for second in (0..YEAR_2100).step_by(STEP) {
                let span = zone.spans_from(second).next().expect("there is always one");
                assert!(span.start <= second && second < span.end);
                assert_eq!(span.offset, i64::from(offset_at(tz, second)), "{tz} at {second}");
            }
        }
    }

    #[test]
    fn spans_follow_each_other_and_end_where_the_offset_changes() {
        for tz in TZ_VARIANTS {
            let spans: Vec<Span> = Zone::named(tz.name()).expect("it is known").spans_from(0).collect();
            for pair in spans.windows(2) {
                let change = pair[0].end;
                assert_eq!(change, pair[1].start);
                assert_eq!(pair[0].offset, i64::from(offset_at(tz, change - 1)), "{tz} before {change}");
                assert_eq!(pair[1].offset, i64::from(offset_at(tz, change)), "{tz} at {change}");
            }
        }
    }
}
