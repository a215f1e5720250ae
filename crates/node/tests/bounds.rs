//! How many of a definition's due times fire, and what becomes of it then: in one process, on a real disk, through restarts.

use std::path::Path;
use std::time::Duration;

use flintwheel_client::{ApplyOptions, ApplyOutcome, DefinitionStatus};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_node::api::ApiError;
use flintwheel_node::config::Config;
use flintwheel_node::engine::Engine;
use serde_json::{Value, json};

async fn start(directory: &Path) -> Engine {
    let flags =
        [("data_dir", directory.display().to_string()), ("sink", "null".to_owned()), ("shards", "2".to_owned())];
    let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
    Engine::start(&settings, "test".into()).await.expect("starts")
}

fn definition(id: &str, trigger: &Value) -> ActivityDefinition {
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}},
    }))
    .expect("a definition")
}

async fn apply(engine: &Engine, id: &str, trigger: &Value) -> Result<ApplyOutcome, String> {
    let applied = engine.api().apply(&definition(id, trigger), &ApplyOptions::default()).await;
    applied.map(|applied| applied.outcome).map_err(|error| format!("{error:?}"))
}

async fn status(engine: &Engine, id: &str) -> Option<DefinitionStatus> {
    match engine.api().get(&DefinitionKey::new("default", id), None, None).await {
        Ok(record) => Some(record.status),
        Err(ApiError::NotFound(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn seconds(max_firings: u32, after_end: &str) -> Value {
    json!({"schedule": {"interval": {"every": "1s"}, "max_firings": max_firings, "after_end": after_end}})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_due_times_fire_through_restarts_and_then_what_was_asked_for_becomes_of_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    for after_end in ["keep", "disable", "delete"] {
        assert_eq!(apply(&engine, after_end, &seconds(3, after_end)).await, Ok(ApplyOutcome::Created));
    }
    until("the first", async || status(&engine, "keep").await.is_some_and(|status| status.counts.fired > 0)).await;
    engine.close().await.expect("closes");
    let engine = start(directory.path()).await;
    for id in ["keep", "disable"] {
        until(id, async || status(&engine, id).await.is_some_and(|status| status.firings_left == Some(0))).await;
        let found = status(&engine, id).await.expect("it stays");
        assert_eq!((found.counts.fired, found.over, found.armed, found.next_due), (3, true, false, None), "{id}");
    }
    until("it is deleted", async || status(&engine, "delete").await.is_none()).await;
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_used_up_is_applied_again_as_it_is_and_goes_on_when_it_may_have_more() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "a", &seconds(2, "disable")).await.expect("applied");
    until("both", async || status(&engine, "a").await.is_some_and(|status| status.firings_left == Some(0))).await;
    assert_eq!(apply(&engine, "a", &seconds(2, "disable")).await, Ok(ApplyOutcome::Unchanged));
    let refused = apply(&engine, "a", &seconds(1, "disable")).await.expect_err("it has had more");
    assert!(refused.contains("max_firings") && refused.contains("1 of its due times have fired already"), "{refused}");
    assert_eq!(apply(&engine, "a", &seconds(4, "keep")).await, Ok(ApplyOutcome::Configured));
    until("two more", async || status(&engine, "a").await.is_some_and(|status| status.firings_left == Some(0))).await;
    assert_eq!(status(&engine, "a").await.map(|status| status.counts.fired), Some(4));
    let times = engine.api().next_times(&DefinitionKey::new("default", "a"), 5, None).await.expect("told");
    assert_eq!(times.times, []);
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_ends_with_its_last_time_is_not_taken_when_that_is_past_also_if_it_listens() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    let past = |after_end| json!({"schedule": {"at": "2020-01-01T00:00:00Z", "after_end": after_end}, "event": {"types": "t"}});
    assert_eq!(apply(&engine, "keep", &past("keep")).await, Ok(ApplyOutcome::Created));
    let refused = apply(&engine, "delete", &past("delete")).await.expect_err("it would go at once");
    assert!(refused.contains("has no due time after now"), "{refused}");
    engine.close().await.expect("closes");
}
