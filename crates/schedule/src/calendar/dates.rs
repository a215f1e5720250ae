//! Dates as they are written: `2026-12-24`, `2026-12-24/2027-01-06` and, in a calendar, `12-25`.

use chrono::{Datelike, NaiveDate};

use crate::fault::{Fault, Piece};

/// Of a calendar.
pub(super) enum Dates {
    /// First and last day, in days since 1970.
    Range(i32, i32),
    /// A day of each year: month and day.
    Yearly(u32, u32),
}

impl Dates {
    pub fn read(text: Piece) -> Result<Self, Fault> {
        if text.text.len() != "12-25".len() || text.text.contains('/') {
            return read_range(text).map(|(first, last)| Self::Range(first, last));
        }
        // 2000 was a leap year: 29 February is a day of each year that has it.
        let day = NaiveDate::parse_from_str(&format!("2000-{}", text.text), "%Y-%m-%d").ok();
        day.map(|day| Self::Yearly(day.month(), day.day())).ok_or_else(|| {
            text.fault(format!("{} is not a day of the year; write 12-25 for 25 December", text.quoted()))
        })
    }
}

/// `2026-12-24`, or `2026-12-24/2027-01-06` with both ends, as days since 1970.
pub(crate) fn read_range(text: Piece) -> Result<(i32, i32), Fault> {
    let Some((first, last)) = text.split_once('/') else {
        let day = read_date(text)?;
        return Ok((day, day));
    };
    let (first, last) = (read_date(first)?, read_date(last)?);
    if last < first {
        return Err(text.fault(format!("dates {} end before they begin", text.quoted())));
    }
    Ok((first, last))
}

fn read_date(text: Piece) -> Result<i32, Fault> {
    let date =
        NaiveDate::parse_from_str(text.text, "%Y-%m-%d").ok().filter(|date| (1970..=2100).contains(&date.year()));
    let day = date.filter(|_| text.text.len() == "2026-12-24".len()).map(|date| date.to_epoch_days());
    day.ok_or_else(|| {
        let help = "write 2026-12-24, or 2026-12-24/2027-01-06 for a range";
        text.fault(format!("date {} is not a day of the years 1970-2100; {help}", text.quoted()))
    })
}
