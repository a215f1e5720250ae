//! Where settings come from: files, variables and flags of a node, Temporal's own profiles, and those of the command line.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Cli, Node, Scene, eventually, text};

/// Value and origin of a key in `config view`.
fn setting<'a>(view: &'a str, key: &str) -> (&'a str, &'a str) {
    let line = view
        .lines()
        .find(|line| line.split_whitespace().next() == Some(key))
        .unwrap_or_else(|| panic!("{key}: {view}"));
    let mut words = line.split_whitespace().skip(1);
    (words.next().unwrap_or_default().trim_matches('"'), words.next().unwrap_or_default())
}

fn write(dir: &Path, name: &str, text: &str) {
    fs::write(dir.join(name), text).expect("written");
}

#[tokio::test]
async fn flags_win_over_variables_over_the_file_over_defaults_and_the_view_says_so() {
    let dir = tempfile::tempdir().expect("a folder");
    write(
        dir.path(),
        "flintwheel.toml",
        "shards = 8\nworkflow_prefix = \"file\"\n[temporal]\nnamespace = \"of-file\"\n",
    );
    write(dir.path(), "other.toml", "workflow_prefix = \"other\"\n\n[namespaces.billing]\ntask_queue = \"own\"\n");
    let cli = Cli::alone(dir.path())
        .with("FLINTWHEEL_TEMPORAL_NAMESPACE", "of-variable")
        .with("FLINTWHEEL_TASK_QUEUE", "of-variable")
        .with("FLINTWHEEL_TEMPORAL_API_KEY", "dontshow");
    let view = cli.run("config view --task-queue of-flag").await.with_code(0);
    for (key, value, origin) in [
        ("shards", "8", "flintwheel.toml:1"),
        ("workflow_prefix", "file", "flintwheel.toml:2"),
        ("temporal.namespace", "of-variable", "$FLINTWHEEL_TEMPORAL_NAMESPACE"),
        ("task_queue", "of-flag", "--task-queue"),
        ("account_retention", "7d", "default"),
        ("temporal.api_key", "********", "$FLINTWHEEL_TEMPORAL_API_KEY"),
    ] {
        assert_eq!(setting(&view.out, key), (value, origin), "{}", view.out);
    }
    assert!(!view.out.contains("dontshow") && view.err.is_empty(), "{view:?}");
    for cli in [cli.with("FLINTWHEEL_CONFIG", "other.toml"), cli.with("FLINTWHEEL_CONFIG", "nothing.toml")] {
        // The flag wins over the variable here too.
        let view = cli.done("config view --config other.toml").await;
        assert_eq!(setting(&view, "workflow_prefix"), ("other", "other.toml:1"));
        assert_eq!(setting(&view, "shards"), ("16", "default"));
        assert_eq!(setting(&view, "namespaces.billing.task_queue").0, "own");
    }
}

#[tokio::test]
async fn what_is_wrong_in_a_configuration_is_told_with_its_line_all_at_once() {
    let dir = tempfile::tempdir().expect("a folder");
    write(dir.path(), "keys.toml", "shrads = 8\n\n[temporal]\nadress = \"x:1\"\n[namespaces.a]\nqueue = \"q\"\n");
    write(dir.path(), "values.toml", "shards = 0\nsink = \"kafka\"\n");
    write(dir.path(), "broken.toml", "shards = 8\nsink = \n");
    let cli = Cli::alone(dir.path());
    for (line, code, expected) in [
        (
            "config view --config keys.toml",
            4,
            &["keys.toml:1: unknown key \"shrads\"; did you mean \"shards\"?", "keys.toml:4:", "keys.toml:6:"][..],
        ),
        ("config view --config values.toml", 4, &["values.toml:1: shards", "values.toml:2: sink"]),
        ("config view --config broken.toml", 4, &["broken.toml:2:"]),
        ("config view --config nothing.toml", 4, &["nothing.toml"]),
        ("server --config keys.toml", 4, &["keys.toml:1:", "keys.toml:4:", "keys.toml:6:"]),
        ("server --shards 0 --data-dir data", 4, &["--shards: shards = \"0\" is not in 1 to 4096"]),
        ("server --shard 0", 2, &["--shards"]),
    ] {
        let said = cli.run(line).await.with_code(code);
        for part in expected {
            assert!(said.err.contains(part), "{part}: {said:?}");
        }
    }
    assert!(!dir.path().join("data").exists());
}

/// A firing by hand in each of two namespaces.
const TWO: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: shop, id: a}
spec: {task_templates: [{name: x, activity: {type: X, task_queue: nobody}}]}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: billing, id: a}
spec: {task_templates: [{name: x, activity: {type: X, task_queue: nobody}}]}
";

#[tokio::test]
async fn temporals_own_profiles_are_read_and_a_namespace_may_have_a_route_of_its_own() {
    let scene = Scene::open(&["of-variable", "routed"]).await;
    let temporal = format!("[profile.prod]\naddress = \"{}\"\nnamespace = \"of-profile\"\n", scene.temporal.address());
    write(scene.path(), "temporal.toml", &temporal);
    write(
        scene.path(),
        "flintwheel.toml",
        "[namespaces.billing]\ntemporal_namespace = \"routed\"\ntask_queue = \"own\"\n",
    );
    let file = scene.path().join("temporal.toml").display().to_string();
    let variables =
        [("TEMPORAL_CONFIG_FILE", file.as_str()), ("TEMPORAL_PROFILE", "prod"), ("TEMPORAL_NAMESPACE", "of-variable")];
    let node = Node::start("server", scene.path(), &[], &variables).await;
    let cli = node.cli();
    cli.apply(TWO).await;
    for (namespace, temporal_namespace, queue) in [("shop", "of-variable", "flintwheel"), ("billing", "routed", "own")]
    {
        cli.done(&format!("trigger {namespace}/a --request-id 1 --wait")).await;
        let workflow_id = format!("flintwheel:{namespace}:a:m:1");
        let started = scene.started(temporal_namespace, &workflow_id).await;
        assert_eq!(started["taskQueue"]["name"], queue, "{started}");
        assert_eq!(started["workflowType"]["name"], "RunActivity");
    }
    let listed = eventually("targets are told", async || {
        let status = cli.json("status").await;
        status["temporal_targets"].as_array().filter(|targets| !targets.is_empty()).cloned()
    })
    .await;
    assert!(listed.iter().all(|target| target["healthy"] == true), "{listed:?}");
    profiles_of_the_client(&scene, &node).await;
}

async fn profiles_of_the_client(scene: &Scene, node: &Node) {
    let profiles = format!(
        "[profile.default]\naddress = \"{}\"\nnamespace = \"billing\"\n[profile.dead]\naddress = \"127.0.0.1:1\"\n",
        node.grpc
    );
    write(scene.path(), "client.toml", &profiles);
    write(scene.path(), "odd.toml", "[profile.default]\naddress = \"127.0.0.1:1\"\nnamespcae = \"x\"\n");
    let cli = Cli::alone(scene.path()).with("FLINTWHEEL_CLIENT_CONFIG", "client.toml");
    let namespaces = |records: Vec<Value>| -> Vec<String> {
        records.iter().map(|record| text(&record["metadata"], "namespace").to_owned()).collect()
    };
    assert_eq!(namespaces(cli.list("list").await), ["billing"]);
    assert_eq!(namespaces(cli.with("FLINTWHEEL_NAMESPACE", "shop").list("list").await), ["shop"]);
    assert_eq!(namespaces(cli.with("FLINTWHEEL_NAMESPACE", "shop").list("list -n billing").await), ["billing"]);
    for (line, code, expected) in [
        ("list --profile dead --timeout 1s", 5, "127.0.0.1:1"),
        ("list --profile nobody", 2, "nobody"),
        ("list --client-config odd.toml", 2, "line 3"),
    ] {
        let said = cli.run(line).await;
        assert!(said.code == Some(code) && said.err.contains(expected) && said.out.is_empty(), "{said:?}");
    }
}
