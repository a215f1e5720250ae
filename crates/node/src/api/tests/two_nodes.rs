//! Any node answers anything: one that has no replica says what the one says that has them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use flintwheel_client::{
    Applied, ApplyOptions, ApplyOutcome, BackfillOrder, BackfillRequest, ChangeOptions, DeadLetterFilter,
    DeadLetterSelection, FieldChange, ListQuery, OccurrenceQuery, Outcome, PageRequest,
};
use flintwheel_model::definition::{OverlapPolicy, Trigger};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_raft::CallError;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{calls, close, stranger};
use crate::api::desk::Desk;
use crate::api::{Api, ApiError};
use crate::config::Config;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::peers::Answers;

/// Both nodes, and what is between them.
pub(super) struct Two {
    /// Has all shards.
    engine: Engine,
    /// Has none.
    pub(super) far: Api,
    /// Each change is made, and its first answer lost.
    pub(super) lossy: Arc<AtomicBool>,
    /// Happens after the next change whose answer is lost, before it is asked for again.
    meanwhile: Meanwhile,
    _directory: TempDir,
}

type Meanwhile = Arc<Mutex<Option<BoxFuture<'static, ()>>>>;

impl Two {
    pub(super) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let near = directory.path().join("near").display().to_string();
        let flags = [("data_dir", near), ("sink", "null".into()), ("shards", super::SHARDS.to_string())];
        let settings = Config::load(None, |_| None, &flags).expect("known keys").settings().expect("valid");
        let engine = Engine::start(&settings, "near".into()).await.expect("starts");
        let desk = Arc::new(Desk(engine.api().clone()));
        let lossy = Arc::new(AtomicBool::new(false));
        let meanwhile = Meanwhile::default();
        let (lose, between) = (Arc::clone(&lossy), Arc::clone(&meanwhile));
        let transport = calls(move |node, message: Bytes| {
            if node != 1 {
                return futures::future::ready(Err(CallError::Unreachable("away".into()))).boxed();
            }
            let question: Value = serde_json::from_slice(&message).expect("JSON");
            let first_try = question["shard"]["ask"]["act"] != Value::Null && question["shard"]["again"] == false;
            let lost = first_try && lose.load(Ordering::Relaxed);
            let answer = desk.answer(super::ME, message);
            let between = Arc::clone(&between);
            async move {
                let answer = answer.await.map_err(CallError::Unreachable)?;
                let others = if lost { between.lock().take() } else { None };
                if let Some(others) = others {
                    others.await;
                }
                if lost { Err(CallError::Unreachable("lost".into())) } else { Ok([&[0][..], &answer].concat().into()) }
            }
            .boxed()
        });
        let far = stranger(&directory.path().join("far"), transport, 1).await;
        Self { engine, far, lossy, meanwhile, _directory: directory }
    }

    /// Where all nodes speak formats up to this one, as far as the one that leads knows.
    pub(super) async fn speaking(format: u32) -> Self {
        let two = Self::start().await;
        two.near().shared.peers.directory().set(1, super::meta(1, format));
        two
    }

    /// What somebody else does after the next change, whose answer is lost.
    fn then<F: Future<Output = ()> + Send + 'static>(&self, others: impl FnOnce(Api) -> F) {
        self.lossy.store(true, Ordering::Relaxed);
        *self.meanwhile.lock() = Some(others(self.near().clone()).boxed());
    }

    pub(super) fn near(&self) -> &Api {
        self.engine.api()
    }

    pub(super) async fn close(self) {
        close(self.far).await;
        self.engine.close().await.expect("closes");
    }
}

pub(super) fn definition(id: &str, spec: Value) -> ActivityDefinition {
    let mut spec = spec;
    spec["start_workflow"] =
        json!({"type": "W", "task_queue": "q", "input": [0.1, 1e-7, 12_345_678.910_111_213, {"a": [null]}]});
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
        "metadata": {"id": id, "labels": {"odd": if id.len() % 2 == 1 { "yes" } else { "no" }}}, "spec": spec,
    }))
    .expect("a definition")
}

fn daily() -> Value {
    json!({"trigger": {"schedule": {"cron": "@daily"}}})
}

pub(super) fn key(id: &str) -> DefinitionKey {
    DefinitionKey::new("default", id)
}

fn hourly() -> Value {
    json!({"trigger": {"schedule": {"cron": "@hourly"}}})
}

fn trigger(spec: Value) -> Trigger {
    definition("a", spec).spec.trigger
}

fn requested(request_id: &str) -> ApplyOptions {
    ApplyOptions { request_id: request_id.into(), ..ApplyOptions::default() }
}

fn expecting(expected_version: u64) -> ApplyOptions {
    ApplyOptions { expected_version: Some(expected_version), ..ApplyOptions::default() }
}

/// All pages of a list.
async fn all<T, E: std::fmt::Debug>(
    size: u32,
    ask: impl AsyncFn(PageRequest) -> Result<flintwheel_client::Page<T>, E>,
) -> Vec<T> {
    let (mut all, mut page) = (Vec::new(), PageRequest { size, ..PageRequest::default() });
    loop {
        let answer = ask(page.clone()).await.expect("answered");
        all.extend(answer.items);
        let Some(next) = answer.next else { return all };
        page.token = next;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_replicas_answers_as_the_one_that_has_them() {
    let two = Two::start().await;
    let ids: Vec<String> = (0..30).map(|n| format!("d{}", "x".repeat(n))).collect();
    let many: Vec<_> = ids.iter().map(|id| (definition(id, daily()), ApplyOptions::default())).collect();
    let outcomes = |results: Vec<Result<Applied, ApiError>>| -> Vec<ApplyOutcome> {
        results.into_iter().map(|result| result.expect("applied").outcome).collect()
    };
    let tried: Vec<_> =
        many.iter().map(|(d, o)| (d.clone(), ApplyOptions { validate_only: true, ..o.clone() })).collect();
    assert_eq!(outcomes(two.far.batch_apply(&tried).await), [ApplyOutcome::Created; 30]);
    assert_eq!(outcomes(two.far.batch_apply(&many).await), [ApplyOutcome::Created; 30]);
    // Also each digit of their numbers has come through.
    assert_eq!(outcomes(two.near().batch_apply(&many).await), [ApplyOutcome::Unchanged; 30]);
    assert_eq!(outcomes(two.far.batch_apply(&many).await), [ApplyOutcome::Unchanged; 30]);

    two.far.pause(&key("dx"), "why not", "").await.expect("paused");
    assert!(two.far.get(&key("dx"), None, None).await.expect("there").status.paused.is_some());
    for (query, count) in [
        (ListQuery::default(), 30),
        (ListQuery { paused: Some(true), ..ListQuery::default() }, 1),
        (ListQuery { label_selector: "odd=yes".into(), ..ListQuery::default() }, 15),
        (ListQuery { namespace: "nobody".into(), ..ListQuery::default() }, 0),
    ] {
        for size in [1, 7, 30, 1000] {
            let far = all(size, async |page| two.far.list(&query, &page).await).await;
            let near = all(size, async |page| two.near().list(&query, &page).await).await;
            assert_eq!((far.len(), &far), (count, &near), "{query:?} by {size}");
            assert!(far.is_sorted_by_key(|record| record.definition.metadata.id.clone()));
        }
    }

    for (id, request) in [("d", "r1"), ("dxx", "r2"), ("d", "r3"), ("dx", "r4"), ("dxxx", "r5")] {
        assert!(!two.far.trigger(&key(id), request, Some(&json!({"a": 1})), None).await.expect("fires").duplicate);
        assert!(two.far.trigger(&key(id), request, None, None).await.expect("known").duplicate);
    }
    for query in [
        OccurrenceQuery::default(),
        OccurrenceQuery { firing_key: "m:r3".into(), ..OccurrenceQuery::default() },
        OccurrenceQuery { outcomes: vec![Outcome::Skipped], ..OccurrenceQuery::default() },
        OccurrenceQuery { namespace: "default".into(), definition_id: "d".into(), ..OccurrenceQuery::default() },
    ] {
        let keys =
            |items: Vec<flintwheel_client::Occurrence>| items.into_iter().map(|o| o.firing_key).collect::<Vec<_>>();
        for size in [1, 2, 100] {
            let far = keys(all(size, async |page| two.far.occurrences(&query, &page).await).await);
            let near = keys(all(size, async |page| two.near().occurrences(&query, &page).await).await);
            assert_eq!(far, near, "{query:?} by {size}");
        }
    }
    let newest_first = all(100, async |page| two.far.occurrences(&OccurrenceQuery::default(), &page).await).await;
    assert_eq!(
        newest_first.iter().map(|o| &*o.firing_key).collect::<Vec<_>>(),
        ["m:r5", "m:r4", "m:r3", "m:r2", "m:r1"]
    );

    let after = Some("2026-11-23T12:00:00Z".parse().expect("a time"));
    let times = two.far.next_times(&key("d"), 3, after).await.expect("times");
    assert_eq!(times, two.near().next_times(&key("d"), 3, after).await.expect("times"));
    let dead = two.far.list_dead(&DeadLetterFilter::default(), &PageRequest::default()).await.expect("asked");
    assert!(dead.items.is_empty());
    let dropped =
        two.far.drop_dead(&DeadLetterSelection::Ids(vec!["2-99".into(), "99-1".into()])).await.expect("asked");
    assert_eq!((dropped.count, dropped.not_found), (0, vec!["99-1".to_owned(), "2-99".to_owned()]));

    let status = two.far.status().await.expect("told");
    assert_eq!((status.definitions, status.paused, status.armed, status.shards.led), (30, 1, 29, 4));
    let nodes: Vec<_> = status.nodes.iter().map(|node| (node.id, node.alive, node.leads)).collect();
    assert_eq!(nodes, [(1, true, 4), (2, false, 0), (3, false, 0), (4, true, 0)]);
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_are_told_through_another_node_as_they_are() {
    let two = Two::start().await;
    let (far, near) = (&two.far, two.near());
    let plain = ApplyOptions::default();
    far.apply(&definition("a", daily()), &plain).await.expect("applied");
    let past = || definition("b", json!({"trigger": {"schedule": {"at": ["2020-01-01T00:00:00Z"]}}}));
    let broken = || definition("c", json!({"trigger": {"schedule": {"cron": "61 * * * *"}}}));
    for api in [far, near] {
        assert_eq!(api.get(&key("b"), None, None).await, Err(ApiError::NotFound(key("b"))));
        assert_eq!(api.delete(&key("b"), None, "", false).await, Err(ApiError::NotFound(key("b"))));
        assert_eq!(api.pause(&key("b"), "", "").await, Err(ApiError::NotFound(key("b"))));
        assert_eq!(api.trigger(&key("b"), "", None, None).await, Err(ApiError::NotFound(key("b"))));
        let conflict = Err(ApiError::Conflict { key: key("a"), expected: 7, actual: 1 });
        assert_eq!(api.apply(&definition("a", daily()), &expecting(7)).await.map(drop), conflict);
        assert_eq!(api.delete(&key("a"), Some(7), "", true).await.map(drop), conflict);
        for refused in [past(), broken()] {
            let answer = api.apply(&refused, &plain).await;
            assert!(matches!(answer, Err(ApiError::Invalid(_))), "{answer:?}");
        }
    }
    two.close().await;
}

/// With requests that are remembered, and where a node of the version before keeps the others from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_was_lost_is_asked_again_and_made_once() {
    made_once(Two::start().await).await;
    for format in [1, 2] {
        made_once(Two::speaking(format).await).await;
    }
}

async fn made_once(two: Two) {
    two.lossy.store(true, Ordering::Relaxed);
    let far = &two.far;
    for (spec, expected, outcome) in [(daily(), 0, ApplyOutcome::Created), (hourly(), 1, ApplyOutcome::Configured)] {
        let applied = far.apply(&definition("a", spec), &expecting(expected)).await.expect("applied");
        assert_eq!((applied.outcome, applied.old_version, applied.new_version), (outcome, expected, expected + 1));
    }
    // What somebody else made of the version that was expected is not ours.
    let conflict = far.apply(&definition("a", daily()), &expecting(1)).await;
    assert_eq!(conflict.map(drop), Err(ApiError::Conflict { key: key("a"), expected: 1, actual: 2 }));
    assert!(far.pause(&key("a"), "x", "").await.expect("paused").status.paused.is_some());
    assert!(far.resume(&key("a"), "", None, "").await.expect("resumed").status.paused.is_none());
    assert!(!far.trigger(&key("a"), "", None, None).await.expect("fires").duplicate);
    let query =
        OccurrenceQuery { namespace: "default".into(), definition_id: "a".into(), ..OccurrenceQuery::default() };
    let fired = two.near().occurrences(&query, &PageRequest::default()).await.expect("read").items;
    assert_eq!(fired.len(), 1, "{fired:?}");
    assert_eq!(far.delete(&key("a"), Some(2), "", false).await, Ok(2));
    assert_eq!(far.delete(&key("a"), None, "", false).await, Err(ApiError::NotFound(key("a"))));
    two.close().await;
}

/// Outcome, version before, version now.
fn versions(applied: Result<Applied, ApiError>) -> (ApplyOutcome, u64, u64) {
    let applied = applied.expect("applied");
    (applied.outcome, applied.old_version, applied.new_version)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_that_is_asked_again_undoes_nothing_that_others_have_done_meanwhile() {
    let two = Two::start().await;
    let (far, near) = (&two.far, two.near());
    let plain = ApplyOptions::default;
    let apply = |spec: fn() -> Value| {
        move |near: Api| async move { _ = near.apply(&definition("a", spec()), &plain()).await.expect("applied") }
    };
    let delete = |near: Api| async move { _ = near.delete(&key("a"), None, "", false).await.expect("deleted") };

    two.then(apply(hourly));
    assert_eq!(versions(far.apply(&definition("a", daily()), &plain()).await), (ApplyOutcome::Created, 0, 1));
    let stored = near.get(&key("a"), None, None).await.expect("there");
    assert_eq!((stored.definition.spec.trigger, stored.status.version), (trigger(hourly()), 2));

    two.then(apply(hourly));
    assert_eq!(versions(far.apply(&definition("a", daily()), &expecting(2)).await), (ApplyOutcome::Configured, 2, 3));
    assert_eq!(near.get(&key("a"), None, None).await.expect("there").status.version, 4);

    two.then(|near| async move { _ = near.resume(&key("a"), "", None, "").await.expect("resumed") });
    let paused = far.pause(&key("a"), "x", "").await.expect("paused");
    assert!(paused.changed && paused.status.paused.is_none(), "it was, and is not any more: {paused:?}");

    two.then(delete);
    assert_eq!(versions(far.apply(&definition("a", daily()), &plain()).await), (ApplyOutcome::Configured, 4, 5));
    assert_eq!(near.get(&key("a"), None, None).await, Err(ApiError::NotFound(key("a"))));

    near.apply(&definition("a", daily()), &plain()).await.expect("applied");
    two.then(apply(hourly));
    assert_eq!(far.delete(&key("a"), None, "", false).await, Ok(1));
    let successor = near.get(&key("a"), None, None).await.expect("there");
    assert_eq!((successor.definition.spec.trigger, successor.status.version), (trigger(hourly()), 1));
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_is_answered_as_before_by_any_node() {
    let two = Two::start().await;
    let (far, near) = (&two.far, two.near());
    let first = far.apply(&definition("a", daily()), &requested("r1")).await.expect("applied");
    near.apply(&definition("a", hourly()), &requested("r2")).await.expect("applied");
    for api in [near, far] {
        assert_eq!(api.apply(&definition("a", daily()), &requested("r1")).await, Ok(first.clone()));
    }
    assert_eq!(near.get(&key("a"), None, None).await.expect("there").status.version, 2);

    assert!(far.pause(&key("a"), "x", "r3").await.expect("paused").changed);
    near.resume(&key("a"), "", None, "r4").await.expect("resumed");
    let again = near.pause(&key("a"), "x", "r3").await.expect("known");
    assert!(again.changed && again.status.paused.is_none());
    assert_eq!(far.delete(&key("a"), None, "r5", false).await, Ok(2));
    assert_eq!(near.delete(&key("a"), None, "r5", false).await, Ok(2), "it is gone, and was there");
    assert_eq!(near.delete(&key("a"), None, "r5", true).await, Err(ApiError::NotFound(key("a"))), "tried only");
    near.apply(&definition("a", daily()), &ApplyOptions::default()).await.expect("applied");
    assert_eq!(near.delete(&key("a"), None, "r5", false).await, Ok(2));
    assert_eq!(near.get(&key("a"), None, None).await.expect("there").status.version, 1);
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_for_a_time_that_has_passed_since_is_answered_as_before() {
    let two = Two::start().await;
    let over = |answer: &Result<Applied, ApiError>| matches!(answer, Err(ApiError::Invalid(why)) if why.to_string().contains("all of them are in the past"));
    let mut seconds = 1;
    let (once, first) = loop {
        let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(seconds);
        let soon = soon.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let once = definition("a", json!({"trigger": {"schedule": {"at": [soon]}}}));
        let first = two.far.apply(&once, &requested("r1")).await;
        if !over(&first) {
            break (once, first.expect("applied"));
        }
        // A machine that is so slow gets more time.
        seconds *= 2;
    };
    assert!(first.next_due.is_some(), "{first:?}");
    two.near().delete(&key("a"), None, "", false).await.expect("deleted");
    while !over(&two.far.apply(&once, &ApplyOptions { validate_only: true, ..requested("r2") }).await) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(two.far.apply(&once, &requested("r1")).await, Ok(first));
    assert!(over(&two.far.apply(&once, &requested("r2")).await), "another one is too late");
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_id_that_cannot_be_one_is_refused_by_name() {
    let two = Two::start().await;
    let api = &two.far;
    api.apply(&definition("a", daily()), &requested("r1")).await.expect("applied");
    let long = "x".repeat(129);
    for (request_id, told) in [
        (&*long, "129 bytes; at most 128"),
        ("a\nb", "without control characters"),
        ("r1", "\"r1\" was given to another request about default/a within the last hour"),
    ] {
        let answers = [
            api.apply(&definition("a", hourly()), &requested(request_id)).await.map(drop),
            api.apply(&definition("a", daily()), &ApplyOptions { request_id: request_id.into(), ..expecting(1) })
                .await
                .map(drop),
            api.delete(&key("a"), None, request_id, false).await.map(drop),
            api.pause(&key("a"), "", request_id).await.map(drop),
            api.resume(&key("a"), "", None, request_id).await.map(drop),
        ];
        for answer in answers {
            let Err(ApiError::Invalid(faults)) = answer else { panic!("{request_id}: {answer:?}") };
            assert_eq!(faults.0.len(), 1);
            let fault = &faults.0[0];
            assert!(fault.field == "request_id" && fault.message.contains(told), "{fault:?}");
        }
    }
    let stored = two.near().get(&key("a"), None, None).await.expect("there");
    assert_eq!((stored.definition.spec.trigger, stored.status.version), (trigger(daily()), 1));
    // The longest, with letters of all kinds.
    let longest = "ä".repeat(64);
    api.apply(&definition("a", hourly()), &requested(&longest)).await.expect("applied");
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_backup_is_restored_until_all_nodes_know_how() {
    const BACKUP: &str = "01010101-0101-0101-0101-010101010101";
    for format in [1, 2, 3, 4] {
        let two = Two::speaking(format).await;
        // The node that is asked first believes that all know how.
        two.far.shared.peers.directory().set(2, super::meta(1, 4));
        let before: Vec<_> = two.near().shared.groups.iter().map(|group| group.status().applied).collect();
        let asked = two.near().begin_restore(BACKUP, None).await;
        let far = two.far.begin_restore(BACKUP, None).await;
        if format >= 4 {
            assert!(asked.is_ok() && far.is_ok(), "{asked:?} {far:?}");
            let held = two.near().apply(&definition("a", daily()), &requested("r1")).await;
            assert!(matches!(held, Err(ApiError::Engine(EngineError::Restoring { .. }))), "{held:?}");
        } else {
            let refused = |answer: &Result<_, ApiError>| {
                let why = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
                why.contains("does not know how a backup is restored") && why.contains("1 (test), 2 (test)")
            };
            assert!(refused(&asked) && refused(&far), "{asked:?} {far:?}");
            let after: Vec<_> = two.near().shared.groups.iter().map(|group| group.status().applied).collect();
            assert_eq!(after, before, "format {format}: no shard got an entry");
            two.near().apply(&definition("a", daily()), &requested("r1")).await.expect("as before");
        }
        two.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_remembered_until_all_nodes_know_how() {
    for (format, remembered) in [(1, false), (2, true)] {
        let two = Two::speaking(format).await;
        let near = two.near();
        for (spec, request_id) in [(daily(), "r1"), (hourly(), "r2"), (daily(), "r1")] {
            near.apply(&definition("a", spec), &requested(request_id)).await.expect("applied");
        }
        assert!(near.pause(&key("a"), "", "r3").await.expect("paused").changed);
        near.resume(&key("a"), "", None, "r4").await.expect("resumed");
        near.pause(&key("a"), "", "r3").await.expect("paused, or known");
        let now = near.get(&key("a"), None, None).await.expect("there").status;
        let undone = (now.version, now.paused.is_some());
        assert_eq!(undone, if remembered { (2, false) } else { (3, true) }, "format {format}");
        near.delete(&key("a"), None, "r5", false).await.expect("deleted");
        let again = near.delete(&key("a"), None, "r5", false).await;
        assert_eq!(again.is_ok(), remembered, "{again:?}");
        two.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_is_watched_until_all_nodes_know_how() {
    let spec = || json!({"trigger": {"schedule": {"cron": "@daily", "overlap_policy": "skip"}}});
    for (format, known) in [(2, false), (3, true)] {
        let two = Two::speaking(format).await;
        let api = &two.far;
        let applied = api.apply(&definition("a", spec()), &ApplyOptions::default()).await;
        assert_eq!(applied.is_ok(), known, "format {format}: {applied:?}");
        api.apply(&definition("b", daily()), &ApplyOptions::default()).await.expect("asks for nothing");
        let triggered = api.trigger(&key("b"), "r1", None, Some(OverlapPolicy::Skip)).await;
        assert_eq!(triggered.is_ok(), known, "format {format}: {triggered:?}");
        assert!(!api.trigger(&key("b"), "r2", None, None).await.expect("fires").skipped);
        if known {
            let told = api.trigger(&key("a"), "r1", None, Some(OverlapPolicy::BufferAll)).await.expect("fires");
            assert!(!told.skipped && !told.duplicate);
        } else {
            let Err(ApiError::Invalid(faults)) = applied else { panic!("{applied:?}") };
            assert_eq!(faults.0[0].field, "spec.trigger.schedule.overlap_policy");
        }
        two.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_schedule_is_bounded_or_paced_until_all_nodes_know_how() {
    let asks = |more: Value| {
        let mut schedule = json!({"cron": "@daily"});
        schedule.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"trigger": {"schedule": schedule}})
    };
    for (format, known) in [(3, false), (4, true)] {
        let two = Two::speaking(format).await;
        let api = &two.far;
        for (more, field) in [
            (json!({"max_firings": 3}), "max_firings"),
            (json!({"after_end": "delete"}), "after_end"),
            (json!({"misfire_policy": {"pace": "1/s"}}), "misfire_policy.pace"),
            (json!({"misfire_policy": {"on_resume": "all"}}), "misfire_policy.on_resume"),
        ] {
            let applied = api.apply(&definition("a", asks(more)), &ApplyOptions::default()).await;
            assert_eq!(applied.is_ok(), known, "format {format}: {applied:?}");
            if !known {
                let Err(ApiError::Invalid(faults)) = applied else { panic!("{applied:?}") };
                assert_eq!(faults.0[0].field, format!("spec.trigger.schedule.{field}"));
            }
        }
        api.apply(&definition("b", daily()), &ApplyOptions::default()).await.expect("asks for nothing");
        two.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_pause_ends_by_itself_and_nothing_is_backfilled_until_all_nodes_know_how() {
    let until = || Some(chrono::Utc::now() + chrono::Duration::days(1));
    let time = |text: &str| text.parse().expect("a time");
    let days = BackfillRequest {
        from: time("2026-01-01T00:00:00Z"),
        to: time("2026-01-03T00:00:00Z"),
        rate: 0,
        order: BackfillOrder::OldestFirst,
        overlap_policy: None,
        backfill_id: String::new(),
        validate_only: false,
        allow_many: false,
    };
    for (format, known) in [(3, false), (4, true)] {
        let two = Two::speaking(format).await;
        // The node that is asked first believes that all know how.
        two.far.shared.peers.directory().set(2, super::meta(1, 4));
        let api = &two.far;
        api.apply(&definition("a", daily()), &ApplyOptions::default()).await.expect("applied");
        let paused = api.pause_until(&key("a"), "", until(), "").await;
        let begun = api.backfill(&key("a"), &days).await;
        for (answer, field) in [(paused.map(drop), "until"), (begun.map(drop), "backfill")] {
            match answer {
                Ok(()) => assert!(known, "{field} at format {format}"),
                Err(ApiError::Invalid(faults)) => assert!(!known && faults.0[0].field == field, "{faults:?}"),
                Err(other) => panic!("{field} at format {format}: {other}"),
            }
        }
        let stands = api.get(&key("a"), None, None).await.expect("there").status.paused;
        assert_eq!(stands.is_some_and(|paused| paused.until.is_some()), known);
        two.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_whose_answer_was_lost_is_no_resume_of_what_is_not_paused() {
    let two = Two::start().await;
    let api = &two.far;
    api.apply(&definition("a", daily()), &ApplyOptions::default()).await.expect("applied");
    assert_eq!(api.resume(&key("a"), "", None, "").await.map(drop), Err(ApiError::NotPaused(key("a"))));
    api.pause(&key("a"), "", "").await.expect("paused");
    two.then(|_| async {});
    assert!(api.resume(&key("a"), "", None, "").await.expect("resumed").changed);
    assert_eq!(api.resume(&key("a"), "", None, "r1").await.map(drop), Err(ApiError::NotPaused(key("a"))));
    assert_eq!(api.resume(&key("a"), "", None, "r1").await.map(drop), Err(ApiError::NotPaused(key("a"))), "and again");
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_or_a_rollback_whose_answer_was_lost_is_done_once() {
    let two = Two::start().await;
    let api = &two.far;
    api.apply(&definition("a", daily()), &ApplyOptions::default()).await.expect("applied");
    let zone = async || {
        let schedule = api.get(&key("a"), None, None).await.expect("there").definition.spec.trigger.schedule;
        schedule.and_then(|schedule| schedule.timezone)
    };
    // Somebody else changes another field before the second try.
    two.then(|near| async move {
        let label = vec![FieldChange { path: "metadata.labels.by".into(), value: Some(json!("other")) }];
        near.update(&key("a"), &label, &ChangeOptions::default()).await.expect("changed");
    });
    let updated =
        api.update(&key("a"), &change_zone("Europe/Berlin"), &ChangeOptions::default()).await.expect("changed");
    assert_eq!((updated.old_version, updated.new_version), (1, 2));
    assert_eq!(zone().await.as_deref(), Some("Europe/Berlin"));
    let now = api.get(&key("a"), None, None).await.expect("there");
    assert_eq!((now.status.version, now.definition.metadata.labels["by"].as_str()), (3, "other"));

    two.then(|near| async move {
        near.update(&key("a"), &change_zone("UTC"), &ChangeOptions::default()).await.expect("changed");
    });
    let back = api.rollback(&key("a"), 1, &ChangeOptions::default()).await.expect("rolled back");
    assert_eq!((back.old_version, back.new_version), (3, 4));
    assert_eq!(zone().await.as_deref(), Some("UTC"), "what came after stays");
    two.close().await;
}

fn change_zone(value: &str) -> Vec<FieldChange> {
    vec![FieldChange { path: "spec.trigger.schedule.timezone".into(), value: Some(json!(value)) }]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn due_times_that_have_passed_are_taken_up_only_where_all_nodes_know_how() {
    for (format, known) in [(3, false), (4, true)] {
        let two = Two::speaking(format).await;
        let options =
            || ApplyOptions { due_after: Some(chrono::Utc::now() - chrono::TimeDelta::hours(1)), ..requested("") };
        let answer = two.near().apply(&definition("a", hourly()), &options()).await;
        assert_eq!(answer.is_ok(), known, "{answer:?}");
        if let Err(refused) = answer {
            assert!(refused.to_string().contains("not all nodes of the cluster know it yet"), "{refused}");
        }
        assert!(two.near().apply(&definition("b", hourly()), &requested("")).await.is_ok());
        two.close().await;
    }
}
