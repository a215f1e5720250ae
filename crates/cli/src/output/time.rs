//! Times as people read them: in a definition's own zone, with how far away they are.

use std::time::Duration;

use chrono::{DateTime, FixedOffset, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use flintwheel_client::ClockOffset;
use flintwheel_model::ActivityDefinition;

/// The clock that times are shown by: what the server has told of it, so that they are shown as it counts them, whichever time-zone data this program
/// has. Of an older server, and where none is asked, by this program's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// In order.
    told: Vec<ClockOffset>,
    own: Tz,
}

impl Zone {
    /// For what belongs to no definition.
    pub const UTC: Self = Self { told: Vec::new(), own: Tz::UTC };

    /// Of its IANA name; UTC where this program does not know it, which then stands behind each time.
    pub fn named(name: &str) -> Self {
        Self { told: Vec::new(), own: name.parse().unwrap_or(Tz::UTC) }
    }

    /// Of a definition's schedule.
    pub fn of(definition: &ActivityDefinition) -> Self {
        let schedule = definition.spec.trigger.schedule.as_ref();
        schedule.and_then(|schedule| schedule.timezone.as_deref()).map_or(Self::UTC, Self::named)
    }

    /// With what a server has told.
    #[must_use]
    pub fn told(self, offsets: &[ClockOffset]) -> Self {
        Self { told: offsets.to_vec(), ..self }
    }

    /// With what a server has told of this one time.
    #[must_use]
    pub fn told_at(&self, time: DateTime<Utc>, offset: Option<i32>) -> Self {
        let offset = offset.map(|utc_offset_seconds| ClockOffset { from: time, utc_offset_seconds });
        self.clone().told(offset.as_slice())
    }

    /// `2026-11-23 09:00:00 +0100`.
    pub fn exact(&self, time: DateTime<Utc>) -> String {
        time.with_timezone(&self.offset(time)).format("%Y-%m-%d %H:%M:%S %z").to_string()
    }

    /// `2026-11-24 09:00 CET`; with seconds where there are some, and `+01:00` where this program knows no name for it.
    pub fn short(&self, time: DateTime<Utc>) -> String {
        let whole = time.timestamp() % 60 == 0;
        let shown = time.with_timezone(&self.offset(time));
        let shown = shown.format(if whole { "%Y-%m-%d %H:%M" } else { "%Y-%m-%d %H:%M:%S" });
        let own = self.own.from_utc_datetime(&time.naive_utc());
        if own.offset().fix() == self.offset(time) {
            format!("{shown} {}", own.format("%Z"))
        } else {
            format!("{shown} {}", self.offset(time))
        }
    }

    fn offset(&self, time: DateTime<Utc>) -> FixedOffset {
        let begun = self.told.partition_point(|offset| offset.from <= time);
        let told =
            self.told.get(begun.saturating_sub(1)).and_then(|told| FixedOffset::east_opt(told.utc_offset_seconds));
        told.unwrap_or_else(|| self.own.offset_from_utc_datetime(&time.naive_utc()).fix())
    }
}

/// A coming time: `in 12s` where it is near, `2026-11-24 09:00 CET (in 14h)` where it is not.
pub fn when(time: DateTime<Utc>, now: DateTime<Utc>, zone: &Zone) -> String {
    let away = (time - now).to_std();
    match away {
        Err(_) => format!("{} (due)", zone.short(time)),
        Ok(away) if away < Duration::from_secs(3600) => format!("in {}", compact(away)),
        Ok(away) => format!("{} (in {})", zone.short(time), compact(away)),
    }
}

/// A past time: `14h ago`.
pub fn ago(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    (now - time).to_std().map_or_else(|_| "now".to_owned(), |past| format!("{} ago", compact(past)))
}

/// The two largest units, or one where the second says little: `4ms`, `1m12s`, `14h`, `3d`.
pub fn compact(length: Duration) -> String {
    let (secs, millis) = (length.as_secs(), length.subsec_millis());
    let parts = |large: u64, unit: &str, small: u64, small_unit: &str, few: u64| {
        if small == 0 || large >= few { format!("{large}{unit}") } else { format!("{large}{unit}{small}{small_unit}") }
    };
    match secs {
        0 if millis == 0 => "0s".to_owned(),
        0 => format!("{millis}ms"),
        1..10 => format!("{}.{}s", secs, millis / 100).replace(".0s", "s"),
        10..60 => format!("{secs}s"),
        60..3600 => parts(secs / 60, "m", secs % 60, "s", 10),
        3600..86_400 => parts(secs / 3600, "h", secs / 60 % 60, "m", 10),
        _ => parts(secs / 86_400, "d", secs / 3600 % 24, "h", 3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_short() {
        for (millis, shown) in [
            (0, "0s"),
            (4, "4ms"),
            (1000, "1s"),
            (1250, "1.2s"),
            (12_900, "12s"),
            (72_000, "1m12s"),
            (3_599_000, "59m"),
            (3_600_000, "1h"),
            (5_400_000, "1h30m"),
            (14 * 3_600_000 + 59_000, "14h"),
            (26 * 3_600_000, "1d2h"),
            (100 * 3_600_000, "4d"),
        ] {
            assert_eq!(compact(Duration::from_millis(millis)), shown);
        }
    }

    #[test]
    fn times_are_shown_in_their_zone() {
        let now = "2026-11-23T18:00:00Z".parse().expect("a time");
        let berlin = Zone::named("Europe/Berlin");
        for (time, shown) in [
            ("2026-11-24T08:00:00Z", "2026-11-24 09:00 CET (in 14h)"),
            ("2026-11-24T08:00:07Z", "2026-11-24 09:00:07 CET (in 14h)"),
            ("2026-11-23T18:00:12Z", "in 12s"),
            ("2026-11-23T17:00:00Z", "2026-11-23 18:00 CET (due)"),
        ] {
            assert_eq!(when(time.parse().expect("a time"), now, &berlin), shown);
        }
        assert_eq!(berlin.exact(now), "2026-11-23 19:00:00 +0100");
        assert_eq!(Zone::named("Mars/Base"), Zone::UTC);
    }

    #[test]
    fn what_the_server_has_told_counts_whatever_this_program_knows() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let offset = |from: &str, utc_offset_seconds| ClockOffset { from: time(from), utc_offset_seconds };
        let (summer, winter) = (offset("2026-10-01T08:00:00Z", 7_200), offset("2026-10-25T01:00:00Z", 3_600));
        for (zone, told, at, exact, short) in [
            ("Europe/Berlin", vec![summer], "2026-11-24T08:00:00Z", "10:00:00 +0200", "10:00 +02:00"),
            ("Europe/Berlin", vec![winter], "2026-11-24T08:00:00Z", "09:00:00 +0100", "09:00 CET"),
            ("Europe/Berlin", vec![summer, winter], "2026-10-25T00:59:59Z", "02:59:59 +0200", "02:59:59 CEST"),
            ("Europe/Berlin", vec![summer, winter], "2026-10-25T01:00:00Z", "02:00:00 +0100", "02:00 CET"),
            ("Europe/Berlin", vec![], "2026-11-24T08:00:00Z", "09:00:00 +0100", "09:00 CET"),
            (
                "Mars/Base",
                vec![offset("2026-11-24T08:00:00Z", -5_400)],
                "2026-11-24T08:00:00Z",
                "06:30:00 -0130",
                "06:30 -01:30",
            ),
            ("Mars/Base", vec![], "2026-11-24T08:00:00Z", "08:00:00 +0000", "08:00 UTC"),
        ] {
            let zone = Zone::named(zone).told(&told);
            let shown = [zone.exact(time(at)), zone.short(time(at))].map(|shown| shown[11..].to_owned());
            assert_eq!(shown, [exact, short], "{told:?} at {at}");
        }
        let told = Zone::named("Europe/Berlin").told_at(time("2026-11-24T08:00:00Z"), Some(7_200));
        assert_eq!(told.exact(time("2026-11-24T08:00:00Z")), "2026-11-24 10:00:00 +0200");
    }
}
