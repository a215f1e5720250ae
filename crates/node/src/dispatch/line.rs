//! Chunks that wait to be read from the outbox, and in which order: those that are in time, as they come; behind them those that were decided late,
//! and those that were found in the outbox, oldest first. Pure.
//!
//! It is bounded: what comes beyond is found in the outbox again when the others are done, so that an outage costs no memory here.

use std::collections::{HashSet, VecDeque};
use std::time::{Duration, Instant};

use flintwheel_shard::reply::OutboxRef;

/// Chunks known by name, in each of the two lines.
pub(super) const KNOWN: usize = 65_536;
/// What has waited for so long has waited for the sink: it goes behind all that is in time, at the pace of what is late. A shorter outage is made up
/// for at once, in the order in which it was missed.
const AGED: Duration = Duration::from_secs(300);
/// After a longer one, what has waited for so long does too: else the last minutes of it would hold up what is due now.
const AGING: Duration = Duration::from_secs(5);

/// Which firings go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Those that are in time.
    InTime,
    /// Those whose due time was met late: they were decided at their pace.
    Late,
    /// Those that have waited for the sink: they go at the pace of what is late.
    Aged,
}

impl Class {
    /// Of a chunk that was decided so long ago (microseconds), by what is known of it.
    pub(super) fn of(known: Option<Self>, ago: i64) -> Self {
        let aged = u64::try_from(ago).is_ok_and(|ago| Duration::from_micros(ago) >= AGED);
        if aged { Self::Aged } else { known.unwrap_or(Self::InTime) }
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Line {
    /// As they came.
    news: VecDeque<Known>,
    /// Those behind: late, found in the outbox, or old by now.
    behind: VecDeque<Known>,
    queued: HashSet<(u32, u64)>,
    /// There is more in the outbox than is known here.
    overflowed: bool,
    /// Something has waited for so long that the sink must have been gone.
    aging: bool,
}

struct Known {
    shard: u32,
    chunk: OutboxRef,
    /// None where it was found in the outbox.
    class: Option<Class>,
    /// When it came; none where it was found.
    since: Option<Instant>,
}

/// A chunk to be read: its shard, and what is known of its class.
pub(super) type Next = (u32, OutboxRef, Option<Class>);

impl Line {
    /// A chunk has been decided. Where there is no room, the oldest one is forgotten, and found again later.
    pub(super) fn come(&mut self, shard: u32, chunk: OutboxRef, late: bool, now: Instant) {
        if !self.queued.insert((shard, chunk.seq)) {
            return;
        }
        let (line, class) = if late { (&mut self.behind, Class::Late) } else { (&mut self.news, Class::InTime) };
        line.push_back(Known { shard, chunk, class: Some(class), since: Some(now) });
        if line.len() > KNOWN
            && let Some(oldest) = line.pop_front()
        {
            self.queued.remove(&(oldest.shard, oldest.chunk.seq));
            self.overflowed = true;
        }
    }

    /// A chunk was found in the outbox, after those that are older.
    pub(super) fn find(&mut self, shard: u32, chunk: OutboxRef) {
        if self.is_full() {
            self.overflowed = true;
        } else if self.queued.insert((shard, chunk.seq)) {
            self.behind.push_back(Known { shard, chunk, class: None, since: None });
        }
    }

    /// No more are taken that are found.
    pub(super) fn is_full(&self) -> bool {
        self.behind.len() >= KNOWN
    }

    /// There is more in the outbox, and room for it.
    pub(super) fn is_to_reload(&self) -> bool {
        self.overflowed && self.behind.is_empty()
    }

    /// The outbox is being looked at.
    pub(super) fn reloaded(&mut self) {
        self.overflowed = false;
    }

    /// The chunks of a shard are found anew.
    pub(super) fn forget(&mut self, shard: u32) {
        self.news.retain(|known| known.shard != shard);
        self.behind.retain(|known| known.shard != shard);
        self.queued.retain(|(of, _)| *of != shard);
    }

    /// The next one to be read, if there is room for what it may hold.
    pub(super) fn next(&mut self, now: Instant, has_room: impl Fn(Class) -> bool) -> Option<Next> {
        self.age(now);
        let known = if has_room(Class::InTime) { self.news.pop_front() } else { None };
        let known = match known {
            Some(known) => known,
            // What these are is known when they are read: they may be any.
            None if has_room(Class::Late) && has_room(Class::Aged) => self.behind.pop_front()?,
            None => return None,
        };
        self.queued.remove(&(known.shard, known.chunk.seq));
        Some((known.shard, known.chunk, known.class))
    }

    fn age(&mut self, now: Instant) {
        let waited = |known: &Known| known.since.map_or(Duration::ZERO, |since| now.duration_since(since));
        self.aging &= !self.behind.is_empty();
        self.aging |= self.news.front().is_some_and(|known| waited(known) >= AGED);
        while self.aging
            && let Some(known) = self.news.pop_front_if(|known| waited(known) >= AGING)
        {
            self.behind.push_back(Known { class: Some(Class::Aged), ..known });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(seq: u64) -> OutboxRef {
        OutboxRef { lane: 0, seq, records: 1 }
    }

    fn all(line: &mut Line, now: Instant) -> Vec<u64> {
        std::iter::from_fn(|| line.next(now, |_| true).map(|(_, chunk, _)| chunk.seq)).collect()
    }

    #[test]
    fn what_is_in_time_goes_before_what_is_late_or_was_found() {
        let (mut line, now) = (Line::default(), Instant::now());
        [1, 2].into_iter().for_each(|seq| line.find(0, chunk(seq)));
        line.come(0, chunk(3), true, now);
        line.come(0, chunk(4), false, now);
        line.come(1, chunk(4), false, now);
        line.come(0, chunk(4), false, now);
        line.find(0, chunk(3));
        assert_eq!(all(&mut line, now), [4, 4, 1, 2, 3]);
        line.come(0, chunk(4), false, now);
        assert_eq!(all(&mut line, now), [4], "it may come again when it has been read");
    }

    #[test]
    fn what_has_waited_for_long_goes_behind_what_is_new() {
        let seconds = |seconds| Duration::from_secs(seconds);
        // How long the sink was gone, and in which order what came each second goes then.
        for (outage, expected) in [
            (4, vec![0, 1, 2, 3, 4]),
            (299, (0..300).collect()),
            (300, {
                let (old, new): (Vec<u64>, Vec<u64>) = (0..=300).partition(|seq| *seq <= 295);
                [new, old].concat()
            }),
        ] {
            let (mut line, now) = (Line::default(), Instant::now());
            (0..=outage).for_each(|seq| line.come(0, chunk(seq), false, now + seconds(seq)));
            assert_eq!(all(&mut line, now + seconds(outage)), expected, "{outage}");
        }
    }

    #[test]
    fn the_class_of_a_chunk_follows_from_where_it_was_and_how_old_it_is() {
        let (late, aged) = (Some(Class::Late), Some(Class::Aged));
        for (known, seconds, class) in [
            (None, 0, Class::InTime),
            (None, -5, Class::InTime),
            (None, 299, Class::InTime),
            (None, 300, Class::Aged),
            (late, 0, Class::Late),
            (late, 300, Class::Aged),
            (aged, 5, Class::Aged),
        ] {
            assert_eq!(Class::of(known, seconds * 1_000_000), class, "{known:?} {seconds}");
        }
    }

    #[test]
    fn each_kind_waits_for_its_own_room() {
        let (mut line, now) = (Line::default(), Instant::now());
        line.find(0, chunk(1));
        line.come(0, chunk(2), false, now);
        assert!(line.next(now, |_| false).is_none());
        assert_eq!(line.next(now, |class| class != Class::InTime).map(|(_, chunk, _)| chunk.seq), Some(1));
        assert!(line.next(now, |class| class != Class::InTime).is_none());
        assert_eq!(line.next(now, |class| class == Class::InTime).map(|(_, chunk, _)| chunk.seq), Some(2));
    }

    #[test]
    fn it_is_bounded_and_what_was_forgotten_is_found_again() {
        let (mut line, now) = (Line::default(), Instant::now());
        let many = KNOWN as u64 + 10;
        (0..many).for_each(|seq| line.come(0, chunk(seq), false, now));
        assert!(line.is_to_reload());
        line.reloaded();
        (0..many).for_each(|seq| line.find(0, chunk(seq)));
        assert!(!line.is_to_reload(), "all are known");
        let read = all(&mut line, now);
        assert_eq!((read[0], read.len() as u64), (10, many));
        (0..many).for_each(|seq| line.find(0, chunk(seq)));
        assert!(line.is_full() && !line.is_to_reload());
        line.forget(0);
        assert!(line.is_to_reload());
    }
}
