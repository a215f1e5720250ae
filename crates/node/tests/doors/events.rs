//! Events through the HTTP door, in all of CloudEvents' forms.

use flintwheel_client::ApplyOptions;
use flintwheel_proto::cloudevents::{CloudEvent, CloudEventBatch};
use prost::Message;
use serde_json::json;

use super::support::{Answer, Request, Running, definition, on_event};

const PATH: &str = "/v1/namespaces/default/events";

async fn node() -> Running {
    let node = Running::start().await;
    let applied = node.client().apply(&definition("a", on_event("t")), ApplyOptions::default()).await;
    applied.expect("applied");
    node
}

async fn send(node: &Running, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    node.http(Request { method: "POST", path: PATH, headers, body }).await
}

fn wire(id: &str) -> CloudEvent {
    CloudEvent {
        id: id.into(),
        source: "s".into(),
        spec_version: "1.0".into(),
        r#type: "t".into(),
        ..CloudEvent::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_form_fires_and_what_comes_again_is_dropped() {
    let node = node().await;
    let json = |id: &str| json!({"specversion": "1.0", "id": id, "source": "s", "type": "t", "data": {"a": 1}});
    let binary = |id| [("ce-specversion", "1.0"), ("ce-id", id), ("ce-source", "s"), ("ce-type", "t")];
    let typed = |media_type| [("content-type", media_type)];
    let batch = CloudEventBatch { events: vec![wire("6"), wire("7")] }.encode_to_vec();
    for (headers, body, events) in [
        (&binary("1")[..], b"".to_vec(), 1),
        (&[&binary("2")[..], &typed("application/json")].concat(), b"{\"a\":1}".to_vec(), 1),
        (&typed("application/cloudevents+json; charset=utf-8"), json("3").to_string().into_bytes(), 1),
        (&typed("application/cloudevents-batch+json"), json!([json("4"), json("5")]).to_string().into_bytes(), 2),
        (&typed("application/cloudevents-batch+json"), b"[]".to_vec(), 0),
        (&typed("application/cloudevents-batch+protobuf"), batch, 2),
        (&typed("application/cloudevents+protobuf"), wire("8").encode_to_vec(), 1),
    ] {
        for (fired, duplicate) in [(events, 0), (0, events)] {
            let answer = send(&node, headers, &body).await;
            assert_eq!(answer.status, 202, "{headers:?}: {answer:?}");
            let result = answer.json();
            let told = ["accepted", "matched", "fired", "duplicate"].map(|name| result[name].as_u64());
            assert_eq!(told, [events, events, fired, duplicate].map(Some), "{headers:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_is_the_same_whatever_door_it_comes_through() {
    let node = node().await;
    let bytes = wire("1").encode_to_vec().into();
    let first = node.client().publish("", vec![bytes]).await.expect("published");
    assert_eq!((first.fired, first.duplicate), (1, 0));
    let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "%73"), ("ce-type", "\"t\"")];
    let second = send(&node, &binary, b"").await.json();
    assert_eq!((&second["fired"], &second["duplicate"]), (&json!(0), &json!(1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_taken_in_part_is_no_success_and_says_what_was_taken() {
    let node = node().await;
    let event = |id: &str| json!({"specversion": "1.0", "id": id, "source": "s", "type": "t"});
    let mut ahead = event("2");
    ahead["time"] = json!("2999-01-01T00:00:00Z");
    let body = json!([event("1"), ahead]).to_string();
    let headers = [("content-type", "application/cloudevents-batch+json")];
    for (fired, duplicate) in [(1, 0), (0, 1)] {
        let answer = send(&node, &headers, body.as_bytes()).await;
        let told = answer.json();
        assert_eq!((answer.status, &told["violations"][0]["field"]), (400, &json!("[1].time")));
        let result = &told["result"];
        assert_eq!(
            (&result["accepted"], &result["fired"], &result["duplicate"]),
            (&json!(1), &json!(fired), &json!(duplicate))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_may_deliver_after_it_has_asked() {
    let node = Running::start().await;
    let ask = |headers| node.http(Request { method: "OPTIONS", path: PATH, headers, body: &[] });
    let answer = ask(&[("WebHook-Request-Origin", "events.example.com"), ("WebHook-Request-Rate", "100")]).await;
    assert_eq!((answer.status, answer.header("webhook-allowed-origin")), (200, Some("events.example.com")));
    assert_eq!((answer.header("webhook-allowed-rate"), answer.header("allow")), (Some("*"), Some("OPTIONS, POST")));
    let plain = ask(&[]).await;
    assert_eq!((plain.status, plain.header("webhook-allowed-origin")), (200, None));
}
