//! What both doors refuse, and in which words: nothing of it harms the node.

use flintwheel_client::{ApplyOptions, reason};
use flintwheel_model::limits;
use flintwheel_proto::v1;
use flintwheel_proto::v1::definition_service_client::DefinitionServiceClient;
use flintwheel_proto::v1::event_service_client::EventServiceClient;
use prost_types::value::Kind;
use prost_types::{ListValue, Value as ProtoValue};
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::support::{Request, Running, definition, document, on_event};

const JSON: Headers = &[("content-type", "application/json")];
const CE_JSON: Headers = &[("content-type", "application/cloudevents+json")];
const EVENTS: &str = "/v1/namespaces/default/events";
const X: &str = "/v1/namespaces/default/definitions/x";

/// Method, path, headers, body; status, reason, what must stand in the violations or the detail.
type Case = (&'static str, &'static str, Headers, String, u16, &'static str, &'static str);
type Headers = &'static [(&'static str, &'static str)];

fn bodies() -> Vec<Case> {
    let spec = |spec: serde_json::Value| {
        let mut document = document("x", json!({}));
        document["spec"].as_object_mut().expect("an object").extend(spec.as_object().expect("an object").clone());
        document.to_string()
    };
    let invalid = reason::INVALID_ARGUMENT;
    let put = |body: String, told| ("PUT", X, JSON, body, 400, invalid, told);
    vec![
        put("{".into(), "EOF while parsing"),
        put("[".repeat(10_000), "nested deeper than 64"),
        put(format!("{{\"spec\":{}", "{\"a\":".repeat(10_000)), "nested deeper than 64"),
        put(spec(json!({"enabeld": true})), "unknown field `enabeld`"),
        put(spec(json!({"enabled": "x"})), "spec.enabled"),
        put(spec(json!({"trigger": {"schedule": {"cron": ["0 25 * * *"]}}})), "spec.trigger.schedule.cron[0]"),
        put(spec(json!({"trigger": {"schedule": {"at": ["2020-01-01T00:00:00Z"]}}})), "spec.trigger.schedule"),
        put(document("y", on_event("t")).to_string(), "metadata.id"),
        ("PUT", X, &[("content-type", "text/yaml")], spec(json!({})), 415, "UNSUPPORTED_MEDIA_TYPE", "text/yaml"),
        ("PUT", X, &[("content-encoding", "gzip")], spec(json!({})), 415, "UNSUPPORTED_MEDIA_TYPE", "gzip"),
        ("PUT", X, JSON, " ".repeat(limits::MESSAGE_BYTES + 1), 413, reason::TOO_LARGE, "4194304"),
        ("POST", "/v1/namespaces/default/definitions/x:pause", JSON, "{\"nott\":1}".into(), 400, invalid, "nott"),
        ("POST", "/v1/dead-letters:drop", JSON, "{}".into(), 400, invalid, "expected value"),
        ("POST", "/v1/dead-letters:retry", JSON, "{\"ids\":[\"x\"]}".into(), 400, invalid, "such as 3-17"),
        ("POST", "/v1/definitions:batch", JSON, "{\"items\":[{}]}".into(), 400, invalid, "items[0]"),
        ("POST", "/v1/definitions:bulk", JSON, "{\"label_selector\":\"a\"}".into(), 400, invalid, "action"),
        ("POST", "/v1/definitions:bulk", JSON, bulk("", "{\"delete\":{}}"), 400, invalid, "label_selector"),
        ("POST", "/v1/definitions:bulk", JSON, bulk("=", "{\"delete\":{}}"), 400, invalid, "label_selector"),
        ("POST", "/v1/definitions:bulk", JSON, bulk("a", "{\"fly\":{}}"), 400, invalid, "fly"),
        ("PATCH", X, JSON, "{\"changes\":[{\"value\":1}]}".into(), 400, invalid, "path"),
        ("POST", "/v1/namespaces/default/definitions/x:rollback", JSON, "{}".into(), 400, invalid, "version"),
        ("POST", "/v1/namespaces/default/definitions/x:backfill", JSON, "{}".into(), 400, invalid, "from"),
        ("POST", "/v1/namespaces/default/definitions/x:stop-backfill", JSON, "{}".into(), 400, invalid, "backfill_id"),
    ]
}

fn bulk(selector: &str, action: &str) -> String {
    format!("{{\"label_selector\":{selector:?},\"action\":{action}}}")
}

fn paths() -> Vec<Case> {
    let invalid = reason::INVALID_ARGUMENT;
    let get = |path, status, reason, told| ("GET", path, &[][..], String::new(), status, reason, told);
    vec![
        get("/nowhere", 404, "NO_SUCH_PATH", "/nowhere"),
        get(EVENTS, 405, "METHOD_NOT_ALLOWED", "GET"),
        get(X, 404, reason::NOT_FOUND, "default/x does not exist"),
        get("/v1/namespaces/default/definitions/A%20b", 400, invalid, "a-z 0-9"),
        get("/v1/namespaces/De_fault/definitions/x", 400, invalid, "namespace"),
        get("/v1/namespaces/default/definitions/x?verzion=3", 400, invalid, "verzion"),
        get("/v1/definitions?limit=1001", 400, invalid, "page_size"),
        get("/v1/definitions?label_selector=%3Dx", 400, invalid, "label_selector"),
        get("/v1/definitions?page_token=%3F", 400, invalid, "page_token"),
        get("/v1/occurrences?outcome=late", 400, invalid, "outcome"),
        get("/v1/status?verbose=1", 400, invalid, "verbose"),
        ("POST", "/v1/namespaces/default/definitions/x:fly", &[], String::new(), 404, "NO_SUCH_PATH", "fly"),
        (
            "POST",
            "/v1/namespaces/default/definitions/x:trigger",
            &[],
            String::new(),
            404,
            reason::NOT_FOUND,
            "default/x",
        ),
        ("DELETE", X, &[("if-match", "*")], String::new(), 400, invalid, "If-Match"),
        ("DELETE", "/v1/namespaces/default/definitions/x?dry_run=client", &[], String::new(), 400, invalid, "client"),
    ]
}

fn events() -> Vec<Case> {
    let invalid = reason::INVALID_ARGUMENT;
    let base = || json!({"specversion": "1.0", "id": "1", "source": "s", "type": "t"});
    let with = |name: &str, value: serde_json::Value| {
        let mut event = base();
        event[name] = value;
        event.to_string()
    };
    let send =
        |headers: Headers, body: String, status, reason, told| ("POST", EVENTS, headers, body, status, reason, told);
    vec![
        send(&[], String::new(), 415, "UNSUPPORTED_MEDIA_TYPE", "application/cloudevents+json"),
        send(&[("content-type", "application/cloudevents+avro")], String::new(), 415, "UNSUPPORTED_MEDIA_TYPE", "avro"),
        send(&[("ce-id", "1")], String::new(), 400, invalid, "specversion"),
        send(&[("ce-id", "1")], String::new(), 400, invalid, "source"),
        send(CE_JSON, "{}".into(), 400, invalid, "type"),
        send(CE_JSON, "[".repeat(10_000), 400, invalid, "nested deeper than 64"),
        send(CE_JSON, with("id", json!("")), 400, invalid, "must not be empty"),
        send(CE_JSON, with("time", json!("2036-11-23T00:00:00Z")), 400, invalid, "more than a day ahead"),
        send(CE_JSON, with("data", json!("x".repeat(300_000))), 413, reason::TOO_LARGE, "262144"),
        send(CE_JSON, with("data", json!("x".repeat(5 << 20))), 413, reason::TOO_LARGE, "4194304"),
        send(&[("content-type", "application/cloudevents+protobuf")], "x".into(), 400, invalid, "message"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_names_what_is_wrong_and_stores_nothing() {
    let node = Running::start().await;
    for (method, path, headers, body, status, reason, told) in [bodies(), paths(), events()].concat() {
        let answer = node.http(Request { method, path, headers, body: body.as_bytes() }).await;
        let shown = &body[..body.len().min(80)];
        assert_eq!(answer.status, status, "{method} {path} {shown}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}");
        let problem = answer.json();
        assert_eq!(problem["reason"], reason, "{method} {path} {shown}");
        let all = format!("{} {}", problem["detail"].as_str().expect("text"), problem["violations"]);
        assert!(all.contains(told), "{method} {path} {shown}: {all}");
    }
    let definitions = node.get("/v1/definitions").await;
    assert_eq!((definitions.status, definitions.json()), (200, json!({"items": []})));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_is_not_the_expected_one_changes_nothing() {
    let node = Running::start().await;
    let put = |headers, event| {
        let body = document("x", on_event(event)).to_string();
        let node = &node;
        async move { node.http(Request { method: "PUT", path: X, headers, body: body.as_bytes() }).await }
    };
    assert_eq!(put(&[("if-match", "\"1\"")], "t").await.status, 412, "there is none yet");
    let created = put(&[("if-none-match", "*")], "t").await;
    assert_eq!((created.status, created.header("etag")), (201, Some("\"1\"")));
    for (headers, status) in
        [(&[("if-none-match", "*")][..], 412), (&[("if-match", "\"2\"")], 412), (&[("if-match", "1")], 200)]
    {
        let answer = put(headers, "u").await;
        assert_eq!(answer.status, status, "{headers:?}: {answer:?}");
        if status == 412 {
            let problem = answer.json();
            assert_eq!(
                (&problem["reason"], &problem["facts"]["actual_version"]),
                (&json!("VERSION_CONFLICT"), &json!("1"))
            );
        }
    }
}

/// Nested so deep that no protobuf reader follows.
fn deep() -> ProtoValue {
    let inner = ProtoValue { kind: Some(Kind::NullValue(0)) };
    (0..200).fold(inner, |value, _| ProtoValue { kind: Some(Kind::ListValue(ListValue { values: vec![value] })) })
}

#[track_caller]
fn check(status: &Status, code: Code, reason: &str, told: &str) {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo: {status:?}"));
    assert_eq!((status.code(), info.reason.as_str(), info.domain.as_str()), (code, reason, "flintwheel.dev"));
    let violations = details.bad_request().map(|b| format!("{:?}", b.field_violations)).unwrap_or_default();
    assert!(format!("{} {violations}", status.message()).contains(told), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn grpc_names_what_is_wrong_and_never_calls_it_internal() {
    let node = Running::start().await;
    let mut definitions = DefinitionServiceClient::new(node.channel().await);
    let key = |id: &str| Some(v1::DefinitionRef { namespace: String::new(), id: id.into() });
    let invalid = reason::INVALID_ARGUMENT;

    let status = definitions.apply(v1::ApplyRequest::default()).await.expect_err("no definition");
    check(&status, Code::InvalidArgument, invalid, "definition");
    let status = definitions.get(v1::GetRequest { r#ref: key("A b"), ..Default::default() }).await.expect_err("odd id");
    check(&status, Code::InvalidArgument, invalid, "ref.id");
    let status = definitions.get(v1::GetRequest { r#ref: key("x"), ..Default::default() }).await.expect_err("none");
    check(&status, Code::NotFound, reason::NOT_FOUND, "default/x");
    assert_eq!(status.get_error_details().resource_info().map(|r| r.resource_name.as_str()), Some("default/x"));
    let status =
        definitions.list(v1::ListRequest { page_size: 1001, ..Default::default() }).await.expect_err("too many");
    check(&status, Code::InvalidArgument, invalid, "page_size");
    let status = definitions.next_times(v1::NextTimesRequest::default()).await.expect_err("no target");
    check(&status, Code::InvalidArgument, invalid, "target");
    let request = v1::TriggerRequest { r#ref: key("x"), input: Some(deep()), ..Default::default() };
    let status = definitions.trigger(request).await.expect_err("too deep");
    check(&status, Code::InvalidArgument, invalid, "nested too deep");
    let request = v1::PauseRequest { r#ref: key("x"), note: "x".repeat(limits::MESSAGE_BYTES), ..Default::default() };
    let status = definitions.pause(request).await.expect_err("too large");
    check(&status, Code::OutOfRange, reason::TOO_LARGE, "at most 4194304 bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_of_events_have_a_namespace_and_a_limit() {
    let node = Running::start().await;
    let mut events = EventServiceClient::new(node.channel().await);
    let request = v1::PublishRequest { namespace: "No".into(), events: Vec::new() };
    let status = events.publish(request).await.expect_err("odd namespace");
    check(&status, Code::InvalidArgument, reason::INVALID_ARGUMENT, "namespace");
    let request =
        v1::PublishRequest { namespace: String::new(), events: vec![vec![].into(); limits::BATCH_EVENTS + 1] };
    let status = events.publish(request).await.expect_err("too many");
    check(&status, Code::InvalidArgument, reason::INVALID_ARGUMENT, "at most 10000");
    let request = v1::PublishRequest { namespace: String::new(), events: vec![vec![].into(), vec![8].into()] };
    let result = events.publish(request).await.expect("told by event").into_inner().result.expect("set");
    let places: Vec<_> = result.rejected.iter().map(|event| (event.index, event.reason.as_str())).collect();
    assert_eq!((result.accepted, &places[..]), (0, &[(0, "EVENT_INVALID"), (1, "EVENT_MALFORMED")][..]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_item_of_a_batch_stands_for_itself() {
    let node = Running::start().await;
    let good = definition("good", on_event("t"));
    let bad = definition("bad", json!({"schedule": {"cron": ["x", "0 25 * * *"]}}));
    let results = node.client().apply_many(&[good, bad], false, &mut |_, _| {}).await;
    assert!(results[0].is_ok(), "{results:?}");
    let error = results[1].as_ref().expect_err("bad cron");
    let fields: Vec<&str> = error.violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["spec.trigger.schedule.cron[0]", "spec.trigger.schedule.cron[1]"]);

    let item = |document: serde_json::Value| json!({ "definition": document });
    let mut odd = document("odd", on_event("t"));
    odd["spec"]["enabeld"] = json!(true);
    let bad = document("bad", json!({"schedule": {"cron": "0 25 * * *"}}));
    let body = json!({"items": [item(document("good", on_event("t"))), item(odd), item(bad)]});
    let answer = node.post("/v1/definitions:batch", &body).await;
    let results = answer.json()["results"].clone();
    assert_eq!((answer.status, &results[0]["applied"]["outcome"]), (200, &json!("unchanged")));
    assert_eq!(results[1]["fault"]["violations"][0]["field"], "items[1].definition.spec.enabeld");
    assert_eq!(results[2]["fault"]["violations"][0]["field"], "spec.trigger.schedule.cron[0]");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conflicts_over_grpc_name_the_definition_and_both_versions() {
    let node = Running::start().await;
    let client = node.client();
    let options = ApplyOptions { expected_version: Some(3), ..ApplyOptions::default() };
    let error = client.apply(&definition("x", on_event("t")), options).await.expect_err("there is none");
    assert_eq!((error.code, error.reason.as_str()), (Code::Aborted, reason::VERSION_CONFLICT));
}
