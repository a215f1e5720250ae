//! `ClusterService` and its paths, over an operator that answers what a test tells it: how wishes travel, and how refusals are told. Then the
//! doors of a node that waits for its cluster.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use flintwheel_client::{
    Client, ClusterNode, ClusterSettings, ClusterShard, ClusterState, Code, Granted, InitReply, InitRequest,
    MoveReason, NodeState, Options, PlannedStep, ReplicaRole, SettingsChange, ShardReplica, reason,
};
use flintwheel_model::Span;
use flintwheel_node::api::{OperateError, Operator};
use flintwheel_node::server::serve_waiting;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::support::{LONG, Running};

/// Writes down what was wished. Node 9 and shard 9 do not exist, node 8 can't, node 7 has no leader to ask.
#[derive(Default)]
struct Scripted(Mutex<Vec<String>>);

impl Scripted {
    fn wish(&self, node: u64, what: String) -> BoxFuture<'_, Result<Granted, OperateError>> {
        let answer = match node {
            9 => Err(OperateError::NotFound("there is no node 9".into())),
            8 => Err(OperateError::Refused("node 8 is full: make room there".into())),
            7 => Err(OperateError::Passing("nobody leads the meta group".into())),
            _ => Ok(Granted { changed: true, description: what.clone() }),
        };
        self.0.lock().expect("no panic").push(what);
        ready(answer).boxed()
    }
}

fn state() -> ClusterState {
    let node = |id: u64, name: &str| ClusterNode {
        id,
        name: name.into(),
        peer_address: format!("10.0.0.{id}:7735"),
        client_address: format!("10.0.0.{id}:7733"),
        http_address: format!("10.0.0.{id}:7734"),
        zone: None,
        state: NodeState::Up,
        alive: true,
        gone_since: None,
        epoch: 1,
        program: "0.1.0".into(),
        replicas: 1,
        leaders: 1,
        bytes: 1,
        free: 2,
        capacity: None,
        clock_ahead_ms: None,
        disk_low: false,
    };
    let replica = ShardReplica { node: 1, role: ReplicaRole::Voter, lag: Some(0), damaged: false };
    let shard =
        ClusterShard { shard: 0, replicas: vec![replica], leader: Some(1), term: 1, bytes: 1, load: 1, moving: None };
    ClusterState {
        cluster_id: "7d2f".into(),
        observed_by: 1,
        observed_at: chrono::DateTime::UNIX_EPOCH,
        settings: ClusterSettings {
            shards: 1,
            replication: 1,
            repair_after: Span::from_micros(300_000_000),
            most_moves: 4,
        },
        nodes: vec![node(1, "a"), node(2, "b"), node(8, "full"), node(9, "gone")],
        shards: vec![shard],
        moves: Vec::new(),
    }
}

impl Operator for Scripted {
    fn status(&self) -> BoxFuture<'_, Result<ClusterState, OperateError>> {
        ready(Ok(state())).boxed()
    }

    fn move_shard(&self, shard: u32, from: Option<u64>, to: u64) -> BoxFuture<'_, Result<Granted, OperateError>> {
        self.wish(to, format!("move {shard} {from:?} {to}"))
    }

    fn transfer(&self, shard: u32, to: Option<u64>) -> BoxFuture<'_, Result<Granted, OperateError>> {
        self.wish(to.unwrap_or(0), format!("transfer {shard} {to:?}"))
    }

    fn drain(&self, node: u64, drain: bool) -> BoxFuture<'_, Result<Granted, OperateError>> {
        self.wish(node, format!("drain {node} {drain}"))
    }

    fn remove(&self, node: u64, force: bool) -> BoxFuture<'_, Result<Granted, OperateError>> {
        self.wish(node, format!("remove {node} {force}"))
    }

    fn replace(&self, old: u64, new: u64) -> BoxFuture<'_, Result<Granted, OperateError>> {
        self.wish(old, format!("replace {old} {new}"))
    }

    fn rebalance(&self, dry_run: bool) -> BoxFuture<'_, Result<Vec<PlannedStep>, OperateError>> {
        let step =
            PlannedStep { shard: 0, reason: MoveReason::Rebalance, description: format!("shard 0: dry {dry_run}") };
        ready(Ok(vec![step])).boxed()
    }

    fn set_settings(&self, change: SettingsChange) -> BoxFuture<'_, Result<Granted, OperateError>> {
        self.wish(0, format!("settings {:?} {:?} {:?}", change.replication, change.repair_after, change.most_moves))
    }
}

async fn operated() -> (Running, Arc<Scripted>) {
    let operator = Arc::new(Scripted::default());
    let asked = Arc::clone(&operator);
    (Running::prepared(|api| api.set_operator(Some(asked))).await, operator)
}

/// A client that takes the first answer.
fn impatient(address: &str) -> Client {
    let options = Options { retry_for: Duration::ZERO, ..Options::default() };
    Client::new(&[address.to_owned()], options).expect("an address")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wishes_reach_the_operator_over_both_doors() {
    let (node, operator) = operated().await;
    let client = node.client();
    assert_eq!(client.cluster_state().await, Ok(state()));
    assert_eq!(node.get("/v1/cluster").await.json(), serde_json::to_value(state()).expect("JSON"));
    let change = SettingsChange { replication: Some(3), ..SettingsChange::default() };
    let granted = [
        client.move_shard(0, None, 2).await,
        client.move_shard(4_294_967_294, Some(1), 2).await,
        client.transfer_shard(0, None).await,
        client.drain_node(1).await,
        client.undrain_node(1).await,
        client.remove_node(1, true).await,
        client.replace_node(1, 2).await,
        client.change_settings(&change).await,
    ];
    assert!(granted.iter().all(|one| one.as_ref().is_ok_and(|granted| granted.changed)), "{granted:?}");
    for (path, body) in [
        ("shards/0:move", json!({"to": "b"})),
        ("shards/meta:move", json!({"from": "a", "to": 2})),
        ("shards/0:transfer", json!({})),
        ("nodes/a:drain", json!({})),
        ("nodes/1:undrain", json!({})),
        ("nodes/1:remove", json!({"force": true})),
        ("nodes/a:replace", json!({"with": "b"})),
    ] {
        let answer = node.post(&format!("/v1/cluster/{path}"), &body).await;
        assert_eq!((answer.status, &answer.json()["changed"]), (200, &Value::Bool(true)), "{path}: {answer:?}");
    }
    let set = node.json("PATCH", "/v1/cluster/settings", &json!({"replication": 3})).await;
    assert_eq!(set.status, 200, "{set:?}");
    let wishes = operator.0.lock().expect("no panic").clone();
    assert_eq!(wishes[..8], wishes[8..], "both doors say the same");
    assert_eq!(wishes[..3], ["move 0 None 2", "move 4294967294 Some(1) 2", "transfer 0 None"]);

    for dry_run in [true, false] {
        let steps = client.rebalance(dry_run).await.expect("a plan");
        assert_eq!(steps[0].description, format!("shard 0: dry {dry_run}"));
        let plan = node.post("/v1/cluster:rebalance", &json!({"dryRun": dry_run})).await.json();
        assert_eq!(plan, json!({"steps": steps}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_with_what_to_do() {
    let (node, _) = operated().await;
    let client = impatient(&node.grpc.to_string());
    for (id, code, reason, told) in [
        (9, Code::NotFound, reason::NOT_FOUND, "there is no node 9"),
        (8, Code::FailedPrecondition, reason::REFUSED, "node 8 is full: make room there"),
        (7, Code::Unavailable, reason::NOT_LEADER, "nobody leads the meta group"),
        (0, Code::InvalidArgument, reason::INVALID_ARGUMENT, "node: is required"),
    ] {
        let error = client.drain_node(id).await.expect_err(told);
        assert_eq!((error.code, error.reason.as_str()), (code, reason), "{error:?}");
        assert!(error.message.contains(told), "{error:?}");
    }
    let invalid = reason::INVALID_ARGUMENT;
    for (path, body, status, reason, told) in [
        ("/v1/cluster/nodes/gone:drain", json!({}), 404, reason::NOT_FOUND, "there is no node 9"),
        ("/v1/cluster/nodes/full:drain", json!({}), 409, reason::REFUSED, "make room"),
        ("/v1/cluster/nodes/c:drain", json!({}), 404, reason::NOT_FOUND, "no node \"c\""),
        ("/v1/cluster/nodes/a:fly", json!({}), 404, "NO_SUCH_PATH", ":undrain"),
        ("/v1/cluster/nodes/a:remove", json!({"forse": true}), 400, invalid, "forse"),
        ("/v1/cluster/shards/x:move", json!({"to": 1}), 400, invalid, "a number from 0"),
        ("/v1/cluster/shards/0:move", json!({}), 400, invalid, "to"),
        ("/v1/cluster:rebalance", json!({"dry": true}), 400, invalid, "dry"),
    ] {
        let answer = node.post(path, &body).await;
        let problem = answer.json();
        assert_eq!((answer.status, problem["reason"].as_str()), (status, Some(reason)), "{path}: {answer:?}");
        assert!(answer.body.contains(&told.replace('"', "\\\"")), "{path}: {answer:?}");
    }
    let error = client.init_cluster(&InitRequest::default()).await.expect_err("there is one");
    assert_eq!((error.code, error.reason.as_str()), (Code::FailedPrecondition, reason::REFUSED));
    assert!(error.message.starts_with("there is a cluster already, "), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_runs_alone_says_so() {
    let node = Running::prepared(|api| api.set_operator(None)).await;
    let error = impatient(&node.grpc.to_string()).cluster_state().await.expect_err("alone");
    assert_eq!((error.code, error.reason.as_str()), (Code::Unimplemented, reason::ALONE));
    let answer = node.get("/v1/cluster").await;
    assert_eq!((answer.status, &answer.json()["reason"]), (501, &json!("ALONE")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_waits_can_be_initialised_and_nothing_else() {
    let (grpc, http) = (free_port().await, free_port().await);
    let (address, web) = (grpc.local_addr().expect("bound"), http.local_addr().expect("bound"));
    let (stop, stopped) = oneshot::channel::<()>();
    let init = |init: InitRequest| {
        let made = match init.shards {
            Some(0) => Err("shards is 0; 1 to 4096 is allowed".to_owned()),
            _ => Ok(InitReply { cluster_id: "7d2f".into(), node: 1 }),
        };
        ready(made).boxed()
    };
    let stopped = async { stopped.await.unwrap_or_default() };
    let doors = tokio::spawn(serve_waiting(grpc, http, init, stopped));

    let client = impatient(&address.to_string());
    for error in [
        client.cluster_state().await.map(|_| ()).expect_err("waits"),
        client.status().await.map(|_| ()).expect_err("waits"),
        client.drain_node(1).await.map(|_| ()).expect_err("waits"),
    ] {
        assert_eq!((error.code, error.reason.as_str()), (Code::Unavailable, reason::NOT_READY), "{error:?}");
        assert!(error.message.contains("run `flintwheel cluster init`"), "{error:?}");
    }
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    let mut health = HealthClient::new(endpoint.connect().await.expect("connects"));
    let check = health.check(HealthCheckRequest { service: String::new() }).await.expect("there").into_inner();
    assert_eq!(check.status(), ServingStatus::NotServing);
    let odd = client.init_cluster(&InitRequest { shards: Some(0), replication: None }).await.expect_err("none");
    assert_eq!((odd.code, odd.message.as_str()), (Code::FailedPrecondition, "shards is 0; 1 to 4096 is allowed"));
    let made = client.init_cluster(&InitRequest::default()).await;
    assert_eq!(made, Ok(InitReply { cluster_id: "7d2f".into(), node: 1 }));
    for (path, status) in [("/livez", 200), ("/readyz", 503), ("/v1/status", 503)] {
        assert_eq!(super::support::get(web, path).await.status, status, "{path}");
    }

    drop((client, health));
    stop.send(()).expect("it waits");
    let ended = tokio::time::timeout(LONG, doors).await.expect("in time").expect("no panic");
    let (grpc, _) = ended.expect("no failure");
    assert_eq!(grpc.local_addr().expect("bound"), address, "the port is kept");
}

async fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a free port")
}
