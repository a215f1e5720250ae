//! What becomes of due times that were missed: an engine whose clock is an hour behind is closed, and one with the right time goes on. So an outage
//! of an hour takes no time here.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use flintwheel_client::{ApplyOptions, AskedTime, Occurrence, OccurrenceQuery, Outcome, PageRequest};
use flintwheel_model::definition::OnResume;
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_node::clock::{Clock, SystemClock};
use flintwheel_node::config::Config;
use flintwheel_node::engine::{Engine, FOUNDER, Start};
use flintwheel_node::membership::{Card, New, Part};
use flintwheel_store::DataDir;
use serde_json::{Value, json};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// The machine's clock, so much ahead.
struct Shifted {
    machine: SystemClock,
    by: i64,
}

impl Clock for Shifted {
    fn now(&self) -> i64 {
        self.machine.now() + self.by
    }

    fn doubted(&self) -> Option<i64> {
        None
    }

    fn accept(&self) {}
}

async fn start(directory: &Path, pace: &str, clock_ahead: i64) -> Engine {
    let flags = [
        ("data_dir", directory.display().to_string()),
        ("sink", "null".to_owned()),
        ("shards", "4".to_owned()),
        ("catch_up_pace", pace.to_owned()),
    ];
    let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
    let data = DataDir::open(&settings.data_dir, FOUNDER, None).expect("a directory");
    let card = Card { token: data.token().expect("a token"), ..Card::default() };
    let start = Start { data, part: Part::Founder(New::default()), card, peer: None };
    let clock = Arc::new(Shifted { machine: SystemClock::default(), by: clock_ahead });
    Engine::start_with(&settings, start, clock).await.expect("starts")
}

fn now() -> i64 {
    Utc::now().timestamp_micros()
}

fn text(at: i64) -> String {
    let time = DateTime::from_timestamp_micros(at).expect("a time");
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn definition(id: &str, schedule: &Value) -> ActivityDefinition {
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": {"schedule": schedule}, "start_workflow": {"type": "W", "task_queue": "q"}},
    }))
    .expect("a definition")
}

async fn apply(engine: &Engine, id: &str, schedule: Value) {
    let applied = engine.api().apply(&definition(id, &schedule), &ApplyOptions::default()).await;
    applied.unwrap_or_else(|error| panic!("{id}: {error:?}"));
}

fn key(id: &str) -> DefinitionKey {
    DefinitionKey::new("default", id)
}

/// All occurrences of a definition that have ended, oldest first.
async fn ended(engine: &Engine, id: &str) -> Vec<Occurrence> {
    let query = OccurrenceQuery { namespace: "default".into(), definition_id: id.into(), ..OccurrenceQuery::default() };
    let page = engine.api().occurrences(&query, &PageRequest { size: 1000, ..PageRequest::default() }).await;
    let mut items = page.expect("read").items;
    items.retain(|o| o.outcome != Outcome::Fired || o.started_at.is_some());
    items.reverse();
    items
}

/// How many of them fired, and how many were skipped for this reason.
async fn counts(engine: &Engine, id: &str, reason: &str) -> (usize, u64) {
    let all = ended(engine, id).await;
    let skipped = all.iter().filter(|o| o.outcome == Outcome::Skipped);
    assert!(skipped.clone().all(|o| o.reason == reason), "{id}: {all:?}");
    (all.iter().filter(|o| o.outcome == Outcome::Fired).count(), skipped.map(|o| u64::from(o.count)).sum())
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(90);
    while !holds().await {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn metric(engine: &Engine, name: &str) -> f64 {
    let metrics = engine.api().metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect(name);
    line.parse().expect("a number")
}

/// The most that were decided in any second.
fn most_in_a_second(occurrences: &[Occurrence]) -> usize {
    let at = |o: &Occurrence| o.decided_at.timestamp_micros();
    let within = |from: i64| occurrences.iter().filter(|o| (from..from + SECOND).contains(&at(o))).count();
    occurrences.iter().map(|o| within(at(o))).max().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_fires_at_its_pace_the_oldest_first_and_what_is_due_does_not_wait_for_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path(), "20/s", -HOUR).await;
    let begun = now();
    let ids: Vec<String> = (0..60).map(|n| format!("late-{n}")).collect();
    for (id, n) in ids.iter().zip(0..) {
        apply(&engine, id, json!({"at": text(begun - 50 * MINUTE + n * 30 * SECOND)})).await;
    }
    let paced: Vec<String> = (0..12).map(|n| text(begun - 40 * MINUTE + n * MINUTE)).collect();
    apply(&engine, "paced", json!({"at": paced, "misfire_policy": {"pace": "2/s"}})).await;
    engine.close().await.expect("closes");

    let engine = start(directory.path(), "20/s", 0).await;
    apply(&engine, "live", json!({"interval": {"every": "1s"}})).await;
    until("all that was missed has fired", async || {
        let mut fired = 0;
        for id in &ids {
            fired += counts(&engine, id, "").await.0;
        }
        fired == ids.len() && counts(&engine, "paced", "").await.0 == 12
    })
    .await;
    let mut all = Vec::new();
    for id in &ids {
        all.extend(ended(&engine, id).await);
    }
    let paced = ended(&engine, "paced").await;
    assert!(most_in_a_second(&paced) <= 3, "a definition's own pace: {paced:?}");
    all.extend(paced);
    // A fifth more than the pace, one, and what a node that begins has no share of yet.
    assert!(most_in_a_second(&all) <= 25, "{} in a second", most_in_a_second(&all));
    let live = ended(&engine, "live").await;
    let last = all.iter().map(|o| o.decided_at).max().expect("some");
    assert!(live.iter().any(|o| o.decided_at < last), "it fired meanwhile");
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_says_which_of_the_missed_fire() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path(), "1000/s", -HOUR).await;
    let begun = now();
    let times: Vec<String> = (0..10).map(|n| text(begun - 40 * MINUTE + n * MINUTE)).collect();
    let cases = [
        ("all", json!({"mode": "all"}), 10, 0, ""),
        ("latest", json!({"mode": "latest"}), 1, 9, "superseded"),
        ("none", json!({"mode": "none"}), 0, 10, "misfire"),
        // The oldest five are too late.
        ("window", json!({"window": "35m30s"}), 5, 5, "late"),
    ];
    for (id, policy, ..) in &cases {
        apply(&engine, id, json!({"at": times, "misfire_policy": policy})).await;
    }
    engine.close().await.expect("closes");
    let engine = start(directory.path(), "1000/s", 0).await;
    for (id, _, fired, skipped, reason) in cases {
        until(id, async || {
            let (found_fired, found_skipped) = counts(&engine, id, reason).await;
            found_fired + found_skipped as usize == 10
        })
        .await;
        assert_eq!(counts(&engine, id, reason).await, (fired, skipped), "{id}");
    }
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_resumes_says_what_becomes_of_what_passed_meanwhile() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path(), "1000/s", -HOUR).await;
    let begun = now();
    let times: Vec<String> = (0..10).map(|n| text(begun - 40 * MINUTE + n * MINUTE)).collect();
    let (none, all) = (json!({"mode": "none"}), json!({"mode": "none", "on_resume": "all"}));
    let cases = [
        ("as-it-says", none.clone(), None, 0, 10),
        ("as-it-says-all", all.clone(), None, 10, 0),
        ("drop", all, Some(OnResume::Drop), 0, 10),
        ("latest", none.clone(), Some(OnResume::Latest), 1, 9),
        ("all", none, Some(OnResume::All), 10, 0),
    ];
    for (id, policy, ..) in &cases {
        apply(&engine, id, json!({"at": times, "misfire_policy": policy})).await;
        engine.api().pause(&key(id), "", "").await.expect("paused");
    }
    engine.close().await.expect("closes");
    let engine = start(directory.path(), "1000/s", 0).await;
    for (id, _, missed, fired, skipped) in cases {
        engine.api().resume(&key(id), "", missed, "").await.expect("resumed");
        until(id, async || {
            let (found_fired, found_skipped) = counts(&engine, id, "paused").await;
            found_fired + found_skipped as usize == 10
        })
        .await;
        assert_eq!(counts(&engine, id, "paused").await, (fired, skipped), "{id}");
    }
    // Each of those that were skipped together is told of, and nothing else.
    for (offset, told) in [(-1, 0), (0, 10), (4, 10), (9, 10)] {
        let at = text(begun - 40 * MINUTE + offset * MINUTE).parse().expect("a time");
        let explained = engine.api().explain(&key("drop"), AskedTime::Instant(at)).await.expect("explained");
        let counts: Vec<u32> = explained.moments[0].occurrences.iter().map(|one| one.count).collect();
        assert_eq!(counts, if told == 0 { vec![] } else { vec![told] }, "minute {offset}");
    }
    // What is older than what is asked for is not gone through, page by page.
    let since = DateTime::from_timestamp_micros(now() + HOUR).expect("a time");
    let query = OccurrenceQuery { namespace: "default".into(), since: Some(since), ..OccurrenceQuery::default() };
    for definition_id in ["", "drop"] {
        let query = OccurrenceQuery { definition_id: definition_id.into(), ..query.clone() };
        let page = PageRequest { size: 1, token: String::new() };
        let page = engine.api().occurrences(&query, &page).await.expect("an answer");
        assert_eq!((page.items.len(), page.next), (0, None), "{definition_id}");
    }
    engine.close().await.expect("closes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_definition_that_nobody_waits_for_is_found_and_armed_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = start(directory.path(), "1000/s", 0).await;
    for id in ["forgotten", "other"] {
        apply(&engine, id, json!({"interval": {"every": "1s"}})).await;
    }
    until("it fires", async || counts(&engine, "forgotten", "").await.0 > 0).await;
    let before = loop {
        // It may be on its way just now: then nothing was taken.
        assert_eq!(engine.api().forget_armed(&key("forgotten")), Ok(true));
        let before = counts(&engine, "forgotten", "").await.0;
        let others = counts(&engine, "other", "").await.0;
        until("others go on", async || counts(&engine, "other", "").await.0 >= others + 3).await;
        if counts(&engine, "forgotten", "").await.0 <= before + 1 {
            break before;
        }
    };
    until("it is armed again", async || metric(&engine, "flintwheel_rearmed_total") >= 1.0).await;
    until("and fires", async || counts(&engine, "forgotten", "").await.0 > before + 3).await;
    let all = ended(&engine, "forgotten").await;
    assert!(all.windows(2).all(|pair| (pair[1].due - pair[0].due).num_seconds() == 1), "none is missing: {all:?}");
    engine.close().await.expect("closes");
}
