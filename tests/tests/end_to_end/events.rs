//! Events through every door: each fires once however often and wherever it comes in, and only what matches exactly.

use flintwheel_client::convert;
use flintwheel_loadtest::http::send_with;
use flintwheel_model::event::Event;
use serde_json::{Value, json};

use super::support::{Cli, Node, Scene, ids, texts};

const ORDERS: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: shop, id: order}
spec:
  trigger:
    event: {types: [com.example.order, com.example.reorder], attributes: {source: /shop/eu, priority: high}}
  start_workflow: {type: Order, task_queue: nobody}
";

fn event(id: &str, changes: Value) -> Value {
    let mut event =
        json!({"specversion": "1.0", "id": id, "source": "/shop/eu", "type": "com.example.order", "priority": "high"});
    event.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
    event
}

/// Publishes one event through one door; answers how many firings it made, and how many it did not make again.
async fn publish(door: &str, node: &Node, event: &Value) -> (u64, u64) {
    let cli = node.cli();
    let line = format!("{event}\n");
    let counts = match door {
        "flags" => flags(&cli, event).await,
        "file" => {
            std::fs::write(cli.dir.join("event.jsonl"), &line).expect("written");
            cli.json("publish -n shop -f event.jsonl").await
        }
        "stdin" => cli.words(&["publish", "-n", "shop", "-f", "-", "-o", "json"], &line).await.with_code(0).json(),
        "grpc" => return grpc(node, event).await,
        _ => http(door, node, event).await,
    };
    let count = |field: &str| counts[field].as_u64().unwrap_or(0);
    (count("fired"), count("duplicate"))
}

async fn flags(cli: &Cli, event: &Value) -> Value {
    let attribute = |name: &str| event[name].as_str().expect("a text").to_owned();
    let priority = format!("priority={}", attribute("priority"));
    let words = ["publish", "-n", "shop", "--type", &attribute("type"), "--source", &attribute("source")];
    let more = ["--id", &attribute("id"), "--attr", &priority, "-o", "json"];
    cli.words(&[&words[..], &more[..]].concat(), "").await.with_code(0).json()
}

async fn grpc(node: &Node, event: &Value) -> (u64, u64) {
    let bytes = convert::event::encode(&Event::from_json(event.clone()).expect("an event")).expect("encoded");
    let result = node.client().publish("shop", vec![bytes]).await.expect("taken");
    (result.fired.into(), result.duplicate.into())
}

async fn http(mode: &str, node: &Node, event: &Value) -> Value {
    let attributes = event.as_object().expect("an object").iter();
    let binary: Vec<(String, &str)> =
        attributes.map(|(name, value)| (format!("ce-{name}"), value.as_str().expect("a text"))).collect();
    let binary: Vec<(&str, &str)> = binary.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let (headers, body) = match mode {
        "binary" => (binary, String::new()),
        "structured" => (vec![("content-type", "application/cloudevents+json")], event.to_string()),
        _ => (vec![("content-type", "application/cloudevents-batch+json")], json!([event]).to_string()),
    };
    let path = "/v1/namespaces/shop/events";
    let answer = send_with(node.http, "POST", path, &headers, &body).await.expect("an answer");
    assert_eq!(answer.status, 202, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

const DOORS: [&str; 7] = ["flags", "file", "stdin", "grpc", "binary", "structured", "batched"];

#[tokio::test]
async fn an_event_fires_once_through_whichever_doors_it_comes_and_only_where_all_its_attributes_match() {
    let scene = Scene::open(&[]).await;
    let node = scene.node("server").await;
    let cli = node.cli();
    cli.apply(ORDERS).await;

    for (i, door) in DOORS.into_iter().enumerate() {
        let other_door = DOORS[(i + 1) % DOORS.len()];
        assert_eq!(publish(door, &node, &event(door, json!({}))).await, (1, 0), "{door}");
        assert_eq!(publish(door, &node, &event(door, json!({}))).await, (0, 1), "{door} again");
        assert_eq!(publish(other_door, &node, &event(door, json!({}))).await, (0, 1), "{door}, then {other_door}");
        for (what, odd) in [
            ("of another type", json!({"type": "com.example.order.paid"})),
            ("from another source", json!({"source": "/shop/eu/"})),
            ("with another value", json!({"priority": "High"})),
        ] {
            assert_eq!(publish(door, &node, &event("odd", odd)).await, (0, 0), "{door}: {what}");
        }
    }
    assert_eq!(publish("stdin", &node, &event("again", json!({"type": "com.example.reorder"}))).await, (1, 0));
    let mut without = event("odd", json!({}));
    without.as_object_mut().expect("an object").remove("priority");
    assert_eq!(publish("grpc", &node, &without).await, (0, 0), "without the attribute");
    assert_eq!(
        cli.done("publish -n elsewhere --type com.example.order --source /shop/eu --attr priority=high").await,
        "1 event published, 1 matched nothing\n"
    );

    let mut expected: Vec<String> =
        DOORS.iter().chain(&["again"]).map(|id| format!("flintwheel:shop:order:e:/shop/eu|{id}")).collect();
    expected.sort();
    assert_eq!(ids(&scene.workflows("default", "flintwheel:", expected.len()).await), expected);
    assert_eq!(texts(&cli.list("occurrences -A --last 0").await, "workflow_id"), expected);
}

#[tokio::test]
async fn events_of_a_file_are_counted_and_what_is_refused_is_told_with_its_line() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    node.cli().apply(ORDERS).await;
    let lines = [
        event("1", json!({})).to_string(),
        String::new(),
        "{".to_owned(),
        event("2", json!({"type": ""})).to_string(),
        event("3", json!({"source": "/other"})).to_string(),
        event("1", json!({})).to_string(),
    ];
    let said = node.cli().words(&["publish", "-n", "shop", "-f", "-"], &lines.join("\n")).await.with_code(4);
    assert_eq!(said.out, "3 events published, 1 fired, 1 duplicate, 1 matched nothing, 2 refused\n");
    let places: Vec<&str> = said.err.lines().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(places, ["standard input:3", "standard input:4"], "{}", said.err);
}
