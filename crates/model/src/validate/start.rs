//! What `start_workflow` may hold: what Temporal would refuse at each start is refused here, once. Which versions of a worker there are, which
//! search attributes, and how many priorities, only its server knows.

use serde_json::Value;

use super::{check_span, check_templates, check_timeout, check_type};
use crate::definition::{Priority, RetryPolicy, StartWorkflow, VersioningOverride, WorkerVersion};
use crate::duration::Span;
use crate::ids::short;
use crate::limits;
use crate::template;
use crate::violation::Violations;

const FIELD: &str = "spec.start_workflow";

pub(super) fn check(start: &StartWorkflow, faults: &mut Violations) {
    check_type("spec.start_workflow.type", &start.type_name, faults);
    check_type("spec.start_workflow.task_queue", &start.task_queue, faults);
    for (i, argument) in start.input.iter().enumerate() {
        check_templates(&format!("{FIELD}.input[{i}]"), argument, faults);
    }
    if start.search_attributes.len() > limits::SEARCH_ATTRIBUTES {
        let message = format!("{} of them; at most {}", start.search_attributes.len(), limits::SEARCH_ATTRIBUTES);
        faults.push("spec.start_workflow.search_attributes", message);
    }
    for (name, fields) in
        [("memo", &start.memo), ("search_attributes", &start.search_attributes), ("header", &start.header)]
    {
        for (key, value) in fields {
            check_templates(&format!("{FIELD}.{name}.{}", short(key)), value, faults);
        }
    }
    if let Some(policy) = &start.retry_policy {
        check_retry("spec.start_workflow.retry_policy", policy, faults);
    }
    for (name, timeout) in [
        ("execution_timeout", start.execution_timeout),
        ("run_timeout", start.run_timeout),
        ("task_timeout", start.task_timeout),
    ] {
        check_timeout(&format!("{FIELD}.{name}"), timeout, faults);
    }
    check_text("spec.start_workflow.summary", &start.summary, |text| json_text(text, limits::SUMMARY_BYTES), faults);
    check_text("spec.start_workflow.details", &start.details, |text| json_text(text, limits::DETAILS_BYTES), faults);
    if let Some(priority) = &start.priority {
        check_priority("spec.start_workflow.priority", priority, faults);
    }
    if let Some(versioning) = &start.versioning_override {
        check_versioning("spec.start_workflow.versioning_override", versioning, faults);
    }
}

/// A text as JSON, as it is sent. `Err` says how long it is where Temporal takes no more than `most` bytes of that.
pub fn json_text(text: &str, most: usize) -> Result<String, String> {
    let json = Value::from(text).to_string();
    if json.len() <= most { Ok(json) } else { Err(format!("{} bytes as JSON; at most {most}: shorten it", json.len())) }
}

/// Whether Temporal takes it. `Err` says why not.
pub fn check_fairness_key(key: &str) -> Result<(), String> {
    let most = limits::FAIRNESS_KEY_LEN;
    if key.len() <= most {
        return Ok(());
    }
    Err(format!("{:?} has {} bytes; at most {most}: shorten it", short(key), key.len()))
}

/// A text that is a template. What it yields is looked at when it is sent; one that yields itself, here.
fn check_text<T>(field: &str, text: &str, judge: impl Fn(&str) -> Result<T, String>, faults: &mut Violations) {
    let value = Value::from(text);
    check_templates(field, &value, faults);
    if template::is_plain(&value)
        && let Err(why) = judge(text)
    {
        faults.push(field, why);
    }
}

fn check_priority(field: &str, priority: &Priority, faults: &mut Violations) {
    if let Some(key) = priority.priority_key.filter(|key| *key == 0 || i32::try_from(*key).is_err()) {
        let message = format!("{key} is not in 1 (comes first) to {}; leave it out for the middle one", i32::MAX);
        faults.push(format!("{field}.priority_key"), message);
    }
    check_text(&format!("{field}.fairness_key"), &priority.fairness_key, check_fairness_key, faults);
    let (least, most) = (limits::FAIRNESS_WEIGHTS.start(), limits::FAIRNESS_WEIGHTS.end());
    if let Some(weight) = priority.fairness_weight.filter(|weight| !limits::FAIRNESS_WEIGHTS.contains(weight)) {
        let message = format!("{weight} is not in {least} to {most}; leave it out for 1");
        faults.push(format!("{field}.fairness_weight"), message);
    }
}

fn check_versioning(field: &str, versioning: &VersioningOverride, faults: &mut Violations) {
    let VersioningOverride { pinned, auto_upgrade, one_time } = versioning;
    if [pinned.is_some(), *auto_upgrade, one_time.is_some()].iter().filter(|set| **set).count() != 1 {
        faults.push(field, "has exactly one of pinned, auto_upgrade: true, and one_time");
    }
    for (name, version) in [("pinned", pinned), ("one_time", one_time)] {
        let Some(WorkerVersion { deployment_name, build_id }) = version else { continue };
        for (part, text) in [("deployment_name", deployment_name), ("build_id", build_id)] {
            if text.trim().is_empty() || text.len() > limits::WORKER_VERSION_LEN || text.chars().any(char::is_control) {
                let most = limits::WORKER_VERSION_LEN;
                let message = format!("{:?}: 1 to {most} bytes without control characters", short(text));
                faults.push(format!("{field}.{name}.{part}"), message);
            }
        }
    }
}

fn check_retry(field: &str, policy: &RetryPolicy, faults: &mut Violations) {
    let RetryPolicy { initial_interval, backoff_coefficient, maximum_interval, maximum_attempts, .. } = policy;
    let longest = Span::from_secs(10 * 365 * 86_400);
    if let Some(first) = initial_interval {
        check_span(&format!("{field}.initial_interval"), *first, Span::from_micros(1000), longest, faults);
    }
    if let Some(most) = maximum_interval {
        let first = initial_interval.unwrap_or(Span::from_secs(1));
        check_span(&format!("{field}.maximum_interval"), *most, first, longest, faults);
    }
    if let Some(factor) = backoff_coefficient.filter(|factor| !(1.0..=1000.0).contains(factor)) {
        faults.push(format!("{field}.backoff_coefficient"), format!("{factor} is not in 1 to 1000"));
    }
    if *maximum_attempts == Some(0) || maximum_attempts.is_some_and(|most| i32::try_from(most).is_err()) {
        let message =
            format!("{} is not in 1 to {}; leave it out for no limit", maximum_attempts.unwrap_or(0), i32::MAX);
        faults.push(format!("{field}.maximum_attempts"), message);
    }
    if policy.non_retryable_error_types.len() > limits::ERROR_TYPES {
        let message = format!("{} of them; at most {}", policy.non_retryable_error_types.len(), limits::ERROR_TYPES);
        faults.push(format!("{field}.non_retryable_error_types"), message);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults_of(more: Value) -> Vec<String> {
        let mut start = json!({"type": "W", "task_queue": "q"});
        start.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
        let start: StartWorkflow = serde_json::from_value(start).expect("it is read");
        let mut faults = Violations::default();
        check(&start, &mut faults);
        faults.0.into_iter().map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn what_temporal_takes_at_each_start_is_taken() {
        let version = || json!({"deployment_name": "mail", "build_id": "7.2"});
        for more in [
            json!({"summary": "x".repeat(398), "details": "x".repeat(19_998)}),
            json!({"summary": "{{ definition.id }} of {{ scheduled_for }}", "details": "# {{ event.type }}"}),
            json!({"priority": {}}),
            json!({"priority": {"priority_key": 1, "fairness_key": "x".repeat(64), "fairness_weight": 0.001}}),
            json!({"priority": {"priorityKey": 9, "fairnessKey": "{{ event.data.tenant }}", "fairnessWeight": 1000}}),
            json!({"versioning_override": {"pinned": version()}}),
            json!({"versioningOverride": {"autoUpgrade": true}}),
            json!({"versioning_override": {"oneTime": {"deploymentName": "mail", "buildId": "7.2"}}}),
            json!({"header": {"tenant": "{{ event.data.tenant }}", "": null, "nested": {"a": [1, 2]}}}),
        ] {
            assert_eq!(faults_of(more.clone()), Vec::<String>::new(), "{more}");
        }
    }

    #[test]
    fn what_it_would_refuse_is_told_with_field_and_limit() {
        let long = "x".repeat(400);
        let bad = |name: &str, build: &str| json!({"deployment_name": name, "build_id": build});
        for (more, told) in [
            (json!({"summary": long}), "summary: 402 bytes as JSON; at most 400: shorten it"),
            (json!({"summary": "\"".repeat(200)}), "summary: 402 bytes as JSON; at most 400"),
            (json!({"summary": "{{ nobody }}"}), "summary: there is no variable \"nobody\""),
            (json!({"details": "x".repeat(20_000)}), "details: 20002 bytes as JSON; at most 20000"),
            (
                json!({"priority": {"priority_key": 0}}),
                "priority.priority_key: 0 is not in 1 (comes first) to 2147483647",
            ),
            (json!({"priority": {"priority_key": 3_000_000_000u32}}), "priority.priority_key: 3000000000 is not in 1"),
            (json!({"priority": {"fairness_key": "x".repeat(65)}}), "priority.fairness_key: \"xxx"),
            (json!({"priority": {"fairness_key": "{{ a b }}"}}), "priority.fairness_key: the template"),
            (json!({"priority": {"fairness_weight": 0}}), "priority.fairness_weight: 0 is not in 0.001 to 1000"),
            (json!({"priority": {"fairness_weight": 1000.5}}), "priority.fairness_weight: 1000.5 is not in 0.001"),
            (json!({"versioning_override": {}}), "versioning_override: has exactly one of pinned"),
            (
                json!({"versioning_override": {"auto_upgrade": true, "pinned": bad("d", "b")}}),
                "versioning_override: has",
            ),
            (
                json!({"versioning_override": {"pinned": bad("", "b")}}),
                "versioning_override.pinned.deployment_name: \"\"",
            ),
            (json!({"versioning_override": {"one_time": bad("d", "a\nb")}}), "versioning_override.one_time.build_id: "),
            (
                json!({"versioning_override": {"pinned": bad("d", &"b".repeat(481))}}),
                "versioning_override.pinned.build_id: ",
            ),
            (json!({"header": {"a": {"b": "{{ x"}}}), "header.a.b: the template"),
            (json!({"memo": {"a": "{{ x"}}), "memo.a: the template"),
        ] {
            let faults = faults_of(more.clone());
            assert!(faults.len() == 1 && faults[0].starts_with(&format!("{FIELD}.{told}")), "{more}: {faults:?}");
        }
    }

    #[test]
    fn a_key_that_is_no_whole_number_and_fields_of_others_can_t_be_read() {
        for more in [
            json!({"priority": {"priority_key": -1}}),
            json!({"priority": {"priority_key": 1.5}}),
            json!({"priority": {"weight": 1}}),
            json!({"versioning_override": {"pinned": {"deployment_name": "d"}}}),
            json!({"versioning_override": {"behavior": "PINNED"}}),
            json!({"header": ["a"]}),
            json!({"summary": 1}),
        ] {
            let mut start = json!({"type": "W", "task_queue": "q"});
            start.as_object_mut().expect("fields").extend(more.as_object().expect("fields").clone());
            assert!(serde_json::from_value::<StartWorkflow>(start).is_err(), "{more}");
        }
    }
}
