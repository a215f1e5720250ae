//! Roll beside its definition: each time that a schedule without exclusions names is moved by itself, by a walk from day to
//! day, and all of them are put in order.

mod support;

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime};
use flintwheel_model::definition::{Exclusion, Roll, ScheduleTrigger};
use flintwheel_schedule::Plan;
use proptest::prelude::*;
use proptest::sample::select;
use support::{FIELD, schedule};

const DAY: i64 = 86_400_000_000;

#[derive(Clone, Debug)]
struct Case {
    lines: Vec<&'static str>,
    roll: Roll,
    weekdays: BTreeSet<u32>,
    dates: Vec<(NaiveDate, NaiveDate)>,
    first: NaiveDate,
}

impl Case {
    fn trigger(&self) -> ScheduleTrigger {
        let weekdays: Vec<_> = self.weekdays.iter().map(u32::to_string).collect();
        let by_weekday = (!weekdays.is_empty()).then(|| format!("* * * * {}", weekdays.join(",")));
        let exclusion = Exclusion {
            dates: self.dates.iter().map(|(first, last)| format!("{first}/{last}")).collect(),
            cron: by_weekday.into_iter().collect(),
            ..Exclusion::default()
        };
        ScheduleTrigger { exclude: vec![exclusion], roll: self.roll, ..schedule(self.lines.iter().copied()) }
    }

    fn is_closed(&self, day: NaiveDate) -> bool {
        let by_weekday = self.weekdays.contains(&day.weekday().num_days_from_sunday());
        by_weekday || self.dates.iter().any(|(first, last)| (*first..=*last).contains(&day))
    }

    fn moved(&self, time: NaiveDateTime) -> Option<NaiveDateTime> {
        let day = time.date();
        let open = |day: &NaiveDate| !self.is_closed(*day);
        let away = |distance| [day.checked_add_days(Days::new(distance)), day.checked_sub_days(Days::new(distance))];
        let mut found = (0..=366).flat_map(|distance| {
            let [later, earlier] = away(distance);
            match self.roll {
                Roll::Skip => [None, None],
                Roll::Next => [later, None],
                Roll::Previous => [earlier, None],
                Roll::Nearest => [later, earlier],
            }
        });
        found.find_map(|day| day.filter(open)).map(|day| day.and_time(time.time()))
    }

    /// The times from `first` on, for so many days.
    fn expected(&self, days: i64) -> Vec<i64> {
        let plain = Plan::compile(&schedule(self.lines.iter().copied()), FIELD, 0).expect("lines");
        let begin = self.first.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        let named = std::iter::successors(plain.next(begin - 370 * DAY), |time| plain.next(*time));
        let named = named.take_while(|time| *time < begin + (days + 370) * DAY);
        let moved =
            named.filter_map(|time| self.moved(DateTime::from_timestamp_micros(time).expect("a time").naive_utc()));
        let moved: BTreeSet<i64> = moved.map(|time| time.and_utc().timestamp_micros()).collect();
        moved.into_iter().filter(|time| (begin..begin + days * DAY).contains(time)).collect()
    }
}

fn case() -> impl Strategy<Value = Case> {
    let lines = vec![
        "0 9 * * *",
        "30 8,17 1,15 * *",
        "0 12 * * sat",
        "15 10 L * *",
        "0 0 29 2 *",
        "0 */8 * * sun,wed",
        "1 1 1 1,7 *",
    ];
    let day = |away: i32| NaiveDate::from_epoch_days(20_000 + away).expect("a day");
    let range = (-200..500_i32, prop_oneof![4 => 0..5_i32, 1 => 0..60_i32, 1 => 300..800_i32]);
    (
        prop::collection::vec(select(lines), 1..3),
        select(vec![Roll::Next, Roll::Previous, Roll::Nearest]),
        prop_oneof![Just(BTreeSet::from([0, 6])), prop::collection::btree_set(0..7_u32, 0..5)],
        prop::collection::vec(range.prop_map(move |(first, more)| (day(first), day(first + more))), 1..6),
        -100..300_i32,
    )
        .prop_map(move |(lines, roll, weekdays, dates, first)| Case {
            lines,
            roll,
            weekdays,
            dates,
            first: day(first),
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn rolled_times_are_those_that_move_there_from_wherever_they_are_approached(case in case(), asked in 0..400 * DAY) {
        let expected = case.expected(400);
        let begin = case.first.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_micros();
        let plan = Plan::compile(&case.trigger(), FIELD, 0).map_err(|faults| TestCaseError::fail(faults.to_string()))?;
        let next = |after: i64| plan.next(after).filter(|time| *time < begin + 400 * DAY);
        let found: Vec<i64> = std::iter::successors(next(begin - 1), |time| next(*time)).collect();
        prop_assert_eq!(&found, &expected);
        prop_assert_eq!(next(begin + asked), expected.iter().find(|time| **time > begin + asked).copied());
    }
}
