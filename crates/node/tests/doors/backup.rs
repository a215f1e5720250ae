//! `BackupService`: a shard read page by page, and its rows in another node, which does nothing else until it has all of them.

use std::time::Duration;

use flintwheel_client::{ApplyOptions, Client, Code, OccurrenceQuery, Options, PageRequest, reason};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_proto::cloudevents::CloudEvent;
use prost::Message;
use prost::bytes::Bytes;
use serde_json::json;

use super::support::Running;

const BACKUP: &str = "01010101-0101-0101-0101-010101010101";
const ANOTHER: &str = "02020202-0202-0202-0202-020202020202";
/// As many as a node has.
const SHARDS: u32 = 2;

fn definition(id: &str) -> ActivityDefinition {
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": id},
        "spec": {"trigger": {"event": {"types": "t"}}, "start_workflow": {"type": "W", "task_queue": "q",
            "input": ["x".repeat(100_000)]}},
    }))
    .expect("a definition")
}

/// Tells at once what a server says: no second try.
fn client(node: &Running) -> Client {
    let options = Options { retry_for: Duration::ZERO, ..Options::default() };
    Client::new(&[node.grpc.to_string()], options).expect("an address")
}

/// All pages of a shard, each with the number of its first row, and how many rows they have.
async fn exported(client: &Client, shard: u32) -> (Vec<(u64, Bytes)>, u64) {
    let mut export = client.export_shard(shard).await.expect("begins");
    let (mut pages, mut rows) = (Vec::new(), 0);
    while let Some(page) = export.next().await.expect("goes on") {
        pages.push((rows, page.rows));
        rows += u64::from(page.count);
    }
    assert!(export.begun.applied > 0);
    (pages, rows)
}

fn event(id: &str, event_type: &str) -> Bytes {
    let (id, source, spec_version, r#type) = (id.into(), "s".into(), "1.0".into(), event_type.into());
    CloudEvent { id, source, spec_version, r#type, ..CloudEvent::default() }.encode_to_vec().into()
}

/// Whether it would match or not: what it is for may be about to come. Said by all doors, with a delay.
async fn takes_no_event(node: &Running, client: &Client) {
    for event_type in ["t", "other"] {
        let refused = client.publish("default", vec![event("1", event_type)]).await.expect_err(event_type);
        assert_eq!((refused.code, refused.reason.as_str()), (Code::Unavailable, reason::NOT_READY));
        assert!(refused.retry_delay.is_some() && refused.message.contains("a backup is being restored"), "{refused}");
    }
    let ready = node.get("/readyz").await;
    assert!(ready.status == 503 && ready.body.contains("a backup is being restored into this cluster"), "{ready:?}");
    assert_eq!(node.get("/livez").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_a_shard_make_the_same_shard_elsewhere_and_until_then_nothing_else_is_done() {
    let (source, target) = (Running::start().await, Running::start().await);
    let (from, to) = (client(&source), client(&target));
    for n in 0..40 {
        from.apply(&definition(&format!("d{n}")), ApplyOptions::default()).await.expect("applied");
    }
    let key = DefinitionKey::new("default", "d1");
    from.trigger(&key, "r1", None, None).await.expect("triggered");
    let begun = to.begin_restore(BACKUP, None).await.expect("it is empty");
    assert_eq!((begun.skip_before, begun.shards.len()), (None, SHARDS as usize));
    let mut counts = Vec::new();
    for shard in 0..SHARDS {
        let (pages, rows) = exported(&from, shard).await;
        assert!(pages.len() > 1, "two megabytes are more than a page");
        let mut told = 0;
        for (from, page) in &pages {
            told = to.restore_rows(BACKUP, shard, *from, page.clone()).await.expect("taken");
        }
        let (first, page) = pages[0].clone();
        let again = to.restore_rows(BACKUP, shard, first, page).await.expect("passed over");
        assert_eq!((told, again), (rows, rows));
        counts.push(rows);
    }
    let held = to.apply(&definition("new"), ApplyOptions::default()).await.expect_err("held");
    assert_eq!((held.code, held.reason.as_str()), (Code::Unavailable, reason::NOT_READY));
    assert!(held.message.contains("a backup is being restored into shard"), "{held}");
    takes_no_event(&target, &to).await;
    let short: Vec<u64> = counts.iter().map(|count| count - 1).collect();
    let early = to.finish_restore(BACKUP, &short).await.expect_err("not all is named");
    assert_eq!(early.code, Code::FailedPrecondition);
    to.finish_restore(BACKUP, &counts).await.expect("all is there");
    let taken = to.publish("default", vec![event("2", "other")]).await.expect("it takes events again");
    assert_eq!((taken.accepted, taken.matched), (1, 0));
    assert_eq!(target.get("/readyz").await.status, 200);
    to.finish_restore(BACKUP, &counts).await.expect("it was so already");
    for n in 0..40 {
        let key = DefinitionKey::new("default", format!("d{n}"));
        let (then, now) = (from.get(&key).await.expect("there"), to.get(&key).await.expect("there"));
        assert_eq!((now.definition, now.status), (then.definition, then.status));
    }
    assert!(to.trigger(&key, "r1", None, None).await.expect("answered").duplicate, "the request id is known");
    assert!(!to.trigger(&key, "r2", None, None).await.expect("answered").duplicate);
    let query =
        OccurrenceQuery { namespace: "default".into(), definition_id: "d1".into(), ..OccurrenceQuery::default() };
    let page = to.occurrences(&query, PageRequest::default()).await.expect("read");
    let keys: Vec<&str> = page.items.iter().map(|one| one.firing_key.as_str()).collect();
    assert_eq!(keys, ["m:r2", "m:r1"]);
    to.apply(&definition("new"), ApplyOptions::default()).await.expect("as any other");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restores_that_do_not_fit_are_refused() {
    let node = Running::start().await;
    let client = client(&node);
    let source = client.backup_source().await.expect("told");
    assert_eq!((source.shards, source.workflow_id_prefix.as_str()), (SHARDS, "flintwheel"));
    let refused = |error: flintwheel_client::Error| (error.code, error.message);
    let odd = client.begin_restore("7", None).await.expect_err("no UUID");
    assert_eq!(odd.code, Code::InvalidArgument);
    let (code, message) = refused(client.restore_rows(BACKUP, 0, 0, Bytes::new()).await.expect_err("not begun"));
    assert_eq!((code, message.as_str()), (Code::FailedPrecondition, "shard 0: no restore has begun"));
    let (code, message) = refused(client.restore_rows(BACKUP, 2, 0, Bytes::new()).await.expect_err("no such shard"));
    assert_eq!((code, message.as_str()), (Code::NotFound, "there is no shard 2: this cluster has 2, from 0 on"));
    assert_eq!(client.export_shard(2).await.err().map(|error| error.code), Some(Code::NotFound));

    client.begin_restore(BACKUP, None).await.expect("it is empty");
    client.begin_restore(BACKUP, None).await.expect("goes on");
    let (code, message) = refused(client.begin_restore(ANOTHER, None).await.expect_err("another"));
    assert!(code == Code::FailedPrecondition && message.contains(BACKUP), "{message}");
    for (rows, part) in [(&b"\x05\0\0\0\x09"[..], "5 bytes expected"), (b"\x01\0\0\0\x09", "a row of kind 9")] {
        let error = client.restore_rows(BACKUP, 0, 0, Bytes::from_static(rows)).await.expect_err("no rows");
        assert!(error.code == Code::InvalidArgument && error.message.contains(part), "{error}");
    }
    let (code, message) = refused(client.restore_rows(BACKUP, 0, 7, Bytes::new()).await.expect_err("a gap"));
    assert!(
        code == Code::FailedPrecondition && message.contains("0 rows of the backup, and was told of 7"),
        "{message}"
    );
    client.finish_restore(BACKUP, &[0, 0]).await.expect("an empty backup is one");
    client.apply(&definition("a"), ApplyOptions::default()).await.expect("as any other");
    let (code, message) = refused(client.begin_restore(ANOTHER, None).await.expect_err("used"));
    assert!(code == Code::FailedPrecondition && message.contains("or was"), "{message}");
}
