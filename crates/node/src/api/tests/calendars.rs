//! Calendars on an engine, asked at a node that has no replica of anything: changes that move definitions, whatever comes in between.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};
use flintwheel_client::{ApplyOptions, ApplyOutcome, CalendarApplied, PageRequest};
use flintwheel_model::{ActivityDefinition, Calendar};
use futures::future::join_all;
use serde_json::{Value, json};

use super::two_nodes::{Two, definition, key};
use crate::api::{Api, ApiError};

/// Daily at nine in January 2090, which no test reaches.
fn daily(id: &str) -> ActivityDefinition {
    let schedule = json!({"cron": "0 9 * 1 * 2090", "exclude": {"calendar_name": "closed"}});
    definition(id, json!({"trigger": {"schedule": schedule}}))
}

fn calendar(id: &str, spec: &Value) -> Calendar {
    let metadata = json!({"namespace": "default", "id": id});
    serde_json::from_value(
        json!({"apiVersion": "flintwheel.dev/v1", "kind": "Calendar", "metadata": metadata, "spec": spec}),
    )
    .expect("a calendar")
}

/// Closes the first days of 2090.
fn closing(days: u32) -> Calendar {
    calendar("closed", &json!({"dates": ["2089-12-31".to_owned(), format!("2090-01-01/2090-01-{days:02}")]}))
}

fn first_after(days: u32) -> DateTime<Utc> {
    format!("2090-01-{:02}T09:00:00Z", days + 1).parse().expect("a time")
}

/// As a client does: again, while it is not everywhere.
async fn apply(api: &Api, calendar: &Calendar) -> CalendarApplied {
    loop {
        match api.apply_calendar(calendar, &ApplyOptions::default()).await {
            Err(ApiError::Engine(error)) if error.is_passing() => {}
            other => return other.expect("applied"),
        }
    }
}

async fn next_due(api: &Api, id: &str) -> Option<DateTime<Utc>> {
    api.get(&key(id), None, None).await.expect("there").status.next_due
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calendars_wait_until_all_nodes_know_them() {
    for format in [2, 3] {
        let two = Two::speaking(format).await;
        for tried in [false, true] {
            let options = ApplyOptions { validate_only: tried, ..ApplyOptions::default() };
            let Err(ApiError::Invalid(faults)) = two.far.apply_calendar(&closing(1), &options).await else {
                panic!("not refused at format {format}")
            };
            assert_eq!(faults.0[0].field, "kind");
            assert!(faults.0[0].message.starts_with("not all nodes of the cluster know"), "{faults}");
        }
        two.close().await;
    }
    let two = Two::speaking(4).await;
    assert_eq!(apply(&two.far, &closing(1)).await.outcome, ApplyOutcome::Created);
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_answer_was_lost_is_made_once_and_moves_all() {
    let two = Two::start().await;
    two.lossy.store(true, Ordering::Relaxed);
    let far = &two.far;
    let created = apply(far, &closing(1)).await;
    assert_eq!((created.outcome, created.new_version, created.definitions), (ApplyOutcome::Created, 1, 0));
    for number in 0..10 {
        far.apply(&daily(&format!("d{number}")), &ApplyOptions::default()).await.expect("applied");
    }
    let changed = apply(far, &closing(3)).await;
    assert_eq!((changed.outcome, changed.old_version, changed.new_version), (ApplyOutcome::Configured, 1, 2));
    assert_eq!((changed.definitions, changed.moved), (10, 10));
    for number in 0..10 {
        assert_eq!(next_due(two.near(), &format!("d{number}")).await, Some(first_after(3)));
    }
    let Err(ApiError::Operate(refused)) = far.delete_calendar(&key("closed"), None, "", false).await else {
        panic!("it is used")
    };
    assert!(refused.to_string().contains("is used by 10 definitions: default/d0, default/d1, default/d2 and 7 more"));
    for number in 0..10 {
        far.delete(&key(&format!("d{number}")), None, "", false).await.expect("deleted");
    }
    assert_eq!(far.delete_calendar(&key("closed"), Some(2), "", false).await, Ok(2));
    assert_eq!(far.calendar(&key("closed")).await, Err(ApiError::NoCalendar(key("closed"))));
    let missing = far.apply(&daily("d"), &ApplyOptions::default()).await;
    assert!(matches!(missing, Err(ApiError::Invalid(faults)) if faults.to_string().contains("there is no calendar")));
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_definitions_than_a_page_are_moved_and_shown_before() {
    let (two, count) = (Two::start().await, 1500);
    let far = &two.far;
    apply(far, &closing(1)).await;
    let definitions: Vec<_> =
        (0..count).map(|number| (daily(&format!("d{number}")), ApplyOptions::default())).collect();
    for part in definitions.chunks(500) {
        assert!(far.batch_apply(part).await.iter().all(Result::is_ok));
    }
    let tried = ApplyOptions { validate_only: true, ..ApplyOptions::default() };
    let shown = far.apply_calendar(&closing(2), &tried).await.expect("tried");
    assert_eq!((shown.definitions, shown.moved, shown.moves.len()), (count, count, 200));
    let ids: BTreeSet<_> = shown.moves.iter().map(|one| one.definition.id.clone()).collect();
    assert_eq!(ids.len(), 200, "each once");
    assert!(shown.moves.iter().all(|one| (one.before, one.after) == (Some(first_after(1)), Some(first_after(2)))));
    let changed = apply(far, &closing(2)).await;
    assert_eq!((changed.definitions, changed.moved), (count, count));
    let all = join_all((0..count).map(|number| async move { next_due(far, &format!("d{number}")).await })).await;
    assert!(all.iter().all(|next| *next == Some(first_after(2))));
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn definitions_that_are_applied_while_a_calendar_changes_are_due_by_its_last_days() {
    let two = Two::start().await;
    let (near, far) = (two.near(), &two.far);
    apply(near, &closing(1)).await;
    let changes = async {
        for round in 0..12 {
            apply(far, &closing(1 + round % 5)).await;
        }
        apply(far, &closing(9)).await;
    };
    let applies = async {
        for number in 0..60 {
            let (id, options) = (format!("d{}", number % 20), ApplyOptions::default());
            let mut definition = daily(&id);
            definition.metadata.name = format!("change {number}");
            while let Err(error) = near.apply(&definition, &options).await {
                assert!(matches!(&error, ApiError::Engine(error) if error.is_passing()), "{error:?}");
            }
        }
    };
    tokio::join!(changes, applies);
    for number in 0..20 {
        assert_eq!(next_due(near, &format!("d{number}")).await, Some(first_after(9)), "d{number}");
    }
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_refers_to_a_calendar_changes_with_it_and_keeps_it() {
    let two = Two::start().await;
    let far = &two.far;
    apply(far, &calendar("holidays", &json!({"dates": "2090-01-01"}))).await;
    apply(far, &calendar("closed", &json!({"dates": "2090-06-01", "calendars": "holidays"}))).await;
    far.apply(&daily("a"), &ApplyOptions::default()).await.expect("applied");
    let changed = apply(far, &calendar("holidays", &json!({"dates": "2090-01-01/2090-01-04"}))).await;
    assert_eq!((changed.definitions, changed.moved), (1, 1));
    assert_eq!(next_due(far, "a").await, Some(first_after(4)));
    let circle = calendar("holidays", &json!({"calendars": "closed"}));
    let Err(ApiError::Invalid(faults)) = far.apply_calendar(&circle, &ApplyOptions::default()).await else {
        panic!("a circle")
    };
    assert!(faults.to_string().contains("holidays -> closed -> holidays"), "{faults}");
    let Err(ApiError::Operate(refused)) = far.delete_calendar(&key("holidays"), None, "", true).await else {
        panic!("it is referred to")
    };
    assert!(refused.to_string().contains("is referred to by closed"), "{refused}");
    let listed = far.calendars("default", &PageRequest { size: 1, ..PageRequest::default() }).await.expect("listed");
    assert_eq!((listed.items[0].calendar.metadata.id.as_str(), listed.items[0].status.definitions), ("closed", 1));
    let rest = far.calendars("", &PageRequest { token: listed.next.expect("more"), size: 9 }).await.expect("listed");
    let names: Vec<_> = rest.items.iter().map(|one| one.calendar.metadata.id.as_str()).collect();
    assert_eq!((names, rest.next), (vec!["holidays"], None));
    two.close().await;
}
