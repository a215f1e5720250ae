//! The form of questions and answers, literally: other versions of the program read it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use flintwheel_client::{
    Applied, ApplyOptions, ApplyOutcome, Backfill, BackfillBegun, BackfillOrder, BackfillQuery, BackfillRequest,
    BackfillStopped, Backfills, ClockOffset, Counts, DeadLetter, DeadLetterFilter, DefinitionStatus, DueTime,
    NextTimes, NodeStatus, Occurrence, OccurrenceQuery, Outcome, Paused, Rates, Switched,
};
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_model::{DefinitionKey, Violation, Violations};
use serde_json::{Value, json};

use crate::admission::admit;
use crate::api::ApiError;
use crate::api::ask::{
    Act, Applying, Ask, BackfillAct, Chunk, Export, Kept, Look, NodePart, Packed, Part, Question, Reply, Restoration,
    RestoreStep, Standing, Told, Waiting, read, write,
};
use crate::error::EngineError;
use crate::exports::Begun;

pub(super) const DOCUMENT: &str = r#"{"apiVersion":"flintwheel.dev/v1","kind":"ActivityDefinition","metadata":{"namespace":"n","id":"i"},"spec":{"start_workflow":{"type":"W","task_queue":"q","input":[0.30000000000000004]}}}"#;

pub(super) fn key() -> DefinitionKey {
    DefinitionKey::new("n", "i")
}

pub(super) fn at() -> DateTime<Utc> {
    "2026-11-23T08:00:00.000001Z".parse().expect("a time")
}

fn query() -> OccurrenceQuery {
    OccurrenceQuery {
        namespace: "n".into(),
        definition_id: "i".into(),
        outcomes: vec![Outcome::Fired],
        reason: "late".into(),
        firing_key: "m:1".into(),
        since: Some(at()),
        until: None,
    }
}

fn status() -> DefinitionStatus {
    DefinitionStatus {
        version: 3,
        generation: 4,
        incarnation: 9_007_199_254_740_991,
        created_at: at(),
        updated_at: at(),
        next_due: Some(at()),
        last_fired: None,
        paused: Some(Paused { note: "x".into(), at: at(), until: None }),
        counts: Counts { fired: 1, skipped: 2, failed: 3, dropped: 4 },
        armed: true,
        runs: None,
        firings_left: Some(5),
        over: false,
        offsets: Vec::new(),
    }
}

fn occurrence() -> Occurrence {
    Occurrence {
        definition: key(),
        version: 1,
        firing_key: "m:1".into(),
        outcome: Outcome::Fired,
        reason: String::new(),
        detail: String::new(),
        due: at(),
        decided_at: at(),
        started_at: None,
        workflow_id: "w".into(),
        count: 1,
        utc_offset_seconds: None,
    }
}

/// It is written so, and what is read from that is written so again.
pub(super) fn holds<T: serde::Serialize + serde::de::DeserializeOwned>(message: &T, form: &Value) {
    let bytes = write(message).expect("fits");
    assert_eq!(serde_json::from_slice::<Value>(&bytes).expect("JSON"), *form);
    let again: T = read(&bytes).expect("is read");
    assert_eq!(write(&again).expect("fits"), bytes);
}

#[test]
fn questions_are_read_as_they_were_asked() {
    let definition = serde_json::from_str(DOCUMENT).expect("a definition");
    let applying = || Applying::new(admit(&definition).expect("valid"), ApplyOptions::default());
    let options = json!({"validate_only": false, "request_id": "", "expected_version": null});
    let item = || json!({"document": serde_json::from_slice::<Value>(&admit(&definition).expect("valid").document).expect("JSON"), "options": options});
    let (named, time) = (json!({"namespace": "n", "id": "i"}), json!("2026-11-23T08:00:00.000001Z"));
    let asked = json!({"namespace": "n", "definition_id": "i", "outcomes": ["fired"], "reason": "late",
        "firing_key": "m:1", "since": time, "until": null});
    let filter = DeadLetterFilter { refused_before: Some(at()), ..DeadLetterFilter::default() };
    let cases: Vec<(Ask, Value)> = vec![
        (Look::Preview(vec![applying()]).into(), json!({"look": {"preview": [item()]}})),
        (Look::Identity(key()).into(), json!({"look": {"identity": named}})),
        (
            Look::Definition { key: key(), version: Some(2), incarnation: None }.into(),
            json!({"look": {"definition": {"key": named, "version": 2, "incarnation": null}}}),
        ),
        (
            Look::Times { key: key(), count: 5, after: Some(at()) }.into(),
            json!({"look": {"times": {"key": named, "count": 5, "after": time}}}),
        ),
        (
            Look::Occurrences { query: query(), from: Some(7), size: 10 }.into(),
            json!({"look": {"occurrences": {"query": asked, "from": 7, "size": 10}}}),
        ),
        (
            Look::Names { namespace: None, after: Some(key()), limit: 3 }.into(),
            json!({"look": {"names": {"namespace": null, "after": named, "limit": 3}}}),
        ),
        (
            Look::Records { keys: vec![key()], selector: "a=b".into(), paused: Some(false), bytes: 9 }.into(),
            json!({"look": {"records": {"keys": [named], "selector": "a=b", "paused": false, "bytes": 9}}}),
        ),
        (
            Look::Account { query: query(), before: None, wanted: 1, look: 2 }.into(),
            json!({"look": {"account": {"query": asked, "before": null, "wanted": 1, "look": 2}}}),
        ),
        (
            Look::Dead { filter, from: 4, limit: 5 }.into(),
            json!({"look": {"dead": {"from": 4, "limit": 5, "filter":
                {"namespace": "", "definition_id": "", "reason_contains": "", "refused_before": time}}}}),
        ),
        (Look::Standing.into(), json!({"look": "standing"})),
        (Act::Apply(vec![applying()]).into(), json!({"act": {"apply": [item()]}})),
        (
            Act::Delete { key: key(), incarnation: 1, expected_version: Some(2), request_id: "r".into() }.into(),
            json!({"act": {"delete": {"key": named, "incarnation": 1, "expected_version": 2, "request_id": "r"}}}),
        ),
        (
            {
                let (note, request_id) = ("x".into(), "r".into());
                Act::Switch { key: key(), paused: true, note, request_id, missed: None, until: None }.into()
            },
            json!({"act": {"switch": {"key": named, "paused": true, "note": "x", "request_id": "r"}}}),
        ),
        (
            {
                let (note, request_id, missed) = ("x".into(), "r".into(), Some(OnResume::All));
                Act::Switch { key: key(), paused: false, note, request_id, missed, until: None }.into()
            },
            json!({"act": {"switch": {"key": named, "paused": false, "note": "x", "request_id": "r", "missed": "all"}}}),
        ),
        (
            Act::Trigger { key: key(), request_id: "r".into(), input: "{\"a\":1}".into(), overlap: None }.into(),
            json!({"act": {"trigger": {"key": named, "request_id": "r", "input": "{\"a\":1}"}}}),
        ),
        (
            Act::Settle { letters: vec![1, 2], retry: true }.into(),
            json!({"act": {"settle": {"letters": [1, 2], "retry": true}}}),
        ),
    ];
    let cases = cases.into_iter().chain(backup_cases()).chain(operation_cases());
    for (ask, form) in cases {
        let question = Question::Shard { shard: 3, ask, again: true, stale: false };
        holds(&question, &json!({"shard": {"shard": 3, "ask": form, "again": true, "stale": false}}));
    }
    holds(&Question::<Ask>::Node, &json!("node"));
}

fn backfill_request() -> (BackfillRequest, Value) {
    let request = BackfillRequest {
        from: at(),
        to: at(),
        rate: 7,
        order: BackfillOrder::NewestFirst,
        overlap_policy: Some(OverlapPolicy::BufferAll),
        backfill_id: "b".into(),
        validate_only: false,
        allow_many: true,
    };
    let time = "2026-11-23T08:00:00.000001Z";
    let form = json!({"from": time, "to": time, "rate": 7, "order": "newest_first", "overlap_policy": "buffer_all",
        "backfill_id": "b", "validate_only": false, "allow_many": true});
    (request, form)
}

/// Of what operators do.
fn operation_cases() -> Vec<(Ask, Value)> {
    let named = json!({"namespace": "n", "id": "i"});
    let (request, form) = backfill_request();
    let query = BackfillQuery { namespace: "n".into(), definition_id: "i".into(), running: true };
    let definition = serde_json::from_str(DOCUMENT).expect("a definition");
    let admitted = admit(&definition).expect("valid");
    let document = serde_json::from_slice::<Value>(&admitted.document).expect("JSON");
    let mut applying = Applying::new(admitted, ApplyOptions::default());
    applying.asked = Some("x".into());
    let options = json!({"validate_only": false, "request_id": "", "expected_version": null});
    let (note, request_id) = ("x".into(), "r".into());
    let switch = Act::Switch { key: key(), paused: true, note, request_id, missed: None, until: Some(9) };
    vec![
        (
            Look::Backfill { key: key(), request: request.clone() }.into(),
            json!({"look": {"backfill": {"key": named, "request": form}}}),
        ),
        (
            Look::Backfills(query).into(),
            json!({"look": {"backfills": {"namespace": "n", "definition_id": "i", "running": true}}}),
        ),
        (
            Look::Versions { key: key(), before: Some(3), limit: 5 }.into(),
            json!({"look": {"versions": {"key": named, "before": 3, "limit": 5}}}),
        ),
        (
            Act::Backfill { key: key(), act: BackfillAct::Begin(request) }.into(),
            json!({"act": {"backfill": {"key": named, "act": {"begin": form}}}}),
        ),
        (
            Act::Backfill { key: key(), act: BackfillAct::Stop("b".into()) }.into(),
            json!({"act": {"backfill": {"key": named, "act": {"stop": "b"}}}}),
        ),
        (
            switch.into(),
            json!({"act": {"switch": {"key": named, "paused": true, "note": "x", "request_id": "r", "until": 9}}}),
        ),
        (
            Act::Apply(vec![applying]).into(),
            json!({"act": {"apply": [{"document": document, "options": options, "asked": "x"}]}}),
        ),
    ]
}

#[test]
fn answers_about_backfills_and_versions_are_read_as_they_were_told() {
    let backfill = Backfill {
        definition: key(),
        backfill_id: "b".into(),
        from: at(),
        to: at(),
        rate: 7,
        order: BackfillOrder::OldestFirst,
        overlap_policy: None,
        total: 1,
        decided: 2,
        skipped: 3,
        next: Some(at()),
        begun_at: Some(at()),
        ended_at: None,
        stopped: false,
    };
    let time = "2026-11-23T08:00:00.000001Z";
    let form = json!({"namespace": "n", "id": "i", "backfill_id": "b", "from": time, "to": time, "rate": 7,
        "order": "oldest_first", "overlap_policy": null, "total": 1, "decided": 2, "skipped": 3, "next": time,
        "begun_at": time, "ended_at": null, "stopped": false});
    for (told, form) in [
        (
            Told::BackfillBegun(BackfillBegun { backfill: backfill.clone(), repeated: true, estimated: false }),
            json!({"backfill_begun": {"backfill": form, "repeated": true, "estimated": false}}),
        ),
        (
            Told::Backfills(Backfills { items: vec![backfill.clone()], truncated: true }),
            json!({"backfills": {"items": [form], "truncated": true}}),
        ),
        (
            Told::BackfillStopped(BackfillStopped { backfill, changed: true }),
            json!({"backfill_stopped": {"backfill": form, "changed": true}}),
        ),
        (Told::Versions { items: Vec::new(), next: Some(3) }, json!({"versions": {"items": [], "next": 3}})),
    ] {
        holds(&Reply::Told(told), &json!({"told": form}));
    }
}

/// Of backups and restores.
fn backup_cases() -> Vec<(Ask, Value)> {
    let (backup, id) = ([7; 16], [7; 16].to_vec());
    let restore = |step| Act::Restore { backup, step }.into();
    let rows = RestoreStep::Rows { from: 5, rows: Packed(Bytes::from_static(&[1, 2])) };
    let shown = |step: Value| json!({"act": {"restore": {"backup": id, "step": step}}});
    vec![
        (Look::Restoration.into(), json!({"look": "restoration"})),
        (Act::Export(Export::Begin).into(), json!({"act": {"export": "begin"}})),
        (
            Act::Export(Export::Page { session: u64::MAX, page: 2 }).into(),
            json!({"act": {"export": {"page": {"session": u64::MAX, "page": 2}}}}),
        ),
        (restore(RestoreStep::Begin { skip_before: -1 }), shown(json!({"begin": {"skip_before": -1}}))),
        (restore(rows), shown(json!({"rows": {"from": 5, "rows": "AQI="}}))),
        (restore(RestoreStep::Cancel), shown(json!("cancel"))),
        (restore(RestoreStep::Finish { rows: 9 }), shown(json!({"finish": {"rows": 9}}))),
    ]
}

#[test]
fn answers_about_backups_are_read_as_they_were_told() {
    let id = [7; 16].to_vec();
    let restoration =
        Restoration { backup: Some([7; 16]), skip_before: i64::MIN, rows: 3, finished: false, unused: false };
    for (told, form) in [
        (
            Told::Export(Begun { session: u64::MAX, applied: 1, clock: 2, fired_through: i64::MIN }),
            json!({"export": {"session": u64::MAX, "applied": 1, "clock": 2, "fired_through": i64::MIN}}),
        ),
        (
            Told::Rows { rows: Packed(Bytes::from_static(&[1, 2])), count: 1, last: true },
            json!({"rows": {"rows": "AQI=", "count": 1, "last": true}}),
        ),
        (
            Told::Restoration(restoration),
            json!({"restoration": {"backup": id, "skip_before": i64::MIN, "rows": 3, "finished": false, "unused": false}}),
        ),
    ] {
        holds(&Reply::Told(told), &json!({"told": form}));
    }
}

#[test]
fn what_a_node_of_the_version_before_asks_is_read() {
    let named = json!({"namespace": "n", "id": "i"});
    for (old, request) in [
        (json!({"delete": {"key": named, "incarnation": 1, "expected_version": null}}), "/delete/request_id"),
        (json!({"switch": {"key": named, "paused": true, "note": "x"}}), "/switch/request_id"),
    ] {
        let act: Act = read(old.to_string().as_bytes()).expect("is read");
        let mut now = serde_json::to_value(&act).expect("JSON");
        let added = now.pointer_mut(request).map(Value::take);
        assert_eq!(added, Some(json!("")), "{request}");
        let (kind, field) = request[1..].split_once('/').expect("two names");
        now[kind].as_object_mut().expect("an object").remove(field);
        assert_eq!(now, old);
    }
}

#[test]
fn answers_are_read_as_they_were_told() {
    let (named, time) = (json!({"namespace": "n", "id": "i"}), json!("2026-11-23T08:00:00.000001Z"));
    let offset = ClockOffset { from: at(), utc_offset_seconds: 3600 };
    let shown_offset = json!({"from": time, "utc_offset_seconds": 3600});
    let applied = Applied {
        outcome: ApplyOutcome::Configured,
        old_version: 1,
        new_version: 2,
        next_due: Some(at()),
        warnings: vec!["w".into()],
        offsets: vec![offset],
    };
    let shown_status = json!({"version": 3, "generation": 4, "incarnation": 9_007_199_254_740_991_u64, "created_at": time,
        "updated_at": time, "next_due": time, "last_fired": null, "paused": {"note": "x", "at": time},
        "counts": {"fired": 1, "skipped": 2, "failed": 3, "dropped": 4}, "armed": true, "firings_left": 5});
    let shown = json!({"namespace": "n", "id": "i", "version": 1, "firing_key": "m:1", "outcome": "fired", "reason": "",
        "detail": "", "due": time, "decided_at": time, "started_at": null, "workflow_id": "w", "count": 1});
    let kept = || Kept::new(Bytes::from_static(DOCUMENT.as_bytes()), status()).expect("a definition");
    let shown_kept =
        json!({"document": serde_json::from_str::<Value>(DOCUMENT).expect("JSON"), "status": shown_status});
    let letter = DeadLetter {
        id: "3-17".into(),
        definition: key(),
        version: 1,
        firing_key: "m:1".into(),
        workflow_id: "w".into(),
        reason: "no".into(),
        due: at(),
        refused_at: at(),
    };
    let node = NodeStatus {
        id: 2,
        address: "a:1".into(),
        alive: true,
        leads: 3,
        started_at: at(),
        resident_bytes: 4,
        disk_bytes: 5,
    };
    let part = Part {
        chunks: vec![Chunk { seq: 5, decided: 6, items: vec![occurrence()] }],
        before: 5,
        decided: 6,
        looked: 1,
        end: false,
    };
    let cases: Vec<(Told, Value)> = vec![
        (
            Told::Applied(vec![Ok(applied), Err(ApiError::NotFound(key()))]),
            json!({"applied": [{"Ok": {"outcome": "configured", "old_version": 1, "new_version": 2, "next_due": time,
                "warnings": ["w"], "offsets": [shown_offset]}}, {"Err": {"NotFound": named}}]}),
        ),
        (Told::Identity { version: 1, incarnation: 2 }, json!({"identity": {"version": 1, "incarnation": 2}})),
        (Told::Definition(Box::new(kept())), json!({"definition": shown_kept})),
        (
            Told::Times(NextTimes {
                times: vec![DueTime { nominal: at(), due: at(), because: String::new() }],
                timezone: "UTC".into(),
                offsets: vec![offset],
            }),
            json!({"times": {"times": [{"nominal": time, "due": time}], "timezone": "UTC", "offsets": [shown_offset]}}),
        ),
        (
            Told::Occurrences { items: vec![occurrence()], next: None },
            json!({"occurrences": {"items": [shown], "next": null}}),
        ),
        (Told::Names(vec![key()]), json!({"names": [named]})),
        (
            Told::Records { records: vec![kept()], through: 4 },
            json!({"records": {"records": [shown_kept], "through": 4}}),
        ),
        (
            Told::Account(part),
            json!({"account": {"chunks": [{"seq": 5, "decided": 6, "items": [shown]}], "before": 5, "decided": 6,
                "looked": 1, "end": false}}),
        ),
        (
            Told::Dead { letters: vec![letter], next: Some(18) },
            json!({"dead": {"letters": [{"dead_letter_id": "3-17", "namespace": "n", "id": "i", "version": 1,
                "firing_key": "m:1", "workflow_id": "w", "reason": "no", "due": time, "refused_at": time}], "next": 18}}),
        ),
        (
            Told::Standing(Standing {
                definitions: 1,
                paused: 2,
                armed: 3,
                dead: 4,
                outboxes: vec![Waiting { namespace: "n".into(), pending: 5, oldest: Some(6) }],
            }),
            json!({"standing": {"definitions": 1, "paused": 2, "armed": 3, "dead": 4,
                "outboxes": [{"namespace": "n", "pending": 5, "oldest": 6}]}}),
        ),
        (Told::Deleted, json!("deleted")),
        (Told::Removed { version: 7 }, json!({"removed": {"version": 7}})),
        (
            Told::Switched(Switched { status: status(), changed: true }),
            json!({"switched": {"status": shown_status, "changed": true}}),
        ),
        (
            Told::Triggered { duplicate: true, waits: false, skipped: false },
            json!({"triggered": {"duplicate": true, "waits": false, "skipped": false}}),
        ),
        (Told::Settled(vec![true, false]), json!({"settled": [true, false]})),
        (
            Told::Node(NodePart {
                status: node,
                rates: Rates { fired: 1.5, started: 2.0, events: 0.0 },
                oldest_overdue: 7,
            }),
            json!({"node": {"rates": {"fired": 1.5, "started": 2.0, "events": 0.0}, "oldest_overdue": 7, "status":
                {"id": 2, "address": "a:1", "alive": true, "leads": 3, "started_at": time, "resident_bytes": 4, "disk_bytes": 5}}}),
        ),
    ];
    for (told, form) in cases {
        holds(&Reply::Told(told), &json!({"told": form}));
    }
    holds(&Reply::NotLed { leader: Some(2) }, &json!({"not_led": {"leader": 2}}));
}

#[test]
fn errors_are_read_as_they_were_told() {
    let violations = Violations(vec![Violation::new("a", "is odd").at(1, 2), Violation::new("b", "is even")]);
    for (error, form) in [
        (
            ApiError::Invalid(violations),
            json!({"Invalid": [{"field": "a", "message": "is odd", "part": [1, 2]}, {"field": "b", "message": "is even"}]}),
        ),
        (ApiError::NotFound(key()), json!({"NotFound": {"namespace": "n", "id": "i"}})),
        (
            ApiError::Conflict { key: key(), expected: 1, actual: 2 },
            json!({"Conflict": {"key": {"namespace": "n", "id": "i"}, "expected": 1, "actual": 2}}),
        ),
        (ApiError::TooManyNamespaces("n".into()), json!({"TooManyNamespaces": "n"})),
        (EngineError::Restarting { shard: 1 }.into(), json!({"Engine": {"Restarting": {"shard": 1}}})),
        (EngineError::Stopping.into(), json!({"Engine": "Stopping"})),
        (EngineError::Restoring { shard: 1 }.into(), json!({"Engine": {"Restoring": {"shard": 1}}})),
        (
            EngineError::Spreading { calendar: "n/c".into() }.into(),
            json!({"Engine": {"Spreading": {"calendar": "n/c"}}}),
        ),
        (ApiError::NoCalendar(key()), json!({"NoCalendar": {"namespace": "n", "id": "i"}})),
        (EngineError::NotLed.into(), json!({"Engine": "NotLed"})),
        (
            EngineError::NotReached { shard: 1, why: "x".into() }.into(),
            json!({"Engine": {"NotReached": {"shard": 1, "why": "x"}}}),
        ),
        (EngineError::ShardStopped("x".into()).into(), json!({"Engine": {"ShardStopped": "x"}})),
        (EngineError::Read("x".into()).into(), json!({"Engine": {"Read": "x"}})),
        (EngineError::Busy.into(), json!({"Engine": "Busy"})),
    ] {
        let reply = Reply::Failed(error.clone());
        holds(&reply, &json!({"failed": form}));
        let Reply::Failed(again) = read(&write(&reply).expect("fits")).expect("is read") else { panic!("failed") };
        assert_eq!(again, error);
    }
}

#[test]
fn numbers_come_through_to_the_last_digit() {
    let definition = serde_json::from_str(DOCUMENT).expect("a definition");
    let admitted = admit(&definition).expect("valid");
    let sent = write(&Applying::new(admit(&definition).expect("valid"), ApplyOptions::default())).expect("fits");
    let applying: Applying = read(&sent).expect("is read");
    assert_eq!(applying.admitted().expect("valid").document, admitted.document);
}

#[test]
fn what_is_too_large_for_a_message_is_not_sent() {
    let names = vec![DefinitionKey::new("n", "x".repeat(1000)); 8000];
    assert!(write(&Reply::Told(Told::Names(names))).is_err());
}
