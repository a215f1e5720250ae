//! From when on is asked what has closed. Pure: what Temporal has told is passed in, and its clock is the only one that counts.

/// What is asked for again each time: Temporal's visibility shows what has closed when it has come to it, not in order.
const MARGIN: i64 = 2_000_000;
/// And now and then.
const WIDE_MARGIN: i64 = 20_000_000;
/// So often.
const WIDE_EVERY: u32 = 10;
/// Before a run was decided it has not closed; clocks differ.
const SKEW: i64 = 60_000_000;
/// What has closed longer ago is found by looking at each run.
const LONGEST: i64 = 24 * 3600 * 1_000_000;

/// A position in what has closed. In microseconds since the epoch.
#[derive(Debug, Default)]
pub struct Position {
    newest: Option<i64>,
    rounds: u32,
}

impl Position {
    /// Runs have come that were not watched here before: the oldest was decided then.
    pub fn reach_back(&mut self, oldest: i64, now: i64) {
        let from = (oldest - SKEW).max(now - LONGEST);
        self.newest = Some(self.newest.map_or(from, |newest| newest.min(from)));
        // The next time, all of it.
        self.rounds = 0;
    }

    /// From when on to ask.
    pub fn since(&mut self, now: i64) -> i64 {
        self.rounds += 1;
        let margin = if self.rounds.is_multiple_of(WIDE_EVERY) { WIDE_MARGIN } else { MARGIN };
        self.newest.unwrap_or(now - SKEW) - margin
    }

    /// Something has closed then.
    pub fn saw(&mut self, closed_at: i64) {
        self.newest = Some(self.newest.map_or(closed_at, |newest| newest.max(closed_at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn it_asks_again_for_what_was_shown_a_moment_ago_and_now_and_then_for_more() {
        let now = 1_000_000 * SECOND;
        let mut position = Position::default();
        position.reach_back(now - 100 * SECOND, now);
        assert_eq!(position.since(now), now - 162 * SECOND);
        // Whatever our own clock says.
        position.saw(now + 50 * SECOND);
        position.saw(now + 40 * SECOND);
        let margins: Vec<i64> = (2..=21).map(|_| (now + 50 * SECOND - position.since(now)) / SECOND).collect();
        let wide = |round: usize| if (round + 2).is_multiple_of(10) { 20 } else { 2 };
        assert_eq!(margins, (0..20).map(wide).collect::<Vec<_>>());
    }

    #[test]
    fn runs_that_come_from_another_node_take_it_back_and_not_for_ever() {
        let now = 1_000_000 * SECOND;
        for (oldest, expected) in [
            (now - 100 * SECOND, now - 162 * SECOND),
            (now - 30 * 86_400 * SECOND, now - 86_402 * SECOND),
            (now + SECOND, now - 61 * SECOND),
        ] {
            let mut position = Position::default();
            position.saw(now);
            position.reach_back(oldest, now);
            assert_eq!(position.since(now), expected);
        }
    }
}
