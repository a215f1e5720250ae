//! Time zones: the offset from UTC at each instant, from the compiled-in IANA database.

use std::hash::{Hash, Hasher};
use std::sync::{LazyLock, OnceLock};

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::fault::quoted;
use crate::limits::{FIRST_TIME, LAST_TIME};

/// The version of the compiled-in IANA database, such as `2025b`.
pub const TZDATA_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;

/// Offsets are looked up at this distance (in seconds), and changes between two looked for. No zone ever changed twice
/// within a week since 1970.
const PROBE: i64 = 2 * 86_400;
/// 2100-01-01T00:00:00Z. The compiled-in offsets end in 2099.
const YEAR_2100: i64 = 4_102_444_800;
/// From 2094 to 2100. Both years begin on a Friday and have 365 days, so the same rules give the same dates.
const SIX_YEARS: i64 = 2191 * 86_400;

/// A zone as the spans of time in which its offset is the same, from 1970 to 2100.
#[derive(Debug)]
pub(crate) struct Zone {
    tz: Tz,
    /// When each span begins, in seconds UTC; the first begins before all times.
    starts: Box<[i64]>,
    /// What the local clock is ahead of UTC in each span, in seconds.
    offsets: Box<[i32]>,
}

/// A span of time in which a zone's offset is the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    /// First second, UTC.
    pub start: i64,
    /// The second after the last, UTC.
    pub end: i64,
    /// What the local clock is ahead of UTC, in seconds.
    pub offset: i64,
    /// What it is in the span before; the same where there is none.
    pub before: i64,
    /// What it is in the span after; the same where there is none.
    pub after: i64,
}

impl Zone {
    /// The zone of this IANA name; an error says what is wrong with the name.
    pub(crate) fn named(name: &str) -> Result<&'static Self, String> {
        static ZONES: LazyLock<Vec<OnceLock<Zone>>> =
            LazyLock::new(|| TZ_VARIANTS.iter().map(|_| OnceLock::new()).collect());
        let tz: Tz = name.parse().map_err(|_| unknown(name))?;
        Ok(ZONES[tz as usize].get_or_init(|| Self::load(tz)))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.tz.name()
    }

    /// The spans from the one that `second` is in, in order.
    pub(crate) fn spans_from(&self, second: i64) -> impl Iterator<Item = Span> {
        let first = self.starts.partition_point(|start| *start <= second) - 1;
        (first..self.starts.len()).map(|index| Span {
            start: self.starts[index],
            end: self.starts.get(index + 1).copied().unwrap_or(i64::MAX),
            offset: i64::from(self.offsets[index]),
            before: i64::from(self.offsets[index.saturating_sub(1)]),
            after: i64::from(self.offsets[(index + 1).min(self.offsets.len() - 1)]),
        })
    }

    /// The span that `second` is in.
    pub(crate) fn span_at(&self, second: i64) -> Span {
        self.spans_from(second).next().expect("the first span begins before all times")
    }

    /// Whether the zone's clocks ever show a local time; some are left out as clocks go forward.
    pub(crate) fn shows(&self, local: i64) -> bool {
        // No clock is further away from UTC.
        const FURTHEST: i64 = 26 * 3_600;
        let near = self.spans_from(local.saturating_sub(FURTHEST)).take_while(|span| span.start <= local + FURTHEST);
        let mut shown = near.map(|span| (local - span.offset, span));
        shown.any(|(instant, span)| span.start <= instant && instant < span.end)
    }

    fn load(tz: Tz) -> Self {
        let last = LAST_TIME / 1_000_000;
        let mut spans = vec![(i64::MIN, offset_at(tz, FIRST_TIME))];
        for probe in (FIRST_TIME..last + PROBE).step_by(PROBE as usize) {
            let (before, after) = (offset_at(tz, probe), offset_at(tz, probe + PROBE));
            if before != after {
                spans.push((first_with_new_offset(tz, probe, probe + PROBE), after));
            }
        }
        let (starts, offsets): (Vec<_>, Vec<_>) = spans.into_iter().unzip();
        Self { tz, starts: starts.into(), offsets: offsets.into() }
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.tz == other.tz
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.tz.hash(state);
    }
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

fn unknown(name: &str) -> String {
    let help = match near_name(name) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => "allowed are UTC and IANA names such as Europe/Berlin".to_owned(),
    };
    format!("time zone {} is not known; {help}", quoted(name))
}

/// A zone that may be meant: written in other case, without its region, or with a few letters wrong.
fn near_name(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 40;
    const TOLERATED: usize = 2;
    if name.len() > LONGEST {
        return None;
    }
    let wanted = name.replace(' ', "_").to_ascii_lowercase();
    let names = || TZ_VARIANTS.iter().map(|tz| tz.name());
    let city = |name: &'static str| name.rsplit('/').next().unwrap_or(name);
    names()
        .find(|name| name.eq_ignore_ascii_case(&wanted))
        .or_else(|| names().find(|name| city(name).eq_ignore_ascii_case(&wanted)))
        .or_else(|| {
            let scored = names().map(|name| (edits(&wanted, &name.to_ascii_lowercase()), name));
            scored.min().filter(|(edits, _)| *edits <= TOLERATED && *edits * 3 < wanted.len()).map(|(_, name)| name)
        })
}

/// How many letters must be put in, taken out or changed to make one text of the other (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
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
