//! Definitions with tasks and with a workflow of one's own, run by real workers, and what is told about it afterwards.

use serde_json::{Value, json};

use super::support::{Cli, Scene, eventually, payload, payloads, text};

/// A child workflow, then an activity, every second; with a context that names a town.
fn sync(town: &str) -> String {
    format!(
        r#"
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{namespace: ops, id: sync}}
spec:
  trigger: {{schedule: {{interval: {{every: 1s}}}}}}
  context_sources:
    - name: warehouse
      static: {{name: {town}, due: "{{{{ scheduled_for }}}}"}}
  task_templates:
    - name: remind
      workflow: {{type: SendReminder, task_queue: examples}}
      params: {{customer: Grace, about: "stock of {{{{ context.warehouse.name }}}}", friendly: true}}
    - name: note
      depends_on: [remind]
      activity: {{type: Notify, task_queue: examples}}
      params: {{to: "{{{{ context.warehouse.name }}}}", text: "the reminder is out"}}
    - name: never
      when: context.warehouse.name == "Atlantis"
      activity: {{type: Notify, task_queue: examples}}
"#
    )
}

/// The first completed run of a version.
async fn completed(cli: &Cli, version: u64) -> Value {
    eventually(&format!("a completed run of version {version}"), async || {
        let runs = cli.list("runs ops/sync --status completed --limit 0").await;
        runs.into_iter().rev().find(|run| run["version_used"] == version)
    })
    .await
}

fn check(run: &Value, town: &str) {
    let (due, workflow_id) = (text(run, "scheduled_for"), text(run, "workflow_id"));
    assert_eq!(workflow_id, format!("flintwheel:ops:sync:t:{due}"));
    assert_eq!((text(run, "namespace"), text(run, "id"), text(run, "trigger_kind")), ("ops", "sync", "time"));
    assert_eq!((text(run, "status"), text(run, "error")), ("completed", ""));
    assert!(
        !text(run, "run_id").is_empty() && text(run, "fired_at").trim_end_matches('Z') >= due.trim_end_matches('Z'),
        "{run}"
    );
    assert_eq!(run["context_snapshot"], json!({"warehouse": {"name": town, "due": due}}));
    let tasks: Vec<_> = run["tasks_spawned"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|task| ["name", "kind", "type", "status"].map(|field| text(task, field)))
        .collect();
    assert_eq!(
        tasks[..2],
        [["remind", "workflow", "SendReminder", "completed"], ["note", "activity", "Notify", "completed"]]
    );
    assert_eq!(text(&run["tasks_spawned"][0], "id"), format!("{workflow_id}/remind"));
}

#[tokio::test]
async fn tasks_run_and_each_run_says_with_which_version_and_context() {
    let scene = Scene::open(&[]).await;
    let (_worker, worker_log) = scene.worker();
    let mut node = scene.node("dev").await;
    let cli = node.cli();

    cli.apply(&sync("Berlin")).await;
    let first = completed(&cli, 1).await;
    check(&first, "Berlin");
    let workflow_id = text(&first, "workflow_id");
    let found = scene.workflows("default", workflow_id, 2).await;
    let mut found: Vec<_> = found.iter().map(|line| (line.workflow_id.as_str(), line.workflow_type.as_str())).collect();
    found.sort_unstable();
    let child = format!("{workflow_id}/remind");
    assert_eq!(found, [(workflow_id, "RunActivity"), (child.as_str(), "SendReminder")]);
    let said = std::fs::read_to_string(&worker_log).expect("a log");
    for line in ["to Grace: Dear Grace, please remember: stock of Berlin", "to Berlin: the reminder is out"] {
        assert!(said.contains(line), "{said}");
    }

    assert!(cli.apply(&sync("Hamburg")).await.contains("configured (version 1 -> 2)"));
    check(&completed(&cli, 2).await, "Hamburg");
    cli.done("pause ops/sync").await;
    check(&completed(&cli, 1).await, "Berlin");

    let run_id = text(&first, "run_id");
    for (line, expected) in [
        ("runs ops/sync", "2 completed"),
        ("runs -n ops -o wide", workflow_id),
        ("runs -n ops --limit 0 -o name", &format!("run/{run_id}\n")),
        ("runs -n ops --limit 0 -o yaml", &format!("run_id: {run_id}\n")),
    ] {
        let out = cli.done(line).await;
        assert!(out.contains(expected), "{line}: {out}");
    }
    assert_eq!(cli.list("runs -n nowhere").await, Vec::<Value>::new());
    assert_eq!(node.stop().await.code(), Some(0), "{}", node.log());
}

const REPORT: &str = r#"
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: billing, id: report}
spec:
  trigger:
    event: {types: com.example.month.closed}
  start_workflow:
    type: NightlyReport
    task_queue: examples
    input: [{region: "{{ event.data.region }}", day: "{{ event.data.day }}", pages: "{{ event.data.pages }}"}]
    memo: {definition: "{{ definition.id }} v{{ definition.version }}"}
    execution_timeout: 5m
    summary: "{{ event.data.region }} up to {{ event.data.day }}"
    details: "{{ event.data.pages }}"
    priority: {priority_key: 1, fairness_key: "{{ event.data.region }}", fairness_weight: 2}
    header: {region: {name: "{{ event.data.region }}"}}
"#;

#[tokio::test]
async fn a_workflow_of_ones_own_gets_the_input_that_the_templates_make() {
    let scene = Scene::open(&[]).await;
    let (_worker, worker_log) = scene.worker();
    let cli = scene.node("server").await;
    let (node, cli) = (&cli, cli.cli());
    cli.apply(REPORT).await;
    let data = r#"{"region": "EU", "day": "2026-11-30", "pages": 3}"#;
    let event = ["publish", "-n", "billing", "--type", "com.example.month.closed", "--source", "/books", "--id", "7"];
    let said = cli.words(&[&event[..], &["--data", data]].concat(), "").await.with_code(0);
    assert_eq!(said.out, "1 event published, 1 fired\n", "{}", node.log());

    let workflow_id = "flintwheel:billing:report:e:/books|7";
    scene.workflows("default", workflow_id, 1).await;
    let event = scene.history("default", workflow_id).await.remove(0);
    assert_eq!(payload(&event["userMetadata"]["summary"]), "EU up to 2026-11-30");
    assert_eq!(payload(&event["userMetadata"]["details"]), "3");
    let started = &event["workflowExecutionStartedEventAttributes"];
    assert_eq!(started["priority"], json!({"priorityKey": 1, "fairnessKey": "EU", "fairnessWeight": 2}));
    assert_eq!(payload(&started["header"]["fields"]["region"]), json!({"name": "EU"}));
    assert_eq!(started["workflowType"]["name"], "NightlyReport");
    assert_eq!(started["taskQueue"]["name"], "examples");
    assert_eq!(payloads(&started["input"]), [json!({"region": "EU", "day": "2026-11-30", "pages": 3})]);
    assert_eq!(payload(&started["memo"]["fields"]["definition"]), "report v1");
    assert_eq!(started["workflowExecutionTimeout"], "300s");
    eventually("the worker has made the report", async || {
        let said = std::fs::read_to_string(&worker_log).expect("a log");
        said.contains("to management: the report of EU for 2026-11-30 is ready").then_some(())
    })
    .await;
    let occurrence = cli.list("occurrences billing/report").await.remove(0);
    assert_eq!(text(&occurrence, "workflow_id"), workflow_id);
}
