//! A restore beside the world that goes on: producers that do not wait for it, and a Temporal that remembers what the old cluster has started.

use std::collections::BTreeSet;
use std::time::Duration;

use flintwheel_client::{Client, Options};
use flintwheel_loadtest::StartLine;
use flintwheel_loadtest::cluster::Cluster;
use flintwheel_loadtest::engine::{Engine, EngineOptions, Sink};
use flintwheel_loadtest::http::{self, Answer};
use flintwheel_loadtest::process::test_server;

use super::support::{Cli, Scene, assert_no_gap, command, eventually, ids, texts};

const BACKUP: &str = "01010101-0101-0101-0101-010101010101";
const ORDER: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: order}
spec:
  trigger: {event: {types: com.example.order}}
  start_workflow: {type: Order, task_queue: nobody}
";
const TICKS: usize = 4;

async fn post(node: &Engine) -> Answer {
    let event = r#"{"specversion": "1.0", "id": "1", "source": "/shop", "type": "com.example.order"}"#;
    let headers = &[("Content-Type", "application/cloudevents+json")];
    http::send_with(node.http(), "POST", "/v1/namespaces/default/events", headers, event).await.expect("it answers")
}

async fn ready(node: &Engine) -> Answer {
    http::get(node.http(), "/readyz").await.expect("it answers")
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_backup_is_restored_no_node_takes_an_event_and_each_says_why() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("at rest");
    for node in &cluster.nodes {
        assert_eq!(post(node).await.status, 202, "it matches nothing, and nothing is on its way");
    }
    let options = Options { retry_for: Duration::ZERO, ..Options::default() };
    let client = |node: &Engine| Client::new(&[node.grpc().to_string()], options.clone()).expect("an address");
    client(&cluster.nodes[0]).begin_restore(BACKUP, None).await.expect("it is empty");
    // From the answer on, on all nodes at once.
    for node in &cluster.nodes {
        let answer = post(node).await;
        assert!(answer.status == 503 && answer.body.contains("a backup is being restored"), "{answer:?}");
        let answer = ready(node).await;
        assert!(answer.status == 503 && answer.body.contains("NOT_READY: a backup is being restored"), "{answer:?}");
    }
    // Whoever takes over goes on so.
    let dead = cluster.busiest().await.expect("known");
    cluster.nodes[dead].kill().await.expect("killed");
    let rest: Vec<usize> = (0..3).filter(|node| *node != dead).collect();
    eventually("others lead, and know of the restore", async || {
        let mut known = true;
        for node in &rest {
            let answer = post(&cluster.nodes[*node]).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            known &= answer.body.contains("a backup is being restored");
        }
        let led = client(&cluster.nodes[rest[0]]).begin_restore(BACKUP, None).await.is_ok();
        (known && led).then_some(())
    })
    .await;
    client(&cluster.nodes[rest[0]]).finish_restore(BACKUP, &[0; 4]).await.expect("an empty backup is one");
    for node in &rest {
        assert_eq!(post(&cluster.nodes[*node]).await.status, 202);
        assert_eq!(ready(&cluster.nodes[*node]).await.status, 200);
    }
    cluster.nodes[dead].start_again().await.expect("it starts");
    assert_eq!(post(&cluster.nodes[dead]).await.status, 202, "whoever was away has heard of the end");
}

/// Orders with these numbers, through any node.
async fn publish(cli: &Cli, numbers: std::ops::Range<u64>) -> String {
    let mut told = String::new();
    for number in numbers {
        told += &cli.done(&format!("publish --type com.example.order --source /shop --id {number}")).await;
    }
    told
}

fn orders(numbers: std::ops::Range<u64>) -> Vec<String> {
    numbers.map(|number| format!("flintwheel:default:order:e:/shop|{number}")).collect()
}

/// Each execution that Temporal knows: a second one under the same id would be another line.
fn executions(lines: &[StartLine]) -> BTreeSet<(String, i64)> {
    lines.iter().map(|line| (line.workflow_id.clone(), line.first_us)).collect()
}

async fn terminate(scene: &Scene, workflow_id: &str) {
    let program = test_server("temporal", "FLINTWHEEL_TEMPORAL_CLI").expect("installed");
    let mut terminate = command(&program, scene.path());
    terminate.args(["workflow", "terminate", "--workflow-id", workflow_id, "--reason", "a test"]);
    terminate.args(["--address", &scene.temporal.address().to_string()]);
    let done = terminate.output().await.expect("it runs");
    assert!(done.status.success(), "{done:?}");
}

/// A cluster of one that has fired before and after a backup into `copy`, and has gone. What Temporal has started by then.
async fn lived(scene: &Scene, sink: &Sink) -> Vec<StartLine> {
    let options =
        EngineOptions { data_dir: scene.path().join("first"), sink: sink.clone(), shards: 4, more: Vec::new() };
    let mut first = Engine::start(options).await.expect("it starts");
    let cli = Cli::alone(scene.path()).with("FLINTWHEEL_ADDRESS", &first.grpc().to_string());
    for number in 0..TICKS {
        cli.apply(&super::support::EVERY_SECOND.replace("id: tick", &format!("id: tick-{number}"))).await;
    }
    cli.apply(ORDER).await;
    publish(&cli, 0..3).await;
    scene.workflows("default", "flintwheel:default:order:", 3).await;
    scene.workflows("default", "flintwheel:default:tick-0:", 2).await;
    cli.done("backup create copy").await;
    let ticks = scene.workflows("default", "flintwheel:default:tick-0:", 2).await.len();
    publish(&cli, 3..6).await;
    scene.workflows("default", "flintwheel:default:order:", 6).await;
    scene.workflows("default", "flintwheel:default:tick-0:", ticks + 2).await;
    first.kill().await.expect("killed");
    // Some have ended since: of before the backup, and of after it.
    for order in [1, 4] {
        terminate(scene, &orders(order..order + 1)[0]).await;
    }
    scene.temporal.started("default").await.expect("listed")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_real_temporal_has_started_before_and_since_the_backup_is_not_started_again() {
    let scene = Scene::open(&[]).await;
    let sink = Sink::Temporal { address: scene.temporal.address(), namespace: "default".to_owned() };
    let before = lived(&scene, &sink).await;
    let dir = scene.path().join("second");
    std::fs::create_dir(&dir).expect("a folder");
    let second = Cluster::start(&dir, &sink, 3, 6).await.expect("at rest");
    let cli = Cli::alone(scene.path()).with("FLINTWHEEL_ADDRESS", &second.nodes[1].grpc().to_string());
    let told = cli.done("backup restore copy --yes").await;
    assert!(told.contains("5 definitions") && told.contains("of 6 shards"), "{told}");
    assert_eq!(publish(&cli, 0..3).await, "1 event published, 1 duplicate\n".repeat(3), "their keys are in the backup");
    publish(&cli, 3..7).await;
    scene.workflows("default", &orders(6..7)[0], 1).await;
    for number in 0..TICKS {
        let id = format!("tick-{number}");
        let prefix = format!("flintwheel:default:{id}:");
        let had = before.iter().filter(|line| line.workflow_id.starts_with(&prefix)).count();
        scene.workflows("default", &prefix, had + 2).await;
        cli.done(&format!("pause {id}")).await;
    }
    eventually("nothing waits for Temporal", async || {
        let status = cli.json("status").await;
        let outboxes = status["outboxes"].as_array().expect("a list");
        outboxes.iter().all(|one| one["pending"] == 0).then_some(())
    })
    .await;
    let account = texts(&cli.list("occurrences order --last 0 --outcome fired").await, "workflow_id");
    assert_eq!(account, orders(0..7));
    assert_eq!(cli.json("status").await["dead_letters"], 0, "whoever was known already was known by our own request");
    let after = eventually("all that the account says was started is", async || {
        let after = scene.temporal.started("default").await.expect("listed");
        let started: BTreeSet<String> = ids(&after).into_iter().collect();
        let mut all = true;
        for number in 0..TICKS {
            let account = cli.list(&format!("occurrences tick-{number} --last 0 --outcome fired")).await;
            let account = texts(&account, "workflow_id");
            assert_no_gap(&account);
            all &= account.iter().all(|id| started.contains(id));
        }
        all.then_some(after)
    })
    .await;
    let started = ids(&after);
    assert!(started.windows(2).all(|pair| pair[0] != pair[1]), "started twice: {started:?}");
    assert!(executions(&before).is_subset(&executions(&after)), "{before:?} {after:?}");
}
