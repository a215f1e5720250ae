//! Schedules of a real Temporal: what is said of them, and how they move here and back.

use flintwheel_loadtest::process::test_server;
use serde_json::Value;
use temporalio_common::protos::temporal::api::common::v1::{Header, Payload, Priority, WorkflowType};
use temporalio_common::protos::temporal::api::sdk::v1::UserMetadata;
use temporalio_common::protos::temporal::api::taskqueue::v1::TaskQueue;
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::Override;
use temporalio_common::protos::temporal::api::workflow::v1::{NewWorkflowExecutionInfo, VersioningOverride};

use super::support::{Cli, Node, Scene, assert_no_gap, command, eventually, payload, text};

struct Stage {
    scene: Scene,
    /// It runs as long as this is held.
    _node: Node,
    cli: Cli,
}

impl Stage {
    async fn open() -> Self {
        let scene = Scene::open(&[]).await;
        let node = scene.node("server").await;
        let address = scene.temporal.address().to_string();
        let cli = node.cli().with("FLINTWHEEL_TEMPORAL_ADDRESS", &address);
        Self { scene, _node: node, cli }
    }

    /// Runs `temporal schedule`; what it prints.
    async fn schedule(&self, words: &[&str]) -> String {
        let program = test_server("temporal", "FLINTWHEEL_TEMPORAL_CLI").expect("installed");
        let mut temporal = command(&program, self.scene.path());
        temporal.arg("schedule").args(words).args(["--address", &self.scene.temporal.address().to_string()]);
        let said = temporal.output().await.expect("it runs");
        assert!(said.status.success(), "{words:?}: {said:?}");
        String::from_utf8(said.stdout).expect("text")
    }

    async fn create(&self, id: &str, more: &[&str]) {
        let start = ["--workflow-id", &format!("there-{id}"), "--type", "T", "--task-queue", "nobody"];
        self.schedule(&[&["create", "--schedule-id", id], &start[..], more].concat()).await;
    }

    /// A schedule as Temporal describes it.
    async fn described(&self, id: &str) -> Value {
        serde_json::from_str(&self.schedule(&["describe", "--schedule-id", id, "-o", "json"]).await).expect("JSON")
    }

    /// The only line of what `import temporal` says.
    async fn import(&self, line: &str) -> Value {
        self.cli.list(&format!("import temporal {line}")).await.remove(0)
    }

    /// Due times of what either side has started of a schedule, in order: one that was started twice stands twice.
    async fn started(&self, id: &str, least: usize) -> Vec<String> {
        let (there, here) = (format!("there-{id}-"), format!("flintwheel:default:{id}:t:"));
        let client = self.scene.temporal.client().expect("a client");
        eventually(&format!("{least} starts of {id}"), async || {
            let all = client.list("default").await.unwrap_or_default();
            let due = |id: &str| Some(id.strip_prefix(&there).or_else(|| id.strip_prefix(&here))?.to_owned());
            let mut found: Vec<String> = all.iter().filter_map(|line| due(&line.workflow_id)).collect();
            found.sort();
            (found.len() >= least).then_some(found)
        })
        .await
    }
}

#[tokio::test]
async fn each_schedule_is_said_to_be_equal_to_differ_or_not_to_fit() {
    let stage = Stage::open().await;
    stage.create("equal", &["--interval", "1h/5m", "--input", "{\"a\": \"{{ b }}\"}", "--memo", "m=1"]).await;
    stage.create("Moved By Jitter", &["--cron", "0 9 * * mon-fri", "--jitter", "5m"]).await;
    stage.create("berlin", &["--cron", "30 1 * * *", "--time-zone", "Europe/Berlin"]).await;
    stage.create("few", &["--interval", "1h", "--remaining-actions", "3", "--overlap-policy", "BufferOne"]).await;
    stage.create("told", &["--interval", "1h", "--static-summary", "of {{ a }}", "--static-details", "# b"]).await;
    let sealed = ["--input", "AAEC", "--input-base64", "--input-meta", "encoding=binary/encrypted"];
    stage.create("sealed", &[&["--interval", "1h"], &sealed[..]].concat()).await;
    // Its list lags behind.
    let all = eventually("six schedules are listed", async || {
        let said = stage.cli.run("import temporal -o json").await.json();
        Some(said.as_array()?.clone()).filter(|all| all.len() == 6)
    })
    .await;
    let found = |id: &str| all.iter().find(|one| one["schedule"] == id).unwrap_or_else(|| panic!("no {id} in {all:?}"));
    let says = |id: &str, weight: &str, name: &str| {
        let findings = found(id)["findings"].as_array().expect("findings").clone();
        findings.into_iter().any(|one| one["weight"] == weight && one["name"] == name)
    };
    assert_eq!(text(found("equal"), "outcome"), "equal");
    assert_eq!(text(found("Moved By Jitter"), "outcome"), "differs");
    assert!(text(&found("Moved By Jitter")["definition"], "id").starts_with("moved-by-jitter-"));
    assert!(says("Moved By Jitter", "differs", "jitter") && says("Moved By Jitter", "differs", "schedule_id"));
    assert!(says("berlin", "differs", "due_times"));
    assert!(says("few", "differs", "remaining_actions"));
    assert_eq!(text(found("told"), "outcome"), "equal");
    assert_eq!(text(found("sealed"), "outcome"), "lost");
    assert!(says("sealed", "lost", "input"));

    stage.cli.run("import temporal --out written").await.with_code(4);
    stage.cli.done("import temporal sealed --out written --without input").await;
    stage.cli.done("apply -f written --dry-run=server").await;
    assert_eq!(std::fs::read_dir(stage.scene.path().join("written")).expect("a folder").count(), 6);
    let stored = stage.import("equal --apply --label team=a").await;
    assert_eq!(text(&stored, "outcome"), "stored");
    let record = stage.cli.json("get equal").await;
    assert_eq!(record["spec"]["enabled"], false);
    assert_eq!(record["metadata"]["labels"]["team"], "a");
    assert_eq!(record["spec"]["trigger"]["schedule"]["interval"][0]["phase"], "5m");
    assert_eq!(record["spec"]["start_workflow"]["memo"]["m"], 1);
    let none = stage.cli.run("import temporal nobody").await.with_code(3);
    assert!(none.err.contains("schedule nobody: temporal: not found"), "{none:?}");
}

#[tokio::test]
async fn a_schedule_moves_here_and_back_and_each_due_time_is_started_once() {
    let stage = Stage::open().await;
    stage.create("tick", &["--interval", "1s", "--overlap-policy", "AllowAll", "--notes", "of the test"]).await;
    stage.started("tick", 3).await;
    assert_eq!(text(&stage.import("tick --switch-over").await, "outcome"), "moved");
    assert_eq!(text(&stage.import("tick --switch-over").await, "outcome"), "moved_before");
    let described = stage.described("tick").await;
    assert_eq!(described["schedule"]["state"]["paused"], true);
    assert!(text(&described["schedule"]["state"], "notes").starts_with("moved to flintwheel default/tick (seen "));
    let before = stage.started("tick", 0).await.len();
    stage.started("tick", before + 4).await;

    assert_eq!(text(&stage.import("tick --back").await, "outcome"), "back");
    assert_eq!(text(&stage.import("tick --back").await, "outcome"), "not_moved");
    assert_eq!(text(&stage.described("tick").await["schedule"]["state"], "notes"), "of the test");
    let record = stage.cli.json("get tick").await;
    assert_eq!(text(&record["status"]["paused"], "note"), "went back to Temporal's schedule default/tick");
    let before = stage.started("tick", 0).await.len();
    stage.started("tick", before + 4).await;

    // And here again.
    assert_eq!(text(&stage.import("tick --switch-over").await, "outcome"), "moved");
    let before = stage.started("tick", 0).await.len();
    let all = stage.started("tick", before + 4).await;
    // The list lags behind by a second or so: what is newest may not be there, and what came before it may come after.
    let settled = &all[..all.len() - 2];
    let again = stage.started("tick", all.len() + 3).await;
    assert_eq!(&again[..settled.len()], settled, "what was listed stays");
    assert_no_gap(&again[..again.len() - 3]);
}

#[tokio::test]
async fn what_has_fired_here_is_not_started_there_when_jitter_would_have_it_later() {
    let stage = Stage::open().await;
    stage.create("late", &["--interval", "20s", "--jitter", "19s", "--overlap-policy", "AllowAll"]).await;
    assert_eq!(text(&stage.import("late --switch-over").await, "outcome"), "moved");
    // Here it fires when it is due; there it would up to nineteen seconds later.
    let mut record = stage.cli.json("get late").await;
    record["spec"]["trigger"]["schedule"].as_object_mut().expect("a schedule").remove("jitter").expect("it has one");
    stage.cli.apply(&record.to_string()).await;
    let here = stage.scene.workflows("default", "flintwheel:default:late:t:", 1).await.len();
    let here = stage.scene.workflows("default", "flintwheel:default:late:t:", here + 1).await;
    let last = here.iter().filter_map(|line| line.workflow_id.split_once(":t:")).map(|(_, due)| due).max();

    assert_eq!(text(&stage.import("late --back").await, "outcome"), "back");
    let all = eventually("the next one is started there", async || {
        let all = stage.started("late", 0).await;
        (all.last().map(String::as_str) > last).then_some(all)
    })
    .await;
    assert!(all.is_sorted_by(|one, next| one < next), "one was started on both sides: {all:?}");
}

fn json(value: &str) -> Payload {
    let metadata = [("encoding".to_owned(), b"json/plain".to_vec())].into();
    Payload { metadata, data: value.as_bytes().to_vec(), ..Payload::default() }
}

#[tokio::test]
async fn what_a_moved_schedule_starts_has_all_that_it_had_before() {
    let stage = Stage::open().await;
    let start = NewWorkflowExecutionInfo {
        workflow_id: "there-rich".to_owned(),
        workflow_type: Some(WorkflowType { name: "T".to_owned() }),
        task_queue: Some(TaskQueue { name: "nobody".to_owned(), ..TaskQueue::default() }),
        user_metadata: Some(UserMetadata {
            summary: Some(json("\"of {{ all }} regions\"")),
            details: Some(json("\"# ü\\n\\\"b\\\"\"")),
        }),
        priority: Some(Priority { priority_key: 2, fairness_key: "{{ eu }}".to_owned(), fairness_weight: 0.1 }),
        versioning_override: Some(VersioningOverride {
            r#override: Some(Override::AutoUpgrade(true)),
            ..VersioningOverride::default()
        }),
        header: Some(Header { fields: [("tenant".to_owned(), json("{\"id\":7,\"of\":\"{{ eu }}\"}"))].into() }),
        ..NewWorkflowExecutionInfo::default()
    };
    stage.scene.temporal.client().expect("a client").create_schedule("default", "rich", start).await.expect("created");
    stage.started("rich", 1).await;
    let moved = stage.import("rich --switch-over").await;
    assert_eq!(text(&moved, "outcome"), "moved", "{moved}");
    let told = moved["findings"].as_array().expect("findings").iter().filter(|one| one["weight"] != "note");
    let told: Vec<_> = told.map(|one| (text(one, "weight"), text(one, "name"))).collect();
    assert_eq!(told, [("differs", "versioning_override")]);

    let there = stage.scene.workflows("default", "there-rich-", 1).await.remove(0).workflow_id;
    let here = stage.scene.workflows("default", "flintwheel:default:rich:t:", 1).await.remove(0).workflow_id;
    let (there, here) =
        (stage.scene.history("default", &there).await.remove(0), stage.scene.history("default", &here).await.remove(0));
    assert_eq!(payload(&here["userMetadata"]["summary"]), "of {{ all }} regions");
    assert_eq!(here["userMetadata"], there["userMetadata"]);
    let started = |event: &Value| event["workflowExecutionStartedEventAttributes"].clone();
    let (there, here) = (started(&there), started(&here));
    assert_eq!(payload(&here["header"]["fields"]["tenant"])["of"], "{{ eu }}");
    for (field, part, expected) in
        [("priority", "priorityKey", Value::from(2)), ("versioningOverride", "autoUpgrade", Value::from(true))]
    {
        assert_eq!(here[field][part], expected, "{here}");
    }
    // The server's scheduler keeps an override, and starts without it.
    for field in ["priority", "header"] {
        assert_eq!(here[field], there[field], "{field}");
    }
}

#[tokio::test]
async fn a_move_that_was_interrupted_is_finished_by_saying_it_again() {
    let stage = Stage::open().await;
    stage.create("tick", &["--interval", "1s", "--overlap-policy", "AllowAll"]).await;
    let first = stage.started("tick", 3).await;
    // As whoever was killed after the pause leaves it.
    let seen = first.last().expect("one").replace('Z', ".000000Z");
    let note = format!("moved to flintwheel default/tick (seen {seen}, 0 passed over): own");
    stage.schedule(&["toggle", "--schedule-id", "tick", "--pause", "--reason", &note]).await;
    eventually("it is paused", async || {
        (stage.described("tick").await["schedule"]["state"]["paused"] == true).then_some(())
    })
    .await;
    let other = stage.cli.run("import temporal tick --switch-over -n other").await.with_code(7);
    assert!(other.err.contains("it has moved to default/tick already"), "{other:?}");
    assert_eq!(text(&stage.import("tick --switch-over").await, "outcome"), "moved");
    assert_eq!(stage.cli.json("get tick").await["metadata"]["name"], "own");
    let before = stage.started("tick", 0).await.len();
    let all = stage.started("tick", before + 6).await;
    assert_no_gap(&all[..all.len() - 3]);
}

#[tokio::test]
async fn what_is_paused_stays_paused_and_what_fires_already_is_left_alone() {
    let stage = Stage::open().await;
    stage.create("still", &["--interval", "1s", "--paused", "--notes", "on holiday"]).await;
    stage.create("taken", &["--interval", "1h"]).await;
    assert_eq!(text(&stage.import("still --switch-over").await, "outcome"), "moved");
    let record = stage.cli.json("get still").await;
    assert_eq!(text(&record["status"]["paused"], "note"), "on holiday");
    assert_eq!(text(&stage.import("still --back").await, "outcome"), "back");
    let state = stage.described("still").await["schedule"]["state"].clone();
    assert_eq!((&state["paused"], &state["notes"]), (&Value::Bool(true), &Value::String("on holiday".to_owned())));
    assert!(stage.started("still", 0).await.is_empty(), "nothing was due");

    // Who has paused it since does not want it to go on, wherever it is.
    stage.create("held", &["--interval", "1s", "--overlap-policy", "AllowAll", "--notes", "of the test"]).await;
    assert_eq!(text(&stage.import("held --switch-over").await, "outcome"), "moved");
    stage.cli.words(&["pause", "held", "--note", "incident 7"], "").await.with_code(0);
    let back = stage.import("held --back").await;
    assert_eq!((text(&back, "outcome"), text(&back, "detail")), ("back", "paused, as it was here"));
    let state = stage.described("held").await["schedule"]["state"].clone();
    assert_eq!((&state["paused"], &state["notes"]), (&Value::Bool(true), &Value::String("incident 7".to_owned())));
    let record = stage.cli.json("get held").await;
    assert_eq!(text(&record["status"]["paused"], "note"), "went back to Temporal's schedule default/held");
    assert_eq!(text(&stage.import("held --back").await, "outcome"), "not_moved");
    assert_eq!(text(&stage.import("held --switch-over").await, "outcome"), "moved");
    let record = stage.cli.json("get held").await;
    assert_eq!(text(&record["status"]["paused"], "note"), "incident 7", "paused, as it was there");

    let definition = "apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {id: taken}\n\
        spec: {trigger: {schedule: {interval: {every: 2h}}}, start_workflow: {type: T, task_queue: q}}\n";
    stage.cli.apply(definition).await;
    for (option, message) in
        [("--switch-over", "both would start the same"), ("--apply", "is there already, and enabled")]
    {
        let said = stage.cli.run(&format!("import temporal taken {option}")).await.with_code(7);
        assert!(said.err.contains(message), "{said:?}");
    }
    assert_ne!(stage.described("taken").await["schedule"]["state"]["paused"], true);
}
