//! Runs that overlap, on a real Temporal: each policy, and what a run leaves to the next; with a worker that ends workflows when it is told.

use flintwheel_loadtest::hand_worker::{Ending, HandWorker, texts as results};
use serde_json::Value;

use super::support::{Cli, Node, Scene, eventually, text};

const QUEUE: &str = "by-hand";

fn definition(id: &str, schedule: &str) -> String {
    format!(
        "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{id: {id}}}
spec:
  trigger: {{schedule: {{at: 2099-01-01T00:00:00Z, {schedule}}}}}
  start_workflow: {{type: Long, task_queue: {QUEUE}, task_timeout: 2m}}
"
    )
}

fn workflow(id: &str, request: &str) -> String {
    format!("flintwheel:default:{id}:m:{request}")
}

struct Stage {
    scene: Scene,
    node: Node,
    cli: Cli,
    worker: HandWorker,
}

impl Stage {
    async fn open() -> Self {
        let scene = Scene::open(&[]).await;
        let node = scene.node("server").await;
        let cli = node.cli();
        let worker = HandWorker::new(scene.temporal.address(), "default", QUEUE).expect("an address");
        Self { scene, node, cli, worker }
    }

    async fn fire(&self, id: &str, request: &str) {
        self.cli.done(&format!("trigger {id} --request-id {request}")).await;
    }

    async fn runs(&self, id: &str) -> Value {
        self.cli.json(&format!("get {id}")).await["status"]["runs"].clone()
    }

    /// As soon as these runs are open, and have been taken by Temporal, and so many occurrences wait.
    async fn open_runs(&self, id: &str, requests: &[&str], waiting: u64) -> Value {
        let expected: Vec<String> = requests.iter().map(|request| workflow(id, request)).collect();
        eventually(&format!("{id}: {expected:?} open, {waiting} waiting"), async || {
            let runs = self.runs(id).await;
            let oldest = runs["oldest"].as_array()?;
            let started = oldest.iter().all(|run| run["started"] == true);
            let open: Vec<&str> = oldest.iter().map(|run| text(run, "workflow_id")).collect();
            (started && open == expected && runs["waiting"] == waiting).then_some(runs)
        })
        .await
    }

    /// Firing key and reason of what did not fire, oldest first.
    async fn skipped(&self, id: &str) -> Vec<String> {
        let found = self.cli.list(&format!("occurrences {id} --outcome skipped")).await;
        found.iter().rev().map(|o| format!("{} {}", text(o, "firing_key"), text(o, "reason"))).collect()
    }

    async fn end(&mut self, id: &str, request: &str, ending: Ending) {
        self.worker.end(&workflow(id, request), ending).await.expect("it ends");
    }
}

fn done() -> Ending {
    Ending::Complete("null".into())
}

#[tokio::test]
async fn what_comes_while_a_run_is_open_fires_waits_or_is_skipped_by_policy() {
    let mut stage = Stage::open().await;
    for policy in ["skip", "buffer_one", "buffer_all", "cancel_other", "terminate_other", "allow_all"] {
        let id = policy.replace('_', "-");
        // Runs of a definition that allows all are watched only if something else depends on how they end.
        stage.cli.apply(&definition(&id, &format!("overlap_policy: {policy}, carry_last_result: true"))).await;
        for request in ["1", "2", "3"] {
            stage.fire(&id, request).await;
        }
    }
    stage.open_runs("skip", &["1"], 0).await;
    stage.open_runs("buffer-one", &["1"], 1).await;
    stage.open_runs("buffer-all", &["1"], 2).await;
    stage.open_runs("allow-all", &["1", "2", "3"], 0).await;
    assert_eq!(stage.skipped("skip").await, ["m:2 overlap", "m:3 overlap"]);
    assert_eq!(stage.skipped("buffer-one").await, ["m:3 overlap"]);
    for id in ["skip", "buffer-one", "buffer-all"] {
        stage.end(id, "1", done()).await;
    }
    stage.end("allow-all", "2", done()).await;
    stage.open_runs("skip", &[], 0).await;
    stage.open_runs("buffer-one", &["2"], 0).await;
    stage.open_runs("buffer-all", &["2"], 1).await;
    stage.open_runs("allow-all", &["1", "3"], 0).await;
    stage.end("buffer-all", "2", done()).await;
    stage.open_runs("buffer-all", &["3"], 0).await;
    // It ends when it pleases; the last one that came meanwhile runs then.
    stage.end("cancel-other", "1", Ending::Cancel).await;
    for id in ["cancel-other", "terminate-other"] {
        stage.open_runs(id, &["3"], 0).await;
        assert_eq!(stage.skipped(id).await, ["m:2 replaced"]);
    }
    let detail = &stage.cli.list("occurrences skip --outcome skipped").await[0];
    assert!(text(detail, "detail").starts_with("run of m:1 open since 2"), "{detail}");
    let described = stage.cli.done("describe buffer-one").await;
    assert!(described.contains("Runs:        1 open, 0 waiting\n  flintwheel:default:buffer-one:m:2"), "{described}");
}

#[tokio::test]
async fn a_firing_by_hand_may_bring_a_policy_of_its_own_and_is_told_what_becomes_of_it() {
    let mut stage = Stage::open().await;
    stage.cli.apply(&definition("a", "overlap_policy: skip")).await;
    for (line, said) in [
        ("trigger a --request-id 1", "triggered   workflow"),
        ("trigger a --request-id 2", "skipped: a run of it is open"),
        ("trigger a --request-id 3 --overlap buffer_all", "waits for a run of it to end   workflow"),
        ("trigger a --request-id 4 --overlap allow_all", "triggered   workflow"),
    ] {
        let out = stage.cli.done(line).await;
        assert!(out.contains(said), "{line}: {out}");
    }
    let refused = stage.cli.run("trigger a --overlap sometimes").await.with_code(2);
    assert!(refused.err.contains("skip, buffer_one"), "{refused:?}");
    stage.open_runs("a", &["1", "4"], 1).await;
    let waiting = &stage.cli.list("occurrences a --reason waiting").await[0];
    assert_eq!(text(waiting, "firing_key"), "m:3");
    for request in ["1", "4"] {
        stage.end("a", request, done()).await;
    }
    stage.open_runs("a", &["3"], 0).await;
}

#[tokio::test]
async fn a_run_that_goes_on_as_another_is_the_same_and_what_waits_survives_a_restart() {
    let mut stage = Stage::open().await;
    stage.cli.apply(&definition("a", "overlap_policy: buffer_all")).await;
    for request in ["1", "2", "3"] {
        stage.fire("a", request).await;
    }
    stage.open_runs("a", &["1"], 2).await;
    stage.end("a", "1", Ending::ContinueAsNew).await;
    // The new run has a task of its own: it is there, and the first one was taken for no end.
    stage.worker.task(&workflow("a", "1")).await.expect("a task of the run that took over");
    stage.node.kill().await;
    stage.end("a", "1", done()).await;
    stage.node.start_again().await;
    stage.open_runs("a", &["2"], 1).await;
    stage.end("a", "2", done()).await;
    stage.open_runs("a", &["3"], 0).await;
    let ids = super::support::ids(&stage.scene.workflows("default", "flintwheel:", 4).await);
    assert_eq!(ids, ["1", "1", "2", "3"].map(|request| workflow("a", request)), "one of them has two runs");
}

#[tokio::test]
async fn a_failure_pauses_and_what_was_left_is_given_to_the_next_run() {
    let mut stage = Stage::open().await;
    stage
        .cli
        .apply(&definition("a", "overlap_policy: buffer_all, pause_on_failure: true, carry_last_result: true"))
        .await;
    for request in ["1", "2", "3"] {
        stage.fire("a", request).await;
    }
    stage.end("a", "1", Ending::Complete("{\"page\":7}".into())).await;
    stage.open_runs("a", &["2"], 1).await;
    let started = &stage.worker.task(&workflow("a", "2")).await.expect("a task").started;
    assert_eq!(results(started.last_completion_result.as_ref()), ["{\"page\":7}"]);
    stage.end("a", "2", Ending::Fail("no luck".into())).await;
    stage.open_runs("a", &["3"], 0).await;
    let started = &stage.worker.task(&workflow("a", "3")).await.expect("a task").started;
    assert_eq!(results(started.last_completion_result.as_ref()), ["{\"page\":7}"]);
    assert_eq!(started.continued_failure.as_ref().map(|failure| failure.message.as_str()), Some("no luck"));
    let paused = stage.cli.json("get a").await["status"]["paused"].clone();
    assert_eq!(text(&paused, "note"), format!("paused by itself: workflow {} failed: no luck", workflow("a", "2")));
}
