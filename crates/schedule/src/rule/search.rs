//! The first local time that a rule's pattern names.
//!
//! From `DAILY` up, months are searched by bits of days. Below, single hours, minutes or seconds (slots) are taken one after
//! the other; from one that is not allowed the search goes to where the day, the hour or the minute is allowed again. With
//! `BYSETPOS` each period is looked into as a whole.

use chrono::{Datelike, NaiveDate};

use super::{Freq, Pattern, Times};
use crate::cron::{LAST_YEAR, first_second};
use crate::limits::MAX_RULE_SLOTS;

const DAY: i64 = 86_400;
const ANY: u64 = (1 << 60) - 1;

/// Times of which `BYSETPOS` picks some: each of the days with each of the times of day. A day is a bit, counted from a
/// first day (since 1970).
struct Period {
    days: [(i64, u32); 12],
    times: Times,
}

impl Pattern {
    /// The first local time at or after `from`, to the year 2100.
    pub fn first(&self, from: i64) -> Option<i64> {
        let mut slots = MAX_RULE_SLOTS;
        self.first_within(from, &mut slots)
    }

    /// The same, where so many slots may be looked at; counts them down. `None` also where they don't suffice.
    pub fn first_within(&self, from: i64, slots: &mut u32) -> Option<i64> {
        let from = from.max(self.start);
        match (self.freq <= Freq::Daily, self.positions.is_empty()) {
            (true, true) => self.first_on_a_day(from),
            (true, false) => self.first_of_periods(from),
            (false, _) => self.first_of_slots(from, slots),
        }
    }

    fn first_on_a_day(&self, from: i64) -> Option<i64> {
        let today = from.div_euclid(DAY);
        let day = self.first_day(today)?;
        if day == today
            && let Some(second) = self.times.first(from.rem_euclid(DAY))
        {
            return Some(day * DAY + second);
        }
        let day = if day == today { self.first_day(today + 1)? } else { day };
        Some(day * DAY + self.times.first(0)?)
    }

    fn first_of_periods(&self, from: i64) -> Option<i64> {
        let mut day = from.div_euclid(DAY);
        loop {
            let (period, following) = self.period(day)?;
            if let Some(found) = self.first_position(&period, from) {
                return Some(found);
            }
            day = following;
        }
    }

    fn first_of_slots(&self, from: i64, slots: &mut u32) -> Option<i64> {
        // Each slot has as many times: what the first one does not have, none has.
        let held = self.times_of_slot(0).count();
        if !self.positions.is_empty() && self.positions.iter().all(|position| i64::from(*position).abs() > held) {
            return None;
        }
        let (mut reached, mut allowed) = (from, i64::MIN);
        loop {
            let slot = self.first_slot(reached, slots, &mut allowed)?;
            let times = self.times_of_slot(slot);
            let day = slot.div_euclid(DAY);
            let found = if self.positions.is_empty() {
                times.first((from - day * DAY).max(0)).map(|second| day * DAY + second)
            } else {
                self.first_position(&Period::of_day(day, times), from)
            };
            if found.is_some() {
                return found;
            }
            reached = slot + self.unit();
        }
    }

    /// The first of the times that `BYSETPOS` picks, at or after `from`.
    fn first_position(&self, period: &Period, from: i64) -> Option<i64> {
        let picked = self.positions.iter().filter_map(|position| period.at(i64::from(*position)));
        picked.filter(|time| *time >= from).min()
    }

    /// The first day at or after one that the rule names, in days since 1970; at intervals of its own only.
    fn first_day(&self, from: i64) -> Option<i64> {
        let date = NaiveDate::from_epoch_days(i32::try_from(from).ok()?)?;
        let (mut year, mut month, mut open) = (date.year(), date.month(), u32::MAX << date.day());
        while year <= LAST_YEAR {
            let days = self.days_of(year, month) & open;
            if days != 0 {
                let date = NaiveDate::from_ymd_opt(year, month, days.trailing_zeros());
                return date.map(|date| i64::from(date.to_epoch_days()));
            }
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
            open = u32::MAX;
        }
        None
    }

    /// The days of a month that the rule names, as bits 1 to 31.
    fn days_of(&self, year: i32, month: u32) -> u32 {
        match self.freq {
            Freq::Yearly if (i64::from(year) - self.start_month().div_euclid(12)).rem_euclid(self.interval) != 0 => 0,
            Freq::Monthly if (month_number(year, month) - self.start_month()).rem_euclid(self.interval) != 0 => 0,
            Freq::Weekly | Freq::Daily if self.interval > 1 => match self.days.in_month(year, month) {
                0 => 0,
                days => days & self.at_interval(year, month),
            },
            _ => self.days.in_month(year, month),
        }
    }

    /// The days of a month that are in a week, or are a day, of the rule's interval.
    fn at_interval(&self, year: i32, month: u32) -> u32 {
        let Some(begin) = NaiveDate::from_ymd_opt(year, month, 1) else { return 0 };
        let before = i64::from(begin.to_epoch_days()) - 1;
        let weekly = self.freq == Freq::Weekly;
        let count = |day: i64| if weekly { self.days.week_of(day).div_euclid(7) } else { day };
        let start = count(self.start.div_euclid(DAY));
        let fits = |day: &i64| (count(before + day) - start).rem_euclid(self.interval) == 0;
        (1..=31).filter(fits).fold(0, |set, day| set | 1 << day)
    }

    /// The month that the rule begins in, counted from the year 0.
    fn start_month(&self) -> i64 {
        let date = i32::try_from(self.start.div_euclid(DAY)).ok().and_then(NaiveDate::from_epoch_days);
        date.map_or(0, |date| month_number(date.year(), date.month()))
    }

    /// The first period of the rule's interval that a day is in or before, with the first day after it.
    fn period(&self, day: i64) -> Option<(Period, i64)> {
        let date = |day: i64| i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
        let first_of =
            |month: i64| NaiveDate::from_ymd_opt(month.div_euclid(12) as i32, month.rem_euclid(12) as u32 + 1, 1);
        let (months, following) = match self.freq {
            Freq::Daily => {
                let day = self.first_day(day)?;
                return Some((Period::of_day(day, self.times), day + 1));
            }
            Freq::Weekly => {
                let (week, start) = (self.days.week_of(day), self.days.week_of(self.start.div_euclid(DAY)));
                let week = week + (start - week).rem_euclid(7 * self.interval);
                date(week).filter(|first| first.year() <= LAST_YEAR)?;
                let named = (0..7).filter(|index| date(week + index).is_some_and(|date| self.allows(date)));
                let days = named.fold(0, |set, index| set | 1 << index);
                return Some((Period::of_days(week, days, self.times), week + 7));
            }
            Freq::Monthly => {
                let month = date(day).map(|date| month_number(date.year(), date.month()))?;
                let month = month + (self.start_month() - month).rem_euclid(self.interval);
                (month..month + 1, month + 1)
            }
            _ => {
                let (year, start) = (i64::from(date(day)?.year()), self.start_month().div_euclid(12));
                let year = year + (start - year).rem_euclid(self.interval);
                (year * 12..year * 12 + 12, year * 12 + 12)
            }
        };
        let mut period = Period { days: [(0, 0); 12], times: self.times };
        for (month, days) in months.zip(&mut period.days) {
            let first = first_of(month).filter(|first| first.year() <= LAST_YEAR)?;
            *days = (i64::from(first.to_epoch_days()) - 1, self.days.in_month(first.year(), first.month()));
        }
        Some((period, i64::from(first_of(following)?.to_epoch_days())))
    }

    fn allows(&self, date: NaiveDate) -> bool {
        self.days.in_month(date.year(), date.month()) >> date.day() & 1 == 1
    }

    /// Of a slot, in seconds.
    fn unit(&self) -> i64 {
        match self.freq {
            Freq::Hourly => 3_600,
            Freq::Minutely => 60,
            _ => 1,
        }
    }

    /// The first slot of the rule's interval that is allowed, of those that end after `from`. `allowed` is a day that is known to be, as most slots
    /// of a search are in one and the same.
    fn first_slot(&self, from: i64, slots: &mut u32, allowed: &mut i64) -> Option<i64> {
        let unit = self.unit();
        let (start, step) = (self.start.div_euclid(unit) * unit, self.interval * unit);
        let mut reached = from.div_euclid(unit) * unit;
        while *slots > 0 {
            *slots -= 1;
            let slot = reached + (start - reached).rem_euclid(step);
            match self.allowed_from(slot, allowed)? {
                here if here == slot => return Some(slot),
                later => reached = later,
            }
        }
        None
    }

    /// The first second at or after a slot's begin whose day, and hour, minute and second as far as the frequency limits
    /// them, are allowed.
    fn allowed_from(&self, slot: i64, allowed: &mut i64) -> Option<i64> {
        let day = slot.div_euclid(DAY);
        if day != *allowed {
            *allowed = self.first_day(day)?;
            if *allowed > day {
                return Some(*allowed * DAY);
            }
        }
        let Times { hours, minutes, seconds } = self.times;
        let limits = match self.freq {
            Freq::Hourly => Times { hours, minutes: ANY, seconds: ANY },
            Freq::Minutely => Times { hours, minutes, seconds: ANY },
            _ => Times { hours, minutes, seconds },
        };
        Some(limits.first(slot.rem_euclid(DAY)).map_or((day + 1) * DAY, |second| day * DAY + second))
    }

    /// The times of day that a slot, which is allowed, holds.
    fn times_of_slot(&self, slot: i64) -> Times {
        let second = slot.rem_euclid(DAY);
        let Times { minutes, seconds, .. } = self.times;
        let (hours, minute, second) = (1 << (second / 3_600), 1 << (second / 60 % 60), 1 << (second % 60));
        match self.freq {
            Freq::Hourly => Times { hours, minutes, seconds },
            Freq::Minutely => Times { hours, minutes: minute, seconds },
            _ => Times { hours, minutes: minute, seconds: second },
        }
    }
}

/// Months since the year 0.
fn month_number(year: i32, month: u32) -> i64 {
    i64::from(year) * 12 + i64::from(month) - 1
}

impl Times {
    /// The first second of a day, at or after one.
    fn first(self, from: i64) -> Option<i64> {
        first_second(self.hours, self.minutes, self.seconds, u32::try_from(from).ok()?)
    }

    fn count(self) -> i64 {
        i64::from(self.hours.count_ones() * self.minutes.count_ones() * self.seconds.count_ones())
    }

    /// The second of a day with this number, from 0 on; there are so many.
    fn at(self, number: i64) -> i64 {
        let (minutes, seconds) = (i64::from(self.minutes.count_ones()), i64::from(self.seconds.count_ones()));
        let hour = nth_bit(self.hours.into(), number / (minutes * seconds));
        let minute = nth_bit(self.minutes, number / seconds % minutes);
        hour * 3_600 + minute * 60 + nth_bit(self.seconds, number % seconds)
    }
}

impl Period {
    fn of_day(day: i64, times: Times) -> Self {
        Self::of_days(day, 1, times)
    }

    fn of_days(first: i64, days: u32, times: Times) -> Self {
        let mut all = [(0, 0); 12];
        all[0] = (first, days);
        Self { days: all, times }
    }

    /// The time at a position, from 1 on, or from -1 backwards.
    fn at(&self, position: i64) -> Option<i64> {
        let (times, days) =
            (self.times.count(), self.days.iter().map(|(_, days)| i64::from(days.count_ones())).sum::<i64>());
        let number = if position > 0 { position - 1 } else { times * days + position };
        if !(0..times * days).contains(&number) {
            return None;
        }
        let mut ahead = number / times;
        for (first, days) in self.days {
            let count = i64::from(days.count_ones());
            if ahead < count {
                return Some((first + nth_bit(days.into(), ahead)) * DAY + self.times.at(number % times));
            }
            ahead -= count;
        }
        None
    }
}

/// The position of the bit that has so many set bits below it.
fn nth_bit(mut bits: u64, number: i64) -> i64 {
    for _ in 0..number {
        bits &= bits - 1;
    }
    i64::from(bits.trailing_zeros())
}
