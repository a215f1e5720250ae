//! RFC 3339 instants in UTC, as far as the demo needs them: read, and written for the one-shot.

/// Microseconds since the Unix epoch of `2026-11-23T08:00:00.25Z`.
pub fn micros(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut clock = clock.splitn(3, ':').map(str::parse::<i64>);
    let (hour, minute, second) = (clock.next()?.ok()?, clock.next()?.ok()?, clock.next()?.ok()?);
    let six: String = fraction.chars().chain("000000".chars()).take(6).collect();
    Some((((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + six.parse::<i64>().ok()?)
}

/// Days from the epoch to a date of the Gregorian calendar. Years begin in March here, so that the leap day is the last one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn instants_are_read() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-23T08:00:00Z", Some(1_795_420_800_000_000)),
            ("2026-11-23T08:00:00.25Z", Some(1_795_420_800_250_000)),
            ("2024-02-29T23:59:59.123456789Z", Some(1_709_251_199_123_456)),
            ("2026-11-23T08:00:00+01:00", None),
            ("tomorrow", None),
        ];
        for (text, expected) in cases {
            assert_eq!(micros(text), expected, "{text}");
        }
    }
}
