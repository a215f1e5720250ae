//! Until when a node may match events against its copy of a shard's subscriptions, and when a change of them may be acknowledged: the rules,
//! of one shard, on the node that leads it and on one that follows.
//!
//! Pure: time is passed in, in microseconds of the node's own clock, which counts suspended time. Knows no message, no index and no Raft.

use std::collections::{BTreeMap, VecDeque};

/// How long a lease lasts from the instant at which its leader was last confirmed.
pub const LEASE: i64 = 1_000_000;
/// What clocks of two nodes may differ by while a lease lasts: 5 %.
pub const MARGIN: i64 = 50_000;
/// Changes of a shard that are kept for those who lack them, how many bytes of them, and for how long. Who lacks an older one gets everything.
const CHANGES: usize = 16 * 1024;
const CHANGES_BYTES: usize = 4 * 1024 * 1024;
const CHANGES_AGE: i64 = 30_000_000;

/// Up to where somebody has a shard's subscriptions. Later ones are greater: a later leader has all that an earlier one has acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The leader's; 0 for having nothing.
    pub term: u64,
    /// How often that leader had read its subscriptions anew.
    pub run: u32,
    /// Changes since then.
    pub seq: u64,
}

impl Position {
    fn goes_on_from(self, other: Self) -> bool {
        (self.term, self.run) == (other.term, other.run) && self.seq >= other.seq
    }
}

/// Whether a change may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// Every leaseholder has it.
    Now,
    /// At this time at the latest, if nobody who lacks it renews a lease before.
    At(i64),
    /// This node does not lead in that term any more: nobody here can say.
    Lost,
}

/// What the leader of a shard knows of it.
pub struct Led<C> {
    head: Position,
    log: VecDeque<Kept<C>>,
    bytes: usize,
    /// Before this, leases of earlier leaders may last.
    settled_from: i64,
    /// When it was last confirmed that nobody else led.
    confirmed: Option<i64>,
    holders: BTreeMap<u64, Holder>,
}

struct Kept<C> {
    change: C,
    bytes: usize,
    at: i64,
}

/// Another node that has asked.
#[derive(Debug)]
struct Holder {
    has: Position,
    until: i64,
    /// Since when it was offered more than it has, without taking any of it.
    stuck: Option<i64>,
}

impl<C: Clone> Led<C> {
    /// This node begins to lead in `term`. If it is `alone`, nobody can have a lease of an earlier leader.
    pub fn new(term: u64, run: u32, now: i64, alone: bool) -> Self {
        Self {
            head: Position { term, run, seq: 0 },
            log: VecDeque::new(),
            bytes: 0,
            settled_from: if alone { i64::MIN } else { now + LEASE + MARGIN },
            confirmed: None,
            holders: BTreeMap::new(),
        }
    }

    /// The subscriptions were read anew, in the same term: what differs is not known. Leases go on.
    pub fn again(&mut self, run: u32) {
        self.head = Position { run, seq: 0, ..self.head };
        self.log.clear();
        self.bytes = 0;
    }

    /// Up to where its subscriptions go.
    pub fn head(&self) -> Position {
        self.head
    }

    /// They have changed: of this size, at this time.
    pub fn change(&mut self, change: C, bytes: usize, now: i64) -> Position {
        self.head.seq += 1;
        self.bytes += bytes;
        self.log.push_back(Kept { change, bytes, at: now });
        self.trim(now);
        self.head
    }

    /// They have changed so many times while nobody else had any. Nothing is kept.
    pub fn change_alone(&mut self, times: u64) -> Position {
        self.head.seq += times;
        self.log.clear();
        self.bytes = 0;
        self.head
    }

    /// Drops changes that are kept no longer.
    pub fn trim(&mut self, now: i64) {
        while self.log.front().is_some_and(|oldest| {
            self.log.len() > CHANGES || self.bytes > CHANGES_BYTES || oldest.at < now - CHANGES_AGE
        }) {
            self.bytes -= self.log.pop_front().map_or(0, |kept| kept.bytes);
        }
    }

    /// At that time nobody else had been elected after this node.
    pub fn confirm(&mut self, at: i64) {
        self.confirmed = self.confirmed.max(Some(at));
    }

    /// Whether that was confirmed of an instant since then.
    pub fn is_confirmed(&self, since: i64) -> bool {
        self.confirmed.is_some_and(|at| at >= since)
    }

    /// Until when this node itself may match: nobody elected since acknowledges anything before that.
    pub fn until(&self) -> i64 {
        self.confirmed.map_or(i64::MIN, |at| at.saturating_add(LEASE))
    }

    /// A node says what it has. Says whether it has more than it was known to.
    pub fn heard(&mut self, node: u64, has: Position) -> bool {
        let holder = self.holders.entry(node).or_insert(Holder { has, until: i64::MIN, stuck: None });
        let more = has > holder.has;
        if more {
            *holder = Holder { has, stuck: None, ..*holder };
        }
        more
    }

    /// The changes that somebody lacks, oldest first; `None` if they are not kept and everything is to be sent.
    pub fn since(&self, has: Position) -> Option<impl Iterator<Item = (&C, usize)>> {
        let behind = self.head.seq.checked_sub(has.seq).filter(|_| self.head.goes_on_from(has))?;
        let from = self.log.len().checked_sub(usize::try_from(behind).ok()?)?;
        Some(self.log.range(from..).map(|kept| (&kept.change, kept.bytes)))
    }

    /// A lease for a node that was heard, from when it asked, if it is given all that [`Led::since`] tells: how long it lasts; 0 for none.
    pub fn grant(&mut self, node: u64, now: i64) -> i64 {
        let (lasts, until, head) = (self.until().saturating_sub(now), self.until() + MARGIN, self.head);
        let Some(holder) = self.holders.get_mut(&node).filter(|_| lasts > 0) else { return 0 };
        // Who takes nothing any more would hold up every change for as long as it renews.
        if holder.has < head && now - *holder.stuck.get_or_insert(now) > LEASE {
            return 0;
        }
        holder.until = holder.until.max(until);
        lasts
    }

    /// Whether everybody who may match has the shard's subscriptions up to there.
    pub fn settled(&self, position: Position, now: i64) -> Settled {
        if position.term != self.head.term {
            return Settled::Lost;
        }
        let lacking = self.holders.values().filter(|holder| holder.has < position).map(|holder| holder.until);
        match lacking.chain([self.settled_from]).max().filter(|at| *at > now) {
            Some(at) => Settled::At(at),
            None => Settled::Now,
        }
    }
}

/// What a node knows of a shard that another one leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Up to where it has the shard's subscriptions.
    pub has: Position,
    /// Until when it may match against them.
    pub until: i64,
}

impl Followed {
    /// Nothing, and no lease.
    pub const NOTHING: Self = Self { has: Position { term: 0, run: 0, seq: 0 }, until: i64::MIN };

    /// Changes up to `to` came, computed for who has `from`. Says whether they are to be made: what comes late is not.
    pub fn changes(&mut self, from: Position, to: Position) -> bool {
        let fits = self.has == from && to.goes_on_from(from);
        if fits {
            self.has = to;
        }
        fits
    }

    /// All subscriptions came, as they were at `of` or later. Says whether they are to replace what is here.
    pub fn replace(&mut self, of: Position) -> bool {
        let newer = of > self.has;
        if newer {
            self.has = of;
        }
        newer
    }

    /// A lease was granted by an answer that brought it to `to`, to a request that was sent at `sent`.
    pub fn granted(&mut self, to: Position, sent: i64, lasts: i64) {
        if self.has == to && lasts > 0 {
            self.until = self.until.max(sent.saturating_add(lasts));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000;

    fn at(term: u64, run: u32, seq: u64) -> Position {
        Position { term, run, seq }
    }

    /// Leads alone in term 3, confirmed at 0, with changes `a`, `b`, `c`.
    fn led() -> Led<char> {
        let mut led = Led::new(3, 1, 0, true);
        led.confirm(0);
        for change in ['a', 'b', 'c'] {
            led.change(change, 10, 0);
        }
        led
    }

    #[test]
    fn who_lacks_changes_gets_those_or_everything() {
        let mut led = led();
        led.head.seq += 100;
        let long = "abc".chars().chain(std::iter::repeat_n('x', 100));
        for (index, change) in long.clone().enumerate().skip(3) {
            led.log.push_back(Kept { change, bytes: 10, at: index as i64 });
        }
        led.log.pop_front();
        for (has, lacks) in [
            (at(3, 1, 103), Some(0)),
            (at(3, 1, 101), Some(2)),
            (at(3, 1, 1), Some(102)),
            (at(3, 1, 0), None),
            (at(3, 1, 104), None),
            (at(3, 0, 103), None),
            (at(2, 1, 103), None),
            (at(4, 1, 103), None),
            (Position::default(), None),
        ] {
            assert_eq!(led.since(has).map(Iterator::count), lacks, "{has:?}");
        }
    }

    #[test]
    fn changes_are_kept_within_limits_of_number_bytes_and_age() {
        let mut led = Led::new(1, 1, 0, true);
        (0..CHANGES + 5).for_each(|_| _ = led.change((), 1, 0));
        assert_eq!(led.log.len(), CHANGES);
        led.change((), CHANGES_BYTES - 1, 0);
        assert_eq!((led.log.len(), led.bytes), (2, CHANGES_BYTES));
        led.trim(CHANGES_AGE + 1);
        assert_eq!((led.log.len(), led.bytes), (0, 0));
    }

    #[test]
    fn a_change_is_settled_when_leaseholders_have_it_or_their_leases_have_run_out() {
        let mut led = led();
        assert_eq!(led.settled(at(3, 1, 3), 0), Settled::Now, "nobody holds a lease");
        led.heard(7, at(3, 1, 2));
        assert_eq!(led.settled(at(3, 1, 3), 0), Settled::Now, "it has none yet");
        assert_eq!(led.grant(7, S / 4), S * 3 / 4);
        assert_eq!(led.settled(at(3, 1, 2), S / 4), Settled::Now);
        assert_eq!(led.settled(at(3, 1, 3), S / 4), Settled::At(LEASE + MARGIN));
        assert_eq!(led.settled(at(3, 1, 3), LEASE + MARGIN), Settled::Now);
        assert_eq!(led.settled(at(2, 1, 3), 2 * S), Settled::Lost, "of another term");
        assert!(led.heard(7, at(3, 1, 3)));
        assert!(!led.heard(7, at(3, 1, 1)), "a message that was late");
        assert_eq!(led.settled(at(3, 1, 3), S / 4), Settled::Now);
        led.again(2);
        assert_eq!(led.settled(at(3, 2, 0), S / 4), Settled::At(LEASE + MARGIN), "what was read anew may differ");
    }

    #[test]
    fn a_new_leader_waits_for_leases_that_it_does_not_know() {
        let led = Led::<()>::new(3, 1, 5 * S, false);
        assert_eq!(led.settled(led.head(), 5 * S), Settled::At(5 * S + LEASE + MARGIN));
        assert_eq!(led.settled(led.head(), 5 * S + LEASE + MARGIN), Settled::Now);
        assert_eq!(Led::<()>::new(3, 1, 5 * S, true).settled(led.head(), 5 * S), Settled::Now, "alone");
    }

    #[test]
    fn a_lease_ends_a_while_after_the_leader_was_last_confirmed_whenever_it_is_granted() {
        for (confirmed, now, lasts) in
            [(None, 0, 0), (Some(0), 0, S), (Some(0), S - 1, 1), (Some(0), S, 0), (Some(0), 9 * S, 0), (Some(S), S, S)]
        {
            let mut led = Led::<()>::new(3, 1, 0, true);
            confirmed.into_iter().for_each(|at| led.confirm(at));
            led.heard(7, led.head());
            assert_eq!(led.grant(7, now), lasts, "{confirmed:?} {now}");
        }
        assert_eq!(led().grant(8, 0), 0, "never heard");
    }

    #[test]
    fn who_takes_no_changes_gets_no_leases() {
        let mut led = led();
        led.confirm(10 * S);
        led.heard(7, at(3, 1, 1));
        assert!(led.grant(7, 0) > 0 && led.grant(7, LEASE) > 0);
        assert_eq!(led.grant(7, LEASE + 1), 0);
        led.heard(7, at(3, 1, 2));
        assert!(led.grant(7, LEASE + 1) > 0, "it moves again");
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let here = Followed { has: at(3, 1, 5), until: 0 };
        for (from, to, taken) in [
            (at(3, 1, 5), at(3, 1, 5), true),
            (at(3, 1, 5), at(3, 1, 8), true),
            (at(3, 1, 4), at(3, 1, 8), false),
            (at(3, 1, 5), at(3, 2, 8), false),
            (at(3, 1, 5), at(3, 1, 4), false),
        ] {
            let mut copy = here;
            assert_eq!(copy.changes(from, to), taken, "{from:?} {to:?}");
            assert_eq!(copy.has, if taken { to } else { here.has });
        }
        for (of, taken) in [(at(3, 1, 5), false), (at(2, 9, 9), false), (at(3, 1, 6), true), (at(4, 0, 0), true)] {
            assert_eq!({ here }.replace(of), taken, "{of:?}");
        }
    }

    #[test]
    fn a_lease_counts_from_when_it_was_asked_for() {
        let mut copy = Followed { has: at(3, 1, 5), until: 7 * S };
        for (to, sent, lasts, until) in [
            (at(3, 1, 4), 9 * S, S, 7 * S),
            (at(3, 1, 5), 9 * S, 0, 7 * S),
            (at(3, 1, 5), 6 * S, S / 2, 7 * S),
            (at(3, 1, 5), 9 * S, S, 10 * S),
        ] {
            copy.granted(to, sent, lasts);
            assert_eq!(copy.until, until, "{to:?} {sent} {lasts}");
        }
    }
}
