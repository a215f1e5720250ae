//! Whole inputs: what is read, and what faults look like.

use super::*;

fn parse(texts: &[&str]) -> (Input, Vec<String>) {
    let named = |(i, text): (usize, &&str)| Source { name: format!("{}.yaml", i + 1), text: (*text).to_owned() };
    let (input, faults) = Input::parse(texts.iter().enumerate().map(named).collect(), "default", Judge::Here);
    (input, faults.iter().map(ToString::to_string).collect())
}

#[test]
fn a_zone_that_this_program_does_not_know_is_the_servers_to_judge_if_there_is_one() {
    let text = |schedule: &str, more: &str| {
        let text = valid("a").replace("spec:", &format!("spec:\n  trigger: {{schedule: {schedule}}}{more}"));
        vec![Source { name: "1.yaml".to_owned(), text }]
    };
    let mars = r#"{cron: "0 9 * * *", timezone: Mars/Base}"#;
    let line = r#"{cron: "CRON_TZ=Mars/Base 0 9 * * *"}"#;
    for (schedule, more, judge, faulty) in [
        (mars, "", Judge::Server, vec![]),
        (line, "", Judge::Server, vec![]),
        (mars, "", Judge::Here, vec!["spec.trigger.schedule.timezone"]),
        (line, "", Judge::Here, vec!["spec.trigger.schedule.cron[0]"]),
        (mars, "\n  dedupe_key_strategy: {key: event.}", Judge::Server, vec!["spec.dedupe_key_strategy.key"]),
        (r#"{cron: "61 9 * * *"}"#, "", Judge::Server, vec!["spec.trigger.schedule.cron[0]"]),
    ] {
        let (_, faults) = Input::parse(text(schedule, more), "default", judge);
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, faulty, "{schedule} {more} {judge:?}");
    }
}

fn valid(id: &str) -> String {
    format!(
        "apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {{id: {id}}}\nspec:\n  start_workflow: {{type: W, task_queue: q}}\n"
    )
}

#[test]
fn yaml_and_json_and_many_documents_are_read_in_order() {
    let json = r#"{"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "c"},
	"spec": {"startWorkflow": {"type": "W", "taskQueue": "q", "input": [1, "1", true, "yes", null, 1.5]}},
	"status": {"version": 3}}"#;
    let many = format!("{}---\n# nothing\n---\n{}", valid("a"), valid("b"));
    let (input, faults) = parse(&[&many, json]);
    assert_eq!(faults, Vec::<String>::new());
    let ids: Vec<&str> = input.definitions().map(|d| d.metadata.id.as_str()).collect();
    assert_eq!(ids, ["a", "b", "c"]);
    let start = input.documents[2].content.spec.start_workflow.as_ref().expect("set");
    assert_eq!(serde_json::json!(start.input), serde_json::json!([1, "1", true, "yes", null, 1.5]));
}

/// One document each; the message must begin so and stand at this line and column.
#[test]
fn faults_say_what_and_where() {
    let head = "apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {id: a}\n";
    let spec = |spec: &str| format!("{head}spec:\n{spec}");
    for (text, message, place) in [
        (spec("  triger: {}\n"), "spec.triger: there is no field \"triger\" here; did you mean \"trigger\"?", "5:3"),
        (spec("  enabled: yes\n"), "spec.enabled: true or false is expected here", "5:12"),
        (spec("  start_workflow: {type: W}\n"), "spec.start_workflow.task_queue: is required", "5:3"),
        (spec("  start_workflow: {}\n"), "spec.start_workflow.type: is required", "5:3"),
        (
            spec("  start_workflow:\n    type: W\n    input:\n    - a: {b: 1}\n"),
            "spec.start_workflow.task_queue: is required",
            "5:3",
        ),
        (spec("  task_templates:\n  - when: x\n  - name: a\n"), "spec.task_templates[0].name: is required", "6:5"),
        (spec("  start_workflow: [1]\n"), "spec.start_workflow: a map (key: value) is expected here", "5:19"),
        (
            spec("  start_workflow: {type: W, type: V, task_queue: q}\n"),
            "spec.start_workflow.type: \"type\" stands twice",
            "5:29",
        ),
        (
            spec("  start_workflow:\n    type: W\n    task_queue: q\n    input: [{a: 1, a: 2}]\n"),
            "spec.start_workflow.input[0].a: \"a\" stands twice",
            "8:20",
        ),
        (
            spec("  trigger: {schedule: {interval: {every: 5 m}}}\n"),
            "spec.trigger.schedule.interval.every: \"5 m\" is not a duration",
            "5:42",
        ),
        (
            spec("  trigger: {schedule: {at: [tomorrow]}}\n"),
            "spec.trigger.schedule.at[0]: \"tomorrow\" is not a time; write RFC 3339",
            "5:29",
        ),
        (
            spec("  trigger: {schedule: {jitter: {window: 5m, mode: stabel}}}\n"),
            "spec.trigger.schedule.jitter.mode: there is no value \"stabel\" here; did you mean \"stable\"?",
            "5:51",
        ),
        (
            spec("  trigger: {schedule: {cron: '@daily', max_firings: -1}}\n"),
            "spec.trigger.schedule.max_firings: a whole number from 0 to 4294967295 is expected here, not -1",
            "5:53",
        ),
        (
            spec("  trigger: {schedule: {cron: '@daily', max_firings: 5000000000}}\n"),
            "spec.trigger.schedule.max_firings: a whole number from 0 to 4294967295 is expected here, not 5000000000",
            "5:53",
        ),
        (
            spec("  trigger: {schedule: {interval: {months: one}}}\n"),
            "spec.trigger.schedule.interval.months: a whole number from 0 to 4294967295 is expected here, not one",
            "5:43",
        ),
        (
            spec("  trigger: {schedule: {interval: 1h}}\n"),
            "spec.trigger.schedule.interval: a map such as {every: 1h} is expected here, not string \"1h\"",
            "5:24",
        ),
        (
            spec("  trigger: {schedule: {cron: '@daily', exclude: 2026-12-24}}\n"),
            "spec.trigger.schedule.exclude: a map such as {dates: 2026-12-24} is expected here, not string \"2026-12-24\"",
            "5:40",
        ),
        (spec("  start_workflow: {type: [W\n  b: 2\n"), "spec.start_workflow.type", "5:26"),
        (spec("  enabled: \"open\n"), "spec.enabled: unclosed quote", "5:12"),
        (spec("\tenabled: true\n"), "spec: tabs disallowed", "5:2"),
        (spec("  enabled: true\n enabled: true\n"), "", "6:2"),
        (
            "a: {b: c\n".to_owned(),
            "a: there is no field \"a\" here; allowed are: apiVersion, kind, metadata, spec, status\n",
            "1:1",
        ),
        ("just text\n".to_owned(), "a map (key: value) is expected here", "1:1"),
        ("[1, 2]\n".to_owned(), "a map (key: value) is expected here", "1:1"),
        ("metadata: {id: a}\n".to_owned(), "apiVersion: is required", "1:1"),
        (format!("{head}spec: *unknown\n"), "spec: alias references unknown anchor", "4:7"),
        (format!("{head}spec: !!python/object {{}}\n"), "spec: unsupported tag `!!python/object`", "4:23"),
    ] {
        let (_, faults) = parse(&[&text]);
        assert_eq!(faults.len(), 1, "{text}: {faults:?}");
        assert!(faults[0].starts_with(&format!("error: {message}")), "{text}\n{}", faults[0]);
        let shown = faults[0].lines().nth(1).unwrap_or("").trim_start_matches(" --> 1.yaml:");
        assert_eq!(shown, place, "{text}\n{}", faults[0]);
    }
}

#[test]
fn what_would_take_all_memory_or_stack_is_refused() {
    let bomb = (0..9).map(|i| format!("a{i}: &a{i} [{}]\n", format!("*a{}, ", i.max(1) - 1).repeat(9)));
    let laughs: String = std::iter::once("a: &a0 [x]\n".to_owned()).chain(bomb.skip(1)).collect();
    for text in [
        format!("spec: {}", "[".repeat(10_000)),
        format!("spec: {}1{}", "{\"a\":".repeat(10_000), "}".repeat(10_000)),
        laughs,
        format!("spec: \"{}\"", "x".repeat(3_000_000)),
    ] {
        let (_, faults) = parse(&[&text]);
        assert_eq!(faults.len(), 1);
    }
}

#[test]
fn faults_of_content_are_shown_with_the_value() {
    let text = valid("A").replace("type: W", "type: \"\"");
    let (_, faults) = parse(&[&text]);
    let expected = "\
error: metadata.id: \"A\" holds 'A'; an id has 1 to 200 characters of a-z 0-9 . _ -
 --> 1.yaml:3:16
  |
3 | metadata: {id: A}
  |                ^";
    assert_eq!(faults[0], expected);
    assert!(faults[1].starts_with("error: spec.start_workflow.type: \"\": 1 to 1000 bytes"), "{}", faults[1]);
    assert_eq!(faults.len(), 2);
}

#[test]
fn all_faults_of_all_documents_are_told_at_once() {
    let broken = "kind: [\n---\n";
    let many = format!("{broken}{}---\n{}", valid("B"), valid("c"));
    let (_, faults) = parse(&[&many, &valid("D")]);
    let places: Vec<&str> = faults.iter().filter_map(|fault| fault.lines().nth(1)).collect();
    assert_eq!(places, [" --> 1.yaml:1:7", " --> 1.yaml:5:16", " --> 2.yaml:3:16"]);
}

#[test]
fn an_id_that_stands_twice_is_told_with_both_places() {
    let (_, faults) = parse(&[&valid("a"), &format!("{}---\n{}", valid("b"), valid("a"))]);
    let expected = "\
error: metadata.id: default/a is defined twice
 --> 2.yaml:9:16
  |
9 | metadata: {id: a}
  |                ^
   = first defined at 1.yaml:3:16";
    assert_eq!(faults, [expected]);
}

#[test]
fn a_servers_violation_is_shown_in_the_file() {
    let text = format!("# c\n{}  trigger: {{schedule: {{at: \"2001-01-01T00:00:00Z\"}}}}\n", valid("a"));
    let (input, faults) = parse(&[&text]);
    assert_eq!(faults, Vec::<String>::new());
    let violation = Violation::new("spec.trigger.schedule", "has no due time after now: all of them are in the past");
    let expected = "\
error: spec.trigger.schedule: has no due time after now: all of them are in the past
 --> 1.yaml:7:13
  |
7 |   trigger: {schedule: {at: \"2001-01-01T00:00:00Z\"}}
  |             ^^^^^^^^";
    assert_eq!(input.fault(0, &violation).to_string(), expected);
}

#[test]
fn a_fault_of_the_schedule_is_shown_at_the_part_that_is_wrong() {
    let text = format!("{}  trigger: {{schedule: {{cron: \"0 25 * * *\"}}}}\n", valid("a"));
    let (_, faults) = parse(&[&text]);
    let expected = "\
error: spec.trigger.schedule.cron[0]: hour \"25\" is not in 0-23
 --> 1.yaml:6:33
  |
6 |   trigger: {schedule: {cron: \"0 25 * * *\"}}
  |                                 ^^ hour";
    assert_eq!(faults, [expected]);
}

#[test]
fn a_fault_in_a_block_is_shown_on_its_line() {
    let schedule = "  trigger:\n    schedule:\n      rrule: |\n        DTSTART:20240101T000000\n        RRULE:FREQ=MONTHLY;BYDAY=6MO\n";
    let (_, faults) = parse(&[&format!("{}{schedule}", valid("a"))]);
    let shown: Vec<&str> = faults[0].lines().skip(1).collect();
    assert_eq!((faults.len(), shown[0]), (1, "  --> 1.yaml:10:34"), "{}", faults[0]);
    assert!(shown[3].ends_with("                                 ^ BYDAY"), "{}", faults[0]);
    // What can't be found in the text is shown as a whole, without a name for a part of it.
    let escaped = format!("{}  trigger: {{schedule: {{cron: \"0\\x2025 * * *\"}}}}\n", valid("a"));
    let (_, faults) = parse(&[&escaped]);
    assert!(faults[0].ends_with("^^^^^^^^^^^^^^^"), "{}", faults[0]);
}

#[test]
fn what_is_hardly_meant_is_shown_with_its_place() {
    let (input, faults) = parse(&[&format!("{}  trigger: {{schedule: {{cron: \"0 9 * * 5#3\"}}}}\n", valid("a"))]);
    assert_eq!(faults, Vec::<String>::new());
    let expected = "\
warning: spec.trigger.schedule.cron[0]: \"#3\" is a comment: for the nth weekday of a month set dialect to vixie or quartz
 --> 1.yaml:6:40
  |
6 |   trigger: {schedule: {cron: \"0 9 * * 5#3\"}}
  |                                        ^^";
    let told: Vec<String> = input.warnings(0).iter().map(|warning| warning.as_warning().to_string()).collect();
    assert_eq!(told, [expected]);
    let (input, _) = parse(&[&valid("a")]);
    assert!(input.warnings(0).is_empty());
}

#[test]
fn a_document_that_is_too_long_is_refused_with_what_to_do() {
    let (_, faults) = parse(&[&format!("a: {}", "x".repeat(3_000_000))]);
    let told = "error: the document has 3000003 bytes; at most 2097152: a definition has at most 262144 bytes as JSON, and many days belong in a \
                calendar (kind: Calendar), or in ranges such as 2026-12-24/2027-01-06";
    assert_eq!(faults[0].lines().next(), Some(told));
}

#[test]
fn a_definition_without_a_namespace_is_in_the_one_of_the_command_line() {
    let source = Source { name: "1.yaml".into(), text: format!("{}---\n{}", valid("a"), valid("b, namespace: own")) };
    let (input, faults) = Input::parse(vec![source], "given", Judge::Here);
    assert_eq!(faults, vec![]);
    let keys: Vec<String> = input.definitions().map(|definition| key(definition).to_string()).collect();
    assert_eq!(keys, ["given/a", "own/b"]);
}

fn calendar(id: &str, spec: &str) -> String {
    format!("apiVersion: flintwheel.dev/v1\nkind: Calendar\nmetadata: {{id: {id}}}\nspec: {spec}\n")
}

#[test]
fn calendars_stand_among_definitions_and_are_known_to_those_before_and_behind() {
    let using = |id: &str, name: &str| {
        format!("{}  trigger: {{schedule: {{cron: '0 9 * * sat', only_on: {name}}}}}\n", valid(id))
    };
    let text =
        [using("a", "weekend"), calendar("weekend", "{weekdays: sat-sun}"), using("b", "elsewhere")].join("---\n");
    let (input, faults) = parse(&[&text]);
    assert_eq!(faults, Vec::<String>::new());
    assert_eq!((input.definitions().len(), input.calendars().len()), (2, 1));
    // Nothing is left of it: known, as the calendar is in the file.
    let text = [using("a", "work"), calendar("work", "{weekdays: mon-fri}")].join("---\n");
    let (_, faults) = parse(&[&text]);
    assert_eq!(faults.len(), 1);
    assert!(faults[0].contains("only_on leaves no due time"), "{}", faults[0]);
}

#[test]
fn faults_of_calendars_say_what_and_where() {
    for (spec, message, place) in [
        ("{weekdays: [satt]}", "spec.weekdays[0]: ", "4:19"),
        ("{dates: [2026-12-24/2026-12-01]}", "spec.dates[0]: dates \"2026-12-24/2026-12-01\" end before", "4:16"),
        ("{}", "spec: it has none of weekdays, dates, ical and calendars", "4:1"),
        ("{days: [sat]}", "spec.days: there is no field \"days\" here", "4:8"),
        ("{calendars: [a]}", "spec.calendars[0]: calendar \"a\" leads back to itself", "4:20"),
    ] {
        let (_, faults) = parse(&[&calendar("a", spec)]);
        assert_eq!(faults.len(), 1, "{spec}: {faults:?}");
        assert!(faults[0].starts_with(&format!("error: {message}")), "{spec}\n{}", faults[0]);
        let shown = faults[0].lines().nth(1).unwrap_or("").trim_start_matches(" --> 1.yaml:");
        assert_eq!(shown, place, "{spec}\n{}", faults[0]);
    }
    let twice = [calendar("a", "{weekdays: sat}"), calendar("a", "{weekdays: sun}")].join("---\n");
    let (_, faults) = parse(&[&twice]);
    assert!(faults.len() == 1 && faults[0].contains("default/a is defined twice"), "{faults:?}");
    // One of each kind may have the same name.
    let (_, faults) = parse(&[&[calendar("a", "{weekdays: sat}"), valid("a")].join("---\n")]);
    assert_eq!(faults, Vec::<String>::new());
}
