//! Temporal away: firings wait, the account says so, and each starts once when it is back.

use super::support::{EVERY_SECOND, Scene, eventually, ids, text, texts};

#[tokio::test]
async fn firings_wait_while_temporal_is_away_and_each_starts_once_when_it_is_back() {
    let mut scene = Scene::open(&[]).await;
    let node = scene.node("server").await;
    let cli = node.cli();
    cli.apply(EVERY_SECOND).await;
    scene.workflows("default", "flintwheel:default:tick:t:", 1).await;

    scene.temporal.stop().await.expect("stopped");
    let waiting = eventually("firings wait", async || {
        let waiting = cli.list("occurrences tick --reason pending --last 0").await;
        (waiting.len() >= 3).then_some(waiting)
    })
    .await;
    assert!(waiting.iter().all(|one| text(one, "outcome") == "fired" && one["started_at"].is_null()), "{waiting:?}");
    assert!(cli.done("occurrences tick").await.contains("pending"));
    let status = cli.json("status").await;
    assert!(status["outboxes"][0]["pending"].as_u64() >= Some(3), "{status}");
    assert_eq!(
        (&status["temporal_targets"][0]["healthy"], &status["dead_letters"]),
        (&false.into(), &0.into()),
        "{status}"
    );

    scene.temporal.start_again().await.expect("started");
    let waited = texts(&waiting, "workflow_id");
    eventually("all that waited has started", async || {
        let all = cli.list("occurrences tick --last 0").await;
        let started = all.iter().filter(|one| !one["started_at"].is_null());
        let started: Vec<&str> = started.map(|one| text(one, "workflow_id")).collect();
        waited.iter().all(|id| started.contains(&id.as_str())).then_some(())
    })
    .await;
    let late = cli.list("occurrences tick --reason late --last 0").await;
    assert!(late.iter().any(|one| text(one, "detail").contains("waiting since")), "{late:?}");

    cli.done("pause tick").await;
    let account = cli.list("occurrences tick --outcome fired --last 0").await;
    let expected = texts(&account, "workflow_id");
    assert_eq!(ids(&scene.workflows("default", "flintwheel:", expected.len()).await), expected);
    assert_eq!(cli.json("status").await["dead_letters"], 0);
}
