//! Requests that are sent again, by a client whose connection broke before the answer or by whoever keeps the id: done once, through every door.

use std::net::SocketAddr;
use std::time::Duration;

use flintwheel_client::{Applied, ApplyOptions, ApplyOutcome, Client, Options};
use flintwheel_model::DefinitionKey;
use serde_json::{Value, json};
use tokio::io::{copy, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::support::{Answer, LONG, Request, Running, definition, document, on_event};

const X: &str = "/v1/namespaces/default/definitions/x";

/// A way to a door that brings nothing back on its first connection, until that is cut.
async fn lossy(door: SocketAddr, cut: oneshot::Receiver<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.expect("connects");
        let mut server = TcpStream::connect(door).await.expect("connects");
        let (mut asked, _answers) = client.split();
        let (_lost, mut to_server) = server.split();
        tokio::select! {
            copied = copy(&mut asked, &mut to_server) => panic!("the client has left: {copied:?}"),
            _ = cut => {}
        }
        drop((client, server));
        loop {
            let (mut client, _) = listener.accept().await.expect("connects");
            let mut server = TcpStream::connect(door).await.expect("connects");
            // It ends as the test does.
            tokio::spawn(async move { _ = copy_bidirectional(&mut client, &mut server).await });
        }
    });
    address
}

/// What a client is told of a call whose first answer was lost, and before whose second try others did something.
async fn told<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    node: &Running,
    call: impl FnOnce(Client) -> F,
    done: impl Fn(&Value) -> bool,
    others: impl AsyncFnOnce(),
) -> T {
    let (cut, cutting) = oneshot::channel();
    let address = lossy(node.grpc, cutting).await;
    let client = Client::new(&[address.to_string()], Options::default()).expect("an address");
    let told = tokio::spawn(call(client));
    let seen = async {
        while !done(&shown(node).await) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, seen).await.expect("it is done");
    others().await;
    cut.send(()).expect("it waits");
    tokio::time::timeout(LONG, told).await.expect("it is told").expect("no panic")
}

/// The definition, or null.
async fn shown(node: &Running) -> Value {
    let answer = node.get(X).await;
    if answer.status == 200 { answer.json() } else { Value::Null }
}

fn versions(applied: &Applied) -> (ApplyOutcome, u64, u64) {
    (applied.outcome, applied.old_version, applied.new_version)
}

async fn put(node: &Running, parameters: &str, event: &str) -> Answer {
    node.json("PUT", &format!("{X}{parameters}"), &document("x", on_event(event))).await
}

async fn delete(node: &Running, parameters: &str) -> Answer {
    node.http(Request { method: "DELETE", path: &format!("{X}{parameters}"), ..Request::default() }).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_answer_was_lost_asks_again_and_undoes_nothing() {
    let node = Running::start().await;
    let key = || DefinitionKey::new("default", "x");
    let of_version = |version: u64| move |shown: &Value| shown["status"]["version"] == version;

    let call =
        |client: Client| async move { client.apply(&definition("x", on_event("t")), ApplyOptions::default()).await };
    let applied = told(&node, call, of_version(1), async || _ = put(&node, "", "u").await).await.expect("applied");
    assert_eq!(versions(&applied), (ApplyOutcome::Created, 0, 1));
    assert_eq!(shown(&node).await["status"]["version"], 2);

    let call = |client: Client| async move {
        client.apply_many(&[definition("x", on_event("v"))], false, &mut |_, _| ()).await
    };
    let applied =
        told(&node, call, of_version(3), async || _ = delete(&node, "").await).await.remove(0).expect("applied");
    assert_eq!(versions(&applied), (ApplyOutcome::Configured, 2, 3));
    assert_eq!(shown(&node).await, Value::Null, "what is deleted stays so");

    put(&node, "", "t").await;
    let call = move |client: Client| async move { client.pause(&key(), "why").await };
    let resume = async || _ = node.post(&format!("{X}:resume"), &json!({})).await;
    let paused = told(&node, call, |shown| shown["status"]["paused"].is_object(), resume).await.expect("paused");
    assert!(paused.changed && paused.status.paused.is_none(), "it was, and is not any more: {paused:?}");

    let call = move |client: Client| async move { client.delete(&key(), false).await };
    let deleted = told(&node, call, Value::is_null, async || _ = put(&node, "", "u").await).await;
    assert_eq!(deleted.expect("deleted"), 1);
    assert_eq!(shown(&node).await["status"]["version"], 1, "what was made since is not deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_the_id_may_ask_again_through_any_door() {
    let node = Running::start().await;
    let created = put(&node, "?request_id=r1", "t").await;
    put(&node, "", "u").await;
    let again = put(&node, "?requestId=r1", "t").await;
    assert_eq!((again.status, again.header("etag"), again.json()), (201, Some("\"1\""), created.json()));
    let client = node.client().with_request_id("r1");
    let applied = client.apply(&definition("x", on_event("t")), ApplyOptions::default()).await.expect("known");
    assert_eq!(versions(&applied), (ApplyOutcome::Created, 0, 1));
    let many = client.apply_many(&[definition("x", on_event("t"))], false, &mut |_, _| ()).await;
    assert_eq!(many, [Ok(applied)]);
    let batch = json!({"items": [{"definition": document("x", on_event("t")), "request_id": "r1"}]});
    let batch = node.post("/v1/definitions:batch", &batch).await.json();
    assert_eq!(batch["results"][0]["applied"], created.json());
    assert_eq!(shown(&node).await["status"]["version"], 2);

    for (verb, opposite, request_id) in [("pause", "resume", "r2"), ("resume", "pause", "r3")] {
        let body = json!({"note": "why", "request_id": request_id});
        let first = node.post(&format!("{X}:{verb}"), &body).await.json();
        assert_eq!(first["changed"], true, "{verb}");
        node.post(&format!("{X}:{opposite}"), &json!({})).await;
        let again = node.post(&format!("{X}:{verb}"), &body).await.json();
        assert_eq!((&again["changed"], again["status"]["paused"].is_null()), (&json!(true), verb == "pause"));
        node.post(&format!("{X}:{verb}"), &json!({})).await;
    }
    let key = DefinitionKey::new("default", "x");
    let client = node.client().with_request_id("r4");
    assert_eq!(client.delete(&key, false).await, Ok(2));
    put(&node, "", "t").await;
    assert_eq!(client.delete(&key, false).await, Ok(2));
    assert_eq!(
        (delete(&node, "?request_id=r4").await.json(), shown(&node).await.is_null()),
        (json!({"version": 2}), false)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_cannot_be_used_is_refused_by_name() {
    let node = Running::start().await;
    put(&node, "?request_id=r1", "t").await;
    let long = "x".repeat(129);
    for (request_id, told) in [
        (&*long, "129 bytes; at most 128"),
        ("a%07b", "without control characters"),
        ("r1", "was given to another request"),
    ] {
        let parameters = format!("?request_id={request_id}");
        let body = json!({"request_id": request_id.replace("%07", "\u{7}")});
        for answer in [
            put(&node, &parameters, "u").await,
            delete(&node, &parameters).await,
            node.post(&format!("{X}:pause"), &body).await,
            node.post(&format!("{X}:resume"), &body).await,
        ] {
            let problem = answer.json();
            assert_eq!((answer.status, &problem["violations"][0]["field"]), (400, &json!("request_id")), "{problem}");
            assert!(problem["violations"][0]["message"].as_str().is_some_and(|text| text.contains(told)), "{problem}");
        }
    }
    assert_eq!(shown(&node).await["status"]["version"], 1);
}
