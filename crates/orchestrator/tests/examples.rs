//! The definitions in `examples/` are valid, and each makes a plan of things that the example worker can do.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use flintwheel_model::expression::Expression;
use flintwheel_model::run::{TriggerEvent, TriggerKind, variables};
use flintwheel_model::{ActivityDefinition, template, validate};
use flintwheel_orchestrator::plan::{PlanInput, plan};
use serde_json::{Map, Value, json};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// All of them, the one-shot with a time put in.
fn definitions() -> Vec<ActivityDefinition> {
    let files = std::fs::read_dir(examples().join("definitions")).expect("the folder");
    let mut texts: Vec<String> = files.map(|file| read(&file.expect("an entry").path())).collect();
    texts.push(read(&examples().join("one-shot.yaml.template")).replace("@AT@", "2999-01-01T00:00:00Z"));
    let documents = texts.iter().flat_map(|text| text.split("\n---\n"));
    // Calendars have tests of their own.
    let definitions = documents.filter(|text| text.contains("\nkind: ActivityDefinition\n"));
    definitions.map(|text| serde_saphyr::from_str(text).expect(text)).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

fn events() -> Vec<Value> {
    read(&examples().join("events/invoices.jsonl"))
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// What sets this definition off: the events that match, or a due time.
fn triggers(definition: &ActivityDefinition) -> Vec<TriggerEvent> {
    let at = |kind, event| TriggerEvent {
        kind,
        scheduled_for: "2026-11-23T08:00:00Z".parse().expect("a time"),
        fired_at: "2026-11-23T08:00:00Z".parse().expect("a time"),
        event,
        input: None,
    };
    let Some(trigger) = &definition.spec.trigger.event else { return vec![at(TriggerKind::Time, None)] };
    let matches = |event: &Value| {
        trigger.types.iter().any(|name| event["type"] == **name)
            && trigger.attributes.iter().all(|(name, value)| event[name] == **value)
    };
    events().into_iter().filter(matches).map(|event| at(TriggerKind::Event, Some(event))).collect()
}

#[test]
fn every_example_is_valid_and_can_be_carried_out() {
    let definitions = definitions();
    assert_eq!(definitions.len(), 8);
    for definition in definitions {
        let id = definition.metadata.id.clone();
        assert_eq!(validate::check(&definition).to_string(), "", "{id}");
        let triggers = triggers(&definition);
        assert!(!triggers.is_empty(), "{id}");
        for trigger in triggers {
            let vars = variables(&definition.metadata, 1, &trigger, None);
            for input in definition.spec.start_workflow.iter().flat_map(|start| &start.input) {
                template::render(input, &vars).expect("an input");
            }
            let input = PlanInput { definition: definition.clone(), version: 1, trigger, fetched: Map::new() };
            for task in plan(&input).expect("a plan").tasks {
                assert!(["SendReminder", "Notify"].contains(&task.type_name.as_str()), "{id}: {}", task.type_name);
                assert_eq!(task.task_queue, "examples", "{id}");
            }
        }
    }
}

#[test]
fn three_firings_come_of_the_example_events() {
    for event in events() {
        flintwheel_model::Event::from_json(event).expect("a valid event");
    }
    let definitions = definitions();
    let reminder = definitions.iter().find(|one| one.metadata.id == "invoice-reminder").expect("the event trigger");
    let strategy = reminder.spec.dedupe_key_strategy.as_ref().expect("a strategy");
    let key = Expression::compile(strategy.key.as_ref().expect("a key")).expect("an expression");
    let keys: BTreeSet<String> = triggers(reminder)
        .into_iter()
        .map(|trigger| key.key(&json!({"event": trigger.event})).expect("a key"))
        .collect();
    assert_eq!(Vec::from_iter(keys), ["1001:first", "1002:first", "1002:second"]);
}
