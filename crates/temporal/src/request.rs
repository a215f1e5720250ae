//! Builds the wire form of a start. Nothing here depends on when or how often it is sent: two requests made from one
//! start are equal byte for byte, except for the order of map entries.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_model::definition;
use flintwheel_model::firing::Start;
use prost::Message;
use temporalio_common::protos::temporal::api::common::v1::{
    Header, Memo, Payload, Payloads, Priority, RetryPolicy, SearchAttributes, WorkflowType,
};
use temporalio_common::protos::temporal::api::deployment::v1::WorkerDeploymentVersion;
use temporalio_common::protos::temporal::api::enums::v1::{WorkflowIdConflictPolicy, WorkflowIdReusePolicy};
use temporalio_common::protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::VersioningOverride;
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::{
    OneTimeOverride, Override, PinnedOverride, PinnedOverrideBehavior,
};
use temporalio_common::protos::temporal::api::workflowservice::v1::StartWorkflowExecutionRequest;

/// The header in which Temporal's SDKs carry W3C trace context.
const TRACE_HEADER: &str = "_tracer-data";

pub(crate) fn start_request(start: &Start, identity: &str) -> StartWorkflowExecutionRequest {
    StartWorkflowExecutionRequest {
        namespace: start.temporal_namespace.clone(),
        workflow_id: start.workflow_id.clone(),
        workflow_type: Some(WorkflowType { name: start.workflow_type.clone() }),
        task_queue: Some(TaskQueue { name: start.task_queue.clone(), ..TaskQueue::default() }),
        input: input(&start.input),
        workflow_execution_timeout: start.execution_timeout.map(wire_duration),
        workflow_run_timeout: start.run_timeout.map(wire_duration),
        workflow_task_timeout: start.task_timeout.map(wire_duration),
        identity: identity.to_owned(),
        request_id: start.request_id.clone(),
        workflow_id_reuse_policy: WorkflowIdReusePolicy::RejectDuplicate as i32,
        workflow_id_conflict_policy: WorkflowIdConflictPolicy::Fail as i32,
        memo: memo(&start.memo),
        search_attributes: search_attributes(&start.search_attributes),
        retry_policy: start.retry_policy.as_ref().map(retry_policy),
        header: header(start),
        user_metadata: user_metadata(start),
        priority: start.priority.as_ref().map(priority),
        versioning_override: start.versioning_override.as_ref().map(versioning),
        last_completion_result: left(start.left.result.as_ref()),
        continued_failure: left(start.left.failure.as_ref()),
        ..StartWorkflowExecutionRequest::default()
    }
}

fn input(arguments: &[Bytes]) -> Option<Payloads> {
    (!arguments.is_empty()).then(|| Payloads { payloads: arguments.iter().map(|json| json_payload(json)).collect() })
}

/// What an earlier run left, as Temporal wrote it. What can't be read any more is no reason not to start.
fn left<M: Message + Default>(bytes: Option<&Bytes>) -> Option<M> {
    M::decode(bytes?.clone()).ok()
}

fn memo(fields: &[(String, Bytes)]) -> Option<Memo> {
    (!fields.is_empty())
        .then(|| Memo { fields: fields.iter().map(|(name, json)| (name.clone(), json_payload(json))).collect() })
}

fn search_attributes(fields: &[(String, Bytes)]) -> Option<SearchAttributes> {
    let indexed_fields = fields.iter().map(|(name, json)| (name.clone(), json_payload(json))).collect();
    (!fields.is_empty()).then_some(SearchAttributes { indexed_fields })
}

/// What is not said is zero, which means Temporal's own default.
fn retry_policy(policy: &definition::RetryPolicy) -> RetryPolicy {
    RetryPolicy {
        initial_interval: policy.initial_interval.map(|length| wire_duration(length.into())),
        backoff_coefficient: policy.backoff_coefficient.unwrap_or_default(),
        maximum_interval: policy.maximum_interval.map(|length| wire_duration(length.into())),
        maximum_attempts: policy.maximum_attempts.map_or(0, |most| i32::try_from(most).unwrap_or(i32::MAX)),
        non_retryable_error_types: policy.non_retryable_error_types.clone(),
    }
}

/// The definition's own, and the event's trace, which goes before one of the same name: it is of what set this start off.
fn header(start: &Start) -> Option<Header> {
    let own = start.header.iter().map(|(name, json)| (name.clone(), json_payload(json)));
    let fields: HashMap<String, Payload> = own.chain(trace_header(&start.trace)).collect();
    (!fields.is_empty()).then_some(Header { fields })
}

fn trace_header(trace: &[(String, String)]) -> Option<(String, Payload)> {
    if trace.is_empty() {
        return None;
    }
    let pairs: Vec<String> = trace.iter().map(|(k, v)| format!("{}:{}", json_string(k), json_string(v))).collect();
    let json = format!("{{{}}}", pairs.join(","));
    Some((TRACE_HEADER.to_owned(), json_payload(json.as_bytes())))
}

fn user_metadata(start: &Start) -> Option<UserMetadata> {
    let text = |json: &Option<Bytes>| json.as_ref().map(|json| json_payload(json));
    let metadata = UserMetadata { summary: text(&start.summary), details: text(&start.details) };
    (metadata != UserMetadata::default()).then_some(metadata)
}

/// What is not said is zero or empty, which means Temporal's own default.
fn priority(priority: &definition::Priority) -> Priority {
    Priority {
        priority_key: priority.priority_key.map_or(0, |key| i32::try_from(key).unwrap_or(i32::MAX)),
        fairness_key: priority.fairness_key.clone(),
        fairness_weight: priority.fairness_weight.unwrap_or_default() as f32,
    }
}

/// In the newest form only: a server that knows nothing but the deprecated fields refuses it, and says so.
fn versioning(versioning: &definition::VersioningOverride) -> VersioningOverride {
    let version = |version: &definition::WorkerVersion| WorkerDeploymentVersion {
        deployment_name: version.deployment_name.clone(),
        build_id: version.build_id.clone(),
    };
    let pinned = |to: &definition::WorkerVersion| {
        let behavior = PinnedOverrideBehavior::Pinned as i32;
        Override::Pinned(PinnedOverride { behavior, version: Some(version(to)) })
    };
    let one_time = |to: &definition::WorkerVersion| {
        Override::OneTime(OneTimeOverride { target_deployment_version: Some(version(to)) })
    };
    let chosen = versioning.pinned.as_ref().map(pinned).or(versioning.one_time.as_ref().map(one_time));
    let auto_upgrade = versioning.auto_upgrade.then_some(Override::AutoUpgrade(true));
    VersioningOverride { r#override: chosen.or(auto_upgrade), ..VersioningOverride::default() }
}

/// What every SDK's default converter reads: JSON text, marked as such.
fn json_payload(json: &[u8]) -> Payload {
    Payload {
        metadata: HashMap::from([("encoding".to_owned(), b"json/plain".to_vec())]),
        data: json.to_vec(),
        ..Payload::default()
    }
}

/// Trace context is visible ASCII; anything else is written as JSON escapes.
fn json_string(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| quoted.push_str(&format!("\\u{unit:04x}"))),
        }
    }
    quoted.push('"');
    quoted
}

/// Temporal itself cuts timeouts down to this.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(100 * 365 * 86_400);

/// Generic because the message's own duration type is not exported under a name.
fn wire_duration<D: TryFrom<Duration>>(length: Duration) -> D {
    D::try_from(length.min(LONGEST_TIMEOUT)).ok().expect("a hundred years fit into any duration type")
}

#[cfg(test)]
mod tests {
    use flintwheel_model::firing::Left;

    use super::*;

    fn start() -> Start {
        Start {
            temporal_namespace: "prod".to_owned(),
            workflow_id: "flintwheel:default:a:t:2026-11-23T08:00:00Z".to_owned(),
            request_id: "request-1".to_owned(),
            workflow_type: "Nightly".to_owned(),
            task_queue: "reports".to_owned(),
            input: vec![Bytes::from_static(b"{\"a\":1}"), Bytes::from_static(b"null")],
            memo: vec![("team".to_owned(), Bytes::from_static(b"\"x\""))],
            search_attributes: vec![("Region".to_owned(), Bytes::from_static(b"\"eu\""))],
            retry_policy: Some(definition::RetryPolicy {
                initial_interval: Some(flintwheel_model::Span::from_secs(2)),
                maximum_attempts: Some(3),
                ..definition::RetryPolicy::default()
            }),
            execution_timeout: Some(Duration::MAX),
            run_timeout: Some(Duration::from_millis(1500)),
            task_timeout: None,
            summary: Some(Bytes::from_static(b"\"of each night\"")),
            details: None,
            priority: Some(definition::Priority {
                priority_key: Some(2),
                fairness_key: "acme".to_owned(),
                fairness_weight: Some(0.1),
            }),
            versioning_override: None,
            header: vec![("tenant".to_owned(), Bytes::from_static(b"{\"id\":7}"))],
            trace: vec![
                ("traceparent".to_owned(), "00-ab-cd-01".to_owned()),
                ("tracestate".to_owned(), "a=\"é\"".to_owned()),
            ],
            left: Left::default(),
        }
    }

    #[test]
    fn a_start_carries_its_ids_and_refuses_duplicates() {
        let request = start_request(&start(), "me");
        assert_eq!(request.namespace, "prod");
        assert_eq!(request.workflow_id, start().workflow_id);
        assert_eq!(request.request_id, "request-1");
        assert_eq!(request.identity, "me");
        assert_eq!(request.workflow_type.expect("type").name, "Nightly");
        assert_eq!(request.task_queue.expect("queue").name, "reports");
        assert_eq!(request.workflow_id_reuse_policy, WorkflowIdReusePolicy::RejectDuplicate as i32);
        assert_eq!(request.workflow_id_conflict_policy, WorkflowIdConflictPolicy::Fail as i32);
    }

    #[test]
    fn json_goes_out_untouched_and_marked_as_json() {
        let request = start_request(&start(), "me");
        let arguments = request.input.expect("input").payloads;
        assert_eq!(arguments.iter().map(|p| p.data.as_slice()).collect::<Vec<_>>(), [&b"{\"a\":1}"[..], b"null"]);
        let memo = &request.memo.expect("memo").fields["team"];
        assert_eq!(memo.data, b"\"x\"");
        assert!(arguments.iter().chain([memo]).all(|p| p.metadata["encoding"] == b"json/plain"));
    }

    #[test]
    fn search_attributes_and_a_retry_policy_go_out_as_they_are_said() {
        let request = start_request(&start(), "me");
        assert_eq!(request.search_attributes.expect("attributes").indexed_fields["Region"].data, b"\"eu\"");
        let policy = request.retry_policy.expect("policy");
        assert_eq!(policy.initial_interval.expect("an interval").seconds, 2);
        assert_eq!((policy.maximum_attempts, policy.backoff_coefficient), (3, 0.0));
        assert!(policy.maximum_interval.is_none(), "what is not said is Temporal's default");
    }

    #[test]
    fn trace_context_travels_as_a_json_map() {
        let header = start_request(&start(), "me").header.expect("header");
        let expected = r#"{"traceparent":"00-ab-cd-01","tracestate":"a=\"\u00e9\""}"#;
        assert_eq!(String::from_utf8_lossy(&header.fields["_tracer-data"].data), expected);
    }

    #[test]
    fn headers_of_the_definition_go_out_beside_the_event_s_trace_which_goes_before_its_own() {
        let names = |header: &[&str], trace: bool| {
            let header = header.iter().map(|name| ((*name).to_owned(), Bytes::from_static(b"1"))).collect();
            let trace = if trace { start().trace } else { Vec::new() };
            let sent = start_request(&Start { header, trace, ..start() }, "me").header.expect("a header").fields;
            let mut sent: Vec<_> = sent.into_iter().map(|(name, value)| (name, value.data == b"1")).collect();
            sent.sort();
            sent
        };
        let own = |name: &str, own: bool| (name.to_owned(), own);
        assert_eq!(names(&["b", "a"], false), [own("a", true), own("b", true)]);
        assert_eq!(names(&["a"], true), [own("_tracer-data", false), own("a", true)]);
        assert_eq!(names(&["_tracer-data"], false), [own("_tracer-data", true)]);
        assert_eq!(names(&["_tracer-data"], true), [own("_tracer-data", false)]);
    }

    #[test]
    fn what_is_for_people_and_for_queues_goes_out_as_it_is_said() {
        let request = start_request(&start(), "me");
        let metadata = request.user_metadata.expect("metadata");
        let summary = metadata.summary.expect("a summary");
        assert_eq!(
            (summary.data.as_slice(), summary.metadata["encoding"].as_slice()),
            (&b"\"of each night\""[..], &b"json/plain"[..])
        );
        assert_eq!(metadata.details, None);
        let expected = Priority { priority_key: 2, fairness_key: "acme".to_owned(), fairness_weight: 0.1 };
        assert_eq!(request.priority, Some(expected));
    }

    #[test]
    fn a_version_goes_out_in_the_newest_form_only() {
        let own = || definition::WorkerVersion { deployment_name: "mail".to_owned(), build_id: "7.2".to_owned() };
        let theirs = || WorkerDeploymentVersion { deployment_name: "mail".to_owned(), build_id: "7.2".to_owned() };
        let none = definition::VersioningOverride::default;
        for (said, expected) in [
            (
                definition::VersioningOverride { pinned: Some(own()), ..none() },
                Override::Pinned(PinnedOverride { behavior: 1, version: Some(theirs()) }),
            ),
            (
                definition::VersioningOverride { one_time: Some(own()), ..none() },
                Override::OneTime(OneTimeOverride { target_deployment_version: Some(theirs()) }),
            ),
            (definition::VersioningOverride { auto_upgrade: true, ..none() }, Override::AutoUpgrade(true)),
        ] {
            let request = start_request(&Start { versioning_override: Some(said), ..start() }, "me");
            let expected = VersioningOverride { r#override: Some(expected), ..VersioningOverride::default() };
            assert_eq!(request.versioning_override, Some(expected));
        }
    }

    #[test]
    fn timeouts_keep_their_fraction_and_end_at_a_hundred_years() {
        let request = start_request(&start(), "me");
        let run = request.workflow_run_timeout.expect("run timeout");
        assert_eq!((run.seconds, run.nanos), (1, 500_000_000));
        assert_eq!(request.workflow_execution_timeout.expect("execution timeout").seconds, 100 * 365 * 86_400);
        assert!(request.workflow_task_timeout.is_none());
    }

    #[test]
    fn what_the_last_run_left_goes_out_as_temporal_wrote_it() {
        let result = input(&[Bytes::from_static(b"1")]).expect("payloads");
        let left = Left { result: Some(result.encode_to_vec().into()), failure: Some(Bytes::from_static(b"\xff")) };
        let request = start_request(&Start { left, ..start() }, "me");
        assert_eq!(request.last_completion_result, Some(result));
        assert_eq!(request.continued_failure, None, "what can't be read is left out");
    }

    #[test]
    fn nothing_given_sends_nothing() {
        let none = Start { input: vec![], memo: vec![], trace: vec![], header: vec![], ..start() };
        let request = start_request(&Start { summary: None, priority: None, ..none }, "me");
        assert!(request.input.is_none() && request.memo.is_none() && request.header.is_none());
        assert!(request.user_metadata.is_none() && request.priority.is_none() && request.versioning_override.is_none());
    }
}
