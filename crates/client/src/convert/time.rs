//! Instants and lengths of time.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_model::{Span, Violations};
use prost_types::{Duration as ProtoDuration, Timestamp};

use super::at::At;

/// To the wire. Every instant within the years 1 to 9999 can travel; a leap second can't.
pub(super) fn write_time(time: DateTime<Utc>, at: At<'_>, faults: &mut Violations) -> Timestamp {
    let nanos = time.timestamp_subsec_nanos();
    if nanos >= 1_000_000_000 {
        faults
            .push(at.to_string(), format!("{time} is a leap second, which protobuf can't hold; use the second before"));
    }
    if !YEARS_1_TO_9999.contains(&time.timestamp()) {
        faults.push(at.to_string(), format!("{time} is not within the years 1 to 9999"));
    }
    Timestamp { seconds: time.timestamp(), nanos: nanos as i32 }
}

const YEARS_1_TO_9999: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// From the wire.
pub(super) fn read_time(proto: Timestamp, at: At<'_>, faults: &mut Violations) -> DateTime<Utc> {
    let nanos = u32::try_from(proto.nanos).ok().filter(|nanos| *nanos < 1_000_000_000);
    let time = nanos
        .filter(|_| YEARS_1_TO_9999.contains(&proto.seconds))
        .and_then(|nanos| DateTime::from_timestamp(proto.seconds, nanos));
    time.unwrap_or_else(|| {
        let (seconds, nanos) = (proto.seconds, proto.nanos);
        let message = format!("{seconds} s and {nanos} ns are no time within the years 1 to 9999");
        faults.push(at.to_string(), message);
        DateTime::UNIX_EPOCH
    })
}

/// To the wire.
pub(super) fn write_span(span: Span) -> ProtoDuration {
    let (seconds, micros) = (span.micros() / 1_000_000, span.micros() % 1_000_000);
    ProtoDuration { seconds: seconds as i64, nanos: micros as i32 * 1000 }
}

/// From the wire: not negative, whole microseconds, at most a hundred years.
pub(super) fn read_span(proto: ProtoDuration, at: At<'_>, faults: &mut Violations) -> Span {
    read_micros(proto).unwrap_or_else(|why| {
        faults.push(at.to_string(), format!("{} s and {} ns: {why}", proto.seconds, proto.nanos));
        Span::ZERO
    })
}

fn read_micros(proto: ProtoDuration) -> Result<Span, &'static str> {
    let (seconds, nanos) = (i128::from(proto.seconds), i128::from(proto.nanos));
    if nanos.abs() >= 1_000_000_000 || (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0) {
        return Err("the parts of a duration have one sign, and less than a second of nanoseconds");
    }
    let nanos = seconds * 1_000_000_000 + nanos;
    if nanos % 1000 != 0 {
        return Err("a duration has whole microseconds");
    }
    if nanos < 0 {
        return Err("a duration is not negative");
    }
    let micros = u64::try_from(nanos / 1000).ok().filter(|micros| *micros <= Span::MAX.micros());
    micros.map(Span::from_micros).ok_or("a duration is at most 100 years")
}

/// An instant that a program chose, not a user: what the wire can't hold is cut to what it can.
pub fn timestamp(time: DateTime<Utc>) -> Timestamp {
    let seconds = time.timestamp().clamp(*YEARS_1_TO_9999.start(), *YEARS_1_TO_9999.end());
    Timestamp { seconds, nanos: time.timestamp_subsec_nanos().min(999_999_999) as i32 }
}

/// An instant in microseconds since the epoch, as the engine counts.
pub fn timestamp_micros(micros: i64) -> Timestamp {
    Timestamp { seconds: micros.div_euclid(1_000_000), nanos: micros.rem_euclid(1_000_000) as i32 * 1000 }
}

/// An instant from the wire; `None` where it is no time.
pub fn instant(proto: Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(proto.seconds, u32::try_from(proto.nanos).ok()?)
}

/// A length of time that a program measured.
pub fn duration(length: Duration) -> ProtoDuration {
    let seconds = i64::try_from(length.as_secs()).unwrap_or(i64::MAX);
    ProtoDuration { seconds, nanos: length.subsec_nanos() as i32 }
}

/// A length of time from the wire; zero where it is negative.
pub fn length(proto: ProtoDuration) -> Duration {
    Duration::try_from(proto).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_a_span_cannot_hold_are_refused() {
        for (seconds, nanos, why) in [
            (-1, 0, "not negative"),
            (0, -1000, "not negative"),
            (0, 1, "whole microseconds"),
            (1, -1, "one sign"),
            (0, 1_000_000_000, "less than a second"),
            (i64::MAX, 0, "100 years"),
            (Span::MAX.secs() as i64, 1000, "100 years"),
        ] {
            let mut faults = Violations::default();
            read_span(ProtoDuration { seconds, nanos }, At::root("window"), &mut faults);
            assert!(faults.to_string().contains(why), "{seconds} {nanos}: {faults}");
        }
    }

    #[test]
    fn instants_that_are_none_are_refused() {
        for (seconds, nanos) in [(0, -1), (0, 1_000_000_000), (i64::MIN, 0), (253_402_300_800, 0)] {
            let mut faults = Violations::default();
            read_time(Timestamp { seconds, nanos }, At::root("start"), &mut faults);
            assert!(faults.to_string().starts_with("start: "), "{seconds} {nanos}: {faults}");
        }
    }

    #[test]
    fn a_leap_second_is_refused_with_its_field_and_what_to_write() {
        let time = "2016-12-31T23:59:60Z".parse().expect("a time");
        let mut faults = Violations::default();
        write_time(time, At::root("start"), &mut faults);
        let told = "start: 2016-12-31 23:59:60 UTC is a leap second, which protobuf can't hold; use the second before";
        assert_eq!(faults.to_string(), told);
    }

    #[test]
    fn microseconds_travel_on_both_sides_of_the_epoch() {
        for micros in [0, 1, -1, 1_795_420_800_123_456, -1_500_000] {
            let time = instant(timestamp_micros(micros)).expect("in range");
            assert_eq!(time.timestamp_micros(), micros);
            assert_eq!(timestamp(time), timestamp_micros(micros));
        }
    }
}
