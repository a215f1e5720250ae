//! When generated definitions are due, by plain arithmetic: each of them is due at whole seconds that leave one remainder
//! when divided by one period. This is the second calculation that the ledger judges by; it shares nothing with the engine's.

use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;

/// A schedule of a kind that can be written as period and remainder, both in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rhythm {
    /// `interval: {every, phase}`.
    Interval {
        /// At least 1.
        every: u32,
        /// Less than `every`.
        phase: u32,
    },
    /// A cron line of seven fields that names its seconds.
    CronSeconds {
        /// Divides 60.
        every: u32,
        /// Less than `every`.
        first: u32,
    },
    /// A cron line of five fields, once a day in UTC.
    CronDaily {
        /// 0 to 1439.
        minute: u32,
    },
}

impl Rhythm {
    /// Period and remainder in microseconds.
    fn grid(self) -> (i64, i64) {
        let (period, offset) = match self {
            Self::Interval { every, phase } => (every, phase),
            Self::CronSeconds { every, first } => (every, first),
            Self::CronDaily { minute } => (86_400, minute * 60),
        };
        (i64::from(period) * SECOND, i64::from(offset) * SECOND)
    }

    /// Microseconds from one due time to the next.
    pub fn period_us(self) -> i64 {
        self.grid().0
    }

    /// The first due time at or after this one; both in microseconds since the Unix epoch.
    pub fn at_or_after(self, from_us: i64) -> i64 {
        let (period, offset) = self.grid();
        from_us + (offset - from_us).rem_euclid(period)
    }

    /// All due times of a half-open range of microseconds.
    pub fn within(self, from_us: i64, until_us: i64) -> impl Iterator<Item = i64> {
        let period = self.period_us();
        std::iter::successors(Some(self.at_or_after(from_us)), move |due| Some(due + period))
            .take_while(move |due| *due < until_us)
    }

    /// The `spec.trigger.schedule` that means this.
    pub fn schedule(self) -> Value {
        match self {
            Self::Interval { every, phase } => {
                json!({"interval": [{"every": format!("{every}s"), "phase": format!("{phase}s")}]})
            }
            Self::CronSeconds { every, first } => {
                json!({"cron": [format!("{} * * * * * *", seconds(every, first))]})
            }
            Self::CronDaily { minute } => json!({"cron": [format!("{} {} * * *", minute % 60, minute / 60)]}),
        }
    }
}

/// In one of the three ways in which people write it, so that all of them are tried.
fn seconds(every: u32, first: u32) -> String {
    match (first, every % 4) {
        (0, 0) => format!("*/{every}"),
        (_, 1) => format!("{first}-59/{every}"),
        _ => (first..60).step_by(every as usize).map(|s| s.to_string()).collect::<Vec<_>>().join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_times_by_hand() {
        let minute = 60 * SECOND;
        let cases = [
            (Rhythm::Interval { every: 7, phase: 3 }, 0, 20 * SECOND, vec![3, 10, 17]),
            (Rhythm::Interval { every: 7, phase: 3 }, 3 * SECOND, 10 * SECOND, vec![3]),
            (Rhythm::Interval { every: 7, phase: 3 }, 3 * SECOND + 1, 10 * SECOND + 1, vec![10]),
            (Rhythm::CronSeconds { every: 15, first: 7 }, minute, 2 * minute, vec![67, 82, 97, 112]),
            (Rhythm::CronSeconds { every: 20, first: 0 }, 0, minute, vec![0, 20, 40]),
            (Rhythm::CronDaily { minute: 61 }, 0, 2 * 1440 * minute, vec![3660, 90_060]),
            (Rhythm::Interval { every: 10, phase: 0 }, -15 * SECOND, 1, vec![-10, 0]),
        ];
        for (rhythm, from, until, seconds) in cases {
            let due: Vec<i64> = rhythm.within(from, until).map(|us| us / SECOND).collect();
            assert_eq!(due, seconds, "{rhythm:?}");
        }
    }

    #[test]
    fn schedules_as_people_write_them() {
        for (rhythm, expected) in [
            (Rhythm::Interval { every: 7, phase: 3 }, json!({"interval": [{"every": "7s", "phase": "3s"}]})),
            (Rhythm::CronSeconds { every: 12, first: 0 }, json!({"cron": ["*/12 * * * * * *"]})),
            (Rhythm::CronSeconds { every: 15, first: 7 }, json!({"cron": ["7,22,37,52 * * * * * *"]})),
            (Rhythm::CronSeconds { every: 5, first: 2 }, json!({"cron": ["2-59/5 * * * * * *"]})),
            (Rhythm::CronDaily { minute: 125 }, json!({"cron": ["5 2 * * *"]})),
        ] {
            assert_eq!(rhythm.schedule(), expected);
        }
    }
}
