//! The clocks of a zone, as the server's own library reads them. Seconds since the Unix epoch, UTC or local.

use chrono::{DateTime, Offset, TimeZone};
use chrono_tz::Tz;

pub(super) const HOUR: i64 = 3_600;
pub(super) const DAY: i64 = 86_400;

/// Clocks that change: at `at`, from `before` to `after` seconds ahead of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The first second with the new clock.
    pub at: i64,
    /// Seconds ahead of UTC until then.
    pub before: i64,
    /// Seconds ahead of UTC from then on.
    pub after: i64,
}

/// Seconds that the zone's clocks are ahead of UTC.
pub(super) fn ahead(zone: Tz, second: i64) -> i64 {
    let utc = DateTime::from_timestamp(second, 0).unwrap_or_default().naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

/// The instant that Temporal's server takes a local time for: of a time that comes twice, the first one west of UTC and the second one elsewhere; a
/// time that never comes is taken for one that is earlier (west) or later. Fields may be one beyond their last value.
pub(super) fn instant(zone: Tz, local: i64) -> i64 {
    match ahead(zone, local) {
        0 => local,
        guess => local - ahead(zone, local - guess),
    }
}

/// The first change of clocks after `from`, and before `to`.
pub fn next_change(zone: Tz, from: i64, to: i64) -> Option<Change> {
    let mut low = from;
    let before = ahead(zone, low);
    // No zone changes its clocks and changes them back within a day.
    let mut high = loop {
        let high = (low + DAY).min(to);
        if ahead(zone, high) != before {
            break high;
        }
        if high >= to {
            return None;
        }
        low = high;
    };
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if ahead(zone, middle) == before { low = middle } else { high = middle }
    }
    (high < to).then(|| Change { at: high, before, after: ahead(zone, high) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).expect(text).timestamp()
    }

    #[test]
    fn times_that_come_twice_or_never_are_those_that_the_server_takes() {
        for (zone, local, instant) in [
            ("America/New_York", "2024-11-03T01:30:00Z", "2024-11-03T05:30:00Z"),
            ("America/New_York", "2024-03-10T02:30:00Z", "2024-03-10T06:30:00Z"),
            ("Europe/Berlin", "2024-10-27T02:30:00Z", "2024-10-27T01:30:00Z"),
            ("Europe/Berlin", "2024-03-31T02:30:00Z", "2024-03-31T01:30:00Z"),
            ("Europe/London", "2024-10-27T01:30:00Z", "2024-10-27T01:30:00Z"),
            ("America/Havana", "2024-03-10T00:00:00Z", "2024-03-10T04:00:00Z"),
            ("Asia/Kathmandu", "2024-03-10T05:45:00Z", "2024-03-10T00:00:00Z"),
        ] {
            let found = super::instant(zone.parse().expect(zone), second(local));
            assert_eq!(found, second(instant), "{local} in {zone}");
        }
    }

    #[test]
    fn changes_are_found_to_the_second() {
        let zone: Tz = "Australia/Lord_Howe".parse().expect("a zone");
        let (from, to) = (second("2024-01-01T00:00:00Z"), second("2025-01-01T00:00:00Z"));
        let found = next_change(zone, from, to).expect("one");
        assert_eq!(found, Change { at: second("2024-04-06T15:00:00Z"), before: 39_600, after: 37_800 });
        let found = next_change(zone, found.at, to).expect("another");
        assert_eq!((found.at, found.after), (second("2024-10-05T15:30:00Z"), 39_600));
        assert_eq!(next_change(zone, found.at, to), None);
    }
}
