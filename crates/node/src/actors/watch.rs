//! The overdue watcher. Pure: it is shown what waits to be decided, and then all cursors, some thousands at a time; whose cursor stands at a time
//! that nobody waits for is forgotten, whatever went wrong, also before it is due.
//!
//! What has changed while it looks is not there yet or not there any more: so only who is missing twice, with the same cursor, is told.

use super::bits::Bits;
use super::coming::Found;

/// How often it looks at all cursors, in microseconds.
const ROUND: i64 = 15_000_000;
/// How soon it looks again where somebody is missing.
const AGAIN: i64 = 5_000_000;
/// Cursors that are looked at in one go: about a millisecond.
pub const PAGE: u64 = 65_536;
/// Of those that are missing, so many are remembered and told at a time; others are in the next round.
const TOLD: usize = 1024;

/// See the module.
pub struct Watcher {
    /// The next round begins then.
    next: i64,
    round: Option<Round>,
    /// Who was missing in the last round.
    missing: Vec<Found>,
}

struct Round {
    /// Who waits to be decided.
    waiting: Bits,
    /// Cursors below this number have been looked at.
    at: u64,
    missing: Vec<Found>,
    oldest: Option<i64>,
    late: u64,
}

/// What a round has found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// They were forgotten: to be armed again.
    pub forgotten: Vec<Found>,
    /// The oldest due time that has passed and is not decided, in microseconds since the epoch.
    pub oldest: Option<i64>,
    /// Definitions that are late and wait for their turn.
    pub late: u64,
}

impl Watcher {
    /// Begins its first round a while after `now`.
    pub fn new(now: i64) -> Self {
        Self { next: now + ROUND, round: None, missing: Vec::new() }
    }

    /// When it is to be called.
    pub fn next(&self) -> i64 {
        if self.round.is_some() { i64::MIN } else { self.next }
    }

    /// Whether a round is to begin.
    pub fn is_due(&self, now: i64) -> bool {
        self.round.is_none() && now >= self.next
    }

    /// Whether one is under way.
    pub fn is_looking(&self) -> bool {
        self.round.is_some()
    }

    /// A round begins.
    pub fn begin(&mut self) {
        self.round = Some(Round { waiting: Bits::default(), at: 0, missing: Vec::new(), oldest: None, late: 0 });
    }

    /// This definition is late, and waits for its turn.
    pub fn is_late(&mut self, late: &Found) {
        if let Some(round) = &mut self.round {
            round.waiting.insert(late.number);
            round.late += 1;
        }
        self.is_overdue(late.nominal);
    }

    /// This definition waits to be decided; also one that begins to while a round is under way.
    pub fn waits(&mut self, number: u64) {
        if let Some(round) = &mut self.round {
            round.waiting.insert(number);
        }
    }

    /// A due time that has passed and is not decided.
    pub fn is_overdue(&mut self, due: i64) {
        if let Some(round) = &mut self.round {
            round.oldest = Some(round.oldest.map_or(due, |oldest| oldest.min(due)));
        }
    }

    /// The numbers whose cursors are to be shown next.
    pub fn page(&self) -> std::ops::Range<u64> {
        let at = self.round.as_ref().map_or(0, |round| round.at);
        at..at.saturating_add(PAGE)
    }

    /// The cursors of a page that are armed and not beyond the horizon. Where `searched`, what is late (due before `late_before`) is searched for, and
    /// not missing.
    pub fn show(&mut self, cursors: impl Iterator<Item = Found>, searched: bool, late_before: i64) {
        for found in cursors {
            let Some(round) = &mut self.round else { return };
            if round.waiting.has(found.number) {
                continue;
            }
            if searched && found.nominal <= late_before {
                self.is_late(&found);
            } else if round.missing.len() < TOLD {
                round.missing.push(found);
            }
        }
    }

    /// A page is done; `last` is the highest number there is. Tells what the round has found when it is over.
    pub fn turn(&mut self, last: u64, now: i64) -> Option<Seen> {
        let page = self.page();
        let round = self.round.as_mut()?;
        round.at = page.end;
        if page.end <= last {
            return None;
        }
        let round = self.round.take()?;
        let twice = |found: &Found| self.missing.contains(found);
        let (forgotten, missing): (Vec<Found>, Vec<Found>) = round.missing.into_iter().partition(twice);
        self.missing = missing;
        self.next = now + if self.missing.is_empty() { ROUND } else { AGAIN };
        let passed = forgotten.iter().map(|found| found.nominal).filter(|nominal| *nominal < now);
        Some(Seen { oldest: round.oldest.into_iter().chain(passed).min(), late: round.late, forgotten })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_790_000_000_000_000;

    fn found(number: u64, nominal: i64) -> Found {
        Found { number, generation: 1, nominal }
    }

    /// One round over these cursors, of which these wait.
    fn round(watcher: &mut Watcher, cursors: &[Found], waiting: &[u64], searched: bool) -> Seen {
        watcher.begin();
        waiting.iter().for_each(|number| watcher.waits(*number));
        let last = cursors.iter().map(|found| found.number).max().unwrap_or(0);
        loop {
            let page = watcher.page();
            let shown: Vec<Found> = cursors.iter().filter(|found| page.contains(&found.number)).copied().collect();
            watcher.show(shown.into_iter(), searched, NOW - 60_000_000);
            if let Some(seen) = watcher.turn(last, NOW) {
                return seen;
            }
        }
    }

    #[test]
    fn who_is_missing_twice_with_the_same_cursor_is_forgotten() {
        let mut watcher = Watcher::new(NOW);
        assert!(!watcher.is_due(NOW) && watcher.is_due(NOW + ROUND));
        let cursors = [found(1, NOW + 5), found(2, NOW + 6), found(PAGE * 3 + 1, NOW + 7)];
        assert_eq!(round(&mut watcher, &cursors, &[1, 2], false), Seen::default(), "it may be on its way");
        assert_eq!(watcher.next(), NOW + AGAIN);
        let moved = [cursors[0], cursors[1], found(PAGE * 3 + 1, NOW + 8)];
        assert_eq!(round(&mut watcher, &moved, &[1, 2], false), Seen::default(), "it has been decided");
        assert_eq!(round(&mut watcher, &moved, &[1, 2], false).forgotten, [moved[2]]);
        assert_eq!(round(&mut watcher, &moved, &[1, 2, PAGE * 3 + 1], false), Seen::default());
        assert_eq!(watcher.next(), NOW + ROUND);
    }

    #[test]
    fn who_is_late_and_searched_for_waits_and_is_not_missing() {
        let mut watcher = Watcher::new(NOW);
        let hour = NOW - 3_600_000_000;
        let cursors = [found(1, hour), found(2, hour + 1), found(3, NOW - 1)];
        for _ in 0..3 {
            let seen = round(&mut watcher, &cursors, &[2, 3], true);
            assert_eq!(seen, Seen { forgotten: vec![], oldest: Some(hour), late: 1 });
        }
        round(&mut watcher, &cursors, &[2, 3], false);
        let seen = round(&mut watcher, &cursors, &[2, 3], false);
        assert_eq!(seen, Seen { forgotten: vec![cursors[0]], oldest: Some(hour), late: 0 }, "nobody searches");
    }

    #[test]
    fn who_begins_to_wait_while_it_looks_is_not_missing() {
        let mut watcher = Watcher::new(NOW);
        for _ in 0..2 {
            watcher.begin();
            watcher.waits(7);
            watcher.show([found(7, NOW)].into_iter(), false, 0);
            assert_eq!(watcher.turn(7, NOW), Some(Seen::default()));
        }
    }
}
