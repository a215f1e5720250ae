//! The definition API over HTTP, health, metrics and reflection.

use flintwheel_model::{ActivityDefinition, DefinitionKey};
use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use super::support::{LONG, Request, Running, document, on_event};

const X: &str = "/v1/namespaces/ops/definitions/x";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_lives_over_http_and_grpc_sees_the_same() {
    let node = Running::start().await;
    let daily = || document("x", json!({"schedule": {"cron": "@daily"}}));

    let tried = node.json("PUT", &format!("{X}?dryRun=server"), &daily()).await;
    assert_eq!((tried.status, &tried.json()["outcome"]), (200, &json!("created")));
    assert_eq!(node.get(X).await.status, 404, "tried only");
    let created = node.json("PUT", X, &daily()).await;
    assert_eq!(
        (created.status, created.header("etag"), created.header("content-type")),
        (201, Some("\"1\""), Some("application/json"))
    );
    let same = node.json("PUT", X, &daily()).await;
    assert_eq!((same.status, &same.json()["outcome"]), (200, &json!("unchanged")));
    let hourly = node.json("PUT", X, &document("x", json!({"schedule": {"cron": "@hourly"}}))).await;
    assert_eq!((&hourly.json()["outcome"], &hourly.json()["new_version"]), (&json!("configured"), &json!(2)));

    let got = node.get(X).await;
    let record = got.json();
    assert_eq!((got.header("etag"), &record["metadata"]["namespace"]), (Some("\"2\""), &json!("ops")));
    let older = node.get(&format!("{X}?version=1")).await.json();
    assert_eq!(older["spec"]["trigger"]["schedule"]["cron"], json!(["@daily"]));
    let seen = node.client().get(&DefinitionKey::new("ops", "x")).await.expect("there");
    assert_eq!(serde_json::to_value(&seen).expect("JSON"), record);

    let gone = node.http(Request { method: "DELETE", path: X, ..Request::default() }).await;
    assert_eq!((gone.status, gone.json()), (200, json!({"version": 2})));
    assert_eq!(node.get(X).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_with_a_definition_is_seen() {
    let node = Running::start().await;
    node.json("PUT", X, &document("x", json!({"schedule": {"cron": "@daily"}}))).await;
    let paused = node.post(&format!("{X}:pause"), &json!({"note": "for a test"})).await.json();
    assert_eq!((&paused["changed"], &paused["status"]["paused"]["note"]), (&json!(true), &json!("for a test")));
    assert_eq!(listed(&node, "?paused=true").await, ["x"]);
    let resumed = node.http(Request { method: "POST", path: &format!("{X}:resume"), ..Request::default() }).await;
    assert_eq!((resumed.status, &resumed.json()["changed"]), (200, &json!(true)));

    let trigger = json!({"request_id": "r1", "input": {"a": 1}});
    let fired = node.post(&format!("{X}:trigger"), &trigger).await.json();
    let (key, id) = ("m:r1", "flintwheel:ops:x:m:r1");
    let told = json!({"firing_key": key, "workflow_id": id, "duplicate": false, "waits": false, "skipped": false});
    assert_eq!(fired, told);
    assert_eq!(node.post(&format!("{X}:trigger"), &trigger).await.json()["duplicate"], true);
    let unknown = json!({"overlap_policy": "sometimes"});
    assert_eq!(node.post(&format!("{X}:trigger"), &unknown).await.status, 400);
    for path in [&format!("{X}/occurrences?outcome=fired,failed"), "/v1/occurrences?namespace=ops&firing_key=m:r1"] {
        let items = node.get(path).await.json()["items"].clone();
        assert_eq!((items.as_array().map(Vec::len), &items[0]["firing_key"]), (Some(1), &json!("m:r1")), "{path}");
    }

    let next = node.get(&format!("{X}/next?count=2&after=2026-11-23T12:00:00Z")).await.json();
    let nominal = |next: &Value| {
        next["times"].as_array().expect("a list").iter().map(|t| t["nominal"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(nominal(&next), ["2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"]);
    assert_eq!(next["offsets"], json!([{"from": "2026-11-24T00:00:00Z", "utc_offset_seconds": 0}]));
    let given = json!({"definition": document("y", json!({"schedule": {"cron": "@daily"}})), "count": 1, "after": "2026-11-23T12:00:00Z"});
    assert_eq!(nominal(&node.post("/v1/definitions:next", &given).await.json()), ["2026-11-24T00:00:00Z"]);

    assert_eq!(node.get("/v1/dead-letters").await.json(), json!({"items": []}));
    let dropped = node.post("/v1/dead-letters:drop", &json!({"ids": ["0-99"]})).await.json();
    assert_eq!(dropped, json!({"count": 0, "not_found": ["0-99"]}));
    assert_eq!(node.get("/v1/status").await.json()["definitions"], 1);
}

async fn listed(node: &Running, query: &str) -> Vec<String> {
    let page = node.get(&format!("/v1/definitions{query}")).await.json();
    let id = |item: &Value| item["metadata"]["id"].as_str().expect("an id").to_owned();
    page["items"].as_array().expect("a list").iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_and_by_labels() {
    let node = Running::start().await;
    for id in ["a", "b", "c", "d", "e"] {
        let mut document = document(id, on_event("t"));
        document["metadata"]["labels"] = json!({"odd": if "ace".contains(id) { "yes" } else { "no" }});
        node.json("PUT", &format!("/v1/namespaces/ops/definitions/{id}"), &document).await;
    }
    assert_eq!(listed(&node, "?labelSelector=odd%3Dyes").await, ["a", "c", "e"]);
    let (mut ids, mut path) = (Vec::new(), "/v1/namespaces/ops/definitions?limit=2".to_owned());
    loop {
        let page = node.get(&path).await.json();
        let items = page["items"].as_array().expect("a list");
        assert!(items.len() <= 2);
        ids.extend(items.iter().map(|item| item["metadata"]["id"].clone()));
        let Some(token) = page["next_page_token"].as_str() else { break };
        let token = token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
        path = format!("/v1/namespaces/ops/definitions?limit=2&page_token={token}");
    }
    assert_eq!(ids, ["a", "b", "c", "d", "e"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_large_definitions_fits_into_a_message() {
    let node = Running::start().await;
    let large = |id: usize| {
        let mut document = document(&format!("d{id:02}"), on_event("t"));
        document["spec"]["start_workflow"]["input"] = json!(vec!["x".repeat(4000); 60]);
        serde_json::from_value(document).expect("a definition")
    };
    let definitions: Vec<_> = (0..30).map(large).collect();
    let results = node.client().apply_many(&definitions, false, &mut |_, _| {}).await;
    assert!(results.iter().all(Result::is_ok), "{results:?}");
    // This client keeps to the 4 MiB that every gRPC client has unless told otherwise.
    let mut client =
        flintwheel_proto::v1::definition_service_client::DefinitionServiceClient::new(node.channel().await);
    let (mut ids, mut token) = (Vec::new(), String::new());
    loop {
        let request = flintwheel_proto::v1::ListRequest { page_size: 100, page_token: token, ..Default::default() };
        let page = client.list(request).await.expect("fits").into_inner();
        let id = |record: &flintwheel_proto::v1::DefinitionRecord| record.definition.clone()?.metadata.map(|m| m.id);
        ids.extend(page.records.iter().filter_map(id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(ids, (0..30).map(|id| format!("d{id:02}")).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_that_are_due_together_are_warned_of_once_a_call_and_not_where_jitter_spreads_them() {
    let node = Running::start().await;
    let many = |prefix: &str, schedule: Value| -> Vec<ActivityDefinition> {
        let one = |i: usize| document(&format!("{prefix}-{i}"), json!({"schedule": schedule}));
        (0..2_400).map(|i| serde_json::from_value(one(i)).expect("a definition")).collect()
    };
    let steady = json!({"cron": "0 0 1 1 *"});
    let spread = json!({"cron": "0 0 2 1 *", "jitter": {"window": "5m", "mode": "stable"}});
    // A call of the client has a thousand of them, and not all that come before it are stored by then.
    for (prefix, schedule, allowed) in [("steady", steady, 1..=3), ("spread", spread, 0..=0)] {
        let results = node.client().apply_many(&many(prefix, schedule), false, &mut |_, _| {}).await;
        let warnings = results.iter().flat_map(|result| &result.as_ref().expect("applied").warnings);
        let crowds = warnings.filter(|warning| warning.contains("definitions are due at")).count();
        assert!(allowed.contains(&crowds), "{prefix}: {crowds}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_metrics_are_told_in_the_forms_that_are_asked_for() {
    let node = Running::start().await;
    assert_eq!((node.get("/livez").await.status, node.get("/readyz").await.body.as_str()), (200, "ok\n"));
    let metrics = |accept| node.http(Request { path: "/metrics", headers: accept, ..Request::default() });
    let plain = metrics(&[]).await;
    assert_eq!(plain.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(
        plain.body.contains("# TYPE flintwheel_build_info gauge\n") && !plain.body.contains("# EOF"),
        "{}",
        plain.body
    );
    let open = metrics(&[("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")]).await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    assert!(open.body.ends_with("# EOF\n"));

    let mut health = HealthClient::new(node.channel().await);
    for service in [
        "",
        "flintwheel.v1.DefinitionService",
        "flintwheel.v1.EventService",
        "flintwheel.v1.DeadLetterService",
        "flintwheel.v1.OperationService",
        "flintwheel.v1.AdminService",
        "flintwheel.v1.BackupService",
        "flintwheel.v1.CalendarService",
        "flintwheel.v1.ClusterService",
    ] {
        let request = HealthCheckRequest { service: service.into() };
        let mut watch = health.watch(request).await.expect("known").into_inner();
        let serving =
            async { while watch.next().await.expect("goes on").expect("told").status() != ServingStatus::Serving {} };
        tokio::time::timeout(LONG, serving).await.expect(service);
    }
    let unknown = health.check(HealthCheckRequest { service: "nobody".into() }).await;
    assert_eq!(unknown.expect_err("not there").code(), tonic::Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_find_the_services_by_reflection() {
    let node = Running::start().await;
    let mut reflection = ServerReflectionClient::new(node.channel().await);
    let ask = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let answers = reflection.server_reflection_info(tokio_stream::once(ask)).await.expect("there").into_inner();
    let answers: Vec<_> = answers.collect().await;
    let [Ok(answer)] = &answers[..] else { panic!("one answer: {answers:?}") };
    let Some(MessageResponse::ListServicesResponse(list)) = &answer.message_response else {
        panic!("a list: {answer:?}")
    };
    for service in ["flintwheel.v1.DefinitionService", "flintwheel.v1.EventService", "grpc.health.v1.Health"] {
        assert!(list.service.iter().any(|listed| listed.name == service), "{service} is not in {list:?}");
    }
}
