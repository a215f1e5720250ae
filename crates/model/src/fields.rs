//! Single fields of a definition changed by their paths. Which fields there are is read from the JSON Schema, which follows from the types: a
//! path that it does not know is refused, with those that were probably meant. Whether the result makes sense is not judged here.

use std::sync::OnceLock;

use serde_json::{Map, Value};

use crate::definition::ActivityDefinition;
use crate::expected::in_words;
use crate::ids::short;
use crate::violation::Violations;
use crate::{limits, schema};

/// What a field shall be; none: it is removed, which leaves it at its default.
pub type Change = (String, Option<Value>);

/// Names that are told where one is not known.
const TOLD: usize = 12;
/// How deep paths are looked for that end in a name.
const DEPTH: usize = 6;

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Name(String),
    Place(usize),
}

/// The definition with these changes, made in their order. All faults are told at once, each under `changes[i].path` or `changes[i].value`.
pub fn change(definition: &ActivityDefinition, changes: &[Change]) -> Result<ActivityDefinition, Violations> {
    let mut faults = Violations::default();
    if changes.is_empty() || changes.len() > limits::FIELD_CHANGES {
        faults
            .push("changes", format!("{} changes; 1 to {} can be made at once", changes.len(), limits::FIELD_CHANGES));
        return Err(faults);
    }
    let before = match serde_json::to_value(definition) {
        Ok(document) => document,
        Err(error) => {
            faults.push("", format!("the definition can't be written as JSON: {error}"));
            return Err(faults);
        }
    };
    let mut document = before.clone();
    for (i, (path, value)) in changes.iter().enumerate() {
        if let Err(why) = put(&mut document, path, value.clone()) {
            faults.push(format!("changes[{i}].path"), why);
        }
    }
    faults.into_result()?;
    let changed = match serde_json::from_value::<ActivityDefinition>(document) {
        Ok(changed) => changed,
        Err(error) => return Err(at_fault(&before, changes, &error.to_string())),
    };
    let (old, new) = (&definition.metadata, &changed.metadata);
    if (&old.namespace, &old.id) != (&new.namespace, &new.id) {
        return Err(one(
            "changes",
            "namespace and id name the definition, and never change: apply another one instead",
        ));
    }
    Ok(changed)
}

/// Which of the changes makes the document one that can't be read.
fn at_fault(before: &Value, changes: &[Change], whole: &str) -> Violations {
    let mut faults = Violations::default();
    for (i, (path, value)) in changes.iter().enumerate() {
        let mut alone = before.clone();
        // That each path is known was checked.
        let _ = put(&mut alone, path, value.clone());
        if let Err(error) = serde_json::from_value::<ActivityDefinition>(alone) {
            let part = if value.is_some() { "value" } else { "path" };
            faults.push(format!("changes[{i}].{part}"), format!("{path}: {}", in_words(&error.to_string())));
        }
    }
    if faults.0.is_empty() {
        faults.push("changes", whole.to_owned());
    }
    faults
}

fn one(field: &str, message: &str) -> Violations {
    let mut faults = Violations::default();
    faults.push(field, message);
    faults
}

/// Sets or removes one field. `Err` says what is wrong with the path.
fn put(document: &mut Value, path: &str, value: Option<Value>) -> Result<(), String> {
    let mut parts = parse(path)?;
    let schema = schema();
    let mut nodes = vec![schema];
    let mut here = String::new();
    for part in &mut parts {
        nodes = step(schema, &nodes, part, &here)?;
        match part {
            Part::Name(name) if here.is_empty() => here.clone_from(name),
            Part::Name(name) => here = format!("{here}.{name}"),
            Part::Place(place) => here = format!("{here}[{place}]"),
        }
    }
    if matches!(here.as_str(), "apiVersion" | "kind") {
        return Err(format!("{here} is the same for all definitions, and can't be changed"));
    }
    if matches!(here.as_str(), "metadata.id" | "metadata.namespace") {
        return Err(format!("{here} names the definition, and never changes: apply another one instead"));
    }
    write(document, &parts, value)
}

fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(schema::definition)
}

/// `spec.task_templates[0].when`, `metadata.labels["a.b"]`.
fn parse(path: &str) -> Result<Vec<Part>, String> {
    if path.is_empty() || path.len() > limits::TEXT_BYTES {
        return Err(format!("a path has 1 to {} bytes, such as spec.trigger.schedule.timezone", limits::TEXT_BYTES));
    }
    let odd = |why: &str| format!("{:?} {why}; a path is written like spec.task_templates[0].when", short(path));
    let (mut parts, mut rest) = (Vec::new(), path);
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (part, after) =
                in_brackets(bracket).ok_or_else(|| odd("has a bracket without a place or a quoted key"))?;
            parts.push(part);
            rest = after;
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            if end == 0 {
                return Err(odd("has an empty name"));
            }
            parts.push(Part::Name(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        if let Some(after) = rest.strip_prefix('.') {
            if after.is_empty() || after.starts_with('[') {
                return Err(odd("has an empty name"));
            }
            rest = after;
        } else if !rest.is_empty() && !rest.starts_with('[') {
            return Err(odd("has no dot after a bracket"));
        }
    }
    if parts.len() > limits::JSON_DEPTH {
        return Err(odd("is too deep"));
    }
    Ok(parts)
}

/// What stands in brackets, and what follows them.
fn in_brackets(text: &str) -> Option<(Part, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (key, after) = quoted.split_once("\"]")?;
        return Some((Part::Name(key.to_owned()), after));
    }
    let (place, after) = text.split_once(']')?;
    Some((Part::Place(place.parse().ok()?), after))
}

/// The schemas of a part of what these schemas allow; a name is brought into the form in which it is stored.
fn step<'a>(root: &'a Value, nodes: &[&'a Value], part: &mut Part, here: &str) -> Result<Vec<&'a Value>, String> {
    let all: Vec<&Value> = nodes.iter().flat_map(|node| alternatives(root, node)).collect();
    if let Some(any) = all.iter().find(|node| is_any(node)) {
        return Ok(vec![*any]);
    }
    match part {
        Part::Place(place) => {
            let items: Vec<&Value> = all.iter().filter_map(|node| node.get("items")).collect();
            if items.is_empty() { Err(format!("{here} is no list: it has no [{place}]")) } else { Ok(items) }
        }
        Part::Name(name) => {
            let snake = snake_case(name);
            for known in [name.clone(), snake] {
                let found: Vec<&Value> = all.iter().filter_map(|node| property(node, &known)).collect();
                if !found.is_empty() {
                    *name = known;
                    return Ok(found);
                }
            }
            Err(unknown(root, &all, name, here))
        }
    }
}

/// A schema with its references followed, and its alternatives apart.
fn alternatives<'a>(root: &'a Value, node: &'a Value) -> Vec<&'a Value> {
    if let Some(target) = node.get("$ref").and_then(Value::as_str) {
        return root.pointer(target.trim_start_matches('#')).map_or_else(Vec::new, |node| alternatives(root, node));
    }
    match node.get("anyOf").and_then(Value::as_array) {
        Some(all) => all.iter().flat_map(|node| alternatives(root, node)).collect(),
        None => vec![node],
    }
}

/// A place for any JSON.
fn is_any(node: &Value) -> bool {
    let says = |word: &str| node.get(word).is_some();
    node == &Value::Bool(true) || (node.is_object() && !["type", "properties", "oneOf", "const"].into_iter().any(says))
}

fn property<'a>(node: &'a Value, name: &str) -> Option<&'a Value> {
    let named = node.get("properties").and_then(|properties| properties.get(name));
    named.or_else(|| node.get("additionalProperties").filter(|more| **more != Value::Bool(false)))
}

fn names<'a>(nodes: &[&'a Value]) -> Vec<&'a str> {
    let properties = nodes.iter().filter_map(|node| node.get("properties")?.as_object());
    properties.flat_map(Map::keys).map(String::as_str).collect()
}

/// What is said of a name that is not known, with what was probably meant.
fn unknown(root: &Value, nodes: &[&Value], name: &str, here: &str) -> String {
    let place = if here.is_empty() { "a definition".to_owned() } else { here.to_owned() };
    if here.is_empty() && name == "status" {
        return "status tells how a definition stands, and is not set".to_owned();
    }
    if nodes.iter().any(|node| node.get("items").is_some()) && names(nodes).is_empty() {
        return format!("{here} is a list: name its element, as in {here}[0].{name}");
    }
    let known = names(nodes);
    let snake = snake_case(name);
    let mut meant: Vec<String> = nearest(&snake, &known).map(|near| join(here, near)).into_iter().collect();
    let (mut elsewhere, mut found) = (Vec::new(), Vec::new());
    paths(root, &[root], String::new(), DEPTH, &mut found);
    elsewhere.extend(found.into_iter().filter(|path| path.ends_with(&format!(".{snake}"))));
    meant.extend(elsewhere.into_iter().filter(|path| *path != join(here, &snake)));
    meant.truncate(4);
    let name = short(name);
    if !meant.is_empty() {
        return format!("there is no {name:?} in {place}; did you mean {}?", meant.join(", or "));
    }
    if known.is_empty() {
        return format!("{place} has no parts: there is no {name:?} in it");
    }
    let more = if known.len() > TOLD { ", ..." } else { "" };
    let told: Vec<&str> = known.into_iter().take(TOLD).collect();
    format!("there is no {name:?} in {place}; it has {}{more}", told.join(", "))
}

fn join(here: &str, name: &str) -> String {
    if here.is_empty() { name.to_owned() } else { format!("{here}.{name}") }
}

/// All paths of fields that are not in lists.
fn paths(root: &Value, nodes: &[&Value], here: String, depth: usize, found: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    for node in nodes.iter().flat_map(|node| alternatives(root, node)) {
        for (name, child) in node.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let path = join(&here, name);
            found.push(path.clone());
            let is_list = alternatives(root, child).iter().any(|node| node.get("items").is_some());
            if !is_list {
                paths(root, &[child], path, depth - 1, found);
            }
        }
    }
}

/// lowerCamelCase in the form of stored names.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

/// The known name that is nearest, if it is near.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|known| (distance(name, known), *known)).min()?;
    (near.0 <= (name.len() / 3).max(1)).then_some(near.1)
}

/// How many letters are put in, left out or exchanged.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    // A name that is longer than all fields is near to none.
    for (i, a) in one.chars().take(64).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let exchanged = before + usize::from(a != *b);
            before = row[j + 1];
            row[j + 1] = exchanged.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

/// Sets or removes what the parts lead to; what is missing on the way is made.
fn write(value: &mut Value, parts: &[Part], new: Option<Value>) -> Result<(), String> {
    let Some((part, rest)) = parts.split_first() else {
        *value = new.unwrap_or(Value::Null);
        return Ok(());
    };
    match part {
        Part::Name(name) => {
            if value.is_array() {
                return Err(format!("{name:?} is looked for in a list: name its element, as in [0].{name}"));
            }
            if !value.is_object() {
                if new.is_none() {
                    return Ok(());
                }
                *value = Value::Object(Map::new());
            }
            let Value::Object(fields) = value else { return Ok(()) };
            if rest.is_empty() {
                match new {
                    Some(new) => _ = fields.insert(name.clone(), new),
                    None => _ = fields.remove(name),
                }
                return Ok(());
            }
            if new.is_none() && !fields.contains_key(name) {
                return Ok(());
            }
            write(fields.entry(name.clone()).or_insert(Value::Null), rest, new)
        }
        Part::Place(place) => {
            if value.is_null() {
                *value = Value::Array(Vec::new());
            }
            let Value::Array(items) = value else { return Err(format!("[{place}] is looked for in what is no list")) };
            let len = items.len();
            if rest.is_empty() && new.is_none() && *place < len {
                items.remove(*place);
                return Ok(());
            }
            if *place > len || (new.is_none() && *place == len) {
                return Err(format!("[{place}] is not in a list of {len}; [{len}] would add one to it"));
            }
            if *place == len {
                items.push(Value::Null);
            }
            write(&mut items[*place], rest, new)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition() -> ActivityDefinition {
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
            "metadata": {"namespace": "n", "id": "d", "labels": {"team": "a"}},
            "spec": {
                "trigger": {"schedule": {"cron": ["0 9 * * *"], "timezone": "Europe/Berlin"}},
                "task_templates": [{"name": "t", "workflow": {"type": "W", "task_queue": "q"}, "params": {"a": [1, 2]}}]
            }
        }))
        .expect("a definition")
    }

    fn changed(changes: &[(&str, Option<Value>)]) -> Result<Value, String> {
        let changes: Vec<Change> = changes.iter().map(|(path, value)| ((*path).to_owned(), value.clone())).collect();
        let changed = change(&definition(), &changes).map_err(|faults| faults.to_string())?;
        Ok(serde_json::to_value(changed).expect("JSON"))
    }

    #[test]
    fn only_the_named_fields_change() {
        let cases = [
            ("spec.trigger.schedule.timezone", Some(json!("UTC")), "/spec/trigger/schedule/timezone", json!("UTC")),
            ("spec.trigger.schedule.timezone", None, "/spec/trigger/schedule/timezone", Value::Null),
            ("spec.trigger.schedule.cron", Some(json!("@daily")), "/spec/trigger/schedule/cron", json!(["@daily"])),
            ("spec.trigger.schedule.cron[0]", Some(json!("@daily")), "/spec/trigger/schedule/cron/0", json!("@daily")),
            ("spec.trigger.schedule.cron[1]", Some(json!("@daily")), "/spec/trigger/schedule/cron/1", json!("@daily")),
            (
                "spec.trigger.schedule.jitter.window",
                Some(json!("5m")),
                "/spec/trigger/schedule/jitter/window",
                json!("5m"),
            ),
            (
                "spec.trigger.schedule.overlapPolicy",
                Some(json!("skip")),
                "/spec/trigger/schedule/overlap_policy",
                json!("skip"),
            ),
            ("metadata.labels.team", Some(json!("b")), "/metadata/labels/team", json!("b")),
            ("metadata.labels[\"a.b/c\"]", Some(json!("b")), "/metadata/labels/a.b~1c", json!("b")),
            ("metadata.labels", None, "/metadata/labels", Value::Null),
            (
                "spec.taskTemplates[0].params.a[1]",
                Some(json!(null)),
                "/spec/task_templates/0/params/a",
                json!([1, null]),
            ),
            ("spec.task_templates[0].params.b.c", Some(json!(1.5)), "/spec/task_templates/0/params/b/c", json!(1.5)),
            (
                "spec.task_templates[0].workflow.timeout",
                Some(json!("1h")),
                "/spec/task_templates/0/workflow/timeout",
                json!("1h"),
            ),
            ("spec.enabled", Some(json!(false)), "/spec/enabled", json!(false)),
        ];
        let before = serde_json::to_value(definition()).expect("JSON");
        for (path, value, pointer, expected) in cases {
            let after = changed(&[(path, value)]).unwrap_or_else(|why| panic!("{path}: {why}"));
            assert_eq!(after.pointer(pointer).unwrap_or(&Value::Null), &expected, "{path}");
            let (mut one, mut other) = (before.clone(), after);
            for document in [&mut one, &mut other] {
                let top = path.split('.').next().expect("a name");
                document.as_object_mut().expect("an object").remove(top);
            }
            assert_eq!(one, other, "{path} has changed something else");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_path_panics(path in "[a-z_.\\[\\]\"0-9ä ]{0,40}", known in 0_usize..4) {
            let begins = ["", "spec.", "spec.trigger.schedule.", "metadata.labels"][known];
            for value in [None, Some(json!(1)), Some(json!({"a": []}))] {
                let _ = change(&definition(), &[(format!("{begins}{path}"), value)]);
            }
        }
    }

    #[test]
    fn changes_are_made_in_their_order_and_together() {
        let after = changed(&[
            ("spec.task_templates", None),
            ("spec.start_workflow.type", Some(json!("W"))),
            ("spec.start_workflow.task_queue", Some(json!("q"))),
        ])
        .expect("changed");
        assert_eq!(after["spec"]["start_workflow"], json!({"type": "W", "task_queue": "q"}));
        assert_eq!(
            changed(&[("metadata.labels.none", None)]),
            changed(&[("spec.trigger.event.types", None)]),
            "nothing to remove"
        );
    }

    #[test]
    fn a_path_that_is_not_known_is_told_with_what_was_meant() {
        for (path, value, told) in [
            ("spec.trigger.schedule.timezon", json!(1), "did you mean spec.trigger.schedule.timezone?"),
            ("timezone", json!(1), "did you mean spec.trigger.schedule.timezone?"),
            ("spec.cron", json!(1), "did you mean spec.trigger.schedule.cron?"),
            ("spec.trigger.schedule.xyzzy", json!(1), "; it has after, after_end, "),
            ("spec.task_templates.name", json!("x"), "task_templates[0].name"),
            ("spec.trigger.schedule.timezone.x", json!(1), "has no parts"),
            ("spec.enabled[0]", json!(1), "is no list"),
            ("spec.trigger.schedule.cron[7]", json!("@daily"), "[7] is not in a list of 1; [1] would add one"),
            ("metadata.id", json!("e"), "never changes"),
            ("metadata", json!({"id": "e"}), "never change"),
            ("apiVersion", json!("x"), "can't be changed"),
            ("status.version", json!(1), "is not set"),
            ("", json!(1), "a path has 1 to"),
            ("spec..enabled", json!(1), "empty name"),
            ("spec.", json!(1), "empty name"),
            ("spec[", json!(1), "bracket"),
            ("spec.task_templates[x]", json!(1), "bracket"),
            (
                "spec.trigger.schedule.timezone",
                json!(7),
                "changes[0].value: spec.trigger.schedule.timezone: invalid type",
            ),
            ("spec.trigger.schedule.jitter.mode", json!("stabel"), "unknown variant"),
            ("spec.task_templates[0].name", Value::Null, "changes[0].value"),
        ] {
            let why = changed(&[(path, Some(value))]).expect_err(path);
            assert!(why.contains(told), "{path}: {why}");
        }
        let many = vec![("spec.enabled", Some(json!(true))); 101];
        assert!(changed(&many).expect_err("too many").contains("1 to 100"));
        assert!(changed(&[]).expect_err("none").contains("0 changes"));
        let both = changed(&[("a", Some(json!(1))), ("b", Some(json!(1)))]).expect_err("both");
        assert!(both.contains("changes[0]") && both.contains("changes[1]"), "{both}");
    }
}
