//! Business days: the nth or the last open day of a month.

use chrono::{Datelike, NaiveDate};

use crate::cron::{Cron, in_each_week};
use crate::fault::{Fault, Piece};

/// Monday to Friday; bit 0 is Sunday.
const WORKING: u8 = 0b011_1110;

/// Local times on business days of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Business {
    /// The times of day, and in which months, on which weekdays, in which years.
    pub cron: Cron,
    pub picked: Picked,
    /// Nothing closes weekends, so Saturdays and Sundays are no business days.
    pub working_week: bool,
}

/// Which of a month's business days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Picked {
    /// Bit `n`: the `n`th.
    pub nth: u32,
    /// Bit `n`: `n` before the last one.
    pub back: u32,
}

impl Business {
    /// The first local time at or after `from`, to the year 2100. `closed` yields the closed days of a year and month, as bits
    /// 1 to 31.
    pub fn first_local(&self, from: i64, closed: impl Fn(i32, u32) -> u32) -> Option<i64> {
        self.cron.first_local_but(from, |year, month| !self.days(year, month, closed(year, month)))
    }

    fn days(&self, year: i32, month: u32, closed: u32) -> u32 {
        let Some(begin) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let working = in_each_week(WORKING, begin.weekday().num_days_from_sunday());
        let days = (u32::MAX >> (31 - u32::from(begin.num_days_in_month()))) & !1 & !closed;
        let mut open = if self.working_week { days & working } else { days };
        let (count, mut number, mut picked) = (open.count_ones(), 1, 0);
        while open != 0 {
            let day = open & open.wrapping_neg();
            if (self.picked.nth >> number | self.picked.back >> (count - number)) & 1 == 1 {
                picked |= day;
            }
            open ^= day;
            number += 1;
        }
        picked
    }
}

impl Picked {
    /// `3B`, `LB` or `L-2B`; none where it does not end in `B`.
    pub fn read(text: Piece) -> Option<Result<Self, Fault>> {
        const MOST: u32 = 23;
        let head = text.text.strip_suffix(['B', 'b'])?;
        let bit = |number: u32, least: u32| (least..=MOST).contains(&number).then(|| 1 << number);
        let picked = match head.strip_prefix(['L', 'l']) {
            Some("") => Some(Self { nth: 0, back: 1 }),
            Some(back) => {
                back.strip_prefix('-').and_then(|back| bit(back.parse().ok()?, 1)).map(|back| Self { nth: 0, back })
            }
            None => head.parse().ok().and_then(|nth| bit(nth, 1)).map(|nth| Self { nth, back: 0 }),
        };
        Some(picked.ok_or_else(|| {
            let help = "1B to 23B count a month's open days, LB is its last one, L-1B to L-23B are open days before it";
            text.fault(format!("day of month {} is not known; {help}", text.quoted()))
        }))
    }

    pub fn or(self, other: Self) -> Self {
        Self { nth: self.nth | other.nth, back: self.back | other.back }
    }
}
