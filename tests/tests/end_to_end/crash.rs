//! `kill -9` at any moment: what was acknowledged is there after it, and nothing is started twice.

use serde_json::Value;

use super::support::{Cli, Scene, assert_no_gap, eventually, ids, text, texts};

const DEFINITIONS: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: tick}
spec:
  trigger: {schedule: {interval: {every: 1s}}}
  start_workflow: {type: Tick, task_queue: nobody}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: still}
spec:
  trigger: {schedule: {interval: {every: 1s}}}
  start_workflow: {type: Still, task_queue: nobody}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: order}
spec:
  trigger: {event: {types: com.example.order}}
  start_workflow: {type: Order, task_queue: nobody}
";

const ORDER: &str = "publish --type com.example.order --source /shop --id 1";
const BY_HAND: &str = "trigger order --request-id r1";

/// Version, note and incarnation of each definition.
async fn kept(cli: &Cli) -> Vec<(String, Value, Value, Value)> {
    let records = cli.list("list -A").await;
    let row = |record: &Value| {
        let status = &record["status"];
        let id = text(&record["metadata"], "id").to_owned();
        (id, status["version"].clone(), status["incarnation"].clone(), status["paused"].clone())
    };
    records.iter().map(row).collect()
}

/// Fired so far, by their workflow ids.
async fn fired(cli: &Cli, of: &str) -> Vec<String> {
    texts(&cli.list(&format!("occurrences {of} --last 0 --outcome fired")).await, "workflow_id")
}

async fn fired_more_than(cli: &Cli, count: usize) -> Vec<String> {
    eventually("the schedule goes on", async || {
        let fired = fired(cli, "tick").await;
        (fired.len() > count).then_some(fired)
    })
    .await
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_and_nothing_starts_twice() {
    let scene = Scene::open(&[]).await;
    let mut node = scene.node("server").await;
    let cli = node.cli();
    cli.apply(DEFINITIONS).await;
    cli.words(&["pause", "still", "--note", "incident 7"], "").await.with_code(0);
    assert!(cli.done(ORDER).await.contains("1 fired"));
    assert!(cli.done(BY_HAND).await.contains("still triggered") || fired(&cli, "order").await.len() == 2);
    let (before, fired_still) = (kept(&cli).await, fired(&cli, "still").await);
    let mut fired_before = Vec::new();

    for _ in 0..2 {
        fired_before = fired_more_than(&cli, fired_before.len() + 1).await;
        node.kill().await;
        assert_eq!(cli.run("status --timeout 1s").await.code, Some(5), "killed");
        node.start_again().await;
        assert_eq!(kept(&cli).await, before);
        let fired_after = fired(&cli, "tick").await;
        assert!(fired_before.iter().all(|id| fired_after.contains(id)), "{fired_before:?} {fired_after:?}");
        assert_eq!(cli.done(ORDER).await, "1 event published, 1 duplicate\n");
        assert!(cli.done(BY_HAND).await.contains("was triggered with this request id before"));
    }
    assert_eq!(fired(&cli, "still").await, fired_still, "it is paused");
    fired_more_than(&cli, fired_before.len()).await;
    cli.done("pause tick").await;
    let ticks = fired(&cli, "tick").await;
    assert_no_gap(&ticks);
    let mut expected =
        ["flintwheel:default:order:e:/shop|1", "flintwheel:default:order:m:r1"].map(str::to_owned).to_vec();
    expected.extend(fired_still);
    expected.extend(ticks);
    expected.sort();
    assert_eq!(ids(&scene.workflows("default", "flintwheel:", expected.len()).await), expected);
}
