//! Definitions that are due after runs of others, on a real Temporal: by how a run has ended, once, whatever is killed in between.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use flintwheel_loadtest::cluster::Cluster;
use flintwheel_loadtest::engine::Sink;
use flintwheel_loadtest::hand_worker::{Ending, HandWorker};
use serde_json::Value;

use super::support::{Cli, Scene, eventually, ids, text};

const QUEUE: &str = "by-hand";

fn definition(id: &str, trigger: &str) -> String {
    format!(
        "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{id: {id}}}
spec:
  trigger: {trigger}
  start_workflow: {{type: Long, task_queue: {QUEUE}, task_timeout: 2m}}
"
    )
}

fn run(request: &str) -> String {
    format!("flintwheel:default:load:m:{request}")
}

#[tokio::test]
async fn a_run_makes_those_due_that_wait_for_its_end_once_and_through_kills() {
    let scene = Scene::open(&[]).await;
    let mut node = scene.node("server").await;
    let cli = node.cli();
    let mut worker = HandWorker::new(scene.temporal.address(), "default", QUEUE).expect("an address");
    cli.apply(&definition("load", "{event: {types: nothing}}")).await;
    for outcome in ["success", "failure", "any"] {
        let trigger = format!("{{schedule: {{after: {{definition: load, outcome: {outcome}, delay: 1s}}}}}}");
        cli.apply(&definition(outcome, &trigger)).await;
    }
    for request in ["1", "2", "3"] {
        cli.done(&format!("trigger load --request-id {request}")).await;
    }
    for (request, ending) in
        [("1", Ending::Complete("null".into())), ("2", Ending::Fail("no luck".into())), ("3", Ending::ContinueAsNew)]
    {
        worker.end(&run(request), ending).await.expect("it ends");
    }
    let fired = async |id: &str| cli.json(&format!("get {id}")).await["status"]["counts"]["fired"].as_u64();
    for (id, times) in [("success", 1), ("failure", 1), ("any", 2)] {
        eventually(&format!("{id} fires"), async || (fired(id).await? == times).then_some(())).await;
    }
    // What goes on as another has not ended; and what ends while nobody looks is found.
    node.kill().await;
    worker.end(&run("3"), Ending::Complete("null".into())).await.expect("it ends");
    node.start_again().await;
    for (id, times) in [("success", 2), ("failure", 1), ("any", 3)] {
        eventually(&format!("{id} fires again"), async || (fired(id).await? == times).then_some(())).await;
    }
    node.kill().await;
    node.start_again().await;
    let found: Vec<Value> = cli.list("occurrences any --last 0").await;
    assert!(found.len() == 3 && found.iter().all(|one| text(one, "firing_key").starts_with("t:")), "{found:?}");
    // A second after the run has ended by Temporal's clock, not after that was known here.
    let started = ids(&scene.workflows("default", "flintwheel:default:any:", 3).await);
    let mut expected: Vec<String> = found.iter().map(|one| text(one, "workflow_id").to_owned()).collect();
    expected.sort();
    assert_eq!(started, expected);
    let refused = cli.words(&["apply", "-f", "-"], &definition("load", "{schedule: {after: {definition: any}}}")).await;
    let refused = refused.with_code(4);
    assert!(refused.err.contains("any, which comes after load: each run would set off the next"), "{refused:?}");
}

/// When a run has ended, by Temporal's clock, in microseconds as everything is here.
async fn ended_at(scene: &Scene, workflow_id: &str) -> DateTime<Utc> {
    let history = scene.history("default", workflow_id).await;
    let last = history.last().expect("it has begun");
    let time: DateTime<Utc> = text(last, "eventTime").parse().expect("a time");
    time.trunc_subsecs(6)
}

/// Nominal times that have fired, oldest first.
async fn nominal_times(cli: &Cli, id: &str) -> Vec<DateTime<Utc>> {
    let found = cli.list(&format!("occurrences {id} --last 0 --outcome fired")).await;
    let nominal = found.iter().map(|one| text(one, "firing_key").trim_start_matches("t:").parse().expect("a time"));
    let mut times: Vec<DateTime<Utc>> = nominal.collect();
    times.sort_unstable();
    times
}

#[tokio::test]
async fn a_node_that_is_killed_between_a_runs_end_and_the_end_of_a_delay_starts_the_next_run_once() {
    let scene = Scene::open(&[]).await;
    let mut node = scene.node("server").await;
    let cli = node.cli();
    let mut worker = HandWorker::new(scene.temporal.address(), "default", QUEUE).expect("an address");
    cli.apply(&definition("load", "{event: {types: nothing}}")).await;
    let waits = [("report", 1), ("mail", 6)];
    for (id, delay) in waits {
        cli.apply(&definition(id, &format!("{{schedule: {{after: {{definition: load, delay: {delay}s}}}}}}"))).await;
    }
    let mut ends = Vec::new();
    for (round, request) in ["1", "2"].into_iter().enumerate() {
        cli.done(&format!("trigger load --request-id {request}")).await;
        worker.end(&run(request), Ending::Complete("null".into())).await.expect("it ends");
        // Before it can have learned that.
        node.kill().await;
        ends.push(ended_at(&scene, &run(request)).await);
        node.start_again().await;
        let fires = async || (nominal_times(&cli, "report").await.len() > round).then_some(());
        eventually("the report is started", fires).await;
        // One has been started, the other is to come: its delay is longer than it takes until it is known.
        node.kill().await;
        node.start_again().await;
        let fires = async || (nominal_times(&cli, "mail").await.len() > round).then_some(());
        eventually("the mail is started", fires).await;
    }
    // The second round was time enough for anything that is started twice of the first.
    for (id, delay) in waits {
        let due: Vec<DateTime<Utc>> = ends.iter().map(|end| *end + TimeDelta::seconds(delay)).collect();
        assert_eq!(nominal_times(&cli, id).await, due, "{id}");
        assert_eq!(scene.workflows("default", &format!("flintwheel:default:{id}:"), 2).await.len(), 2);
    }
}

/// Enough that each of four shards has some.
const FOLLOWERS: usize = 8;
const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
async fn in_a_cluster_whose_nodes_are_killed_each_run_makes_each_definition_that_waits_due_once() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let clis: Vec<Cli> = cluster
        .nodes
        .iter()
        .map(|node| Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &node.grpc().to_string()))
        .collect();
    clis[0].apply(&definition("load", "{event: {types: nothing}}")).await;
    for number in 0..FOLLOWERS {
        clis[number % 3]
            .apply(&definition(&format!("after-{number}"), "{schedule: {after: {definition: load}}}"))
            .await;
    }
    for gone in 0..ROUNDS {
        let left = (gone + 1) % 3;
        clis[left].done(&format!("trigger load --request-id before-{gone}")).await;
        // Its end may be known by now, and told to some, to all or to none.
        cluster.nodes[gone].kill().await.expect("killed");
        clis[left].done(&format!("trigger load --request-id after-{gone}")).await;
        for number in 0..FOLLOWERS {
            let id = format!("after-{number}");
            let fires = async || (nominal_times(&clis[left], &id).await.len() >= 2 * gone + 2).then_some(());
            eventually(&format!("{id} fires after both runs of round {gone}"), fires).await;
        }
        cluster.nodes[gone].start_again().await.expect("it starts");
        cluster.settle().await.expect("at rest");
    }
    // What is told once more is told after this at the latest.
    clis[0].done("trigger load --request-id last").await;
    for number in 0..FOLLOWERS {
        let id = format!("after-{number}");
        let fires = async || (nominal_times(&clis[0], &id).await.len() > 2 * ROUNDS).then_some(());
        eventually(&format!("{id} fires after the last run"), fires).await;
        let account = clis[0].list(&format!("occurrences {id} --last 0")).await;
        assert_eq!(account.len(), 2 * ROUNDS + 1, "{id}: {account:?}");
    }
}
