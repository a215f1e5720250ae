//! What the next due times of a schedule are, and which cron lines are refused: as tables, one case a line.

mod support;

use flintwheel_model::Violation;
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use support::{FIELD, micros, rfc3339, schedule};

/// The lines of a table, split into their columns.
fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    let lines = table.lines().filter(|line| !line.is_empty() && !line.starts_with("##"));
    lines.map(|line| line.split('|').collect())
}

fn plan(zone: &str, lines: &str) -> Plan {
    let mut trigger = schedule(lines.split(" ; "));
    trigger.timezone = (zone != "-").then(|| zone.to_owned());
    Plan::compile(&trigger, FIELD, 0).unwrap_or_else(|faults| panic!("{zone} {lines}: {faults}"))
}

/// The due times that follow, written as the table has them.
fn following(plan: &Plan, after: &str, count: usize) -> String {
    let mut found = Vec::new();
    let mut time = micros(after.trim());
    while found.len() < count {
        let next = plan.next(time);
        found.push(next.map_or("none".to_owned(), rfc3339));
        let Some(next) = next else { break };
        time = next;
    }
    found.join(" ")
}

fn differs(plan: &Plan, after: &str, expected: &str, case: &str) -> Option<String> {
    let found = following(plan, after, expected.split_whitespace().count());
    (found != expected.trim()).then(|| format!("{case} after {after}\n  expected {expected}\n  found     {found}"))
}

#[test]
fn due_times_are_every_instant_at_which_the_local_clock_matches() {
    let (mut cases, mut differences) = (0, Vec::new());
    for row in rows(include_str!("due_times.txt")) {
        let [zone, lines, after, expected] = row.as_slice() else { panic!("not four columns: {row:?}") };
        differences.extend(differs(&plan(zone.trim(), lines.trim()), after, expected, &format!("{zone}| {lines}|")));
        cases += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(cases > 80, "the table was read");
}

fn read(json: &str) -> ScheduleTrigger {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[test]
fn due_times_of_whole_schedules_are_those_of_the_table() {
    let (mut cases, mut differences) = (0, Vec::new());
    for row in rows(include_str!("schedules.txt")) {
        let [json, after, expected] = row.as_slice() else { panic!("not three columns: {row:?}") };
        match Plan::compile(&read(json), FIELD, 0) {
            Ok(plan) => differences.extend(differs(&plan, after, expected, json)),
            Err(faults) => differences.push(format!("{json}: {faults}")),
        }
        cases += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(cases > 110, "the table was read");
}

/// The text at a path such as `.calendar[0].hour[1]`, in a schedule as it is stored.
fn text_at(trigger: &ScheduleTrigger, path: &str) -> String {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    let stored = serde_json::to_value(trigger).expect("it can be written");
    let text = stored.pointer(&pointer).and_then(|value| value.as_str());
    text.unwrap_or_else(|| panic!("no text at {path} of {stored}")).to_owned()
}

/// How a schedule is refused: each fault as path, faulty part and message.
fn refusals(trigger: &ScheduleTrigger) -> Vec<(String, String, String)> {
    let faults = Plan::compile(trigger, FIELD, 0).err().map(|faults| faults.0).unwrap_or_default();
    let told = |fault: Violation| {
        let path = fault.field.strip_prefix(FIELD).expect("the path begins with the schedule's").to_owned();
        let part = fault.part.map(|(start, end)| text_at(trigger, &path)[start..end].trim().to_owned());
        (path, part.unwrap_or_default(), fault.message)
    };
    faults.into_iter().map(told).collect()
}

#[test]
fn a_bad_schedule_is_refused_with_the_path_the_faulty_part_and_what_is_allowed() {
    let (mut cases, mut differences) = (0, Vec::new());
    for row in rows(include_str!("refused_schedules.txt")) {
        let [json, path, part, message] = row.as_slice() else { panic!("not four columns: {row:?}") };
        let told = refusals(&read(json));
        let as_expected = matches!(told.as_slice(), [(told_path, told_part, told_message)]
            if told_path == path.trim() && told_part == part.trim() && told_message.contains(message.trim()));
        if !as_expected {
            differences.push(format!("{json}\n  {told:?}"));
        }
        cases += 1;
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert!(cases > 55, "the table was read");
}

fn only_violation(line: &str) -> Violation {
    let mut faults = Plan::compile(&schedule([line]), FIELD, 0).expect_err(line).0;
    assert_eq!(faults.len(), 1, "{line}: {faults:?}");
    faults.remove(0)
}

#[test]
fn a_bad_line_is_refused_with_the_faulty_part_and_what_is_allowed() {
    let mut cases = 0;
    for row in rows(include_str!("refused.txt")) {
        let [line, part, message] = row.as_slice() else { panic!("not three columns: {row:?}") };
        let (line, part) = (line.trim_end_matches(' ').replace("\\t", "\t"), part.trim().replace("\\t", "\t"));
        let violation = only_violation(&line);
        assert_eq!(violation.field, "spec.trigger.schedule.cron[0]", "{line}");
        assert!(violation.message.contains(message.trim()), "{line}: {}", violation.message);
        assert_eq!(violation.part.map_or("", |(start, end)| &line[start..end]), part, "{line}");
        cases += 1;
    }
    assert!(cases > 55, "the table was read");
}

#[test]
fn the_part_of_a_fault_is_where_it_stands_in_the_line() {
    for (line, part) in [
        ("0 25 * * *", (2, 4)),
        ("  0 25 * * *", (4, 6)),
        ("CRON_TZ=UTC 0 25 * * *", (14, 16)),
        ("0 1,2,25 * * *", (6, 8)),
        ("0 1-25 * * *", (4, 6)),
        ("25 25 25 * *", (3, 5)),
    ] {
        assert_eq!(only_violation(line).part, Some(part), "{line}");
    }
}

#[test]
fn all_faults_of_a_line_are_told_at_once_but_not_thousands() {
    let faults = |line: &str| Plan::compile(&schedule([line]), FIELD, 0).expect_err(line).0;
    assert_eq!(faults("60 24,25 32 13 8 1999").len(), 7);
    assert_eq!(faults("60 60 24 32 13 8 1999").len(), 7);
    let many = faults(&format!("{} * * * *", ["60"; 300].join(",")));
    assert_eq!(many.len(), 9);
    assert!(many[8].message.contains("292 more faults"), "{:?}", many[8]);
}

#[test]
fn equal_schedules_make_equal_plans() {
    let reference = plan("UTC", "0 9 * * mon ; */30 * * * *");
    for (lines, equal) in [
        ("*/30 * * * * ; 0 9 * * 1 # the same", true),
        ("0,30 * * * * ; 0 9 * * 1 ; 0 9 * * 1", true),
        ("0 0 9 * * 1 * ; */30 * * * *", true),
        ("0 9 * * 2 ; */30 * * * *", false),
        ("*/30 * * * *", false),
    ] {
        assert_eq!(plan("UTC", lines) == reference, equal, "{lines}");
    }
    assert_ne!(plan("Europe/Berlin", "0 9 * * mon ; */30 * * * *"), reference);
}
