//! Random cron lines and calendars, in every dialect and with every form of days, that know without any parser which
//! local times they name.

use std::collections::BTreeSet;

use chrono::{Datelike, Days, NaiveDate, NaiveDateTime, Timelike, Weekday};
use flintwheel_model::definition::{CalendarTimes, CronDialect};
use proptest::prelude::*;
use proptest::sample::select;

/// A text, and what it names.
#[derive(Clone, Debug)]
struct Set {
    text: String,
    values: BTreeSet<u32>,
}

/// One part of a day of month.
#[derive(Clone, Debug)]
enum Day {
    Plain(Set),
    Last(u32),
    Near(u32),
    NearLast(u32),
}

/// One part of a day of week; Sunday is 0.
#[derive(Clone, Debug)]
enum Week {
    Plain(Set),
    Nth(u32, u32),
    Last(u32),
}

/// How times are written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Form {
    Cron(CronDialect),
    Calendar,
}

/// Local times by their fields.
#[derive(Clone, Debug)]
pub struct Times {
    pub form: Form,
    second: Set,
    minute: Set,
    hour: Set,
    days: Vec<Day>,
    month: Set,
    weekdays: Vec<Week>,
}

fn days_of_month(date: NaiveDate) -> u32 {
    (28..=31).rev().find(|day| date.with_day(*day).is_some()).expect("a month has 28 days")
}

/// The working day of the month with the least distance; from a Saturday or Sunday there is but one.
fn near(date: NaiveDate, day: u32) -> Option<u32> {
    let date = date.with_day(day)?;
    let working = |date: &NaiveDate| !matches!(date.weekday(), Weekday::Sat | Weekday::Sun);
    let both = |distance| [date.checked_sub_days(Days::new(distance)), date.checked_add_days(Days::new(distance))];
    let found = (0..3).flat_map(both).flatten().find(|near| working(near) && near.month() == date.month());
    found.map(|date| date.day())
}

impl Day {
    fn text(&self) -> String {
        match self {
            Self::Plain(set) => set.text.clone(),
            Self::Last(0) => "L".to_owned(),
            Self::Last(back) => format!("L-{back}"),
            Self::Near(day) => format!("{day}W"),
            Self::NearLast(0) => "lw".to_owned(),
            Self::NearLast(back) => format!("L-{back}W"),
        }
    }

    fn holds(&self, date: NaiveDate) -> bool {
        let last = days_of_month(date);
        match self {
            Self::Plain(set) => set.values.contains(&date.day()),
            Self::Last(back) => date.day() + back == last,
            Self::Near(day) => near(date, *day) == Some(date.day()),
            Self::NearLast(back) => last > *back && near(date, last - back) == Some(date.day()),
        }
    }
}

impl Week {
    fn text(&self, base: u32) -> String {
        match self {
            Self::Plain(set) => set.text.clone(),
            Self::Nth(weekday, nth) => format!("{}#{nth}", weekday + base),
            Self::Last(weekday) => format!("{}L", weekday + base),
        }
    }

    fn holds(&self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        match self {
            Self::Plain(set) => set.values.contains(&weekday),
            Self::Nth(wanted, nth) => weekday == *wanted && date.day().div_ceil(7) == *nth,
            Self::Last(wanted) => weekday == *wanted && date.day() + 7 > days_of_month(date),
        }
    }
}

fn joined(texts: impl IntoIterator<Item = String>) -> String {
    texts.into_iter().collect::<Vec<_>>().join(",")
}

impl Times {
    fn day_text(&self) -> String {
        joined(self.days.iter().map(Day::text))
    }

    fn weekday_text(&self) -> String {
        let base = u32::from(self.form == Form::Cron(CronDialect::Quartz));
        joined(self.weekdays.iter().map(|week| week.text(base)))
    }

    /// As a cron line.
    pub fn line(&self) -> String {
        let (day, weekday) = (self.day_text(), self.weekday_text());
        let five = format!("{} {} {day} {} {weekday}", self.minute.text, self.hour.text, self.month.text);
        match self.form {
            Form::Cron(CronDialect::Vixie) => five,
            Form::Cron(CronDialect::Quartz) => format!("{} {five}", self.second.text),
            _ => format!("{} {five} *", self.second.text),
        }
    }

    /// As a calendar.
    pub fn calendar(&self) -> CalendarTimes {
        let one = |set: &Set| vec![set.text.clone()];
        CalendarTimes {
            second: one(&self.second),
            minute: one(&self.minute),
            hour: one(&self.hour),
            day_of_month: self.days.iter().map(Day::text).collect(),
            month: one(&self.month),
            day_of_week: self.weekdays.iter().map(|week| week.text(0)).collect(),
            ..CalendarTimes::default()
        }
    }

    pub fn holds(&self, local: NaiveDateTime) -> bool {
        let time = self.second.values.contains(&local.second())
            && self.minute.values.contains(&local.minute())
            && self.hour.values.contains(&local.hour())
            && self.month.values.contains(&local.month());
        time && self.holds_day(local.date())
    }

    fn holds_day(&self, date: NaiveDate) -> bool {
        let day = self.days.iter().any(|day| day.holds(date));
        let weekday = self.weekdays.iter().any(|week| week.holds(date));
        let either = self.form == Form::Cron(CronDialect::Vixie)
            && !self.day_text().starts_with('*')
            && !self.weekday_text().starts_with('*');
        if either { day || weekday } else { day && weekday }
    }

    /// As it is read in `exclude`, where a line of five fields means all seconds of its minutes.
    pub fn excluding(mut self) -> Self {
        if self.form == Form::Cron(CronDialect::Vixie) {
            self.second.values = (0..60).collect();
        }
        self
    }
}

/// The values from one to another, every so many, from the last one on to the first.
fn walk(from: u32, to: u32, step: u32, first: u32, last: u32) -> BTreeSet<u32> {
    let mut values = BTreeSet::new();
    let (mut value, mut gone) = (from, 0);
    loop {
        if gone % step == 0 {
            values.insert(value);
        }
        if value == to {
            return values;
        }
        value = if value == last { first } else { value + 1 };
        gone += 1;
    }
}

/// A part of a list of values from `first` to `last`, written as numbers that are `base` larger.
fn part(first: u32, last: u32, base: u32) -> impl Strategy<Value = Set> {
    let value = || first..=last;
    let set = move |text: String, from, to, step| Set { text, values: walk(from, to, step, first, last) };
    prop_oneof![
        3 => Just(set("*".to_owned(), first, last, 1)),
        1 => (1..=last + 2).prop_map(move |step| set(format!("*/{step}"), first, last, step)),
        1 => (value(), 1..=last).prop_map(move |(from, step)| set(format!("{}/{step}", from + base), from, last, step)),
        2 => (value(), value(), 1..4_u32).prop_map(move |(from, to, step)| {
            let step_text = if step == 1 { String::new() } else { format!("/{step}") };
            set(format!("{}-{}{step_text}", from + base, to + base), from, to, step)
        }),
        2 => value().prop_map(move |value| set((value + base).to_string(), value, value, 1)),
    ]
}

fn field(first: u32, last: u32) -> impl Strategy<Value = Set> {
    prop::collection::vec(part(first, last, 0), 1..4).prop_map(|parts| Set {
        text: joined(parts.iter().map(|part| part.text.clone())),
        values: parts.into_iter().flat_map(|part| part.values).collect(),
    })
}

fn day() -> impl Strategy<Value = Day> {
    prop_oneof![
        4 => part(1, 31, 0).prop_map(Day::Plain),
        1 => (0..=30_u32).prop_map(Day::Last),
        1 => (1..=31_u32).prop_map(Day::Near),
        1 => (0..=30_u32).prop_map(Day::NearLast),
    ]
}

/// Temporal's dialect has no nth weekday. As Sunday is both 0 and 7 there, what runs to a field's end is written out.
fn weekday(form: Form) -> impl Strategy<Value = Week> {
    let base = u32::from(form == Form::Cron(CronDialect::Quartz));
    let plain = prop_oneof![
        2 => Just(Set { text: "*".to_owned(), values: (0..7).collect() }),
        3 => (0..7_u32, 0..7_u32, 1..4_u32).prop_map(move |(from, to, step)| Set {
            text: format!("{}-{}/{step}", from + base, to + base),
            values: walk(from, to, step, 0, 6),
        }),
    ];
    let knows_nth = form != Form::Cron(CronDialect::Temporal);
    prop_oneof![
        4 => plain.prop_map(Week::Plain),
        1 => (0..7_u32).prop_map(Week::Last),
        1 => (0..7_u32, 1..=5_u32)
            .prop_map(move |(weekday, nth)| if knows_nth { Week::Nth(weekday, nth) } else { Week::Last(weekday) }),
    ]
}

fn any_form() -> impl Strategy<Value = Form> {
    let crons = [CronDialect::Temporal, CronDialect::Vixie, CronDialect::Quartz].map(Form::Cron);
    select([&crons[..], &[Form::Calendar]].concat())
}

/// Times of any form. Without seconds, they are those of whole minutes.
pub fn times(with_seconds: bool) -> impl Strategy<Value = Times> {
    any_form().prop_flat_map(move |form| times_of(form, with_seconds))
}

/// Times of a dialect, or of a calendar.
pub fn times_of(form: Form, with_seconds: bool) -> impl Strategy<Value = Times> {
    let with_seconds = with_seconds && form != Form::Cron(CronDialect::Vixie);
    let zero = Set { text: "0".to_owned(), values: [0].into() };
    let second = field(0, 59).prop_map(move |any| if with_seconds { any } else { zero.clone() });
    let days = (prop::collection::vec(day(), 1..3), prop::collection::vec(weekday(form), 1..3), any::<bool>());
    (second, field(0, 59), field(0, 23), days, field(1, 12)).prop_map(
        move |(second, minute, hour, (mut days, mut weekdays, which), month)| {
            if form == Form::Cron(CronDialect::Quartz) && which {
                days = vec![Day::Plain(Set { text: "?".to_owned(), values: (1..=31).collect() })];
            } else if form == Form::Cron(CronDialect::Quartz) {
                weekdays = vec![Week::Plain(Set { text: "?".to_owned(), values: (0..7).collect() })];
            }
            Times { form, second, minute, hour, days, month, weekdays }
        },
    )
}
