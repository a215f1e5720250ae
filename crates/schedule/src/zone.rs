//! Time zones: the offset from UTC at each instant, from the compiled-in IANA database, or from files of a newer one.

mod compiled;
mod files;

use std::hash::{Hash, Hasher};

use crate::fault::quoted;

pub use files::{ZoneFault, load_zones};

const MICROS: i64 = 1_000_000;

/// The version of the IANA database that zones are read from, such as `2026b`: that of the files, or else the compiled-in one.
pub fn tzdata_version() -> &'static str {
    files::loaded().map_or(chrono_tz::IANA_TZDB_VERSION, |loaded| &loaded.version)
}

/// A zone as the spans of time in which its offset is the same, from 1970 to 2100.
#[derive(Debug)]
pub(crate) struct Zone {
    name: Box<str>,
    /// When each span begins, in seconds UTC; the first begins before all times.
    starts: Box<[i64]>,
    /// What the local clock is ahead of UTC in each span, in seconds.
    offsets: Box<[i32]>,
}

/// What a zone's clock is ahead of UTC, from a time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// In microseconds since the epoch.
    pub from: i64,
    /// In seconds; negative where it is behind.
    pub utc_offset: i32,
}

/// What the clock of the zone of this name is ahead of UTC at each of `times` (microseconds since the epoch, in any order): at each it is what
/// the last offset says that begins at or before it. Offsets that none of the times has are left out, so there are never more of them than
/// times. None where the zone is not known.
pub fn clock_offsets(zone: &str, times: &[i64]) -> Vec<ClockOffset> {
    Zone::named(zone).map(|zone| zone.offsets(times)).unwrap_or_default()
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
    /// The zone of this IANA name; an error says what is wrong with the name. One that is not in the files is the compiled-in one: packages of zone
    /// data leave old names out.
    pub(crate) fn named(name: &str) -> Result<&'static Self, String> {
        let of_files = files::loaded().and_then(|loaded| loaded.zones.get(name));
        of_files.or_else(|| compiled::zone(name)).ok_or_else(|| unknown(name))
    }

    /// `spans` are when each begins, in seconds UTC, and what the local clock is ahead of UTC in it; the first begins before all times.
    fn of_spans(name: &str, spans: Vec<(i64, i32)>) -> Self {
        let (starts, offsets): (Vec<_>, Vec<_>) = spans.into_iter().unzip();
        Self { name: name.into(), starts: starts.into(), offsets: offsets.into() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
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

    /// As [`clock_offsets`] says.
    fn offsets(&self, times: &[i64]) -> Vec<ClockOffset> {
        let mut times = times.to_vec();
        times.sort_unstable();
        let mut offsets: Vec<ClockOffset> = Vec::new();
        for time in &times {
            let span = self.span_at(time.div_euclid(MICROS));
            let offset = ClockOffset {
                from: span.start.saturating_mul(MICROS).max(times[0]),
                utc_offset: i32::try_from(span.offset).expect("it was read from 32 bits"),
            };
            if offsets.last().is_none_or(|last| last.utc_offset != offset.utc_offset) {
                offsets.push(offset);
            }
        }
        offsets
    }

    /// Whether the zone's clocks ever show a local time; some are left out as clocks go forward.
    pub(crate) fn shows(&self, local: i64) -> bool {
        // No clock is further away from UTC.
        const FURTHEST: i64 = 26 * 3_600;
        let near = self.spans_from(local.saturating_sub(FURTHEST)).take_while(|span| span.start <= local + FURTHEST);
        let mut shown = near.map(|span| (local - span.offset, span));
        shown.any(|(instant, span)| span.start <= instant && instant < span.end)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Hash for Zone {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
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
    let names = || files::names().chain(compiled::names());
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

    fn micros(text: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(text).expect("a time").timestamp_micros()
    }

    #[test]
    fn each_time_has_the_offset_of_the_last_that_begins_before_it() {
        const SUMMER: &str = "2026-03-29T01:00:00Z";
        for (zone, times, expected) in [
            ("UTC", vec!["2026-01-01T00:00:00Z", "2026-07-01T00:00:00Z"], vec![("2026-01-01T00:00:00Z", 0)]),
            ("Europe/Berlin", vec![], vec![]),
            ("Europe/Berlin", vec!["2026-01-01T08:00:00Z"], vec![("2026-01-01T08:00:00Z", 3_600)]),
            // To the microsecond, and in any order.
            (
                "Europe/Berlin",
                vec!["2026-03-29T01:00:00Z", "2026-03-29T00:59:59.999999Z"],
                vec![("2026-03-29T00:59:59.999999Z", 3_600), (SUMMER, 7_200)],
            ),
            (
                "Europe/Berlin",
                vec!["2026-03-01T08:00:00Z", "2026-04-01T08:00:00Z", "2026-05-01T08:00:00Z", "2026-11-01T08:00:00Z"],
                vec![("2026-03-01T08:00:00Z", 3_600), (SUMMER, 7_200), ("2026-10-25T01:00:00Z", 3_600)],
            ),
            // Of the summer between them nothing is said.
            (
                "Europe/Berlin",
                vec!["2026-01-01T08:00:00Z", "2027-01-01T08:00:00Z"],
                vec![("2026-01-01T08:00:00Z", 3_600)],
            ),
            // Half an hour.
            (
                "Australia/Lord_Howe",
                vec!["2026-04-01T00:00:00Z", "2026-05-01T00:00:00Z"],
                vec![("2026-04-01T00:00:00Z", 39_600), ("2026-04-04T15:00:00Z", 37_800)],
            ),
            // A day that was left out.
            (
                "Pacific/Apia",
                vec!["2011-12-30T09:00:00Z", "2011-12-30T10:00:00Z"],
                vec![("2011-12-30T09:00:00Z", -36_000), ("2011-12-30T10:00:00Z", 50_400)],
            ),
            ("America/New_York", vec!["1960-01-01T00:00:00Z"], vec![("1960-01-01T00:00:00Z", -18_000)]),
            ("Mars/Base", vec!["2026-01-01T00:00:00Z"], vec![]),
        ] {
            let asked: Vec<i64> = times.iter().map(|time| micros(time)).collect();
            let told = clock_offsets(zone, &asked);
            let expected: Vec<ClockOffset> = expected
                .iter()
                .map(|(from, utc_offset)| ClockOffset { from: micros(from), utc_offset: *utc_offset })
                .collect();
            assert_eq!(told, expected, "{zone} at {times:?}");
        }
    }
}
