//! What the documents say of keys, limits, reasons and metrics is what the program has.

use std::path::Path;

use flintwheel_model::limits;
use flintwheel_node::config::KEYS;
use flintwheel_node::metrics::Metrics;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_key_of_the_configuration_stands_in_its_table_with_its_default() {
    let page = page("configuration.md");
    for key in KEYS {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", key.name)));
        let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no row for {}", key.name));
        let default = row.split('|').nth(2).unwrap_or_default().trim().trim_matches('`');
        assert_eq!(default, key.default, "the default of {}", key.name);
    }
}

#[test]
fn every_key_in_the_table_is_one() {
    let page = page("configuration.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    for name in rows {
        assert!(KEYS.iter().any(|key| key.name == name), "docs/configuration.md has {name}, which is no key");
    }
}

#[test]
fn limits_are_those_of_the_program() {
    let page = page("limits.md");
    for (row, limit) in [
        ("| a definition, as JSON |", limits::DEFINITION_BYTES),
        ("| nesting of its JSON or YAML |", limits::JSON_DEPTH),
        ("| namespace |", limits::NAMESPACE_LEN),
        ("| id |", limits::ID_LEN),
        ("| name |", limits::NAME_LEN),
        ("| labels |", limits::LABELS),
        ("| labels |", limits::LABEL_LEN),
        ("| event types of one trigger, and attributes that it compares |", limits::EVENT_TYPES),
        ("| a calendar, as JSON |", limits::CALENDAR_BYTES),
        ("| calendars of one namespace |", limits::CALENDARS),
        ("| calendars of one namespace |", limits::CALENDARS_BYTES),
        ("| context sources |", limits::CONTEXT_SOURCES),
        ("| task templates |", limits::TASK_TEMPLATES),
        ("| one template or expression |", limits::TEXT_BYTES),
        ("| what the templates of one workflow input yield |", limits::INPUT_BYTES),
        ("| a note on a pause |", limits::NOTE_LEN),
        ("| one event with all its attributes |", limits::EVENT_BYTES),
        ("| attributes of one event |", limits::ATTRIBUTES),
        ("| one attribute |", limits::ATTRIBUTE_LEN),
        ("| events of one batch |", limits::BATCH_EVENTS),
        ("| one gRPC message |", limits::MESSAGE_BYTES),
        ("| dedupe key as written; a longer one stands as its digest |", limits::KEY_BYTES),
        ("| request id |", limits::REQUEST_ID_LEN),
    ] {
        let line = page.lines().find(|line| line.starts_with(row));
        let line = line.unwrap_or_else(|| panic!("docs/limits.md has no row {row}"));
        let mut numbers = line[row.len()..].split(|c: char| !c.is_ascii_digit() && c != ',');
        let says = numbers.any(|number| number.replace(',', "") == limit.to_string());
        assert!(says, "docs/limits.md: {limit} is not in {line:?}");
    }
}

#[test]
fn every_reason_of_an_occurrence_stands_in_its_table() {
    let page = page("operations.md");
    let rows = page.lines().skip_while(|line| *line != "| reason | says |").skip(2).take_while(|line| !line.is_empty());
    let mut found: Vec<&str> = rows.filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let mut known: Vec<&str> = flintwheel_node::api::occurrence_reasons().collect();
    found.sort_unstable();
    known.sort_unstable();
    assert_eq!(found, known, "docs/operations.md");
}

#[test]
fn every_metric_is_described() {
    let page = page("operations.md");
    for line in Metrics::new(1).encode().lines() {
        if let Some(name) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split(' ').next()) {
            assert!(page.contains(&format!("`{name}")), "docs/operations.md does not describe {name}");
        }
    }
}
