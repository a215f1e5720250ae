//! `RunActivity` from end to end: a real Temporal server, real child workflows and activities, a real run log.

mod support;

use flintwheel_client::{RunStatus, SpawnedTask, TaskKind, TaskStatus};
use flintwheel_orchestrator::workflow::{RunActivity, RunResult};
use serde_json::{Value, json};
use temporalio_client::errors::WorkflowGetResultError;
use temporalio_client::{
    Client, UntypedSignal, WorkflowCancelOptions, WorkflowGetResultOptions, WorkflowHandle, WorkflowSignalOptions,
};
use temporalio_common::UntypedWorkflow;
use temporalio_common::data_converters::RawValue;

use support::http::{HttpService, answer, json as json_answer};
use support::{World, argument, keep_history, orchestrator};

const ID: &str = "flintwheel:billing:reminder:e:1";

/// A task template that leaves a mark.
fn task(name: &str, kind: &str, type_name: &str, params: Value, depends_on: Value) -> Value {
    json!({"name": name, kind: {"type": type_name, "task_queue": "tasks"}, "params": params, "depends_on": depends_on})
}

fn statuses(tasks: &[SpawnedTask]) -> Vec<(&str, TaskStatus)> {
    tasks.iter().map(|task| (task.name.as_str(), task.status)).collect()
}

/// Why a run failed, as Temporal has it.
fn failure(result: Result<RunResult, WorkflowGetResultError>) -> String {
    match result {
        Err(WorkflowGetResultError::Failed(error)) => error.failure().message.clone(),
        other => panic!("{other:?}"),
    }
}

async fn open(client: &Client, id: &str) {
    let gate: WorkflowHandle<Client, UntypedWorkflow> = client.get_workflow_handle(id);
    let signal = UntypedSignal::new("open");
    gate.signal(signal, RawValue::default(), WorkflowSignalOptions::default()).await.expect("a signal");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_resolves_its_context_spawns_its_tasks_in_order_and_is_logged() {
    let service = HttpService::start(|_| json_answer(r#"{"open": true, "customer": "Ada"}"#)).await;
    let mut world = World::new().await;
    let first = task("first", "workflow", "Mark", json!({"to": "{{ context.invoice.customer }}"}), json!([]));
    let second = task("second", "workflow", "Mark", json!("{{ event.data.amount }}"), json!(["first"]));
    let third = task("third", "activity", "Leave", json!("{{ context.tone.friendly }}"), json!(["second"]));
    let mut never = task("never", "workflow", "Mark", json!("{{ not.rendered }}"), json!([]));
    never["when"] = json!("event.data.amount > 1000");
    let (result, logged) = world
        .run(
            "ordered",
            json!({
                "context_sources": [
                    {"name": "invoice", "http": {"url": service.url("/invoices/{{ event.data.id }}")}},
                    {"name": "tone", "static": {"friendly": true}},
                ],
                "task_templates": [third, never, second, first],
            }),
        )
        .await;
    assert_eq!(
        world.tasks.marks(),
        [format!(r#"{ID}/first {{"to":"Ada"}}"#), format!("{ID}/second 120"), format!("{ID}/third true")]
    );
    let tasks = result.expect("a result").tasks;
    assert_eq!(
        statuses(&tasks),
        [
            ("third", TaskStatus::Completed),
            ("never", TaskStatus::Skipped),
            ("second", TaskStatus::Completed),
            ("first", TaskStatus::Completed)
        ]
    );
    assert_eq!((tasks[0].kind, tasks[0].id.as_str()), (TaskKind::Activity, format!("{ID}/third").as_str()));
    assert_eq!(tasks[1].detail, "`when` is false: event.data.amount > 1000");
    assert!(service.requests()[0].starts_with("GET /invoices/42 "));
    assert_eq!((logged.status, logged.error.as_str(), logged.tasks_spawned), (RunStatus::Completed, "", tasks));
    assert_eq!((logged.workflow_id.as_str(), logged.version_used, logged.incarnation), (ID, 3, 7));
    assert_eq!(logged.scheduled_for.timestamp_micros(), 1_795_420_800_000_000);
    assert_eq!(logged.fired_at.timestamp_micros(), 1_795_420_800_004_000);
    assert!(logged.ended_at.is_some_and(|ended| ended >= logged.started_at));
    let context = json!({"invoice": {"open": true, "customer": "Ada"}, "tone": {"friendly": true}});
    assert_eq!(Value::Object(logged.context_snapshot), context);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_source_that_fails_ends_the_run_and_spawns_nothing() {
    let service = HttpService::start(|_| answer("404 Not Found", &[], b"")).await;
    let mut world = World::new().await;
    let url = service.url("/none?token=s3cret");
    let (result, logged) = world
        .run(
            "source-failed",
            json!({
                "context_sources": [{"name": "invoice", "http": {"url": url}}],
                "task_templates": [task("first", "workflow", "Mark", json!("x"), json!([]))],
            }),
        )
        .await;
    let why = format!("context source invoice: {}: answered 404 Not Found", service.url("/none"));
    assert_eq!(failure(result), why);
    assert_eq!((logged.status, logged.error, logged.tasks_spawned), (RunStatus::Failed, why, vec![]));
    assert_eq!(world.tasks.marks(), Vec::<String>::new());
    assert_eq!(service.requests().len(), 1, "what can't succeed is not tried again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_context_source_that_may_fail_is_null_and_one_that_fails_at_first_is_tried_again() {
    let tries = std::sync::atomic::AtomicU32::new(0);
    let service = HttpService::start(move |line| match line {
        "GET /gone" => answer("410 Gone", &[], b""),
        _ if tries.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 => answer("503 Busy", &[], b""),
        _ => answer("200 OK", &["content-type: text/plain"], b"now"),
    })
    .await;
    let world = World::new().await;
    let (result, logged) = world
        .run(
            "source-null",
            json!({"context_sources": [
                {"name": "gone", "http": {"url": service.url("/gone")}, "on_error": "null"},
                {"name": "later", "http": {"url": service.url("/later")}},
            ]}),
        )
        .await;
    assert_eq!(result.expect("a result").tasks, []);
    assert_eq!(Value::Object(logged.context_snapshot), json!({"gone": null, "later": "now"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_task_fails_the_run_and_skips_what_depends_on_it() {
    let mut world = World::new().await;
    let (result, logged) = world
        .run(
            "task-failed",
            json!({"task_templates": [
                task("breaks", "workflow", "Mark", json!("break"), json!([])),
                task("breaks-too", "activity", "Leave", json!("break"), json!([])),
                task("after", "workflow", "Mark", json!("x"), json!(["breaks"])),
                task("after-that", "activity", "Leave", json!("x"), json!(["after"])),
                task("beside", "workflow", "Mark", json!("y"), json!([])),
            ]}),
        )
        .await;
    let why = "task breaks failed: broken as told; task breaks-too failed: broken as told";
    assert_eq!(failure(result), why);
    assert_eq!((logged.status, logged.error.as_str()), (RunStatus::Failed, why));
    assert_eq!(
        statuses(&logged.tasks_spawned),
        [
            ("breaks", TaskStatus::Failed),
            ("breaks-too", TaskStatus::Failed),
            ("after", TaskStatus::Skipped),
            ("after-that", TaskStatus::Skipped),
            ("beside", TaskStatus::Completed),
        ]
    );
    assert_eq!(logged.tasks_spawned[3].detail, "depends on after, which was skipped");
    assert_eq!(world.tasks.marks(), [format!(r#"{ID}/beside "y""#)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_never_run_fails_with_its_reason() {
    let world = World::new().await;
    let spec = json!({"task_templates": [task("a", "workflow", "Mark", json!("{{ context.nobody }}"), json!([]))]});
    let orchestrator = world.orchestrate(spec).await;
    let mut gone = argument("gone");
    gone["version"] = json!(2);
    for (id, argument, why) in [
        ("gone", gone, "definition billing/reminder has no version 2"),
        ("unplanned", argument("unplanned"), "spec.task_templates[0].params: the template"),
        ("by hand", json!({"whatever": 1}), "RunActivity's argument is not one that flintwheel makes: missing field"),
    ] {
        let run = world.start(id, argument).await;
        let told = failure(run.get_result(WorkflowGetResultOptions::default()).await);
        assert!(told.starts_with(why), "{id}: {told}");
    }
    orchestrator.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_waits_for_its_definition_while_the_server_is_away() {
    let world = World::new().await;
    // With the pauses between tries growing, the last of these are timers in the history and no longer local.
    let refusals = 6;
    let orchestrator = orchestrator(world.temporal.options(), world.folder.path(), Some(json!({})), refusals).await;
    let run = world.start(ID, argument(ID)).await;
    let result = run.get_result(WorkflowGetResultOptions::default()).await;
    orchestrator.stop().await;
    keep_history(&run, "waited").await;
    assert_eq!(result.expect("a result").tasks, []);
    assert_eq!(world.only_run().await.status, RunStatus::Completed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_cancels_its_tasks_and_the_log_says_so() {
    let mut world = World::new().await;
    let orchestrator = world
        .orchestrate(json!({"task_templates": [
            task("gate", "workflow", "Gate", json!("here"), json!([])),
            task("after", "workflow", "Mark", json!("x"), json!(["gate"])),
        ]}))
        .await;
    let run = world.start(ID, argument(ID)).await;
    world.tasks.next().await;
    assert_eq!(world.only_run().await.status, RunStatus::Running, "an open run is visible");
    run.cancel(WorkflowCancelOptions::default()).await.expect("a cancellation");
    let result = run.get_result(WorkflowGetResultOptions::default()).await;
    assert!(matches!(result, Err(WorkflowGetResultError::Cancelled { .. })), "{result:?}");
    orchestrator.stop().await;
    keep_history(&run, "cancelled").await;
    let logged = world.only_run().await;
    assert_eq!(logged.status, RunStatus::Cancelled);
    assert_eq!(statuses(&logged.tasks_spawned), [("gate", TaskStatus::Cancelled), ("after", TaskStatus::Skipped)]);
    assert_eq!(world.tasks.marks(), Vec::<String>::new());
}

mod killed {
    //! An orchestrator in a process of its own, killed in the middle of a run.

    use std::process::{Child, Command, Stdio};

    use super::*;

    const TEMPORAL: &str = "FLINTWHEEL_TEST_TEMPORAL";
    const FOLDER: &str = "FLINTWHEEL_TEST_FOLDER";
    const SPEC: &str = "FLINTWHEEL_TEST_SPEC";

    #[tokio::test(flavor = "multi_thread")]
    #[ignore = "run by another test, as a process that it kills"]
    async fn orchestrator_process() {
        let variable =
            |name| std::env::var(name).unwrap_or_else(|_| panic!("{name} is set by the test that starts this"));
        let spec = serde_json::from_str(&variable(SPEC)).expect("a spec");
        let temporal = support::temporal::options(&variable(TEMPORAL));
        let _running = orchestrator(temporal, variable(FOLDER).as_ref(), Some(spec), 0).await;
        std::future::pending::<()>().await;
    }

    fn start(world: &World, spec: &Value) -> Child {
        Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "killed::orchestrator_process", "--ignored", "--nocapture"])
            .env(TEMPORAL, world.temporal.address())
            .env(FOLDER, world.folder.path())
            .env(SPEC, spec.to_string())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process")
    }

    fn kill(mut process: Child) {
        process.kill().expect("it ran until now");
        process.wait().expect("it has ended");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn another_worker_goes_on_where_a_killed_one_stopped() {
        let mut world = World::new().await;
        let spec = json!({"task_templates": [
            task("gate", "workflow", "Gate", json!("here"), json!([])),
            task("after", "activity", "Leave", json!("{{ event.data.id }}"), json!(["gate"])),
        ]});
        let first = start(&world, &spec);
        let run = world.start(ID, argument(ID)).await;
        assert_eq!(world.tasks.next().await, format!(r#"{ID}/gate "here""#));
        kill(first);
        open(&world.client, &format!("{ID}/gate")).await;
        let second = start(&world, &spec);
        let result = run.get_result(WorkflowGetResultOptions::default()).await;
        kill(second);
        keep_history(&run, "two-workers").await;
        let tasks = result.expect("a result").tasks;
        assert_eq!(statuses(&tasks), [("gate", TaskStatus::Completed), ("after", TaskStatus::Completed)]);
        assert_eq!(world.tasks.marks(), [format!(r#"{ID}/after "42""#)], "nothing ran twice");
        assert_eq!(world.only_run().await.status, RunStatus::Completed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tasks_of_an_open_run_can_be_asked_for() {
    let mut world = World::new().await;
    let gate = task("gate", "workflow", "Gate", json!("here"), json!([]));
    let orchestrator = world.orchestrate(json!({"task_templates": [gate]})).await;
    let run = world.start(ID, argument(ID)).await;
    world.tasks.next().await;
    let tasks = run.query(RunActivity::tasks, (), Default::default()).await.expect("an answer");
    assert_eq!(statuses(&tasks), [("gate", TaskStatus::Running)]);
    open(&world.client, &format!("{ID}/gate")).await;
    run.get_result(WorkflowGetResultOptions::default()).await.expect("a result");
    orchestrator.stop().await;
}
