//! Calendars: which days they name, how they refer to each other, what is refused, and what schedules make of them.

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::NaiveDate;
use flintwheel_model::calendar::CalendarSpec;
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::limits::{MAX_CALENDAR_DATES, MAX_ICAL_BYTES};
use flintwheel_schedule::{CalendarDays, Plan, compile_calendar};
use support::{FIELD, micros, rfc3339};

type Specs = BTreeMap<String, CalendarSpec>;

fn specs(json: &str) -> Specs {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

fn compile(specs: &Specs, name: &str) -> Result<CalendarDays, String> {
    compile_calendar(name, "spec", &|name| specs.get(name)).map_err(|faults| faults.to_string())
}

/// The days of 2024 to 2026 that a calendar names, as dates.
fn days(calendar: &CalendarDays) -> Vec<String> {
    let first = NaiveDate::from_ymd_opt(2024, 1, 1).expect("a day");
    let all = first.iter_days().take_while(|day| day.to_string().as_str() < "2027");
    all.filter(|day| calendar.has(*day)).map(|day| day.to_string()).collect()
}

fn ical(events: &str) -> String {
    let events = events.replace(" ; ", "\r\n");
    let calendar = format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{events}\r\nEND:VCALENDAR\r\n");
    serde_json::json!({"a": {"ical": calendar}}).to_string()
}

#[test]
fn days_are_those_of_weeks_dates_years_files_and_other_calendars() {
    for (json, expected) in [
        (r#"{"a": {"dates": "2024-12-24"}}"#.to_owned(), "2024-12-24"),
        (
            r#"{"a": {"dates": ["2024-12-30/2025-01-02", "2025-01-02/2025-01-03"]}}"#.to_owned(),
            "2024-12-30 2024-12-31 2025-01-01 2025-01-02 2025-01-03",
        ),
        (r#"{"a": {"dates": ["12-25", "02-29"]}}"#.to_owned(), "2024-02-29 2024-12-25 2025-12-25 2026-12-25"),
        (
            r#"{"a": {"dates": "2024-12-24", "calendars": "b"}, "b": {"calendars": ["c"]}, "c": {"dates": "12-31"}}"#
                .to_owned(),
            "2024-12-24 2024-12-31 2025-12-31 2026-12-31",
        ),
        (
            ical(
                "BEGIN:VEVENT ; DTSTART;VALUE=DATE:20241224 ; DTEND;VALUE=DATE:20241227 ; SUMMARY:Long: one ; END:VEVENT",
            ),
            "2024-12-24 2024-12-25 2024-12-26",
        ),
        (
            ical("BEGIN:VEVENT ; DTSTART;VALUE=DATE:20200101 ; RRULE:FREQ=YEARLY ; END:VEVENT"),
            "2024-01-01 2025-01-01 2026-01-01",
        ),
        (
            ical(
                "BEGIN:VEVENT ; DTSTART;VALUE=DATE:20200528 ; DURATION:P2D ; RRULE:FREQ=YEARLY;BYMONTH=5;BYDAY= ; \t-1TH ; EXDATE;VALUE=DATE:20250529 ; END:VEVENT",
            ),
            "2024-05-30 2024-05-31 2026-05-28 2026-05-29",
        ),
        (
            ical(
                "BEGIN:VTIMEZONE ; BEGIN:STANDARD ; DTSTART:19701025T030000 ; END:STANDARD ; END:VTIMEZONE ; BEGIN:VEVENT ; DTSTART:20240101 ; STATUS:CONFIRMED ; BEGIN:VALARM ; TRIGGER:-PT9H ; END:VALARM ; END:VEVENT ; BEGIN:VEVENT ; DTSTART:20240102 ; STATUS:CANCELLED ; END:VEVENT",
            ),
            "2024-01-01",
        ),
    ] {
        let calendar = compile(&specs(&json), "a").unwrap_or_else(|faults| panic!("{json}: {faults}"));
        assert_eq!(days(&calendar).join(" "), expected, "{json}");
    }
    for (json, expected) in [
        (r#"{"a": {"weekdays": ["fri-sat"]}}"#, "2024-01-05 2024-01-06 2024-01-12 2024-01-13"),
        (r#"{"a": {"weekdays": ["THU"]}}"#, "2024-01-04 2024-01-11 2024-01-18 2024-01-25"),
        (r#"{"a": {"weekdays": ["Thursday"]}}"#, "2024-01-04 2024-01-11 2024-01-18 2024-01-25"),
        (r#"{"a": {"weekdays": ["THU-SAT"]}}"#, "2024-01-04 2024-01-05 2024-01-06 2024-01-11"),
        (r#"{"a": {"weekdays": ["MON,THU"]}}"#, "2024-01-01 2024-01-04 2024-01-08 2024-01-11"),
    ] {
        let calendar = compile(&specs(json), "a").unwrap_or_else(|faults| panic!("{json}: {faults}"));
        assert_eq!(days(&calendar)[..4].join(" "), expected, "{json}");
    }
}

#[test]
fn a_bad_calendar_is_refused_with_the_place_and_what_is_allowed() {
    for (json, expected) in [
        (r#"{"b": {}}"#.to_owned(), r#"spec: there is no calendar "a""#),
        (r#"{"a": {}}"#.to_owned(), "spec: it has none of weekdays, dates, ical and calendars"),
        (
            r#"{"a": {"weekdays": ["someday"]}}"#.to_owned(),
            r#"spec.weekdays[0]: day of week "someday" is not in 0-7 or sun-sat"#,
        ),
        (
            r#"{"a": {"weekdays": ["fri#2"]}}"#.to_owned(),
            r#"spec.weekdays[0]: "fri#2" is not a weekday; write sat, or sat-sun"#,
        ),
        (r#"{"a": {"weekdays": ["*"]}}"#.to_owned(), r#"spec.weekdays[0]: "*" is not a weekday"#),
        (r#"{"a": {"weekdays": ["H"]}}"#.to_owned(), r#"spec.weekdays[0]: "H" is not a weekday"#),
        (r#"{"a": {"weekdays": ["THU,H"]}}"#.to_owned(), r#"spec.weekdays[0]: "THU,H" is not a weekday"#),
        (r#"{"a": {"weekdays": ["mon-sun"]}}"#.to_owned(), "spec.weekdays: they are all days of the week"),
        (
            r#"{"a": {"dates": ["2024-12-24", "24.12."]}}"#.to_owned(),
            r#"spec.dates[1]: date "24.12." is not a day of the years 1970-2100"#,
        ),
        (
            r#"{"a": {"dates": "02-30"}}"#.to_owned(),
            r#"spec.dates[0]: "02-30" is not a day of the year; write 12-25 for 25 December"#,
        ),
        (r#"{"a": {"dates": "2025-01-01/2024-01-01"}}"#.to_owned(), "end before they begin"),
        (r#"{"a": {"calendars": ["b"]}}"#.to_owned(), r#"spec.calendars[0]: there is no calendar "b""#),
        (
            r#"{"a": {"calendars": ["a"]}}"#.to_owned(),
            r#"spec.calendars[0]: calendar "a" leads back to itself: a -> a"#,
        ),
        (
            r#"{"a": {"calendars": ["b"]}, "b": {"calendars": ["c"]}, "c": {"calendars": ["a"]}}"#.to_owned(),
            r#"calendar "a" leads back to itself: a -> b -> c -> a"#,
        ),
        (
            r#"{"a": {"calendars": ["b"]}, "b": {"dates": "x"}}"#.to_owned(),
            r#"spec.calendars[0]: calendar "b" is at fault: spec.dates[0]: date "x""#,
        ),
        (
            r#"{"a": {"ical": "hello"}}"#.to_owned(),
            r#"spec.ical: "hello": a calendar file begins with BEGIN:VCALENDAR"#,
        ),
        (r#"{"a": {"ical": "BEGIN:VCALENDAR"}}"#.to_owned(), "spec.ical: there is no END:VCALENDAR"),
        (r#"{"a": {"ical": "BEGIN:VCALENDAR\nEND:VEVENT"}}"#.to_owned(), r#""END:VEVENT": it ends what has not begun"#),
        (ical("METHOD:PUBLISH"), "spec.ical: it has no event of whole days"),
        (ical("BEGIN:VEVENT ; SUMMARY:x ; END:VEVENT"), r#""END:VEVENT": the event has no DTSTART"#),
        (
            ical("BEGIN:VEVENT ; DTSTART:20240101T090000 ; END:VEVENT"),
            r#""DTSTART:20240101T090000": it is not a date of the years 1900-2200; a calendar has events of whole days"#,
        ),
        (
            ical("BEGIN:VEVENT ; DTSTART:20240101 ; DTEND:20240101 ; END:VEVENT"),
            "the event lasts 0 days; 1 to 3660 are allowed",
        ),
        (
            ical("BEGIN:VEVENT ; DTSTART:20240101 ; DURATION:PT8H ; END:VEVENT"),
            "an event of whole days lasts P1D or more",
        ),
        (
            ical("BEGIN:VEVENT ; DTSTART:20240101 ; RRULE:FREQ=DALY ; END:VEVENT"),
            r#"its rule is at fault: FREQ "DALY" is not one of YEARLY"#,
        ),
        (
            ical("BEGIN:VEVENT ; DTSTART:20240101 ; RDATE:20240102 ; END:VEVENT"),
            "RDATE and EXDATE stand beside an RRULE",
        ),
        (
            ical(
                "BEGIN:VEVENT ; DTSTART:20240101 ; RRULE:FREQ=DAILY ; END:VEVENT ; BEGIN:VEVENT ; DTSTART:19700101 ; RRULE:FREQ=DAILY ; END:VEVENT",
            ),
            "it has too many events; at most 2000 events and 20000 days or ranges are allowed",
        ),
        (
            serde_json::json!({"a": {"ical": "x".repeat(MAX_ICAL_BYTES + 1)}}).to_string(),
            "spec.ical: it is 196609 bytes long; at most 196608 are allowed",
        ),
        (
            serde_json::json!({"a": {"dates": vec!["12-25"; MAX_CALENDAR_DATES + 1]}}).to_string(),
            "spec.dates: 20001 entries are too many; at most 20000 are allowed",
        ),
    ] {
        let told = compile(&specs(&json), "a").expect_err(&json);
        assert!(told.contains(expected), "{json}: {told}");
    }
}

#[test]
fn calendars_that_refer_to_too_many_are_refused() {
    let chain = |length: usize| {
        let mut specs: Specs = (0..length)
            .map(|number| {
                let json = serde_json::json!({"calendars": [format!("c{}", number + 1)]});
                (format!("c{number}"), serde_json::from_value(json).expect("a calendar"))
            })
            .collect();
        specs.insert(format!("c{length}"), serde_json::from_str(r#"{"dates": "12-25"}"#).expect("a calendar"));
        specs
    };
    assert!(compile(&chain(7), "c0").is_ok());
    let told = compile(&chain(8), "c0").expect_err("it is too deep");
    assert!(told.contains("it refers to too many calendars; at most 8 within each other and 64 in all"), "{told}");
    // Each refers to the next one many times: that many ways must not be walked.
    let mut wide = chain(7);
    for (name, spec) in &mut wide {
        if name != "c7" {
            spec.calendars = vec![spec.calendars[0].clone(); 30];
        }
    }
    assert!(compile(&wide, "c0").expect_err("it is too wide").contains("too many calendars"));
}

#[test]
fn schedules_exclude_calendars_keep_to_them_and_roll_over_their_days() {
    let calendars = specs(
        r#"{"weekend": {"weekdays": "sat-sun"}, "holidays": {"dates": ["12-25", "12-26", "01-01", "2024-12-24"]},
            "de": {"calendars": ["weekend", "holidays"]}, "trading": {"dates": ["2024-12-20/2024-12-27", "2025-01-02/2025-01-31"]}}"#,
    );
    let find =
        |name: &str| calendars.contains_key(name).then(|| Arc::new(compile(&calendars, name).expect("a calendar")));
    for (json, expected) in [
        (r#"{"cron": "0 9 * * *", "exclude": {"calendar_name": "de"}}"#, "23T09 27T09 30T09 31T09 02T09"),
        (
            r#"{"cron": "0 9 * * *", "exclude": [{"calendar_name": ["weekend"]}, {"calendarName": "holidays"}]}"#,
            "23T09 27T09 30T09 31T09 02T09",
        ),
        (r#"{"cron": "0 9 25,28 * *", "exclude": {"calendar_name": "de"}, "roll": "next"}"#, "27T09 30T09 27T09"),
        (r#"{"cron": "0 9 25,28 * *", "exclude": {"calendar_name": "de"}, "roll": "previous"}"#, "23T09 27T09 24T09"),
        (r#"{"cron": "0 9 * * mon", "only_on": "trading"}"#, "23T09 06T09 13T09"),
        (
            r#"{"cron": "0 9 * * *", "only_on": "trading", "exclude": {"calendar_name": "de"}}"#,
            "23T09 27T09 02T09 03T09 06T09",
        ),
        (r#"{"cron": "0 9 28 * *", "only_on": "trading", "roll": "nearest"}"#, "27T09 28T09"),
        (
            r#"{"calendar": {"hour": 9, "day_of_month": ["1B", "LB"]}, "exclude": {"calendar_name": "de"}}"#,
            "31T09 02T09 31T09",
        ),
        (r#"{"calendar": {"hour": 9, "day_of_month": ["1B", "LB"]}, "only_on": "trading"}"#, "27T09 02T09 31T09"),
        (r#"{"interval": {"every": "1d", "phase": "9h"}, "exclude": {"calendar_name": "de"}}"#, "23T09 27T09 30T09"),
        (r#"{"at": ["2024-12-25T09:00:00Z", "2024-12-27T10:00:00Z"], "exclude": {"calendar_name": "de"}}"#, "27T10"),
    ] {
        let trigger: ScheduleTrigger = serde_json::from_str(json).expect(json);
        let plan = Plan::compile_with(&trigger, FIELD, 0, &find).unwrap_or_else(|faults| panic!("{json}: {faults}"));
        let times = std::iter::successors(plan.next(micros("2024-12-22T12:00:00Z")), |time| plan.next(*time));
        let times: Vec<_> =
            times.take(expected.split(' ').count()).map(|time| rfc3339(time)[8..13].to_owned()).collect();
        assert_eq!(times.join(" "), expected, "{json}");
    }
}

#[test]
fn a_schedule_tells_which_calendars_it_names() {
    let json = r#"{"cron": "0 9 * * *", "only_on": ["a"], "exclude": [{"calendar_name": ["b", "c"]}, {"dates": "2024-01-01"}]}"#;
    let trigger: ScheduleTrigger = serde_json::from_str(json).expect(json);
    assert_eq!(trigger.calendar_names().collect::<Vec<_>>(), ["b", "c", "a"]);
}
