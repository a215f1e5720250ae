//! What operators do with stored definitions, through both doors.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_client::{
    Backfill, BackfillOrder, BackfillQuery, BackfillRequest, BulkAction, BulkRequest, ChangeOptions, Code, FieldChange,
    PageRequest, reason,
};
use flintwheel_model::DefinitionKey;
use flintwheel_model::definition::OverlapPolicy;
use serde_json::{Value, json};

use super::support::{LONG, Request, Running, document};

const X: &str = "/v1/namespaces/ops/definitions/x";

fn daily() -> Value {
    json!({"schedule": {"cron": "0 12 * * *"}})
}

fn x() -> DefinitionKey {
    DefinitionKey::new("ops", "x")
}

async fn put(node: &Running, id: &str, trigger: Value, labels: Value) {
    let mut document = document(id, trigger);
    document["metadata"]["labels"] = labels;
    let answer = node.json("PUT", &format!("/v1/namespaces/ops/definitions/{id}"), &document).await;
    assert!(answer.status < 300, "{answer:?}");
}

/// Waits until something holds; fails after a time that no healthy machine needs.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waits = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, waits).await.is_ok(), "never: {what}");
}

/// Firing keys and outcomes of a definition, oldest first.
async fn occurrences(node: &Running, id: &str) -> Vec<Value> {
    let path = format!("/v1/namespaces/ops/definitions/{id}/occurrences?page_size=1000");
    let mut items = node.get(&path).await.json()["items"].as_array().expect("a list").clone();
    items.reverse();
    items
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_ends_by_itself_and_what_is_due_from_then_on_fires() {
    let node = Running::start().await;
    put(&node, "x", json!({"schedule": {"interval": {"every": "1s"}}}), json!({})).await;
    let end = Utc::now() + chrono::Duration::seconds(3);
    let paused = node.post(&format!("{X}:pause"), &json!({"note": "for a while", "until": end})).await.json();
    let since = Utc::now();
    let told: DateTime<Utc> = serde_json::from_value(paused["status"]["paused"]["until"].clone()).expect("a time");
    assert_eq!(told.timestamp_micros(), end.timestamp_micros());
    let seen = node.client().get(&x()).await.expect("there").status.paused.expect("paused");
    assert_eq!((seen.note.as_str(), seen.until), ("for a while", Some(told)));
    until("it goes on", async || node.get(X).await.json()["status"]["paused"].is_null()).await;
    until("it fires", async || {
        let all = occurrences(&node, "x").await;
        all.iter().any(|o| o["outcome"] == "fired" && due(o) >= end)
    })
    .await;
    for one in occurrences(&node, "x").await {
        let skipped = one["outcome"] == "skipped" && one["reason"] == "paused";
        assert!(!skipped || due(&one) < end, "{one}");
        // Some may have been due before the pause was acknowledged.
        assert!(one["outcome"] != "fired" || due(&one) >= end || due(&one) <= since, "{one}");
    }
}

fn due(occurrence: &Value) -> DateTime<Utc> {
    serde_json::from_value(occurrence["due"].clone()).expect("a time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_and_resumes_that_make_no_sense_are_refused_by_name() {
    let node = Running::start().await;
    put(&node, "x", daily(), json!({})).await;
    for (until, told) in [
        (json!("2020-01-01T00:00:00Z"), "2020-01-01T00:00:00Z is over"),
        (json!("2100-01-01T00:00:00Z"), "not before the year 2100"),
        (json!("tomorrow"), "until"),
    ] {
        let answer = node.post(&format!("{X}:pause"), &json!({"until": until})).await;
        assert!(answer.status == 400 && answer.body.contains(told), "{answer:?}");
    }
    let answer = node.http(Request { method: "POST", path: &format!("{X}:resume"), ..Request::default() }).await;
    assert_eq!((answer.status, &answer.json()["reason"]), (409, &json!(reason::NOT_PAUSED)));
    let error = node.client().resume(&x(), "", None).await.expect_err("not paused");
    assert_eq!((error.code, error.reason.as_str()), (Code::FailedPrecondition, reason::NOT_PAUSED));
    assert!(error.message.contains("ops/x is not paused"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_named_fields_change_and_only_the_version_that_is_meant() {
    let node = Running::start().await;
    put(&node, "x", daily(), json!({"team": "a"})).await;
    let change = json!({"changes": [
        {"path": "spec.trigger.schedule.timezone", "value": "Europe/Berlin"}, {"path": "metadata.labels.team"}
    ]});
    let changed = node.json("PATCH", X, &change).await;
    assert_eq!((changed.status, &changed.json()["new_version"]), (200, &json!(2)), "{changed:?}");
    assert_eq!(node.json("PATCH", X, &change).await.json()["outcome"], "unchanged");
    let now = node.get(X).await.json();
    assert_eq!(now["spec"]["trigger"]["schedule"], json!({"cron": ["0 12 * * *"], "timezone": "Europe/Berlin"}));
    assert_eq!(now["metadata"], json!({"namespace": "ops", "id": "x"}));

    let body = change.to_string();
    let headers = &[("content-type", "application/json"), ("if-match", "\"1\"")];
    let stale = node.http(Request { method: "PATCH", path: X, headers, body: body.as_bytes() }).await;
    assert_eq!((stale.status, &stale.json()["reason"]), (412, &json!(reason::VERSION_CONFLICT)), "{stale:?}");
    for (path, told) in [
        ("spec.trigger.schedule.timezon", "did you mean spec.trigger.schedule.timezone?"),
        ("timezone", "did you mean spec.trigger.schedule.timezone?"),
        ("metadata.id", "never changes"),
    ] {
        let answer = node.json("PATCH", X, &json!({"changes": [{"path": path, "value": "x"}]})).await;
        assert!(answer.status == 400 && answer.body.contains(told), "{path}: {answer:?}");
    }
    let bad = FieldChange { path: "spec.trigger.schedule.cron".into(), value: Some(json!("0 25 * * *")) };
    let error = node.client().update(&x(), &[bad], ChangeOptions::default()).await.expect_err("refused");
    assert_eq!(error.violations[0].field, "spec.trigger.schedule.cron[0]");
    let tried = ChangeOptions { validate_only: true, ..ChangeOptions::default() };
    let off = [FieldChange { path: "spec.enabled".into(), value: Some(json!(false)) }];
    assert_eq!(node.client().update(&x(), &off, tried).await.expect("could be").new_version, 3);
    assert_eq!(node.get(X).await.json()["status"]["version"], 2, "tried only");
    let unknown = node.client().update(&DefinitionKey::new("ops", "none"), &off, ChangeOptions::default()).await;
    assert_eq!(unknown.expect_err("not there").code, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_updates_at_once_each_changes_its_own_field() {
    let node = Running::start().await;
    put(&node, "x", daily(), json!({})).await;
    let one = |i: usize| {
        let client = node.client();
        async move {
            let change = FieldChange { path: format!("metadata.labels.l{i}"), value: Some(json!("x")) };
            client.update(&x(), &[change], ChangeOptions::default()).await.expect("changed")
        }
    };
    futures::future::join_all((0..5).map(one)).await;
    let labels = node.get(X).await.json()["metadata"]["labels"].clone();
    assert_eq!(labels.as_object().map(serde_json::Map::len), Some(5), "{labels}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_listed_and_gone_back_to() {
    let node = Running::start().await;
    for hour in ["8", "9", "10"] {
        put(&node, "x", json!({"schedule": {"cron": format!("0 {hour} * * *")}}), json!({})).await;
    }
    let cron = |record: &Value| record["spec"]["trigger"]["schedule"]["cron"][0].as_str().map(str::to_owned);
    let page = node.get(&format!("{X}/versions?limit=2")).await.json();
    let shown: Vec<_> =
        page["items"].as_array().expect("a list").iter().map(|r| (r["status"]["version"].clone(), cron(r))).collect();
    assert_eq!(shown, [(json!(3), Some("0 10 * * *".into())), (json!(2), Some("0 9 * * *".into()))]);
    let token = page["next_page_token"].as_str().expect("there is more");
    let rest = node.get(&format!("{X}/versions?limit=2&page_token={token}")).await.json();
    assert_eq!((rest["items"][0]["status"]["version"].clone(), &rest["next_page_token"]), (json!(1), &Value::Null));
    assert_eq!(node.get(&format!("{X}/versions?page_token=x")).await.status, 400);

    let tried = node.post(&format!("{X}:rollback"), &json!({"version": 1, "validate_only": true})).await.json();
    assert_eq!((&tried["old_version"], &tried["new_version"]), (&json!(3), &json!(4)));
    let back = node.client().rollback(&x(), 1, ChangeOptions::default()).await.expect("goes back");
    assert_eq!((back.old_version, back.new_version), (3, 4));
    assert_eq!(cron(&node.get(X).await.json()).as_deref(), Some("0 8 * * *"));
    let all = node.client().versions(&x(), PageRequest::default()).await.expect("listed");
    assert_eq!(all.items.iter().map(|record| record.status.version).collect::<Vec<_>>(), [4, 3, 2, 1]);

    let gone = node.client().rollback(&x(), 9, ChangeOptions::default()).await.expect_err("there is none");
    assert!(gone.violations[0].field == "version" && gone.message.contains("4, 3, 2"), "{gone}");
    let stale = ChangeOptions { expected_version: Some(2), ..ChangeOptions::default() };
    assert_eq!(node.client().rollback(&x(), 1, stale).await.expect_err("conflict").reason, reason::VERSION_CONFLICT);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_are_paused_changed_resumed_and_deleted_by_their_labels_page_by_page() {
    let node = Running::start().await;
    for i in 0..7 {
        put(&node, &format!("a{i}"), daily(), json!({"team": if i < 5 { "a" } else { "b" }})).await;
    }
    let client = node.client();
    let all = async |action: BulkAction, validate_only: bool, size: u32| {
        let request = BulkRequest {
            namespace: "ops".into(),
            label_selector: "team=a".into(),
            action,
            request_id: String::new(),
            validate_only,
        };
        let (mut results, mut token, mut pages) = (Vec::new(), String::new(), 0);
        loop {
            let page = client.bulk(&request, PageRequest { size, token }).await.expect("done");
            results.extend(page.items);
            pages += 1;
            match page.next {
                Some(next) => token = next,
                None => return (results, pages),
            }
        }
    };
    let pause = || BulkAction::Pause { note: "move".into(), until: None };
    let (tried, _) = all(pause(), true, 0).await;
    assert_eq!((tried.len(), tried.iter().filter(|one| one.changed).count()), (5, 5));
    assert_eq!(node.get("/v1/definitions?paused=true").await.json()["items"], json!([]), "tried only");
    let (done, pages) = all(pause(), false, 2).await;
    assert_eq!((done.len(), pages >= 3, done.iter().all(|one| one.changed && one.fault.is_none())), (5, true, true));
    let (again, _) = all(pause(), false, 2).await;
    assert_eq!((again.len(), again.iter().filter(|one| one.changed).count()), (5, 0), "they are paused already");
    let end = Utc::now() + chrono::Duration::hours(1);
    let until = |end| BulkAction::Pause { note: String::new(), until: Some(end) };
    let one = DefinitionKey::new("ops", "a3");
    node.client().pause_until(&one, "", Some(end)).await.expect("paused");
    for (end, changes) in [(end, 4), (end, 0), (end + chrono::Duration::hours(5), 5)] {
        let count = async |validate_only| {
            let (results, _) = all(until(end), validate_only, 2).await;
            results.iter().filter(|one| one.changed && one.fault.is_none()).count()
        };
        assert_eq!((count(true).await, count(false).await), (changes, changes), "until {end}");
        let paused = node.client().get(&one).await.expect("there").status.paused.expect("paused");
        assert_eq!(paused.until.map(|until| until.timestamp_micros()), Some(end.timestamp_micros()));
        assert_eq!(paused.note, "move", "which stays unless another one is given");
    }
    let resume = || BulkAction::Resume { note: String::new(), missed: None };
    assert_eq!(all(resume(), false, 3).await.0.len(), 5);

    let bad = BulkAction::Update(vec![FieldChange { path: "spec.nothing".into(), value: Some(json!(1)) }]);
    let (refused, _) = all(bad, false, 0).await;
    assert!(refused.iter().all(|one| one.fault.as_ref().is_some_and(|fault| fault.message.contains("nothing"))));
    let zone = || {
        let path = "spec.trigger.schedule.timezone".to_owned();
        BulkAction::Update(vec![FieldChange { path, value: Some(json!("Europe/Berlin")) }])
    };
    assert_eq!(all(zone(), false, 2).await.0.iter().map(|one| one.version).collect::<Vec<_>>(), [2; 5]);
    assert!(all(zone(), false, 2).await.0.iter().all(|one| !one.changed), "it is so already");

    assert_eq!(all(BulkAction::Delete, false, 2).await.0.len(), 5);
    let left = node.get("/v1/definitions").await.json();
    assert_eq!(left["items"].as_array().map(Vec::len), Some(2));

    let over_http = json!({"namespace": "ops", "label_selector": "*", "action": {"pause": {"note": "all"}}});
    let page = node.post("/v1/definitions:bulk", &over_http).await.json();
    assert_eq!(page["items"].as_array().map(Vec::len), Some(2), "{page}");
    assert_eq!(node.get("/v1/definitions?paused=true").await.json()["items"].as_array().map(Vec::len), Some(2));
}

fn days(from: u32, to: u32) -> BackfillRequest {
    let time = |day: u32| format!("2026-01-{day:02}T00:00:00Z").parse().expect("a time");
    BackfillRequest {
        from: time(from),
        to: time(to),
        rate: 1000,
        order: BackfillOrder::OldestFirst,
        overlap_policy: None,
        backfill_id: String::new(),
        validate_only: false,
        allow_many: false,
    }
}

async fn ended(node: &Running, id: &str) -> Backfill {
    let query = BackfillQuery { namespace: "ops".into(), definition_id: "x".into(), running: false };
    let mut found = None;
    until("it ends", async || {
        let all = node.client().backfills(&query).await.expect("listed").items;
        found = all.into_iter().find(|known| known.backfill_id == id && known.ended_at.is_some());
        found.is_some()
    })
    .await;
    found.expect("it has ended")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_fires_each_due_time_once_and_again_only_under_another_id() {
    let node = Running::start().await;
    put(&node, "x", daily(), json!({})).await;
    let tried = BackfillRequest { validate_only: true, ..days(1, 11) };
    let tried = node.client().backfill(&x(), &tried).await.expect("counted");
    assert_eq!((tried.backfill.total, tried.backfill.begun_at, tried.estimated), (10, None, false));
    assert_eq!(occurrences(&node, "x").await, Vec::<Value>::new(), "counted only");

    let begun = node.client().backfill(&x(), &days(1, 11)).await.expect("begins");
    let id = begun.backfill.backfill_id.clone();
    assert_eq!((id.as_str(), begun.repeated), ("20260101t000000z-20260111t000000z", false));
    let done = ended(&node, &id).await;
    assert_eq!((done.total, done.decided, done.skipped, done.stopped, done.next), (10, 10, 0, false, None));
    let keys = |day: u32, id: &str| format!("b:{id}:2026-01-{day:02}T12:00:00Z");
    until("all are started", async || occurrences(&node, "x").await.iter().all(|o| o["started_at"].is_string())).await;
    let fired = occurrences(&node, "x").await;
    for (day, one) in (1..).zip(&fired) {
        assert_eq!(one["firing_key"], keys(day, &id));
        assert_eq!((&one["outcome"], &one["reason"]), (&json!("fired"), &json!("backfill")));
        assert_eq!(one["detail"], format!("backfill {id}"));
        assert_eq!(one["due"], format!("2026-01-{day:02}T12:00:00Z"));
        assert_eq!(one["workflow_id"], format!("flintwheel:ops:x:{}", keys(day, &id)));
    }
    assert_eq!(fired.len(), 10);

    let again = node.client().backfill(&x(), &days(1, 11)).await.expect("known");
    assert_eq!((again.repeated, again.backfill.decided), (true, 10));
    let other = BackfillRequest { order: BackfillOrder::NewestFirst, ..days(1, 11) };
    let refused = node.client().backfill(&x(), &other).await.expect_err("another order");
    assert!(refused.violations[0].field == "backfill_id" && refused.message.contains("another id"), "{refused}");
    let other = BackfillRequest { backfill_id: "again".into(), ..other };
    node.client().backfill(&x(), &other).await.expect("begins");
    ended(&node, "again").await;
    let fired = occurrences(&node, "x").await;
    let newest_first = (1..=10).rev().map(|day| json!(keys(day, "again")));
    assert_eq!(
        fired[10..].iter().map(|o| o["firing_key"].clone()).collect::<Vec<_>>(),
        newest_first.collect::<Vec<_>>()
    );
    let listed = node.get("/v1/backfills?namespace=ops").await.json();
    let ids: Vec<&str> =
        listed["items"].as_array().expect("a list").iter().filter_map(|b| b["backfill_id"].as_str()).collect();
    assert_eq!(ids, [id.as_str(), "again"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_is_listed_while_it_is_under_way_and_stopped_for_good() {
    let node = Running::start().await;
    put(&node, "x", json!({"schedule": {"cron": "* * * * *"}}), json!({})).await;
    let slow = json!({"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z", "rate": 1, "backfill_id": "slow"});
    let begun = node.post(&format!("{X}:backfill"), &slow).await;
    assert_eq!((begun.status, &begun.json()["backfill"]["total"]), (200, &json!(1441)), "{begun:?}");
    let running = node.get(&format!("{X}/backfills?running=true")).await.json();
    assert_eq!(running["items"][0]["backfill_id"], "slow");
    until("it goes on", async || !occurrences(&node, "x").await.is_empty()).await;
    let stop = json!({"backfill_id": "slow"});
    let stopped = node.post(&format!("{X}:stop-backfill"), &stop).await.json();
    assert_eq!((&stopped["changed"], &stopped["backfill"]["stopped"]), (&json!(true), &json!(true)));
    assert_eq!(node.post(&format!("{X}:stop-backfill"), &stop).await.json()["changed"], false);
    assert_eq!(node.get("/v1/backfills?running=true").await.json()["items"], json!([]));
    let decided = |value: &Value| value["decided"].as_u64().expect("a number");
    let known = node.get(&format!("{X}/backfills")).await.json()["items"][0].clone();
    assert!(decided(&known) < 1441 && decided(&known) == decided(&stopped["backfill"]), "{known}");
    let unknown = node.post(&format!("{X}:stop-backfill"), &json!({"backfill_id": "none"})).await;
    assert!(unknown.status == 400 && unknown.body.contains("backfill_id"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_each_waits_for_the_one_before_all_of_a_backfill_run_and_none_is_skipped() {
    let node = Running::start().await;
    put(&node, "x", daily(), json!({})).await;
    let request = BackfillRequest { overlap_policy: Some(OverlapPolicy::BufferAll), ..days(1, 5) };
    let id = node.client().backfill(&x(), &request).await.expect("begins").backfill.backfill_id;
    let done = ended(&node, &id).await;
    assert_eq!((done.decided, done.skipped), (4, 0));
    until("all have run", async || {
        let all = occurrences(&node, "x").await;
        all.len() == 4 && all.iter().all(|o| o["outcome"] == "fired" && o["started_at"].is_string())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_that_can_not_be_meant_is_refused_by_name() {
    let node = Running::start().await;
    put(&node, "x", json!({"schedule": {"interval": {"every": "1s"}}}), json!({})).await;
    put(&node, "none", json!({"event": {"types": "t"}}), json!({})).await;
    let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
    let future = Utc::now() + chrono::Duration::hours(1);
    for (request, field) in [
        (BackfillRequest { to: time("2025-12-31T00:00:00Z"), ..days(1, 2) }, "to"),
        (BackfillRequest { to: future, ..days(1, 2) }, "to"),
        (BackfillRequest { rate: 1001, ..days(1, 2) }, "rate"),
        (BackfillRequest { backfill_id: "A b".into(), ..days(1, 2) }, "backfill_id"),
        (BackfillRequest { backfill_id: "a".repeat(65), ..days(1, 2) }, "backfill_id"),
        (days(1, 2), "allow_many"),
    ] {
        let error = node.client().backfill(&x(), &request).await.expect_err("refused");
        assert_eq!(error.violations[0].field, field, "{error}");
    }
    let ten_years =
        BackfillRequest { from: time("2016-01-01T00:00:00Z"), to: time("2026-01-01T00:00:00Z"), ..days(1, 2) };
    let error = node.client().backfill(&x(), &ten_years).await.expect_err("so many");
    assert!(error.message.contains("about 3156") && error.message.contains("due times"), "{error}");
    let counted = node.client().backfill(&x(), &BackfillRequest { validate_only: true, ..ten_years }).await;
    let counted = counted.expect("counted");
    // Ten years, of which three have a day more.
    assert!(counted.estimated && counted.backfill.total.abs_diff(3653 * 86_400) < 10_000, "{counted:?}");
    let none = node.client().backfill(&DefinitionKey::new("ops", "none"), &days(1, 2)).await.expect_err("no schedule");
    assert!(none.code == Code::FailedPrecondition && none.message.contains("has no schedule"), "{none}");
    let unknown = node.client().backfill(&DefinitionKey::new("ops", "nobody"), &days(1, 2)).await;
    assert_eq!(unknown.expect_err("not there").code, Code::NotFound);
}
