//! Which days of a month are meant, where that depends on the month: `L`, `L-3`, `15W`, `LW` as days of month; `5#3`, `5L`
//! as days of week. How they are written, and which days of a given month they are.

use flintwheel_model::definition::CronDialect;

use super::fields::{DAY_OF_MONTH, Field};
use crate::fault::{Fault, Piece};

const WEEKDAYS: u32 = 7;
/// The days of a month, as bits.
const MONTH: u32 = !1;

/// Days of month, all as bit sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MonthDays {
    /// Bits 1 to 31.
    plain: u32,
    /// Bit `n`: `n` days before the last one.
    from_end: u32,
    /// Bit `day`: the working day (Monday to Friday) nearest to it in its month.
    near: u32,
    /// Bit `n`: the working day nearest to that `n` days before the last one.
    near_from_end: u32,
}

impl MonthDays {
    pub const ALL: Self = Self { plain: MONTH, from_end: 0, near: 0, near_from_end: 0 };

    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The days of both.
    pub fn or(self, other: Self) -> Self {
        Self {
            plain: self.plain | other.plain,
            from_end: self.from_end | other.from_end,
            near: self.near | other.near,
            near_from_end: self.near_from_end | other.near_from_end,
        }
    }

    /// Reads a field. Faults are added to `faults`, one for each faulty part of the list.
    pub fn parse(text: Piece, seed: u64, faults: &mut Vec<Fault>) -> Self {
        let mut days = Self::default();
        for part in text.split(',') {
            if let Err(fault) = days.add(part, text, seed) {
                faults.push(fault);
            }
        }
        days
    }

    fn add(&mut self, part: Piece, list: Piece, seed: u64) -> Result<(), Fault> {
        let (head, near) = match strip_letter(part, 'W') {
            Some(head) if !head.text.is_empty() => (head, true),
            _ => (part, false),
        };
        if let Some(back) = head.text.strip_prefix(['L', 'l']) {
            let set = if near { &mut self.near_from_end } else { &mut self.from_end };
            *set |= 1 << days_back(part, back)?;
        } else if near {
            self.near |= 1 << DAY_OF_MONTH.value(head)?;
        } else {
            self.plain |= DAY_OF_MONTH.part(part, list, seed)? as u32;
        }
        Ok(())
    }

    /// The days of a month of `len` days that begins on the weekday `first`, as bits; perhaps with more than the month
    /// has.
    #[inline]
    pub fn in_month(&self, len: u32, first: u32) -> u32 {
        if self.from_end | self.near | self.near_from_end == 0 { self.plain } else { self.moving(len, first) }
    }

    fn moving(&self, len: u32, first: u32) -> u32 {
        let back = |set: u32| (set.reverse_bits() >> (31 - len)) & MONTH;
        let near = bits(self.near).filter(|day| *day <= len).chain(bits(back(self.near_from_end)));
        let working = near.fold(0, |set, day| set | 1 << working_day(day, len, first));
        self.plain | back(self.from_end) | working
    }
}

/// `""` or `-3`, what follows an `L`.
fn days_back(part: Piece, text: &str) -> Result<u32, Fault> {
    let days = if text.is_empty() { Some(0) } else { text.strip_prefix('-').and_then(|days| days.parse().ok()) };
    days.filter(|days| *days <= 30).ok_or_else(|| {
        let help = "L is a month's last day, L-1 to L-30 are days before it, LW is its last working day; a \
                    calendar knows LB, the last open day";
        part.fault(format!("day of month {} is not known; {help}", part.quoted()))
    })
}

/// Saturday and Sunday give way to Friday and Monday, but not into another month.
fn working_day(day: u32, len: u32, first: u32) -> u32 {
    match (first + day - 1) % WEEKDAYS {
        0 if day == len => day - 2,
        0 => day + 1,
        6 if day == 1 => day + 2,
        6 => day - 1,
        _ => day,
    }
}

/// Days of week, all as bit sets whose bits 0 (Sunday) to 6 are weekdays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WeekDays {
    plain: u8,
    /// The first of a month, to its fifth.
    nth: [u8; 5],
    /// The last of a month.
    last: u8,
}

impl WeekDays {
    pub const ALL: Self = Self { plain: 0x7f, nth: [0; 5], last: 0 };

    /// The days of both.
    pub fn or(self, other: Self) -> Self {
        let nth = std::array::from_fn(|index| self.nth[index] | other.nth[index]);
        Self { plain: self.plain | other.plain, nth, last: self.last | other.last }
    }

    /// Reads a field. Faults are added to `faults`, one for each faulty part of the list.
    pub fn parse(text: Piece, dialect: CronDialect, seed: u64, faults: &mut Vec<Fault>) -> Self {
        let mut days = Self::default();
        for part in text.split(',') {
            if let Err(fault) = days.add(part, text, dialect, seed) {
                faults.push(fault);
            }
        }
        days
    }

    /// The weekdays as bits, where there are some and all are meant in each week.
    pub fn plain_only(self) -> Option<u8> {
        (self.plain != 0 && self.nth == [0; 5] && self.last == 0).then_some(self.plain)
    }

    fn add(&mut self, part: Piece, list: Piece, dialect: CronDialect, seed: u64) -> Result<(), Fault> {
        let field = Field::of_weekdays(dialect);
        let one = |value: Piece| field.value(value).map(|value| fold_sunday(field.bit(value) as u8));
        if let Some((weekday, nth)) = part.split_once('#') {
            let weekday = one(weekday)?;
            self.nth[nth_index(nth)?] |= weekday;
        } else if let Some(weekday) = strip_letter(part, 'L') {
            match (weekday.text, dialect) {
                ("", CronDialect::Quartz) => self.plain |= 1 << 6,
                ("", _) => return Err(lonely_last(part)),
                _ => self.last |= one(weekday)?,
            }
        } else {
            self.plain |= fold_sunday(field.part(part, list, seed)? as u8);
        }
        Ok(())
    }

    /// The days of a month of `len` days that begins on the weekday `first`, as bits; perhaps with more than the month
    /// has.
    #[inline]
    pub fn in_month(&self, len: u32, first: u32) -> u32 {
        let every = in_each_week(self.plain, first);
        if self.last == 0 && self.nth == [0; 5] { every } else { every | self.moving(len, first) }
    }

    fn moving(&self, len: u32, first: u32) -> u32 {
        const WEEK: u32 = 0x7f;
        let week = |begin: u32| WEEK << begin;
        let nth = self.nth.iter().zip((1..).step_by(WEEKDAYS as usize));
        let nth = nth.fold(0, |set, (days, begin)| set | in_each_week(*days, first) & week(begin));
        nth | in_each_week(self.last, first) & week(len - (WEEKDAYS - 1))
    }
}

fn nth_index(text: Piece) -> Result<usize, Fault> {
    let nth: Option<usize> = text.text.parse().ok().filter(|nth| (1..=5).contains(nth));
    nth.map(|nth| nth - 1).ok_or_else(|| {
        text.fault(format!("nth weekday {} is not in 1-5; 5L is the last one of a month", text.quoted()))
    })
}

fn lonely_last(part: Piece) -> Fault {
    let help = "which weekday? 5L is the last Friday of a month; the last day of a month is L as day of month";
    part.fault(format!("day of week {} has no weekday: {help}", part.quoted()))
}

/// Sunday is 0 and 7; from here on only 0.
fn fold_sunday(weekdays: u8) -> u8 {
    (weekdays | weekdays >> 7) & 0x7f
}

/// Weekdays as days of a month whose first day is the weekday `first`.
pub(crate) fn in_each_week(weekdays: u8, first: u32) -> u32 {
    let week = u64::from(weekdays);
    let from_first = (week >> first | week << (WEEKDAYS - first)) & 0x7f;
    // Five weeks, the first of which begins at bit 1.
    ((from_first * 0x1020_4081) << 1) as u32
}

/// What stands before a letter at the end.
fn strip_letter(text: Piece, letter: char) -> Option<Piece> {
    let head = text.text.strip_suffix([letter, letter.to_ascii_lowercase()])?;
    Some(text.slice(0..head.len()))
}

/// The bits that are set, lowest first.
fn bits(mut set: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (set != 0).then(|| set.trailing_zeros())?;
        set &= set - 1;
        Some(bit)
    })
}
