//! What a definition's fields may hold, beyond their types. All faults at once, each with the path of its field.
//!
//! Cron text, zones and whether a schedule ever fires are judged by the `schedule` crate, which knows what they mean.

mod start;

use std::collections::{BTreeMap, HashSet};

use crate::calendar::{self, Calendar};
use crate::definition::{
    API_VERSION, ActivityDefinition, AfterEnd, ContextSource, DedupeKeyStrategy, EventTrigger, HttpSource, KIND,
    Metadata, ScheduleTrigger, Spec, Target, TaskTemplate,
};
use crate::duration::Span;
use crate::expression::Expression;
use crate::ids::{self, short};
use crate::limits;
use crate::template;
use crate::violation::Violations;

pub use start::{check_fairness_key, json_text};

/// Everything that is wrong with a definition apart from its schedule.
pub fn check(definition: &ActivityDefinition) -> Violations {
    let mut faults = Violations::default();
    if definition.api_version != API_VERSION {
        faults.push(
            "apiVersion",
            format!("{:?} is not known; it must be {API_VERSION:?}", short(&definition.api_version)),
        );
    }
    if definition.kind != KIND {
        faults.push("kind", format!("{:?} is not known; it must be {KIND:?}", short(&definition.kind)));
    }
    check_metadata(&definition.metadata, &mut faults);
    check_spec(&definition.spec, &mut faults);
    if let Some(schedule) = &definition.spec.trigger.schedule {
        check_after(schedule, &definition.metadata.id, &mut faults);
    }
    check_size(definition, &mut faults);
    faults
}

/// Everything that is wrong with a calendar apart from its days.
pub fn check_calendar(calendar: &Calendar) -> Violations {
    let mut faults = Violations::default();
    let Calendar { api_version, kind, metadata, .. } = calendar;
    for (field, given, known) in [("apiVersion", api_version, API_VERSION), ("kind", kind, calendar::KIND)] {
        if given != known {
            faults.push(field, format!("{:?} is not known; it must be {known:?}", short(given)));
        }
    }
    check_metadata(metadata, &mut faults);
    let size = serde_json::to_vec(calendar).map_or(0, |json| json.len());
    if size > limits::CALENDAR_BYTES {
        faults.push("", format!("the calendar has {size} bytes as JSON; at most {}", limits::CALENDAR_BYTES));
    }
    faults
}

fn check_size(definition: &ActivityDefinition, faults: &mut Violations) {
    let size = serde_json::to_vec(definition).map_or(0, |json| json.len());
    if size > limits::DEFINITION_BYTES {
        faults.push("", format!("the definition has {size} bytes as JSON; at most {}", limits::DEFINITION_BYTES));
    }
}

fn check_metadata(metadata: &Metadata, faults: &mut Violations) {
    if let Err(why) = ids::check_namespace(&metadata.namespace) {
        faults.push("metadata.namespace", why);
    }
    if let Err(why) = ids::check_id(&metadata.id) {
        faults.push("metadata.id", why);
    }
    if metadata.name.len() > limits::NAME_LEN {
        faults.push("metadata.name", format!("{} bytes; at most {}", metadata.name.len(), limits::NAME_LEN));
    }
    check_labels(&metadata.labels, faults);
}

fn check_labels(labels: &BTreeMap<String, String>, faults: &mut Violations) {
    if labels.len() > limits::LABELS {
        faults.push("metadata.labels", format!("{} labels; at most {}", labels.len(), limits::LABELS));
    }
    for (key, value) in labels {
        let field = format!("metadata.labels.{}", short(key));
        if key.is_empty() || !is_label(key) {
            faults.push(
                &field,
                format!("{:?}: a label's key has 1 to {} characters of {LABEL_CHARS}", short(key), limits::LABEL_LEN),
            );
        }
        if !is_label(value) {
            faults.push(
                &field,
                format!(
                    "{:?}: a label's value has 0 to {} characters of {LABEL_CHARS}",
                    short(value),
                    limits::LABEL_LEN
                ),
            );
        }
    }
}

const LABEL_CHARS: &str = "A-Z a-z 0-9 . _ - /";

/// Whether a text may stand in a label (and in a selector).
pub fn is_label(text: &str) -> bool {
    text.len() <= limits::LABEL_LEN
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'/'))
}

fn check_spec(spec: &Spec, faults: &mut Violations) {
    if let Some(event) = &spec.trigger.event {
        check_event_trigger(event, faults);
    }
    if let Some(strategy) = &spec.dedupe_key_strategy {
        check_dedupe(strategy, faults);
    }
    if let Some(start) = &spec.start_workflow {
        if !spec.context_sources.is_empty() || !spec.task_templates.is_empty() {
            faults.push(
                "spec.start_workflow",
                "excludes context_sources and task_templates: they belong to the built-in orchestrator",
            );
        }
        start::check(start, faults);
    } else if spec.task_templates.is_empty() {
        faults.push(
            "spec.task_templates",
            "a definition has task_templates or start_workflow; this one would do nothing",
        );
    }
    check_sources(&spec.context_sources, faults);
    check_tasks(&spec.task_templates, faults);
}

/// What a schedule comes after. Whether it is there, and comes after this one in turn, only the shards know.
fn check_after(schedule: &ScheduleTrigger, id: &str, faults: &mut Violations) {
    let field = "spec.trigger.schedule.after";
    let ScheduleTrigger { after, after_end, .. } = schedule;
    if after.len() > limits::AFTER {
        faults.push(field, format!("{} entries are too many; at most {} are allowed", after.len(), limits::AFTER));
        return;
    }
    for (i, one) in after.iter().enumerate() {
        let path = format!("{field}[{i}]");
        if let Err(why) = ids::check_id(&one.definition) {
            faults.push(format!("{path}.definition"), format!("{why}; it is the id of another definition"));
        } else if one.definition == id {
            let message = "names the definition itself: each of its runs would set off the next; use interval";
            faults.push(format!("{path}.definition"), message);
        }
        if one.delay > Span::from_secs(limits::AFTER_DAYS * 86_400) {
            let message = format!("{} is not in 0s to {}d", one.delay, limits::AFTER_DAYS);
            faults.push(format!("{path}.delay"), message);
        }
        if after[..i].contains(one) {
            faults
                .push(path, format!("the same stands in {field} twice; each has another definition, delay or outcome"));
        }
    }
    if !after.is_empty() && *after_end != AfterEnd::Keep {
        let message = "nobody knows when the last run of another definition ends, so it would never be over: leave \
                       after_end out, or after";
        faults.push("spec.trigger.schedule.after_end", message);
    }
}

fn check_event_trigger(event: &EventTrigger, faults: &mut Violations) {
    let field = "spec.trigger.event.types";
    if event.types.is_empty() || event.types.len() > limits::EVENT_TYPES {
        faults.push(field, format!("{} types; 1 to {} are allowed", event.types.len(), limits::EVENT_TYPES));
    }
    for (i, name) in event.types.iter().enumerate() {
        if name.is_empty() || name.len() > limits::ATTRIBUTE_LEN {
            faults.push(format!("{field}[{i}]"), format!("{} bytes; 1 to {}", name.len(), limits::ATTRIBUTE_LEN));
        }
        if event.types[..i].contains(name) {
            faults.push(format!("{field}[{i}]"), format!("{:?} stands twice", short(name)));
        }
    }
    if event.attributes.len() > limits::EVENT_TYPES {
        let count = event.attributes.len();
        faults.push("spec.trigger.event.attributes", format!("{count} attributes; at most {}", limits::EVENT_TYPES));
    }
    for (name, value) in &event.attributes {
        check_matched_attribute(name, value, faults);
    }
}

fn check_matched_attribute(name: &str, value: &str, faults: &mut Violations) {
    let field = format!("spec.trigger.event.attributes.{}", short(name));
    if !crate::event::is_attribute_name(name) {
        faults.push(&field, "an attribute's name has 1 to 64 characters of a-z 0-9");
    }
    match name {
        "type" => faults.push(&field, "is given in spec.trigger.event.types"),
        "data" => faults.push(&field, "data is not an attribute"),
        _ => {}
    }
    if value.len() > limits::ATTRIBUTE_LEN {
        faults.push(&field, format!("{} bytes; at most {}", value.len(), limits::ATTRIBUTE_LEN));
    }
}

fn check_dedupe(strategy: &DedupeKeyStrategy, faults: &mut Violations) {
    if let Some(key) = &strategy.key {
        check_expression("spec.dedupe_key_strategy.key", key, faults);
    }
    check_span(
        "spec.dedupe_key_strategy.window",
        strategy.window,
        Span::from_secs(1),
        Span::from_secs(30 * 86_400),
        faults,
    );
}

fn check_span(field: &str, span: Span, least: Span, most: Span, faults: &mut Violations) {
    if span < least || span > most {
        faults.push(field, format!("{span} is not in {least} to {most}"));
    }
}

fn check_expression(field: &str, source: &str, faults: &mut Violations) {
    if let Err(error) = Expression::compile(source) {
        faults.push(field, error.to_string());
    }
}

fn check_templates(field: &str, value: &serde_json::Value, faults: &mut Violations) {
    if depth(value) > limits::JSON_DEPTH {
        faults.push(field, format!("is nested deeper than {}", limits::JSON_DEPTH));
        return;
    }
    for fault in template::check(value) {
        faults.push(format!("{field}{}", fault.path), fault.message);
    }
}

/// Nesting of a value, 1 for a scalar. Goes at most one level beyond the limit.
fn depth(value: &serde_json::Value) -> usize {
    fn at(value: &serde_json::Value, level: usize) -> usize {
        if level > limits::JSON_DEPTH {
            return level;
        }
        match value {
            serde_json::Value::Array(items) => items.iter().map(|v| at(v, level + 1)).max().unwrap_or(level),
            serde_json::Value::Object(fields) => fields.values().map(|v| at(v, level + 1)).max().unwrap_or(level),
            _ => level,
        }
    }
    at(value, 1)
}

fn check_timeout(field: &str, timeout: Option<Span>, faults: &mut Violations) {
    if let Some(timeout) = timeout {
        check_span(field, timeout, Span::from_secs(1), Span::from_secs(10 * 365 * 86_400), faults);
    }
}

/// A workflow type, an activity type or a task queue: Temporal takes 1 to 1,000 bytes.
fn check_type(field: &str, name: &str, faults: &mut Violations) {
    if name.trim().is_empty() || name.len() > 1000 || name.chars().any(char::is_control) {
        faults.push(field, format!("{:?}: 1 to 1000 bytes without control characters", short(name)));
    }
}

fn check_sources(sources: &[ContextSource], faults: &mut Violations) {
    if sources.len() > limits::CONTEXT_SOURCES {
        faults.push("spec.context_sources", format!("{} sources; at most {}", sources.len(), limits::CONTEXT_SOURCES));
    }
    let mut names = HashSet::new();
    for (i, source) in sources.iter().enumerate() {
        let field = format!("spec.context_sources[{i}]");
        if !is_identifier(&source.name) {
            let message = format!("{:?}: 1 to 64 characters of a-z A-Z 0-9 _ , no digit first", short(&source.name));
            faults.push(format!("{field}.name"), message);
        }
        if !names.insert(&source.name) {
            faults.push(format!("{field}.name"), format!("{:?} stands twice", short(&source.name)));
        }
        match (&source.static_value, &source.http) {
            (Some(value), None) => check_templates(&format!("{field}.static"), value, faults),
            (None, Some(http)) => check_http(&format!("{field}.http"), http, faults),
            _ => faults.push(&field, "has exactly one of static and http"),
        }
    }
}

fn is_identifier(name: &str) -> bool {
    name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

fn check_http(field: &str, http: &HttpSource, faults: &mut Violations) {
    let url = &http.url;
    let scheme_is_open = url.trim_start().starts_with("{{");
    if !(scheme_is_open || url.starts_with("https://") || url.starts_with("http://")) {
        faults.push(format!("{field}.url"), format!("{:?} is not an http or https URL", short(url)));
    }
    check_templates(&format!("{field}.url"), &url.clone().into(), faults);
    if !matches!(http.method.as_str(), "GET" | "POST") {
        faults.push(format!("{field}.method"), format!("{:?} is not GET or POST", short(&http.method)));
    }
    if http.method == "GET" && http.body.is_some() {
        faults.push(format!("{field}.body"), "a GET has no body; set method to POST");
    }
    if let Some(body) = &http.body {
        check_templates(&format!("{field}.body"), body, faults);
    }
    for (name, value) in &http.headers {
        check_header(&format!("{field}.headers.{}", short(name)), name, value, faults);
    }
    check_span(&format!("{field}.timeout"), http.timeout, Span::from_micros(100_000), Span::from_secs(300), faults);
}

fn check_header(field: &str, name: &str, value: &str, faults: &mut Violations) {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > 256 || !name.bytes().all(token) {
        faults.push(field, format!("{:?} is not an HTTP header name", short(name)));
    }
    if value.chars().any(char::is_control) {
        faults.push(field, "the value holds a control character");
    }
    check_templates(field, &value.to_owned().into(), faults);
}

fn check_tasks(tasks: &[TaskTemplate], faults: &mut Violations) {
    if tasks.len() > limits::TASK_TEMPLATES {
        faults.push("spec.task_templates", format!("{} tasks; at most {}", tasks.len(), limits::TASK_TEMPLATES));
    }
    let mut names = HashSet::new();
    for (i, task) in tasks.iter().enumerate() {
        let field = format!("spec.task_templates[{i}]");
        check_task(&field, task, faults);
        if !names.insert(task.name.as_str()) {
            faults.push(format!("{field}.name"), format!("{:?} stands twice", short(&task.name)));
        }
    }
    check_order(tasks, faults);
}

fn check_task(field: &str, task: &TaskTemplate, faults: &mut Violations) {
    let name = &task.name;
    let valid =
        (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
    if !valid {
        faults.push(format!("{field}.name"), format!("{:?}: 1 to 64 characters of a-z A-Z 0-9 _ -", short(name)));
    }
    if let Some(when) = &task.when {
        check_expression(&format!("{field}.when"), when, faults);
    }
    match (&task.workflow, &task.activity) {
        (Some(target), None) => check_target(&format!("{field}.workflow"), target, faults),
        (None, Some(target)) => check_target(&format!("{field}.activity"), target, faults),
        _ => faults.push(field, "has exactly one of workflow and activity"),
    }
    check_templates(&format!("{field}.params"), &task.params, faults);
}

fn check_target(field: &str, target: &Target, faults: &mut Violations) {
    check_type(&format!("{field}.type"), &target.type_name, faults);
    check_type(&format!("{field}.task_queue"), &target.task_queue, faults);
    check_timeout(&format!("{field}.timeout"), target.timeout, faults);
}

/// Every dependency exists and none leads back to its task.
fn check_order(tasks: &[TaskTemplate], faults: &mut Violations) {
    let index: BTreeMap<&str, usize> = tasks.iter().enumerate().map(|(i, task)| (task.name.as_str(), i)).collect();
    for (i, task) in tasks.iter().enumerate() {
        for (j, name) in task.depends_on.iter().enumerate() {
            if !index.contains_key(name.as_str()) {
                let field = format!("spec.task_templates[{i}].depends_on[{j}]");
                faults.push(field, format!("{:?} is not the name of a task of this definition", short(name)));
            }
        }
    }
    let mut waiting: Vec<usize> = (0..tasks.len()).collect();
    let mut done = HashSet::new();
    loop {
        let before = waiting.len();
        waiting.retain(|&i| {
            let ready =
                tasks[i].depends_on.iter().all(|name| index.get(name.as_str()).is_none_or(|d| done.contains(d)));
            if ready {
                done.insert(i);
            }
            !ready
        });
        if waiting.len() == before {
            break;
        }
    }
    if let Some(&i) = waiting.first() {
        faults.push(format!("spec.task_templates[{i}].depends_on"), "the dependencies lead back to the task itself");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn base() -> Value {
        json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
            "metadata": {"id": "a"},
            "spec": {
                "trigger": {"event": {"types": ["t"]}},
                "context_sources": [{"name": "c", "static": 1}],
                "task_templates": [{"name": "one", "workflow": {"type": "W", "task_queue": "q"}}]
            }
        })
    }

    fn faults_of(pointer: &str, value: Value) -> Vec<String> {
        let mut json = base();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        json.pointer_mut(parent).expect(parent)[key] = value;
        let definition: ActivityDefinition = serde_json::from_value(json).expect(pointer);
        check(&definition).0.into_iter().map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn the_base_of_these_tests_is_valid() {
        assert_eq!(faults_of("/metadata/name", json!("A")), Vec::<String>::new());
    }

    #[test]
    fn each_fault_names_its_field() {
        for (pointer, value, begins) in [
            ("/apiVersion", json!("v2"), "apiVersion: \"v2\" is not known"),
            ("/kind", json!("Cron"), "kind: \"Cron\" is not known"),
            ("/metadata/id", json!("A b"), "metadata.id: \"A b\" holds 'A'"),
            ("/metadata/id", json!("x".repeat(300)), "metadata.id: an id has 1 to 200"),
            ("/metadata/namespace", json!("a:b"), "metadata.namespace: "),
            ("/metadata/name", json!("x".repeat(257)), "metadata.name: 257 bytes"),
            ("/metadata/labels", json!({"a b": "c"}), "metadata.labels.a b: "),
            ("/metadata/labels", json!({"a": "c d"}), "metadata.labels.a: "),
            ("/spec/trigger", json!({"event": {"types": []}}), "spec.trigger.event.types: 0 types"),
            (
                "/spec/trigger",
                json!({"event": {"types": ["t", "t"]}}),
                "spec.trigger.event.types[1]: \"t\" stands twice",
            ),
            (
                "/spec/trigger",
                json!({"event": {"types": "t", "attributes": {"Bad": "x"}}}),
                "spec.trigger.event.attributes.Bad: ",
            ),
            (
                "/spec/trigger",
                json!({"event": {"types": "t", "attributes": {"type": "x"}}}),
                "spec.trigger.event.attributes.type: is given",
            ),
            (
                "/spec/dedupe_key_strategy",
                json!({"key": "event.data.("}),
                "spec.dedupe_key_strategy.key: the expression",
            ),
            (
                "/spec/dedupe_key_strategy",
                json!({"window": "0s"}),
                "spec.dedupe_key_strategy.window: 0s is not in 1s to 30d",
            ),
            ("/spec/start_workflow", json!({"type": "W", "task_queue": "q"}), "spec.start_workflow: excludes"),
            ("/spec/task_templates", json!([]), "spec.task_templates: a definition has"),
            ("/spec/context_sources", json!([{"name": "9", "static": 1}]), "spec.context_sources[0].name: "),
            ("/spec/context_sources", json!([{"name": "a"}]), "spec.context_sources[0]: has exactly one"),
            (
                "/spec/context_sources",
                json!([{"name": "a", "static": 1}, {"name": "a", "static": 1}]),
                "spec.context_sources[1].name: \"a\" stands twice",
            ),
            (
                "/spec/context_sources",
                json!([{"name": "a", "http": {"url": "ftp://x"}}]),
                "spec.context_sources[0].http.url: ",
            ),
            (
                "/spec/context_sources",
                json!([{"name": "a", "http": {"url": "http://x/{{ a"}}]),
                "spec.context_sources[0].http.url: the template",
            ),
            (
                "/spec/context_sources",
                json!([{"name": "a", "http": {"url": "http://x", "method": "PUT"}}]),
                "spec.context_sources[0].http.method: ",
            ),
            (
                "/spec/context_sources",
                json!([{"name": "a", "http": {"url": "http://x", "timeout": "1ms"}}]),
                "spec.context_sources[0].http.timeout: ",
            ),
            ("/spec/task_templates", json!([{"name": "a"}]), "spec.task_templates[0]: has exactly one"),
            (
                "/spec/task_templates",
                json!([{"name": "a", "workflow": {"type": "", "task_queue": "q"}}]),
                "spec.task_templates[0].workflow.type: ",
            ),
            (
                "/spec/task_templates",
                json!([{"name": "a", "when": "x ==", "workflow": {"type": "W", "task_queue": "q"}}]),
                "spec.task_templates[0].when: ",
            ),
            (
                "/spec/task_templates",
                json!([{"name": "a", "workflow": {"type": "W", "task_queue": "q"}, "params": {"p": ["{{ x"]}}]),
                "spec.task_templates[0].params.p[0]: the template",
            ),
            (
                "/spec/task_templates",
                json!([{"name": "a", "workflow": {"type": "W", "task_queue": "q"}, "depends_on": ["b"]}]),
                "spec.task_templates[0].depends_on[0]: ",
            ),
            (
                "/spec/task_templates",
                json!([{"name": "a", "workflow": {"type": "W", "task_queue": "q"}, "depends_on": ["a"]}]),
                "spec.task_templates[0].depends_on: the dependencies lead back",
            ),
        ] {
            let faults = faults_of(pointer, value);
            assert!(faults.iter().any(|fault| fault.starts_with(begins)), "{begins}: {faults:?}");
        }
    }

    #[test]
    fn what_a_schedule_comes_after_is_another_definition_within_limits() {
        let schedule = |after: Value| json!({"schedule": {"after": after}});
        let field = "spec.trigger.schedule.after";
        for (after, told) in [
            (json!({"definition": "b"}), vec![]),
            (json!([{"definition": "b"}, {"definition": "b", "outcome": "failure", "delay": "365d"}]), vec![]),
            (json!({"definition": "a"}), vec![format!("{field}[0].definition: names the definition itself")]),
            (json!({"definition": "n/b"}), vec![format!("{field}[0].definition: \"n/b\" holds '/'")]),
            (json!({"definition": ""}), vec![format!("{field}[0].definition: an id has 1 to 200")]),
            (json!({"definition": "b", "delay": "366d"}), vec![format!("{field}[0].delay: 366d is not in 0s to 365d")]),
            (json!([{"definition": "b"}, {"definition": "b", "delay": "0s"}]), vec![format!("{field}[1]: the same")]),
            (json!(vec![json!({"definition": "b"}); 11]), vec![format!("{field}: 11 entries are too many")]),
        ] {
            let faults = faults_of("/spec/trigger", schedule(after.clone()));
            let fits = faults.len() == told.len() && faults.iter().zip(&told).all(|(f, begin)| f.starts_with(begin));
            assert!(fits, "{after}: {faults:?}");
        }
        let over = json!({"schedule": {"after": {"definition": "b"}, "after_end": "delete"}});
        assert!(faults_of("/spec/trigger", over)[0].starts_with("spec.trigger.schedule.after_end: nobody knows"));
        for odd in
            [json!({"definition": "b", "delay": "-1s"}), json!({"definition": "b", "outcome": "good"}), json!({})]
        {
            assert!(serde_json::from_value::<crate::definition::After>(odd.clone()).is_err(), "{odd}");
        }
    }

    #[test]
    fn unknown_fields_are_refused_and_camel_case_is_accepted() {
        let unknown = json!({"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "a"}, "spec": {"triger": {}}});
        let error = serde_json::from_value::<ActivityDefinition>(unknown).expect_err("unknown").to_string();
        assert!(error.contains("unknown field `triger`"), "{error}");
        let camel = json!({"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "a"},
            "spec": {"startWorkflow": {"type": "W", "taskQueue": "q", "runTimeout": "5m"}, "trigger": {"schedule": {"cron": "@daily", "timeZone": "UTC"}}}});
        let definition: ActivityDefinition = serde_json::from_value(camel).expect("camel case");
        assert_eq!(check(&definition), Violations::default());
        assert_eq!(definition.spec.trigger.schedule.expect("a schedule").cron, ["@daily"]);
    }

    #[test]
    fn a_huge_definition_is_refused_whole() {
        let faults = faults_of("/spec/context_sources", json!([{"name": "a", "static": "x".repeat(300_000)}]));
        assert!(faults.iter().any(|fault| fault.contains("bytes as JSON")), "{faults:?}");
    }
}
