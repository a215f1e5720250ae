//! One level of the wheel: 256 slots, and which of them hold anything.
//!
//! It does not know how long its slots are.

/// Slots of a level: one for each value of a byte.
const SLOTS: usize = 256;

#[derive(Debug)]
pub(crate) struct Level<T> {
    /// One bit for each slot that holds anything.
    occupied: [u64; SLOTS / 64],
    slots: Vec<Vec<(i64, T)>>,
}

impl<T> Level<T> {
    pub(crate) fn new() -> Self {
        Self { occupied: [0; SLOTS / 64], slots: std::iter::repeat_with(Vec::new).take(SLOTS).collect() }
    }

    pub(crate) fn push(&mut self, slot: u8, due: i64, item: T) {
        self.occupied[usize::from(slot) / 64] |= 1 << (slot % 64);
        self.slots[usize::from(slot)].push((due, item));
    }

    /// Empties a slot; its memory goes with what it held.
    pub(crate) fn take(&mut self, slot: u8) -> Vec<(i64, T)> {
        self.occupied[usize::from(slot) / 64] &= !(1 << (slot % 64));
        std::mem::take(&mut self.slots[usize::from(slot)])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &(i64, T)> {
        self.slots.iter().flatten()
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        for (place, slot) in self.slots.iter_mut().enumerate() {
            slot.retain(|(_, item)| keep(item));
            if slot.is_empty() {
                self.occupied[place / 64] &= !(1 << (place % 64));
            }
        }
    }

    pub(crate) fn first_occupied(&self) -> Option<u8> {
        let word = self.occupied.iter().position(|bits| *bits != 0)?;
        let slot = word * 64 + self.occupied[word].trailing_zeros() as usize;
        Some(u8::try_from(slot).expect("four words have 256 bits"))
    }
}
