//! Definitions that are due after runs of others: in one process, on a real disk, with runs that end as soon as they have begun.

use std::path::Path;
use std::time::Duration;

use flintwheel_client::{Applied, ApplyOptions, DefinitionStatus, Occurrence, OccurrenceQuery, PageRequest};
use flintwheel_model::definition::OnResume;
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_node::config::Config;
use flintwheel_node::engine::Engine;
use serde_json::{Value, json};

async fn start(directory: &Path) -> Engine {
    let flags =
        [("data_dir", directory.display().to_string()), ("sink", "null".to_owned()), ("shards", "4".to_owned())];
    let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
    Engine::start(&settings, "test".into()).await.expect("starts")
}

fn key(id: &str) -> DefinitionKey {
    DefinitionKey::new("default", id)
}

fn definition(id: &str, trigger: &Value) -> ActivityDefinition {
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": trigger, "start_workflow": {"type": "W", "task_queue": "q"}},
    }))
    .expect("a definition")
}

async fn try_apply(engine: &Engine, id: &str, trigger: &Value) -> Result<Applied, String> {
    let applied = engine.api().apply(&definition(id, trigger), &ApplyOptions::default()).await;
    applied.map_err(|error| format!("{error:?}"))
}

/// Gives the warnings.
async fn apply(engine: &Engine, id: &str, trigger: &Value) -> Vec<String> {
    try_apply(engine, id, trigger).await.expect("applied").warnings
}

fn after(id: &str) -> Value {
    json!({"schedule": {"after": {"definition": id}}})
}

async fn status(engine: &Engine, id: &str) -> DefinitionStatus {
    engine.api().get(&key(id), None, None).await.expect("it is there").status
}

async fn fire(engine: &Engine, id: &str, request: &str) {
    engine.api().trigger(&key(id), request, None, None).await.expect("fires");
}

async fn occurrences(engine: &Engine, id: &str) -> Vec<Occurrence> {
    let query = OccurrenceQuery { namespace: "default".into(), definition_id: id.into(), ..OccurrenceQuery::default() };
    engine.api().occurrences(&query, &PageRequest::default()).await.expect("told").items
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn until_fired(engine: &Engine, id: &str, times: u64) {
    until(&format!("{id} fires {times} times"), async || status(engine, id).await.counts.fired == times).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_run_makes_all_that_wait_for_it_due_once_whatever_has_fired_it_and_through_restarts() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "load", &json!({"event": {"types": "order"}})).await;
    let followers: Vec<String> = (0..6).map(|number| format!("report-{number}")).collect();
    for id in &followers {
        assert_eq!(apply(&engine, id, &after("load")).await, [""; 0]);
    }
    // By way of one that comes after it in turn.
    apply(&engine, "mail", &json!({"schedule": {"after": {"definition": "report-0", "delay": "1s"}}})).await;
    fire(&engine, "load", "1").await;
    let event = flintwheel_model::event::Event::from_json(
        json!({"specversion": "1.0", "id": "1", "source": "/s", "type": "order"}),
    );
    let bytes = flintwheel_node::cloudevents::encode(&event.expect("an event")).expect("encodes");
    engine.api().publish("default", &[bytes]).await.expect("taken");
    for id in &followers {
        until_fired(&engine, id, 2).await;
    }
    fire(&engine, "load", "2").await;
    engine.close().await.expect("closes");
    let engine = start(directory.path()).await;
    for id in followers.iter().map(String::as_str).chain(["mail"]) {
        until_fired(&engine, id, 3).await;
        let found = occurrences(&engine, id).await;
        assert!(found.iter().all(|one| one.firing_key.starts_with("t:")), "{found:?}");
    }
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_come_is_shown_with_its_cause_and_survives_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "load", &json!({})).await;
    let schedule = json!({"cron": "0 0 1 1 *", "after": [{"definition": "load", "delay": "1h", "outcome": "any"},
        {"definition": "load", "delay": "2h"}, {"definition": "load", "outcome": "failure"}]});
    apply(&engine, "report", &json!({"schedule": schedule})).await;
    fire(&engine, "load", "1").await;
    let coming = async |engine: &Engine| {
        let next = engine.api().next_times(&key("report"), 10, None).await.expect("told");
        next.times.into_iter().filter(|time| !time.because.is_empty()).collect::<Vec<_>>()
    };
    until("both have come", async || coming(&engine).await.len() == 2).await;
    let before = coming(&engine).await;
    assert!(before[0].because.starts_with("load m:1 succeeded at 2"), "{before:?}");
    assert_eq!((before[1].nominal - before[0].nominal).num_seconds(), 3600);
    assert_eq!(status(&engine, "report").await.next_due, Some(before[0].nominal));
    engine.close().await.expect("closes");
    let engine = start(directory.path()).await;
    assert_eq!(coming(&engine).await, before);
    let asked = flintwheel_client::AskedTime::Instant(before[0].nominal);
    let explained = engine.api().explain(&key("report"), asked).await.expect("told");
    let moment = &explained.moments[0];
    assert!(moment.is_nominal && moment.named_by[0].starts_with("spec.trigger.schedule.after (load m:1"), "{moment:?}");
    // Disabled, it is not to come any more.
    let mut disabled = definition("report", &after("load"));
    disabled.spec.enabled = false;
    engine.api().apply(&disabled, &ApplyOptions::default()).await.expect("applied");
    assert_eq!(coming(&engine).await, []);
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_in_a_pause_is_dropped_or_fires_when_it_is_resumed() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "load", &json!({})).await;
    for (id, missed, fired, skipped) in
        [("drop", OnResume::Drop, 0, 2), ("latest", OnResume::Latest, 1, 1), ("all", OnResume::All, 2, 0)]
    {
        apply(&engine, id, &after("load")).await;
        engine.api().pause(&key(id), "", "").await.expect("pauses");
        for (number, request) in ["a", "b"].into_iter().enumerate() {
            fire(&engine, "load", &format!("{id}-{request}")).await;
            let is_there = async || {
                let explained = engine.api().next_times(&key(id), 1, Some(chrono::DateTime::UNIX_EPOCH)).await;
                explained.is_ok_and(|next| next.times.len() == 1)
                    && status(&engine, "load").await.runs.is_some_and(|r| r.open == 0)
            };
            until(&format!("{id} has {number} and one more"), is_there).await;
        }
        let many = async || {
            let next = engine.api().next_times(&key(id), 10, Some(chrono::DateTime::UNIX_EPOCH)).await.expect("told");
            next.times.len() == 2
        };
        until("both have come", many).await;
        engine.api().resume(&key(id), "", Some(missed), "").await.expect("resumes");
        let counts = async || {
            let counts = status(&engine, id).await.counts;
            (counts.fired, counts.skipped) == (fired, skipped)
        };
        until(id, counts).await;
        let off = json!({});
        apply(&engine, id, &off).await;
    }
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_not_there_yet_is_a_warning_and_counts_once_it_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "nightly-lod", &json!({})).await;
    let told = apply(&engine, "report", &after("nightly-load")).await;
    let field = "spec.trigger.schedule.after[0].definition";
    let expected = format!("{field}: there is no definition \"nightly-load\" in namespace default; ");
    assert!(told[0].starts_with(&expected) && told[0].ends_with("did you mean nightly-lod?"), "{told:?}");
    assert_eq!(apply(&engine, "nightly-load", &json!({})).await, [""; 0]);
    fire(&engine, "nightly-load", "1").await;
    until_fired(&engine, "report", 1).await;
    // Made anew, it is another one; its runs count as well.
    engine.api().delete(&key("nightly-load"), None, "", false).await.expect("deleted");
    apply(&engine, "nightly-load", &json!({})).await;
    fire(&engine, "nightly-load", "1").await;
    until_fired(&engine, "report", 2).await;
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_would_set_itself_off_for_ever_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "a", &json!({})).await;
    apply(&engine, "b", &after("a")).await;
    apply(&engine, "c", &after("b")).await;
    for (id, before, told) in [
        ("a", "a", "names the definition itself"),
        ("a", "b", "b, which comes after a: each run would set off the next"),
        ("a", "c", "c, which comes after b, which comes after a: each run"),
    ] {
        let refused = try_apply(&engine, id, &after(before)).await.expect_err("a circle");
        assert!(refused.contains("spec.trigger.schedule.after[0].definition") && refused.contains(told), "{refused}");
    }
    // Of two that come together, too.
    let both = [definition("x", &after("y")), definition("y", &after("x"))];
    let both: Vec<_> = both.into_iter().map(|one| (one, ApplyOptions::default())).collect();
    let results = engine.api().batch_apply(&both).await;
    assert!(results.iter().all(Result::is_err), "{results:?}");
    assert!(try_apply(&engine, "a", &after("d")).await.is_ok(), "one that is not there comes after nothing");
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_with_a_bound_is_not_over_before_it_is_used_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path()).await;
    apply(&engine, "load", &json!({})).await;
    apply(&engine, "report", &json!({"schedule": {"after": {"definition": "load"}, "max_firings": 2}})).await;
    for (fired, over) in [(0, false), (1, false), (2, true)] {
        until_fired(&engine, "report", fired).await;
        let found = status(&engine, "report").await;
        assert_eq!((found.armed, found.over, found.next_due), (!over, over, None), "{fired}: {found:?}");
        fire(&engine, "load", &fired.to_string()).await;
    }
    let skipped = async || status(&engine, "report").await.counts.skipped == 1;
    until("what comes then is accounted for", skipped).await;
    engine.close().await.expect("closes");
}
