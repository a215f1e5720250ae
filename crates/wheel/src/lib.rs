//! Pure. A hierarchical timing wheel: it holds items until they are due and gives them back in the order of their due
//! times.
//!
//! It does not know what an item is, nor what time it is: the time is passed in. Nothing is cancelled here on the way; who
//! needs that puts a generation into the item and ignores what comes out stale.
//!
//! Time is cut into ticks of a millisecond. Each level has 256 slots, and a slot of one level is as long as the whole
//! level below: 1 ms, 256 ms, 66 s, 4.7 h, 50 d and so on. An item waits in the level of the highest digit (base 256) in
//! which its tick differs from the present one, and moves down when that digit is reached. So an item is touched at most
//! once a level, and a bitmap per level finds the next slot that holds anything, however far away it is.

mod level;
mod ticks;

use level::Level;

/// Enough levels of 256 slots for every time that an `i64` of microseconds can hold.
const LEVELS: usize = 7;

/// Holds items of type `T` until they are due. All times are microseconds since the Unix epoch.
///
/// An item comes out in the first [`advance`](Self::advance) that reaches the end of its millisecond: never early, less
/// than 1 ms late.
#[derive(Debug)]
pub struct Wheel<T> {
    /// The tick up to which everything has been given out.
    now: u64,
    levels: [Level<T>; LEVELS],
    /// What was already due when it was put in.
    overdue: Vec<(i64, T)>,
    len: usize,
}

impl<T: Copy> Wheel<T> {
    /// An empty wheel that stands at `now`. A time before 1970 counts as 1970.
    pub fn new(now: i64) -> Self {
        Self { now: ticks::reached(now), levels: std::array::from_fn(|_| Level::new()), overdue: Vec::new(), len: 0 }
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts an item in. One that is due already comes out at the next [`advance`](Self::advance).
    pub fn insert(&mut self, due: i64, item: T) {
        self.len += 1;
        self.place(due, item);
    }

    /// All that it holds, as (due, item), in no order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &T)> {
        let levels = self.levels.iter().flat_map(Level::iter);
        levels.chain(&self.overdue).map(|(due, item)| (*due, item))
    }

    /// Takes out what `goes` says, wherever it waits: this looks at all that it holds.
    pub fn take_out(&mut self, goes: impl Fn(&T) -> bool) {
        self.levels.iter_mut().for_each(|level| level.retain(|item| !goes(item)));
        self.overdue.retain(|(_, item)| !goes(item));
        self.len = self.iter().count();
    }

    /// Appends everything that is due at `now` to `out`, as (due, item), ordered by due time to the millisecond.
    ///
    /// The wheel never turns back: a `now` before that of an earlier call counts as that one.
    pub fn advance(&mut self, now: i64, out: &mut Vec<(i64, T)>) {
        let target = ticks::reached(now).max(self.now);
        let given_before = out.len();
        self.overdue.sort_unstable_by_key(|(due, _)| *due);
        out.append(&mut self.overdue);
        while let Some((level, slot, start)) = self.next_slot().filter(|(_, _, start)| *start <= target) {
            self.now = start;
            self.empty_slot(level, slot, out);
        }
        self.now = target;
        self.len -= out.len() - given_before;
        self.shrink_overdue();
    }

    /// The time before which nothing comes out: sleep until then, and [`advance`](Self::advance). It may lie before the
    /// first due time, as far-off items are only known to the length of their slot. `None` when the wheel is empty.
    pub fn next_due_hint(&self) -> Option<i64> {
        if self.overdue.is_empty() {
            self.next_slot().map(|(_, _, start)| ticks::start(start))
        } else {
            Some(ticks::start(self.now))
        }
    }

    fn place(&mut self, due: i64, item: T) {
        let tick = ticks::due(due);
        if tick <= self.now {
            self.overdue.push((due, item));
        } else {
            let level = ticks::highest_digit(tick ^ self.now);
            self.levels[level].push(ticks::digit(tick, level), due, item);
        }
    }

    /// The first slot that holds anything, as (level, slot, the tick at which it begins).
    ///
    /// All that a level holds lies beyond the levels below it, so the lowest level that holds anything has it.
    fn next_slot(&self) -> Option<(usize, u8, u64)> {
        self.levels.iter().enumerate().find_map(|(level, slots)| {
            let slot = slots.first_occupied()?;
            Some((level, slot, ticks::slot_start(self.now, level, slot)))
        })
    }

    /// Gives out what a slot holds that begins at the present tick; what is due later in it moves down.
    fn empty_slot(&mut self, level: usize, slot: u8, out: &mut Vec<(i64, T)>) {
        let mut entries = self.levels[level].take(slot);
        if level == 0 {
            out.append(&mut entries);
            return;
        }
        for (due, item) in entries {
            self.place(due, item);
        }
        out.append(&mut self.overdue);
    }

    /// Memory is proportional to what is held now, not to the largest burst ever.
    fn shrink_overdue(&mut self) {
        const KEEP: usize = 1024;
        if self.overdue.capacity() > KEEP {
            self.overdue = Vec::new();
        }
    }
}
