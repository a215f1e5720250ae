//! The form of questions and answers about calendars, literally: other versions of the program read it.

use bytes::Bytes;
use flintwheel_client::{Applied, ApplyOptions, ApplyOutcome, CalendarStatus, DueMove, DueTime, NextTimes};
use flintwheel_model::{Calendar, Violation, Violations};
use serde_json::{Value, json};

use super::wire::{DOCUMENT, at, holds, key};
use crate::admission::admit;
use crate::api::ApiError;
use crate::api::ask::{Act, Applying, Ask, Look, Packed, Question, Reply, Told};
use crate::api::calendar_ask::{
    CalendarAct, CalendarAt, CalendarLook, CalendarTold, GivenDays, KeptCalendar, Previewed,
};

const CALENDAR: &str = r#"{"apiVersion":"flintwheel.dev/v1","kind":"Calendar","metadata":{"namespace":"n","id":"i"},"spec":{"weekdays":["sat-sun"]}}"#;

fn calendar() -> Calendar {
    serde_json::from_str(CALENDAR).expect("a calendar")
}

fn given() -> GivenDays {
    vec![(key(), Packed(Bytes::from_static(&[1, 2])))]
}

#[test]
fn questions_are_read_as_they_were_asked() {
    let (named, shown): (_, Value) =
        (json!({"namespace": "n", "id": "i"}), serde_json::from_str(CALENDAR).expect("JSON"));
    let days = json!([[named, "AQI="]]);
    let definition: flintwheel_model::ActivityDefinition = serde_json::from_str(DOCUMENT).expect("a definition");
    let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
    let item = Applying::new(admit(&definition).expect("valid"), ApplyOptions::default());
    let options = json!({"validate_only": false, "request_id": "", "expected_version": null});
    let look = |look: CalendarLook| Ask::from(Look::Calendar(look));
    let act = |act: CalendarAct| Ask::from(Act::Calendar(act));
    let put = CalendarAct::Put { calendar: Box::new(calendar()), expected_version: Some(2), request_id: "r".into() };
    let remove = CalendarAct::Remove { key: key(), expected_version: None, request_id: "r".into() };
    let list = CalendarLook::List { namespace: Some("n".into()), after: Some(key()), limit: 3 };
    let spread = CalendarLook::Spread { namespace: "n".into(), counted: (1, 2), through: 3 };
    let times = CalendarLook::Times { definition: Box::new(definition), given: given(), count: 5, after: Some(at()) };
    for (ask, form) in [
        (look(CalendarLook::One(key())), json!({"look": {"calendar": {"one": named}}})),
        (look(list), json!({"look": {"calendar": {"list": {"namespace": "n", "after": named, "limit": 3}}}})),
        (look(spread), json!({"look": {"calendar": {"spread": {"namespace": "n", "counted": [1, 2], "through": 3}}}})),
        (look(CalendarLook::Preview(vec![calendar()])), json!({"look": {"calendar": {"preview": [shown]}}})),
        (look(CalendarLook::At(key())), json!({"look": {"calendar": {"at": named}}})),
        (
            look(CalendarLook::Counts { namespace: None }),
            json!({"look": {"calendar": {"counts": {"namespace": null}}}}),
        ),
        (
            look(CalendarLook::Users { key: key(), limit: 4 }),
            json!({"look": {"calendar": {"users": {"key": named, "limit": 4}}}}),
        ),
        (
            look(CalendarLook::Moves { given: given(), from: (1, 2), limit: 3 }),
            json!({"look": {"calendar": {"moves": {"given": days, "from": [1, 2], "limit": 3}}}}),
        ),
        (
            look(CalendarLook::Apply { items: vec![item], given: given() }),
            json!({"look": {"calendar": {"apply": {"items": [{"document": document, "options": options}], "given": days}}}}),
        ),
        (
            look(times),
            json!({"look": {"calendar": {"times": {"definition": document, "given": days, "count": 5, "after": "2026-11-23T08:00:00.000001Z"}}}}),
        ),
        (
            act(put),
            json!({"act": {"calendar": {"put": {"calendar": shown, "expected_version": 2, "request_id": "r"}}}}),
        ),
        (
            act(remove),
            json!({"act": {"calendar": {"remove": {"key": named, "expected_version": null, "request_id": "r"}}}}),
        ),
        (
            act(CalendarAct::Days { key: key(), revision: 7, days: Packed(Bytes::from_static(&[1, 2])) }),
            json!({"act": {"calendar": {"days": {"key": named, "revision": 7, "days": "AQI="}}}}),
        ),
        (
            act(CalendarAct::Drop { key: key(), revision: 7 }),
            json!({"act": {"calendar": {"drop": {"key": named, "revision": 7}}}}),
        ),
    ] {
        let question = Question::Shard { shard: 3, ask, again: false, stale: false };
        holds(&question, &json!({"shard": {"shard": 3, "ask": form, "again": false, "stale": false}}));
    }
}

#[test]
fn answers_are_read_as_they_were_told() {
    let (named, shown): (_, Value) =
        (json!({"namespace": "n", "id": "i"}), serde_json::from_str(CALENDAR).expect("JSON"));
    let time = json!("2026-11-23T08:00:00.000001Z");
    let status = CalendarStatus {
        version: 1,
        created_at: at(),
        updated_at: at(),
        definitions: 2,
        referred_by: vec!["all".into()],
        spreading: true,
    };
    let kept = || KeptCalendar { calendar: calendar(), status: status.clone(), revision: 3, leaving: false };
    let shown_kept = json!({"calendar": shown, "revision": 3, "leaving": false, "status": {"version": 1,
        "created_at": time, "updated_at": time, "definitions": 2, "referred_by": ["all"], "spreading": true}});
    let result = Previewed { outcome: ApplyOutcome::Configured, old_version: 1, new_version: 2 };
    let shown_result = json!({"outcome": "configured", "old_version": 1, "new_version": 2});
    let moves = vec![DueMove { definition: key(), before: Some(at()), after: None }];
    let applied = Applied {
        outcome: ApplyOutcome::Created,
        old_version: 0,
        new_version: 1,
        next_due: None,
        warnings: Vec::new(),
        offsets: Vec::new(),
    };
    let faults = Violations(vec![Violation::new("spec", "is odd")]);
    let cases = [
        (CalendarTold::One(Box::new(kept())), json!({"one": shown_kept})),
        (
            CalendarTold::List { records: vec![kept()], more: true },
            json!({"list": {"records": [shown_kept], "more": true}}),
        ),
        (
            CalendarTold::Spread { pending: 1, users: 2, moved: 3 },
            json!({"spread": {"pending": 1, "users": 2, "moved": 3}}),
        ),
        (
            CalendarTold::Preview { results: vec![result], given: given() },
            json!({"preview": {"results": [shown_result], "given": [[named, "AQI="]]}}),
        ),
        (CalendarTold::Faulty(1, faults), json!({"faulty": [1, [{"field": "spec", "message": "is odd"}]]})),
        (
            CalendarTold::At(CalendarAt { revision: Some(1), done: true, users: 2, moved: 3 }),
            json!({"at": {"revision": 1, "done": true, "users": 2, "moved": 3}}),
        ),
        (CalendarTold::Counts(vec![(key(), 4)]), json!({"counts": [[named, 4]]})),
        (CalendarTold::Users { count: 5, first: vec![key()] }, json!({"users": {"count": 5, "first": [named]}})),
        (
            CalendarTold::Moves { moves, looked: 6, next: Some((0, 7)) },
            json!({"moves": {"moves": [{"namespace": "n", "id": "i", "before": time, "after": null}], "looked": 6, "next": [0, 7]}}),
        ),
        (
            CalendarTold::Apply(vec![Ok(applied), Err(ApiError::NoCalendar(key()))]),
            json!({"apply": [{"Ok": {"outcome": "created", "old_version": 0, "new_version": 1, "next_due": null,
                "warnings": []}}, {"Err": {"NoCalendar": named}}]}),
        ),
        (
            CalendarTold::Times(NextTimes {
                times: vec![DueTime { nominal: at(), due: at(), because: String::new() }],
                timezone: "UTC".into(),
                offsets: vec![],
            }),
            json!({"times": {"times": [{"nominal": time, "due": time}], "timezone": "UTC"}}),
        ),
        (
            CalendarTold::Put { result, counted: (1, 2), through: 3 },
            json!({"put": {"result": shown_result, "counted": [1, 2], "through": 3}}),
        ),
        (CalendarTold::Leaving { version: 1, revision: 2 }, json!({"leaving": {"version": 1, "revision": 2}})),
        (CalendarTold::Gone { version: 1 }, json!({"gone": {"version": 1}})),
    ];
    for (told, form) in cases {
        holds(&Reply::Told(Told::Calendar(told)), &json!({"told": {"calendar": form}}));
    }
}

#[test]
fn a_shard_has_a_revision_when_all_its_definitions_are_due_by_it_or_a_newer_one_has_come() {
    for (revision, done, has) in [
        (None, true, false),
        (Some(4), true, false),
        (Some(5), false, false),
        (Some(5), true, true),
        (Some(6), false, true),
    ] {
        assert_eq!(CalendarAt { revision, done, users: 1, moved: 0 }.has(5), has, "{revision:?} {done}");
    }
}
