//! The in-memory part of each definition: what apply must check and change without reading the store.
//!
//! A slot is 48 bytes, found by definition number in pages; a million definitions take about 50 MB. The same fields, as bytes, are the
//! definition's cursor on disk.

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::NEVER;
use crate::occurrence::{NO_CHUNK, check_version};

const VERSION: u8 = 1;
const PAGE: usize = 256;
/// "Has never fired".
pub const NOT_YET: i64 = i64::MIN;

const ENABLED: u8 = 1;
const PAUSED: u8 = 2;

/// One definition's cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Grows with each change of the definition, pause and resume; 0 is a vacant slot.
    pub generation: u32,
    /// Of the definition as given.
    pub version: u32,
    /// The next nominal due time, or [`NEVER`].
    pub next: i64,
    /// The latest nominal due time decided, or [`NOT_YET`].
    pub last: i64,
    /// The newest account chunk that holds an occurrence of it, or [`NO_CHUNK`].
    pub chunk: u64,
    /// Firings decided.
    pub fired: u32,
    /// Occurrences skipped.
    pub skipped: u32,
    /// Firings refused for good.
    pub failed: u32,
    /// The lane of its namespace.
    pub lane: u16,
    flags: u8,
}

impl Slot {
    const VACANT: Self = Self {
        generation: 0,
        version: 0,
        next: NEVER,
        last: NOT_YET,
        chunk: NO_CHUNK,
        fired: 0,
        skipped: 0,
        failed: 0,
        lane: 0,
        flags: 0,
    };

    /// Of a new definition; generation and version are counted up by whoever defines it.
    pub fn new(lane: u16) -> Self {
        Self { lane, ..Self::VACANT }
    }

    /// Its triggers act.
    pub fn is_enabled(&self) -> bool {
        self.flags & ENABLED != 0
    }

    /// An operator has paused it.
    pub fn is_paused(&self) -> bool {
        self.flags & PAUSED != 0
    }

    /// Its schedule is to be watched.
    pub fn is_armed(&self) -> bool {
        self.is_enabled() && !self.is_paused() && self.next != NEVER
    }

    /// Whether its triggers act.
    pub fn set_enabled(&mut self, enabled: bool) {
        self.flags = (self.flags & !ENABLED) | if enabled { ENABLED } else { 0 };
    }

    /// Whether an operator has paused it.
    pub fn set_paused(&mut self, paused: bool) {
        self.flags = (self.flags & !PAUSED) | if paused { PAUSED } else { 0 };
    }

    /// The cursor on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(48);
        e.u8(VERSION);
        e.u32(self.generation);
        e.u32(self.version);
        e.i64(self.next);
        e.i64(self.last);
        e.u64(self.chunk);
        e.u32(self.fired);
        e.u32(self.skipped);
        e.u32(self.failed);
        e.raw(&self.lane.to_le_bytes());
        e.u8(self.flags);
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "cursor")?;
        let slot = Self {
            generation: d.u32()?,
            version: d.u32()?,
            next: d.i64()?,
            last: d.i64()?,
            chunk: d.u64()?,
            fired: d.u32()?,
            skipped: d.u32()?,
            failed: d.u32()?,
            lane: u16::from_le_bytes(d.array()?),
            flags: d.u8()?,
        };
        d.end()?;
        if slot.generation == 0 {
            return Err(DecodeError("a cursor of a vacant slot".into()));
        }
        Ok(slot)
    }
}

const _: () = assert!(size_of::<Slot>() == 48, "a million definitions are promised to take less than 100 MB");

struct Page {
    slots: Box<[Slot; PAGE]>,
    used: usize,
}

/// All slots of a shard, by definition number.
#[derive(Default)]
pub struct Slots {
    /// Numbers are given out in order, so a plain vector of pages is dense; pages without a definition are given back.
    pages: Vec<Option<Page>>,
    len: usize,
}

impl Slots {
    /// Definitions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Has no definition.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The slot of a definition that exists.
    pub fn get(&self, number: u64) -> Option<&Slot> {
        let (page, index) = place(number);
        self.pages.get(page)?.as_ref().map(|page| &page.slots[index]).filter(|slot| slot.generation != 0)
    }

    /// Sets the slot of a definition.
    pub fn set(&mut self, number: u64, slot: Slot) {
        assert!(slot.generation != 0, "generation 0 is a vacant slot");
        let (page, index) = place(number);
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        let page = self.pages[page].get_or_insert_with(|| Page { slots: Box::new([Slot::VACANT; PAGE]), used: 0 });
        if page.slots[index].generation == 0 {
            page.used += 1;
            self.len += 1;
        }
        page.slots[index] = slot;
    }

    /// Vacates the slot of a definition.
    pub fn remove(&mut self, number: u64) {
        let (page_index, index) = place(number);
        let Some(Some(page)) = self.pages.get_mut(page_index) else { return };
        if page.slots[index].generation == 0 {
            return;
        }
        page.slots[index] = Slot::VACANT;
        page.used -= 1;
        self.len -= 1;
        if page.used == 0 {
            self.pages[page_index] = None;
        }
    }

    /// All definitions, by number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Slot)> {
        self.pages_from(0)
    }

    /// Those with these numbers: for who looks at some at a time.
    pub fn range(&self, numbers: std::ops::Range<u64>) -> impl Iterator<Item = (u64, &Slot)> {
        let std::ops::Range { start, end } = numbers;
        let (first, _) = place(start);
        self.pages_from(first)
            .skip_while(move |(number, _)| *number < start)
            .take_while(move |(number, _)| *number < end)
    }

    fn pages_from(&self, first: usize) -> impl Iterator<Item = (u64, &Slot)> {
        self.pages.iter().enumerate().skip(first).flat_map(|(p, page)| {
            page.iter().flat_map(move |page| {
                let numbered = page.slots.iter().enumerate();
                numbered.filter(|(_, s)| s.generation != 0).map(move |(i, s)| ((p * PAGE + i) as u64, s))
            })
        })
    }
}

fn place(number: u64) -> (usize, usize) {
    let number = usize::try_from(number).expect("definition numbers are counted up from zero");
    (number / PAGE, number % PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(generation: u32) -> Slot {
        Slot { generation, ..Slot::new(3) }
    }

    #[test]
    fn pages_are_given_back() {
        let mut slots = Slots::default();
        for number in 0..1000 {
            slots.set(number, slot(1));
        }
        slots.set(5, slot(2));
        assert_eq!((slots.len(), slots.get(5).map(|s| s.generation)), (1000, Some(2)));
        for number in 0..512 {
            slots.remove(number);
            slots.remove(number);
        }
        assert_eq!(slots.len(), 488);
        assert!(slots.pages[0].is_none() && slots.pages[1].is_none());
        assert_eq!(slots.iter().map(|(n, _)| n).min(), Some(512));
        assert!(slots.get(5).is_none() && slots.get(1_000_000).is_none());
        let numbers = |from, to| slots.range(from..to).map(|(number, _)| number).collect::<Vec<_>>();
        assert_eq!(numbers(510, 515), [512, 513, 514]);
        assert_eq!(numbers(998, 5_000), [998, 999]);
        assert_eq!(numbers(700, 700), [0_u64; 0]);
    }

    #[test]
    fn a_cursor_is_written_and_read_back() {
        let mut given = slot(7);
        given.set_enabled(true);
        given.set_paused(true);
        given.next = 5;
        assert_eq!(Slot::decode(&given.encode()), Ok(given));
        assert!(Slot::decode(&given.encode()[1..]).is_err());
    }
}
