//! What a definition does: context sources, task templates, a workflow to start.

use std::collections::BTreeMap;

use flintwheel_model::definition::{
    ContextSource, HttpSource, OnError, Priority, RetryPolicy, StartWorkflow, Target, TaskTemplate, VersioningOverride,
    WorkerVersion,
};
use flintwheel_model::{Span, Violations};
use flintwheel_proto::v1;
use prost_types::{Duration as ProtoDuration, Value as ProtoValue};
use serde_json::Value;

use super::at::At;
use super::definition::or_default;
use super::json::{self, MAX_DEPTH};
use super::{known, time};

pub(super) fn write_sources(sources: &[ContextSource], at: At<'_>, faults: &mut Violations) -> Vec<v1::ContextSource> {
    sources.iter().enumerate().map(|(i, source)| write_source(source, at.index(i), faults)).collect()
}

pub(super) fn read_sources(sources: Vec<v1::ContextSource>, at: At<'_>, faults: &mut Violations) -> Vec<ContextSource> {
    sources.into_iter().enumerate().map(|(i, source)| read_source(source, at.index(i), faults)).collect()
}

fn write_source(source: &ContextSource, at: At<'_>, faults: &mut Violations) -> v1::ContextSource {
    let on_error = match source.on_error {
        OnError::Fail => v1::OnError::Fail,
        OnError::Null => v1::OnError::Null,
    };
    v1::ContextSource {
        name: source.name.clone(),
        r#static: source.static_value.as_ref().map(|v| json::write(v, at.field("static"), MAX_DEPTH, faults)),
        http: source.http.as_ref().map(|http| write_http(http, at.field("http"), faults)),
        on_error: on_error.into(),
    }
}

fn read_source(proto: v1::ContextSource, at: At<'_>, faults: &mut Violations) -> ContextSource {
    ContextSource {
        name: proto.name,
        static_value: proto.r#static.map(|value| json::read(value, at.field("static"), MAX_DEPTH, faults)),
        http: proto.http.map(|http| read_http(http, at.field("http"), faults)),
        on_error: match known(proto.on_error, at.field("on_error"), faults) {
            Some(v1::OnError::Fail) => OnError::Fail,
            Some(v1::OnError::Null) => OnError::Null,
            Some(v1::OnError::Unspecified) | None => OnError::default(),
        },
    }
}

fn write_http(http: &HttpSource, at: At<'_>, faults: &mut Violations) -> v1::HttpSource {
    v1::HttpSource {
        url: http.url.clone(),
        method: http.method.clone(),
        headers: http.headers.clone(),
        body: http.body.as_ref().map(|body| json::write(body, at.field("body"), MAX_DEPTH, faults)),
        timeout: Some(time::write_span(http.timeout)),
    }
}

fn read_http(proto: v1::HttpSource, at: At<'_>, faults: &mut Violations) -> HttpSource {
    let timeout = proto.timeout.map(|timeout| time::read_span(timeout, at.field("timeout"), faults));
    HttpSource {
        url: proto.url,
        method: or_default(proto.method, "GET"),
        headers: proto.headers,
        body: proto.body.map(|body| json::read(body, at.field("body"), MAX_DEPTH, faults)),
        timeout: timeout.unwrap_or(DEFAULT_HTTP_TIMEOUT),
    }
}

/// As `model` has it for a file that names none.
const DEFAULT_HTTP_TIMEOUT: Span = Span::from_secs(10);

pub(super) fn write_tasks(tasks: &[TaskTemplate], at: At<'_>, faults: &mut Violations) -> Vec<v1::TaskTemplate> {
    tasks.iter().enumerate().map(|(i, task)| write_task(task, at.index(i), faults)).collect()
}

pub(super) fn read_tasks(tasks: Vec<v1::TaskTemplate>, at: At<'_>, faults: &mut Violations) -> Vec<TaskTemplate> {
    tasks.into_iter().enumerate().map(|(i, task)| read_task(task, at.index(i), faults)).collect()
}

fn write_task(task: &TaskTemplate, at: At<'_>, faults: &mut Violations) -> v1::TaskTemplate {
    let params = Some(&task.params).filter(|params| !params.is_null());
    v1::TaskTemplate {
        name: task.name.clone(),
        when: task.when.clone(),
        depends_on: task.depends_on.clone(),
        workflow: task.workflow.as_ref().map(write_target),
        activity: task.activity.as_ref().map(write_target),
        params: params.map(|params| json::write(params, at.field("params"), MAX_DEPTH, faults)),
    }
}

fn read_task(proto: v1::TaskTemplate, at: At<'_>, faults: &mut Violations) -> TaskTemplate {
    let params = proto.params.map(|params| json::read(params, at.field("params"), MAX_DEPTH, faults));
    TaskTemplate {
        name: proto.name,
        when: proto.when,
        depends_on: proto.depends_on,
        workflow: proto.workflow.map(|target| read_target(target, at.field("workflow"), faults)),
        activity: proto.activity.map(|target| read_target(target, at.field("activity"), faults)),
        params: params.unwrap_or_default(),
    }
}

fn write_target(target: &Target) -> v1::Target {
    v1::Target {
        r#type: target.type_name.clone(),
        task_queue: Some(target.task_queue.clone()),
        timeout: target.timeout.map(time::write_span),
    }
}

fn read_target(proto: v1::Target, at: At<'_>, faults: &mut Violations) -> Target {
    Target {
        type_name: proto.r#type,
        task_queue: proto.task_queue.unwrap_or_default(),
        timeout: read_timeout(proto.timeout, at.field("timeout"), faults),
    }
}

fn read_timeout(proto: Option<ProtoDuration>, at: At<'_>, faults: &mut Violations) -> Option<Span> {
    proto.map(|timeout| time::read_span(timeout, at, faults))
}

pub(super) fn write_start(start: &StartWorkflow, at: At<'_>, faults: &mut Violations) -> v1::StartWorkflow {
    let input = at.field("input");
    let arguments = start.input.iter().enumerate();
    v1::StartWorkflow {
        r#type: start.type_name.clone(),
        task_queue: start.task_queue.clone(),
        input: arguments.map(|(i, value)| json::write(value, input.index(i), MAX_DEPTH, faults)).collect(),
        memo: write_values(&start.memo, at.field("memo"), faults),
        execution_timeout: start.execution_timeout.map(time::write_span),
        run_timeout: start.run_timeout.map(time::write_span),
        task_timeout: start.task_timeout.map(time::write_span),
        search_attributes: write_values(&start.search_attributes, at.field("search_attributes"), faults),
        retry_policy: start.retry_policy.as_ref().map(write_retry),
        summary: start.summary.clone(),
        details: start.details.clone(),
        priority: start.priority.as_ref().map(|priority| v1::Priority {
            priority_key: priority.priority_key,
            fairness_key: priority.fairness_key.clone(),
            fairness_weight: priority.fairness_weight,
        }),
        versioning_override: start.versioning_override.as_ref().map(write_versioning),
        header: write_values(&start.header, at.field("header"), faults),
    }
}

/// Values by their names.
fn write_values(values: &BTreeMap<String, Value>, at: At<'_>, faults: &mut Violations) -> BTreeMap<String, ProtoValue> {
    values.iter().map(|(name, value)| (name.clone(), json::write(value, at.field(name), MAX_DEPTH, faults))).collect()
}

fn read_values(proto: BTreeMap<String, ProtoValue>, at: At<'_>, faults: &mut Violations) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    for (name, value) in proto {
        let value = json::read(value, at.field(&name), MAX_DEPTH, faults);
        values.insert(name, value);
    }
    values
}

fn write_versioning(versioning: &VersioningOverride) -> v1::VersioningOverride {
    let write = |version: &WorkerVersion| v1::WorkerVersion {
        deployment_name: version.deployment_name.clone(),
        build_id: version.build_id.clone(),
    };
    v1::VersioningOverride {
        pinned: versioning.pinned.as_ref().map(write),
        auto_upgrade: versioning.auto_upgrade,
        one_time: versioning.one_time.as_ref().map(write),
    }
}

fn read_versioning(proto: v1::VersioningOverride) -> VersioningOverride {
    let read = |version: v1::WorkerVersion| WorkerVersion {
        deployment_name: version.deployment_name,
        build_id: version.build_id,
    };
    VersioningOverride {
        pinned: proto.pinned.map(read),
        auto_upgrade: proto.auto_upgrade,
        one_time: proto.one_time.map(read),
    }
}

fn write_retry(policy: &RetryPolicy) -> v1::RetryPolicy {
    v1::RetryPolicy {
        initial_interval: policy.initial_interval.map(time::write_span),
        backoff_coefficient: policy.backoff_coefficient,
        maximum_interval: policy.maximum_interval.map(time::write_span),
        maximum_attempts: policy.maximum_attempts,
        non_retryable_error_types: policy.non_retryable_error_types.clone(),
    }
}

fn read_retry(proto: v1::RetryPolicy, at: At<'_>, faults: &mut Violations) -> RetryPolicy {
    RetryPolicy {
        initial_interval: read_timeout(proto.initial_interval, at.field("initial_interval"), faults),
        backoff_coefficient: proto.backoff_coefficient,
        maximum_interval: read_timeout(proto.maximum_interval, at.field("maximum_interval"), faults),
        maximum_attempts: proto.maximum_attempts,
        non_retryable_error_types: proto.non_retryable_error_types,
    }
}

pub(super) fn read_start(proto: v1::StartWorkflow, at: At<'_>, faults: &mut Violations) -> StartWorkflow {
    let input = at.field("input");
    let arguments = proto.input.into_iter().enumerate();
    StartWorkflow {
        type_name: proto.r#type,
        task_queue: proto.task_queue,
        input: arguments.map(|(i, value)| json::read(value, input.index(i), MAX_DEPTH, faults)).collect(),
        memo: read_values(proto.memo, at.field("memo"), faults),
        execution_timeout: read_timeout(proto.execution_timeout, at.field("execution_timeout"), faults),
        run_timeout: read_timeout(proto.run_timeout, at.field("run_timeout"), faults),
        task_timeout: read_timeout(proto.task_timeout, at.field("task_timeout"), faults),
        search_attributes: read_values(proto.search_attributes, at.field("search_attributes"), faults),
        retry_policy: proto.retry_policy.map(|policy| read_retry(policy, at.field("retry_policy"), faults)),
        summary: proto.summary,
        details: proto.details,
        priority: proto.priority.map(|priority| Priority {
            priority_key: priority.priority_key,
            fairness_key: priority.fairness_key,
            fairness_weight: priority.fairness_weight,
        }),
        versioning_override: proto.versioning_override.map(read_versioning),
        header: read_values(proto.header, at.field("header"), faults),
    }
}
