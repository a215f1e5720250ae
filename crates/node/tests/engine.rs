//! The engine in one process, on a real disk, with the sink that only counts: definitions fire, events fire once, and a restart loses nothing.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_client::{
    ApplyOptions, ApplyOutcome, BackfillOrder, BackfillQuery, BackfillRequest, OccurrenceQuery, Outcome, PageRequest,
};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_node::config::{Config, Settings};
use flintwheel_node::engine::Engine;
use flintwheel_proto::cloudevents::CloudEvent;
use prost::Message;
use serde_json::{Value, json};

fn settings(directory: &Path) -> Settings {
    let flags =
        [("data_dir", directory.display().to_string()), ("sink", "null".to_owned()), ("shards", "4".to_owned())];
    Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid")
}

async fn start(directory: &Path) -> Engine {
    Engine::start(&settings(directory), "test".into()).await.expect("starts")
}

fn definition(id: &str, trigger: Value) -> ActivityDefinition {
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}},
    }))
    .expect("a definition")
}

fn event(id: &str, event_type: &str) -> Bytes {
    let event = CloudEvent {
        id: id.into(),
        source: "test".into(),
        spec_version: "1.0".into(),
        r#type: event_type.into(),
        ..CloudEvent::default()
    };
    event.encode_to_vec().into()
}

async fn apply(engine: &Engine, id: &str, trigger: Value) -> ApplyOutcome {
    let applied = engine.api().apply(&definition(id, trigger), &ApplyOptions::default()).await;
    applied.expect("applied").outcome
}

/// Firing keys of a definition's occurrences that have ended as fired, newest first.
async fn fired(engine: &Engine, id: &str) -> Vec<String> {
    let query = OccurrenceQuery { namespace: "default".into(), definition_id: id.into(), ..OccurrenceQuery::default() };
    let page = engine.api().occurrences(&query, &PageRequest { size: 1000, ..PageRequest::default() }).await;
    let page = page.expect("read");
    let ended = page.items.into_iter().filter(|o| o.outcome == Outcome::Fired && o.started_at.is_some());
    ended.map(|o| o.firing_key).collect()
}

/// Waits until something holds; fails after a time that no healthy machine needs.
async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_fires_again_and_again_through_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    assert_eq!(apply(&engine, "tick", json!({"schedule": {"interval": {"every": "1s"}}})).await, ApplyOutcome::Created);
    until("two firings", async || fired(&engine, "tick").await.len() >= 2).await;
    engine.close().await.expect("closes");
    let engine = start(directory.path()).await;
    let before = fired(&engine, "tick").await.len();
    until("two more", async || fired(&engine, "tick").await.len() >= before + 2).await;
    let mut keys = fired(&engine, "tick").await;
    let newest_first = keys.clone();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), newest_first.len(), "no due time fired twice");
    assert!(newest_first.iter().rev().eq(keys.iter()), "in order, newest first");
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_fires_each_definition_that_matches_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    for id in ["a", "b"] {
        apply(&engine, id, json!({"event": {"types": "t"}})).await;
    }
    apply(&engine, "c", json!({"event": {"types": "u"}})).await;
    let batch = [event("1", "t"), event("2", "t"), event("1", "t"), event("3", "nobody")];
    let published = engine.api().publish("default", &batch).await.expect("published");
    assert_eq!((published.accepted, published.matched, published.fired, published.duplicate), (4, 3, 4, 2));
    let again = engine.api().publish("default", &batch[..2]).await.expect("published");
    assert_eq!((again.fired, again.duplicate), (0, 4));
    until("all are started", async || fired(&engine, "a").await.len() == 2 && fired(&engine, "b").await.len() == 2)
        .await;
    assert_eq!(fired(&engine, "a").await, ["e:test|2", "e:test|1"]);
    assert_eq!(fired(&engine, "c").await, Vec::<String>::new());
    let key = DefinitionKey::new("default", "a");
    engine.api().delete(&key, None, "", false).await.expect("deleted");
    let after = engine.api().publish("default", &[event("9", "t")]).await.expect("published");
    assert_eq!((after.matched, after.fired), (1, 1), "a deleted definition is matched no more");
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_comes_again_after_a_restart_is_answered_as_before() {
    let directory = tempfile::tempdir().expect("a directory");
    let (key, listening) = (DefinitionKey::new("default", "a"), || json!({"event": {"types": "t"}}));
    let apply = async |engine: &Engine, request_id: &str, trigger| {
        let options = ApplyOptions { request_id: request_id.into(), ..ApplyOptions::default() };
        engine.api().apply(&definition("a", trigger), &options).await.expect("applied")
    };
    let engine = start(directory.path()).await;
    let first = apply(&engine, "r1", listening()).await;
    assert_eq!(engine.api().delete(&key, None, "r2", false).await, Ok(1));
    engine.close().await.expect("closes");
    let engine = start(directory.path()).await;
    assert_eq!(apply(&engine, "r1", listening()).await, first);
    let published = engine.api().publish("default", &[event("1", "t")]).await.expect("published");
    assert_eq!(published.matched, 0, "what is deleted stays so");
    assert_eq!(apply(&engine, "r3", listening()).await.outcome, ApplyOutcome::Created);
    assert_eq!(engine.api().delete(&key, None, "r2", false).await, Ok(1));
    let published = engine.api().publish("default", &[event("2", "t")]).await.expect("published");
    assert_eq!(published.matched, 1, "what was made since is not deleted");
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_definition_is_told_is_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    let daily = || json!({"schedule": {"cron": "@daily"}});
    assert_eq!(apply(&engine, "d", daily()).await, ApplyOutcome::Created);
    assert_eq!(apply(&engine, "d", daily()).await, ApplyOutcome::Unchanged);
    assert_eq!(apply(&engine, "d", json!({"schedule": {"cron": "@hourly"}})).await, ApplyOutcome::Configured);
    let key = DefinitionKey::new("default", "d");
    let paused = engine.api().pause(&key, "for a test", "").await.expect("paused");
    assert!(paused.changed && !paused.status.armed);
    engine.close().await.expect("closes");
    let engine = start(directory.path()).await;
    let record = engine.api().get(&key, None, None).await.expect("there");
    assert_eq!((record.status.version, record.status.paused.map(|p| p.note)), (2, Some("for a test".to_owned())));
    assert_eq!(engine.api().get(&key, Some(1), None).await.expect("kept").definition, definition("d", daily()));
    assert!(engine.api().resume(&key, "", None, "").await.expect("resumed").status.armed);
    let triggered = engine.api().trigger(&key, "by-hand", None, None).await.expect("fires");
    assert_eq!((triggered.firing_key.as_str(), triggered.duplicate), ("m:by-hand", false));
    assert!(engine.api().trigger(&key, "by-hand", None, None).await.expect("known").duplicate);
    until("it is started", async || fired(&engine, "d").await == ["m:by-hand"]).await;
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_in_the_sink_that_only_counts_ends_at_once_and_what_waits_for_it_goes_on() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "d", json!({"schedule": {"at": "2099-01-01T00:00:00Z", "overlap_policy": "buffer_all"}})).await;
    let key = DefinitionKey::new("default", "d");
    for request in ["1", "2", "3"] {
        engine.api().trigger(&key, request, None, None).await.expect("fires, or waits");
    }
    until("all have run", async || fired(&engine, "d").await == ["m:3", "m:2", "m:1"]).await;
    let idle = |text: &str| text.contains("flintwheel_watched_runs_closed_total 3\n");
    until("all have ended", async || idle(&engine.api().metrics())).await;
    let runs = engine.api().get(&key, None, None).await.expect("there").status.runs.expect("they are watched");
    assert_eq!((runs.open, runs.waiting), (0, 0));
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_did_not_fire_is_found_among_all_by_outcome_and_by_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    for id in ["a", "b", "c"] {
        apply(&engine, id, json!({"event": {"types": "t"}})).await;
    }
    let publish = async |ids: std::ops::Range<u32>| {
        for id in ids {
            engine.api().publish("default", &[event(&id.to_string(), "t")]).await.expect("published");
        }
    };
    publish(0..20).await;
    engine.api().pause(&DefinitionKey::new("default", "b"), "", "").await.expect("paused");
    publish(20..23).await;
    engine.api().resume(&DefinitionKey::new("default", "b"), "", None, "").await.expect("resumed");
    publish(23..40).await;
    let skipped = ["e:test|22", "e:test|21", "e:test|20"];
    for (outcomes, reason, expected) in [
        (vec![Outcome::Skipped], "", &skipped[..]),
        (vec![Outcome::Skipped, Outcome::Failed], "", &skipped),
        (vec![], "paused", &skipped),
        (vec![Outcome::Skipped], "late", &[]),
        (vec![], "late", &[]),
        (vec![Outcome::Failed], "", &[]),
        (vec![], "refused", &[]),
    ] {
        let query = OccurrenceQuery { outcomes, reason: reason.into(), ..OccurrenceQuery::default() };
        let (mut page, mut found) = (PageRequest { size: 2, ..PageRequest::default() }, Vec::new());
        loop {
            let answer = engine.api().occurrences(&query, &page).await.expect("read");
            found.extend(answer.items.into_iter().map(|o| (o.definition.id, o.firing_key)));
            let Some(next) = answer.next else { break };
            page.token = next;
        }
        let expected: Vec<_> = expected.iter().map(|key| ("b".to_owned(), (*key).to_owned())).collect();
        assert_eq!(found, expected, "{query:?}");
    }
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backfill_goes_on_after_a_restart_and_fires_each_due_time_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut engine = start(directory.path()).await;
    apply(&engine, "d", json!({"schedule": {"cron": "* * * * *"}})).await;
    let key = DefinitionKey::new("default", "d");
    let time = |text: &str| text.parse().expect("a time");
    let request = BackfillRequest {
        from: time("2026-01-01T00:00:00Z"),
        to: time("2026-01-01T02:59:00Z"),
        rate: 60,
        order: BackfillOrder::OldestFirst,
        overlap_policy: None,
        backfill_id: "b".into(),
        validate_only: false,
        allow_many: false,
    };
    engine.api().backfill(&key, &request).await.expect("begins");
    let of = || BackfillQuery { namespace: "default".into(), definition_id: "d".into(), running: false };
    let decided = async |engine: &Engine| engine.api().backfills(&of()).await.expect("listed").items[0].decided;
    for part in [10, 40] {
        until("it goes on", async || decided(&engine).await >= part).await;
        engine.close().await.expect("closes");
        engine = start(directory.path()).await;
    }
    until("it ends", async || decided(&engine).await == 180).await;
    let backfilled = async || {
        let mut keys = fired(&engine, "d").await;
        keys.retain(|key| key.starts_with("b:b:"));
        keys
    };
    until("all are started", async || backfilled().await.len() == 180).await;
    let mut expected: Vec<_> = (0..180).map(|i| format!("b:b:2026-01-01T{:02}:{:02}:00Z", i / 60, i % 60)).collect();
    expected.reverse();
    assert_eq!(backfilled().await, expected);
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_whose_end_has_come_while_nobody_was_there_ends_as_of_then() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "tick", json!({"schedule": {"interval": {"every": "1s"}}})).await;
    let key = DefinitionKey::new("default", "tick");
    let end = chrono::Utc::now() + chrono::Duration::seconds(2);
    engine.api().pause_until(&key, "", Some(end), "").await.expect("paused");
    engine.close().await.expect("closes");
    until("its end has come", async || chrono::Utc::now() > end + chrono::Duration::seconds(2)).await;
    let engine = start(directory.path()).await;
    until("it goes on", async || engine.api().get(&key, None, None).await.expect("there").status.paused.is_none())
        .await;
    // What was due since then was missed by nobody's will: its policy says what becomes of it.
    let second = (end.timestamp() + 1, end.timestamp() + 2);
    let wanted: Vec<_> =
        [second.0, second.1].map(|second| format!("t:{}", flintwheel_model::ids::rfc3339(second * 1_000_000))).into();
    until("what was due since fires", async || {
        let keys = fired(&engine, "tick").await;
        wanted.iter().all(|wanted| keys.contains(wanted))
    })
    .await;
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_apply_may_begin_with_due_times_that_have_passed_and_none_fires_twice() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    let hourly = |every: &str| definition("hourly", json!({"schedule": {"interval": {"every": every}}}));
    let now = chrono::Utc::now();
    let since =
        |hours: i64| ApplyOptions { due_after: Some(now - chrono::TimeDelta::hours(hours)), ..Default::default() };
    let applied = engine.api().apply(&hourly("1h"), &since(3)).await.expect("applied");
    assert!(applied.next_due.is_some_and(|next| next <= now), "{applied:?}");
    until("three late ones", async || fired(&engine, "hourly").await.len() >= 3).await;

    // What has been decided does not come again, however early it is asked for.
    let newest = fired(&engine, "hourly").await.remove(0);
    let newest: chrono::DateTime<chrono::Utc> = newest.trim_start_matches("t:").parse().expect("a time");
    let changed = engine.api().apply(&hourly("30m"), &since(9)).await.expect("applied");
    assert!(changed.next_due.is_some_and(|next| next > newest), "{changed:?} after {newest}");

    let refused = engine.api().apply(&hourly("2h"), &since(32 * 24)).await.expect_err("too long ago");
    assert!(refused.to_string().contains("is longer ago than 31 days"), "{refused}");
    engine.close().await.expect("closes");
}
