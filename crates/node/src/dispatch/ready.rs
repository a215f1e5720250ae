//! Firings that are read and wait for the sink to have room. Those that are in time go first; then those that were decided late; then, at the pace
//! of what is late, those that have waited for the sink for long.

use std::collections::VecDeque;

use super::dispatcher::Firing;
use super::line::Class;

/// Firings of each class kept ready to be sent; below it the next chunk is read.
const READY: usize = 1024;

/// See the module.
#[derive(Default)]
pub(super) struct Ready {
    in_time: VecDeque<Firing>,
    late: VecDeque<Firing>,
    aged: VecDeque<Firing>,
}

impl Ready {
    fn of(&mut self, class: Class) -> &mut VecDeque<Firing> {
        match class {
            Class::InTime => &mut self.in_time,
            Class::Late => &mut self.late,
            Class::Aged => &mut self.aged,
        }
    }

    /// Whether another chunk of a class is to be read.
    pub(super) fn has_room(&self, class: Class) -> bool {
        let of_class = match class {
            Class::InTime => &self.in_time,
            Class::Late => &self.late,
            Class::Aged => &self.aged,
        };
        of_class.len() < READY
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.in_time.len() + self.late.len() + self.aged.len()
    }

    /// Behind all of its class.
    pub(super) fn put(&mut self, firing: Firing) {
        self.of(firing.class).push_back(firing);
    }

    /// Before all of its class.
    pub(super) fn put_first(&mut self, firing: Firing) {
        self.of(firing.class).push_front(firing);
    }

    /// In its place again: the oldest of its class first. What is ready is short, so is the search.
    pub(super) fn put_back(&mut self, firing: Firing) {
        let of_class = self.of(firing.class);
        let place = of_class.partition_point(|other| other.due <= firing.due);
        of_class.insert(place, firing);
    }

    /// How many could go, where there is so much room, of those that have waited for long.
    pub(super) fn aged(&self, room: usize) -> usize {
        room.saturating_sub(self.in_time.len() + self.late.len()).min(self.aged.len())
    }

    /// Takes as many as there is room for, of those that have waited for long at most `aged`.
    pub(super) fn take(&mut self, room: usize, aged: usize) -> Vec<Firing> {
        let in_time = room.min(self.in_time.len());
        let late = (room - in_time).min(self.late.len());
        let aged = (room - in_time - late).min(aged).min(self.aged.len());
        let in_order = self.in_time.drain(..in_time).chain(self.late.drain(..late)).chain(self.aged.drain(..aged));
        in_order.collect()
    }

    /// Those that fit stay.
    pub(super) fn retain(&mut self, fits: impl Fn(&Firing) -> bool) {
        for class in [&mut self.in_time, &mut self.late, &mut self.aged] {
            class.retain(&fits);
        }
    }
}
