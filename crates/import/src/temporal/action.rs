//! What: the start of a workflow as a `start_workflow` of ours.

use std::collections::BTreeMap;

use flintwheel_model::definition::{self, RetryPolicy, StartWorkflow, VersioningOverride};
use flintwheel_model::{Span, limits};
use serde_json::Value;

use super::schedule::{Action, Payload, Priority, Retry, Versioning, WorkerVersion};
use crate::finding::Finding;
use crate::literal::{literal, literal_text};

/// What is started.
pub(super) fn start(action: &Action, findings: &mut Vec<Finding>) -> StartWorkflow {
    let mut input = Vec::with_capacity(action.input.len());
    for (place, payload) in action.input.iter().enumerate() {
        input.extend(value(payload, "input", &format!("action.input[{place}]"), findings));
    }
    StartWorkflow {
        type_name: action.workflow_type.clone(),
        task_queue: action.task_queue.clone(),
        input,
        memo: values(&action.memo, "memo", findings),
        search_attributes: values(&action.search_attributes, "search_attributes", findings),
        retry_policy: action.retry_policy.as_ref().map(retry),
        execution_timeout: timeout(action.execution_timeout),
        run_timeout: timeout(action.run_timeout),
        task_timeout: timeout(action.task_timeout),
        summary: text(action.summary.as_ref(), "summary", findings),
        details: text(action.details.as_ref(), "details", findings),
        priority: action.priority.as_ref().map(|one| priority(one, findings)).filter(|one| *one != Default::default()),
        versioning_override: action.versioning_override.as_ref().and_then(|one| versioning(one, findings)),
        header: values(&action.header, "header", findings),
    }
}

/// Values by their names.
fn values(
    payloads: &BTreeMap<String, Payload>,
    field: &'static str,
    findings: &mut Vec<Finding>,
) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (name, payload) in payloads {
        if let Some(value) = value(payload, field, &format!("action.{field}.{name}"), findings) {
            values.insert(name.clone(), value);
        }
    }
    values
}

/// A text for people; empty where it has none, or none that can be carried.
fn text(payload: Option<&Payload>, part: &str, findings: &mut Vec<Finding>) -> String {
    let field = format!("action.user_metadata.{part}");
    let payload = payload.filter(|payload| payload.encoding != "binary/null");
    match payload.and_then(|payload| value(payload, "user_metadata", &field, findings)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(_) => {
            let message = "it is JSON, but no text; a definition's are texts";
            findings.push(Finding::lost("user_metadata", field, message));
            String::new()
        }
    }
}

fn priority(priority: &Priority, findings: &mut Vec<Finding>) -> definition::Priority {
    let name = "priority";
    let key = u32::try_from(priority.priority_key);
    if key.is_err() {
        let message = format!("{} is none that Temporal starts a workflow with", priority.priority_key);
        findings.push(Finding::lost(name, "action.priority.priority_key", message));
    }
    // The shortest decimal that is this number, not all the digits that its double has.
    let given: f64 = priority.fairness_weight.to_string().parse().unwrap_or_default();
    let weight = match given {
        0.0 => None,
        given if given > 0.0 => Some(given.clamp(*limits::FAIRNESS_WEIGHTS.start(), *limits::FAIRNESS_WEIGHTS.end())),
        _ => {
            let message = format!("{given} is none that Temporal starts a workflow with");
            findings.push(Finding::lost(name, "action.priority.fairness_weight", message));
            None
        }
    };
    if let Some(weight) = weight.filter(|weight| *weight != given) {
        let message = format!("{given} is {weight} here, which is what Temporal takes it for");
        findings.push(Finding::note(name, "action.priority.fairness_weight", message));
    }
    definition::Priority {
        priority_key: key.ok().filter(|key| *key > 0),
        fairness_key: literal_text(&priority.fairness_key),
        fairness_weight: weight,
    }
}

fn versioning(versioning: &Versioning, findings: &mut Vec<Finding>) -> Option<VersioningOverride> {
    let version = |version: &WorkerVersion| definition::WorkerVersion {
        deployment_name: version.deployment_name.clone(),
        build_id: version.build_id.clone(),
    };
    let (name, field) = ("versioning_override", "action.versioning_override");
    if *versioning != Versioning::Unknown {
        let message = "servers of Temporal keep it, and many start a schedule's workflows without it; here it holds, and a version that \
                       no worker is makes dead letters";
        findings.push(Finding::differs(name, field, message));
    }
    let none = VersioningOverride::default();
    match versioning {
        Versioning::Pinned(to) => Some(VersioningOverride { pinned: Some(version(to)), ..none }),
        Versioning::OneTime(to) => Some(VersioningOverride { one_time: Some(version(to)), ..none }),
        Versioning::AutoUpgrade => Some(VersioningOverride { auto_upgrade: true, ..none }),
        Versioning::Unknown => {
            let message = "it names no version, or in a way that is not known here; a definition has pinned, \
                           auto_upgrade and one_time";
            findings.push(Finding::lost(name, field, message));
            None
        }
    }
}

/// Negative ones are refused when the workflow starts, there as here; they can't be written.
fn timeout(micros: i64) -> Option<Span> {
    let micros = u64::try_from(micros).ok().filter(|micros| *micros > 0)?;
    Some(Span::from_micros(micros.min(Span::MAX.micros())))
}

fn retry(policy: &Retry) -> RetryPolicy {
    RetryPolicy {
        initial_interval: timeout(policy.initial_interval),
        backoff_coefficient: Some(policy.backoff_coefficient).filter(|factor| *factor > 0.0),
        maximum_interval: timeout(policy.maximum_interval),
        maximum_attempts: u32::try_from(policy.maximum_attempts).ok().filter(|most| *most > 0),
        non_retryable_error_types: policy.non_retryable_error_types.clone(),
    }
}

/// What was written as JSON can be written in a definition.
fn value(payload: &Payload, name: &'static str, field: &str, findings: &mut Vec<Finding>) -> Option<Value> {
    let Payload { encoding, data } = payload;
    match encoding.as_str() {
        "json/plain" => match serde_json::from_slice(data) {
            Ok(value) => return Some(literal(&value)),
            Err(error) => {
                findings.push(Finding::lost(name, field, format!("it says that it is JSON, and is not: {error}")))
            }
        },
        "binary/null" => {
            let message =
                "no value (binary/null) is sent as the JSON value null (json/plain), which SDKs read as the same";
            findings.push(Finding::note(name, field, message));
            return Some(Value::Null);
        }
        other => {
            let message = format!("its encoding is {other:?}; a definition's values are sent as json/plain");
            findings.push(Finding::lost(name, field, message));
        }
    }
    None
}
