//! The engine in one process, on a real disk, with the sink that only counts: definitions fire, events fire once, and a restart loses nothing.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_client::{ApplyOptions, ApplyOutcome, OccurrenceQuery, Outcome, PageRequest};
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
    assert!(engine.api().resume(&key, "", "").await.expect("resumed").status.armed);
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
    engine.api().resume(&DefinitionKey::new("default", "b"), "", "").await.expect("resumed");
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
