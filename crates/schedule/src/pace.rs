//! How fast what is late may go: so many in so long a time, evenly.
//!
//! A bucket is a number of nanoseconds: from when on it has been filling. It fills as time passes, holds at most one and what comes together in
//! a fifth of a second, and begins empty: a change of leader lets nobody have more. The rate may be another one each time it is asked, as a node's share
//! of it grows and shrinks.

use flintwheel_model::Pace;

/// What a bucket holds at most, but for one, comes together in this time, in nanoseconds: enough for a batch every so often, too little for a
/// stampede. So no second sees more than a fifth above the pace, and one; no minute more than a hundredth.
const HELD: i64 = 200_000_000;
/// Nanoseconds of a microsecond.
const NANOS: i64 = 1_000;

/// See the module. Times are microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Since when it has been filling, in nanoseconds.
    since: i64,
    /// From one to the next, in nanoseconds.
    interval: i64,
}

impl Bucket {
    /// An empty one.
    pub fn new(pace: Pace, now: i64) -> Self {
        Self { since: nanos(now), interval: interval(pace, (1, 1)) }
    }

    /// Takes as many as there are, at most `wanted`. `share` is the part of the pace that is its own: (2, 3) is two of three.
    pub fn take(&mut self, pace: Pace, share: (u32, u32), now: i64, wanted: usize) -> usize {
        let taken = self.there(pace, share, now).min(wanted);
        self.move_by(taken);
        taken
    }

    /// How many there are.
    pub fn there(&mut self, pace: Pace, share: (u32, u32), now: i64) -> usize {
        self.fill(pace, share, now);
        usize::try_from((nanos(now) - self.since).max(0) / self.interval).unwrap_or(usize::MAX)
    }

    /// So many were taken and not needed.
    pub fn give_back(&mut self, count: usize) {
        self.since = self.since.saturating_sub(i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(self.interval));
    }

    fn move_by(&mut self, count: usize) {
        self.since = self.since.saturating_add(i64::try_from(count).unwrap_or(i64::MAX).saturating_mul(self.interval));
    }

    /// When there is one, at the rate that it was last asked at.
    pub fn next_at(&self) -> i64 {
        (self.since + self.interval).div_euclid(NANOS) + 1
    }

    /// At another rate, what has filled stays: as many of them, not as long a time.
    fn fill(&mut self, pace: Pace, share: (u32, u32), now: i64) {
        let (now, interval) = (nanos(now), interval(pace, share));
        let filled = i128::from((now - self.since).max(0)) * i128::from(interval) / i128::from(self.interval);
        let most = i128::from(HELD + interval);
        self.since = now.max(self.since) - i64::try_from(filled.min(most)).expect("no more than ten years");
        self.interval = interval;
    }
}

fn nanos(micros: i64) -> i64 {
    micros.saturating_mul(NANOS)
}

/// Of the smallest share still a time that can be added to any other: at most ten years.
fn interval(pace: Pace, (part, of): (u32, u32)) -> i64 {
    const LONGEST: u128 = 10 * 366 * 86_400 * 1_000_000_000;
    let nanos = u128::from(pace.interval_nanos()) * u128::from(of.max(1)) / u128::from(part.max(1));
    i64::try_from(nanos.clamp(1, LONGEST)).expect("ten years of nanoseconds fit")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const NOW: i64 = 1_790_000_000 * SECOND;

    fn pace(text: &str) -> Pace {
        text.parse().expect("a pace")
    }

    /// How many go in so many seconds to one who asks each so many milliseconds for all there are.
    fn taken(pace: Pace, share: (u32, u32), seconds: i64, every_ms: i64) -> usize {
        let mut bucket = Bucket::new(pace, NOW);
        (0..=seconds * 1000 / every_ms).map(|n| bucket.take(pace, share, NOW + n * every_ms * 1000, usize::MAX)).sum()
    }

    #[test]
    fn no_more_go_than_the_pace_says_however_often_is_asked() {
        for (text, share, seconds, expected) in [
            ("50/s", (1, 1), 10, 500),
            ("1/s", (1, 1), 10, 10),
            ("3/m", (1, 1), 60, 3),
            ("20000/s", (1, 1), 10, 200_000),
            ("1000000/s", (1, 1), 1, 1_000_000),
            ("300/s", (1, 3), 10, 1_000),
            ("300/s", (2, 3), 10, 2_000),
            ("7/s", (1, 1), 100, 700),
        ] {
            for every_ms in [1, 7, 100] {
                let taken = taken(pace(text), share, seconds, every_ms);
                assert!(taken.abs_diff(expected) <= expected / 50 + 1, "{text} {share:?}: {taken} each {every_ms} ms");
                assert!(taken <= expected + 1, "{text} {share:?}: {taken} each {every_ms} ms");
            }
        }
    }

    #[test]
    fn a_bucket_holds_one_and_a_fifth_of_a_second() {
        for (text, held) in [("50/s", 11), ("20000/s", 4_001), ("1/m", 1), ("1/d", 1)] {
            let mut bucket = Bucket::new(pace(text), NOW);
            assert_eq!(bucket.take(pace(text), (1, 1), NOW, 9), 0, "{text}: it begins empty");
            let later = NOW + 86_400 * SECOND;
            assert_eq!(bucket.take(pace(text), (1, 1), later, usize::MAX), held, "{text}: after a day");
            assert_eq!(bucket.take(pace(text), (1, 1), later, usize::MAX), 0, "{text}: at once again");
        }
    }

    #[test]
    fn it_says_when_there_is_one() {
        let mut bucket = Bucket::new(pace("4/s"), NOW);
        assert_eq!(bucket.take(pace("4/s"), (1, 1), bucket.next_at() - 2, 1), 0);
        assert_eq!(bucket.take(pace("4/s"), (1, 1), bucket.next_at(), 1), 1);
        assert_eq!(bucket.next_at(), NOW + SECOND / 2 + 1);
    }

    #[test]
    fn another_rate_gives_nobody_what_has_not_filled() {
        let mut bucket = Bucket::new(pace("10/s"), NOW);
        let later = NOW + SECOND / 20;
        assert_eq!(bucket.take(pace("10/s"), (1, 1000), later, 9), 0, "half of one");
        assert_eq!(bucket.take(pace("1000/s"), (1, 1), later, usize::MAX), 0, "half of one is half of one");
        assert_eq!(bucket.take(pace("1000/s"), (1, 1), later + 10_000, usize::MAX), 10);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_gives_nothing() {
        let mut bucket = Bucket::new(pace("50/s"), NOW);
        assert_eq!(bucket.take(pace("50/s"), (1, 1), NOW + SECOND, 99), 11);
        assert_eq!(bucket.take(pace("50/s"), (1, 1), NOW, 9), 0);
        assert_eq!(bucket.take(pace("50/s"), (1, 1), NOW - SECOND, 9), 0);
    }
}
