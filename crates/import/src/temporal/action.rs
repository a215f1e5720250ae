//! What: the start of a workflow as a `start_workflow` of ours.

use std::collections::BTreeMap;

use flintwheel_model::Span;
use flintwheel_model::definition::{RetryPolicy, StartWorkflow};
use serde_json::Value;

use super::schedule::{Action, Payload, Retry};
use crate::finding::Finding;
use crate::literal::literal;

/// What is started.
pub(super) fn start(action: &Action, findings: &mut Vec<Finding>) -> StartWorkflow {
    let mut input = Vec::with_capacity(action.input.len());
    for (place, payload) in action.input.iter().enumerate() {
        input.extend(value(payload, "input", &format!("action.input[{place}]"), findings));
    }
    let mut memo = BTreeMap::new();
    for (name, payload) in &action.memo {
        if let Some(value) = value(payload, "memo", &format!("action.memo.{name}"), findings) {
            memo.insert(name.clone(), value);
        }
    }
    let mut search_attributes = BTreeMap::new();
    for (name, payload) in &action.search_attributes {
        let field = format!("action.search_attributes.{name}");
        if let Some(value) = value(payload, "search_attributes", &field, findings) {
            search_attributes.insert(name.clone(), value);
        }
    }
    not_carried(action, findings);
    StartWorkflow {
        type_name: action.workflow_type.clone(),
        task_queue: action.task_queue.clone(),
        input,
        memo,
        search_attributes,
        retry_policy: action.retry_policy.as_ref().map(retry),
        execution_timeout: timeout(action.execution_timeout),
        run_timeout: timeout(action.run_timeout),
        task_timeout: timeout(action.task_timeout),
        ..StartWorkflow::default()
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

/// What a definition can't say.
fn not_carried(action: &Action, findings: &mut Vec<Finding>) {
    let names = |names: &[String]| format!(": {}", names.join(", "));
    for (has, name, what) in [
        (!action.header.is_empty(), "header", format!("headers{}", names(&action.header))),
        (action.user_metadata, "user_metadata", "a summary or details for people".to_owned()),
        (action.priority, "priority", "a priority or a key of fairness".to_owned()),
        (action.versioning_override, "versioning_override", "a version of the worker".to_owned()),
    ] {
        if has {
            let message = format!("a definition has no place for {what}");
            findings.push(Finding::lost(name, format!("action.{name}"), message));
        }
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
