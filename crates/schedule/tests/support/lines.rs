//! Random cron lines that know, without any parser, which values they name.

use proptest::prelude::*;

/// What a part of a field's list is.
#[derive(Clone, Debug)]
enum Part {
    Every(u32),
    From(u32, u32),
    Range(u32, u32, u32),
    One(u32),
}

impl Part {
    fn text(&self) -> String {
        match self {
            Self::Every(1) => "*".to_owned(),
            Self::Every(step) => format!("*/{step}"),
            Self::From(value, step) => format!("{value}/{step}"),
            Self::Range(from, to, 1) => format!("{from}-{to}"),
            Self::Range(from, to, step) => format!("{from}-{to}/{step}"),
            Self::One(value) => value.to_string(),
        }
    }

    fn holds(&self, value: u32, min: u32) -> bool {
        match *self {
            Self::Every(step) => (value - min).is_multiple_of(step),
            Self::From(from, step) => value >= from && (value - from).is_multiple_of(step),
            Self::Range(from, to, step) => (from..=to).contains(&value) && (value - from).is_multiple_of(step),
            Self::One(only) => value == only,
        }
    }
}

/// One field: a list of parts, and its smallest value.
#[derive(Clone, Debug)]
pub struct Field {
    parts: Vec<Part>,
    min: u32,
    max: u32,
}

impl Field {
    pub fn text(&self) -> String {
        self.parts.iter().map(Part::text).collect::<Vec<_>>().join(",")
    }

    pub fn holds(&self, value: u32) -> bool {
        self.parts.iter().any(|part| part.holds(value, self.min))
    }

    pub fn values(&self) -> Vec<u32> {
        (self.min..=self.max).filter(|value| self.holds(*value)).collect()
    }
}

/// A line of seven fields.
#[derive(Clone, Debug)]
pub struct Line {
    pub second: Field,
    pub minute: Field,
    pub hour: Field,
    pub day: Field,
    pub month: Field,
    pub weekday: Field,
}

impl Line {
    /// As cron text: with five fields when the second is zero only, else with seven.
    pub fn text(&self) -> String {
        let Self { second, minute, hour, day, month, weekday } = self;
        let five = [minute, hour, day, month, weekday].map(Field::text).join(" ");
        if second.text() == "0" { five } else { format!("{} {five} *", second.text()) }
    }

    /// Sunday is 0 and 7.
    pub fn holds_weekday(&self, from_sunday: u32) -> bool {
        self.weekday.holds(from_sunday) || from_sunday == 0 && self.weekday.holds(7)
    }
}

fn part(min: u32, max: u32) -> impl Strategy<Value = Part> {
    let value = min..=max;
    prop_oneof![
        3 => Just(Part::Every(1)),
        1 => (1..=max + 2).prop_map(Part::Every),
        1 => (value.clone(), 1..=max).prop_map(|(from, step)| Part::From(from, step)),
        2 => (value.clone(), value.clone(), 1..4_u32).prop_map(|(a, b, step)| Part::Range(a.min(b), a.max(b), step)),
        2 => value.prop_map(Part::One),
    ]
}

fn field(min: u32, max: u32) -> impl Strategy<Value = Field> {
    prop::collection::vec(part(min, max), 1..4).prop_map(move |parts| Field { parts, min, max })
}

/// Any line, with its seconds or with none.
pub fn line(with_seconds: bool) -> impl Strategy<Value = Line> {
    let second =
        field(0, 59).prop_map(move |any| if with_seconds { any } else { Field { parts: vec![Part::One(0)], ..any } });
    (second, field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7))
        .prop_map(|(second, minute, hour, day, month, weekday)| Line { second, minute, hour, day, month, weekday })
}
