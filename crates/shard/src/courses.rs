//! What is to be known of a definition's schedule beyond its cursor: how many of its due times may fire and have fired, what happens when it is
//! over, and up to when whoever resumed it wants what was missed. Only definitions that ask for it have a course; all others cost nothing here.

use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;

use crate::codec::{DecodeError, Decoder, Encoder};
use crate::entry::NEVER;
use crate::keys;
use crate::kv::{Read, ReadError, Table, Txn};
use crate::occurrence::check_version;
use crate::scan;
use crate::slots::Slot;

const VERSION: u8 = 1;

/// What becomes of a definition when its schedule is over. The codes stand on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum AfterEnd {
    /// It stays.
    #[default]
    Keep = 0,
    /// It is disabled.
    Disable = 1,
    /// It is deleted.
    Delete = 2,
}

impl AfterEnd {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Keep, Self::Disable, Self::Delete];
}

/// What a definition asks for about the end of its schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many of its due times fire.
    pub max: Option<u32>,
    /// What becomes of it then, or when no due time is left.
    pub after_end: AfterEnd,
}

impl Bounds {
    pub(crate) fn encode(e: &mut Encoder, bounds: &Self) {
        e.option(bounds.max.as_ref(), |e, max| e.u32(*max));
        e.u8(bounds.after_end as u8);
    }

    pub(crate) fn decode(d: &mut Decoder) -> Result<Self, DecodeError> {
        let (max, code) = (d.option(Decoder::u32)?, d.u8()?);
        let after_end = AfterEnd::ALL.into_iter().find(|after_end| *after_end as u8 == code);
        let after_end = after_end.ok_or_else(|| DecodeError(format!("end policy {code} is not known")))?;
        Ok(Self { max, after_end })
    }
}

/// One definition's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// What it asks for.
    pub bounds: Option<Bounds>,
    /// Due times that have fired since it has a `max`.
    pub used: u32,
    /// It was disabled because its schedule was over.
    pub disabled: bool,
    /// Whoever resumed it wants each due time up to here to fire, whatever the misfire mode says. Microseconds since the epoch.
    pub wanted_through: Option<i64>,
}

impl Course {
    /// How many more of its due times may fire.
    pub fn left(&self) -> Option<u32> {
        let max = self.bounds.and_then(|bounds| bounds.max)?;
        Some(max.saturating_sub(self.used))
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn after_end(&self) -> AfterEnd {
        self.bounds.map(|bounds| bounds.after_end).unwrap_or_default()
    }

    /// As it stands on disk.
    pub fn encode(&self) -> Vec<u8> {
        let mut e = Encoder::with_capacity(32);
        e.u8(VERSION);
        e.option(self.bounds.as_ref(), Bounds::encode);
        e.u32(self.used);
        e.u8(self.disabled.into());
        e.option(self.wanted_through.as_ref(), |e, through| e.i64(*through));
        e.finish()
    }

    /// From disk.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut d = Decoder::new(bytes);
        check_version(d.u8()?, "course")?;
        let course = Self {
            bounds: d.option(Bounds::decode)?,
            used: d.u32()?,
            disabled: d.flag()?,
            wanted_through: d.option(Decoder::i64)?,
        };
        d.end()?;
        Ok(course)
    }
}

/// The courses of a shard, by definition.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Courses {
    courses: HashMap<u64, Course>,
    /// Those whose schedule is over, and that are not to be kept as they are.
    over: BTreeSet<u64>,
}

impl Courses {
    /// One definition's.
    pub fn get(&self, number: u64) -> Option<&Course> {
        if self.courses.is_empty() { None } else { self.courses.get(&number) }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Course)> {
        self.courses.iter().map(|(number, course)| (*number, course))
    }

    /// Definitions whose schedule is over, and of which something is to become, from one on. They may have to wait: for a run, or to be resumed.
    pub fn over_from(&self, number: u64) -> impl Iterator<Item = u64> {
        self.over.range(number..).copied()
    }

    /// Whether none of them is to be asked about.
    pub fn none_is_over(&self) -> bool {
        self.over.is_empty()
    }

    /// What becomes of a definition whose schedule is over; none where it goes on, or stays as it is.
    pub(crate) fn end_of(&self, number: u64) -> Option<AfterEnd> {
        self.over.get(&number).and_then(|number| self.get(*number)).map(Course::after_end)
    }

    /// Whether no due time of it may fire any more.
    pub(crate) fn is_used_up(&self, number: u64) -> bool {
        self.get(number).and_then(Course::left) == Some(0)
    }

    /// A definition says what it asks for. Firings are counted on as long as each of its versions has a `max`.
    pub(crate) fn set(&mut self, txn: &mut Txn<'_>, number: u64, bounds: Option<Bounds>) {
        let before = self.get(number).copied().unwrap_or_default();
        let counts = |bounds: Option<Bounds>| bounds.is_some_and(|bounds| bounds.max.is_some());
        let used = if counts(before.bounds) && counts(bounds) { before.used } else { 0 };
        self.put(txn, number, Course { bounds, used, ..Course::default() });
    }

    /// One of its due times fires; says whether that was the last one.
    pub(crate) fn count(&mut self, txn: &mut Txn<'_>, number: u64) -> bool {
        let Some(course) = self.get(number).copied().filter(|course| course.left().is_some()) else { return false };
        let course = Course { used: course.used.saturating_add(1), ..course };
        self.put(txn, number, course);
        course.left() == Some(0)
    }

    /// It was resumed, and each due time up to here is wanted.
    pub(crate) fn want(&mut self, txn: &mut Txn<'_>, number: u64, through: i64) {
        let course = self.get(number).copied().unwrap_or_default();
        self.put(txn, number, Course { wanted_through: Some(through), ..course });
    }

    /// It was disabled because its schedule was over.
    pub(crate) fn set_disabled(&mut self, txn: &mut Txn<'_>, number: u64) {
        let course = self.get(number).copied().unwrap_or_default();
        self.put(txn, number, Course { disabled: true, ..course });
    }

    /// Its cursor stands elsewhere, or whether it acts has changed.
    pub(crate) fn follow(&mut self, txn: &mut Txn<'_>, number: u64, slot: &Slot) {
        let Some(course) = self.get(number).copied() else { return };
        if course.wanted_through.is_some_and(|through| slot.next > through) {
            self.put(txn, number, Course { wanted_through: None, ..course });
        }
        self.note(number, slot);
    }

    fn note(&mut self, number: u64, slot: &Slot) {
        let to_end = self.get(number).is_some_and(|course| course.after_end() != AfterEnd::Keep);
        if to_end && slot.is_enabled() && slot.next == NEVER {
            self.over.insert(number);
        } else if !self.over.is_empty() {
            self.over.remove(&number);
        }
    }

    /// Of a definition that goes.
    pub(crate) fn remove(&mut self, txn: &mut Txn<'_>, number: u64) {
        self.over.remove(&number);
        self.put(txn, number, Course::default());
    }

    fn put(&mut self, txn: &mut Txn<'_>, number: u64, course: Course) {
        if !course.is_empty() {
            txn.put(Table::Meta, keys::course(number), course.encode());
            self.courses.insert(number, course);
        } else if self.get(number).is_some() {
            self.courses.remove(&number);
            self.over.remove(&number);
            txn.delete(Table::Meta, keys::course(number));
        }
    }

    /// From disk. `slot` tells that of a definition that is there.
    pub(crate) fn load(state: &dyn Read, slot: impl Fn(u64) -> Option<Slot>) -> Result<Self, ReadError> {
        let mut courses = Self::default();
        scan::each(state, Table::Meta, (keys::COURSES, &keys::after(keys::COURSES)), |key, value| {
            let number = keys::parse_course(key)?;
            let slot =
                slot(number).ok_or_else(|| DecodeError(format!("the course of definition {number}: no such")))?;
            courses.courses.insert(number, Course::decode(value)?);
            courses.note(number, &slot);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(courses)
    }

    /// A record of a backup.
    pub(crate) fn restore(
        &mut self,
        txn: &mut Txn<'_>,
        (number, slot): (u64, &Slot),
        course: Course,
    ) -> Result<(), String> {
        if self.get(number).is_some() {
            return Err(format!("is a second course of definition {number}"));
        }
        self.put(txn, number, course);
        self.note(number, slot);
        Ok(())
    }
}
