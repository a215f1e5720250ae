//! Random cron lines that know, without any parser, which values they name.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// A field: what is written, and the values as bits.
#[derive(Clone, Debug)]
pub struct Field {
    pub text: String,
    pub values: u64,
}

/// A line of seconds (0 only, or any), minutes, hours, days of month, months and weekdays, of which Sunday is 0. A day
/// matches day of month and day of week.
#[derive(Clone, Debug)]
pub struct Spec {
    pub second: Field,
    pub minute: Field,
    pub hour: Field,
    pub day: Field,
    pub month: Field,
    pub weekday: Field,
}

impl Spec {
    /// Any line; frequent enough that a walk of some days finds something more often than not.
    pub fn random(chance: &mut StdRng, with_seconds: bool) -> Self {
        let second =
            if with_seconds { Field::random(chance, 0, 59) } else { Field { text: "0".to_owned(), values: 1 } };
        let rare = |chance: &mut StdRng, first, last| {
            if chance.random_bool(0.6) { Field::any(first, last) } else { Field::random(chance, first, last) }
        };
        Self {
            second,
            minute: Field::random(chance, 0, 59),
            hour: rare(chance, 0, 23),
            day: rare(chance, 1, 31),
            month: rare(chance, 1, 12),
            weekday: rare(chance, 0, 6),
        }
    }

    /// Minute to weekday.
    pub fn five(&self) -> String {
        let Self { minute, hour, day, month, weekday, .. } = self;
        [minute, hour, day, month, weekday].map(|field| field.text.as_str()).join(" ")
    }

    /// Second to weekday, as most crates and croniter have it.
    pub fn six(&self) -> String {
        format!("{} {}", self.second.text, self.five())
    }

    /// In Temporal's dialect: second to weekday, and a year.
    pub fn seven(&self) -> String {
        format!("{} *", self.six())
    }

    /// In the dialect of the crate `cron`: values only, Sunday is 1.
    pub fn for_cron_crate(&self) -> String {
        let list = |field: &Field, more: u32| {
            let values = (0..60).filter(|value| field.values >> value & 1 == 1).map(|value| (value + more).to_string());
            values.collect::<Vec<_>>().join(",")
        };
        let fields = [&self.second, &self.minute, &self.hour, &self.day, &self.month].map(|field| list(field, 0));
        format!("{} {}", fields.join(" "), list(&self.weekday, 1))
    }
}

impl Field {
    fn any(first: u32, last: u32) -> Self {
        Self { text: "*".to_owned(), values: run(first, last, 1) }
    }

    fn random(chance: &mut StdRng, first: u32, last: u32) -> Self {
        let parts: Vec<Self> = (0..chance.random_range(1..=3)).map(|_| Self::part(chance, first, last)).collect();
        // A star within a list is read differently by some: as the whole field, or not at all.
        if let Some(any) = parts.iter().find(|part| part.text.starts_with('*')) {
            return any.clone();
        }
        let texts: Vec<_> = parts.iter().map(|part| part.text.as_str()).collect();
        Self { text: texts.join(","), values: parts.iter().fold(0, |set, part| set | part.values) }
    }

    fn part(chance: &mut StdRng, first: u32, last: u32) -> Self {
        let (a, b) = (chance.random_range(first..=last), chance.random_range(first..=last));
        let (from, to) = (a.min(b), a.max(b));
        let step = *[2, 3, 5, 7, 15].choose(chance).expect("it is not empty");
        match chance.random_range(0..6) {
            0 => Self::any(first, last),
            1 => Self { text: format!("*/{step}"), values: run(first, last, step) },
            2 if from < to => Self { text: format!("{from}-{to}/{step}"), values: run(from, to, step) },
            3 if from < to => Self { text: format!("{from}-{to}"), values: run(from, to, 1) },
            _ => Self { text: a.to_string(), values: 1 << a },
        }
    }

    pub fn holds(&self, value: u32) -> bool {
        self.values >> value & 1 == 1
    }
}

fn run(from: u32, to: u32, step: usize) -> u64 {
    (from..=to).step_by(step).fold(0, |set, value| set | 1 << value)
}
