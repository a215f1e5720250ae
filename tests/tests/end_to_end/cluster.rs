//! Three nodes as one: any of them answers, and the end of one of them is nobody's loss.

use std::path::{Path, PathBuf};
use std::time::Duration;

use flintwheel_client::{ApplyOptions, Client, ClusterShard, Options, ReplicaRole};
use flintwheel_loadtest::cluster::Cluster;
use flintwheel_loadtest::engine::{Engine, EngineOptions, Sink};
use flintwheel_loadtest::http;
use flintwheel_model::DefinitionKey;
use serde_json::{Value, json};

use super::support::{Cli, Scene, assert_no_gap, eventually, ids, text};

const ORDER: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: order}
spec:
  trigger: {event: {types: com.example.order}}
  start_workflow: {type: Order, task_queue: nobody}
";

/// Enough that each of four shards has some.
const TICKS: usize = 12;

fn tick(number: usize) -> String {
    format!(
        "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{id: tick-{number}}}
spec:
  trigger: {{schedule: {{interval: {{every: 1s}}}}}}
  start_workflow: {{type: Tick, task_queue: nobody}}
"
    )
}

async fn three(scene: &Scene) -> Cluster {
    let sink = Sink::Temporal { address: scene.temporal.address(), namespace: "default".to_owned() };
    Cluster::start(scene.path(), &sink, 3, 4).await.expect("three nodes, at rest")
}

fn cli(scene: &Scene, node: &Engine) -> Cli {
    Cli::alone(scene.path()).with("FLINTWHEEL_ADDRESS", &node.grpc().to_string())
}

async fn publish(cli: &Cli, id: &str) -> Value {
    cli.json(&format!("publish --type com.example.order --source /shop --id {id}")).await
}

/// The place in the list of the node that leads most.
async fn busiest(cluster: &Cluster) -> usize {
    let state = cluster.settle().await.expect("at rest");
    let node = state.nodes.iter().max_by_key(|node| node.leaders).expect("nodes");
    usize::try_from(node.id).expect("a small id") - 1
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_answers_whichever_leads() {
    let scene = Scene::open(&[]).await;
    let cluster = three(&scene).await;
    let clis: Vec<Cli> = cluster.nodes.iter().map(|node| cli(&scene, node)).collect();
    for number in 0..TICKS {
        assert!(clis[number % 3].apply(&tick(number)).await.contains("created"), "{number}");
        let read = clis[(number + 1) % 3].json(&format!("get tick-{number}")).await;
        assert_eq!(read["status"]["version"], 1, "{read}");
    }
    clis[0].apply(ORDER).await;
    // Acknowledged by one node: matched by any other from then on, and once.
    for (at, cli) in clis.iter().enumerate() {
        let counts = publish(cli, "1").await;
        assert_eq!((&counts["matched"], &counts["fired"]), (&1.into(), &u64::from(at == 0).into()), "node {at}");
    }
    let names = |records: Vec<Value>| {
        records.iter().map(|record| text(&record["metadata"], "id").to_owned()).collect::<Vec<_>>()
    };
    let all = names(clis[0].list("list").await);
    assert_eq!(all.len(), TICKS + 1);
    for cli in &clis[1..] {
        assert_eq!(names(cli.list("list").await), all);
    }
    clis[1].done("delete order --yes").await;
    for cli in &clis {
        let counts = publish(cli, "2").await;
        assert_eq!(counts["matched"], 0, "{counts}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_was_told_who_leads_a_shard_goes_there() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let given = [cluster.nodes[0].grpc().to_string()];
    let client = |follow_leaders| {
        let options = Options { follow_leaders, retry_for: Duration::ZERO, ..Options::default() };
        Client::new(&given, options).expect("an address")
    };
    let (follows, passes) = (client(true), client(false));
    let leaders = cluster.settle().await.expect("at rest").shards;
    let led_elsewhere = |key: &DefinitionKey| {
        leaders.iter().any(|shard| shard.shard == key.shard(4) && shard.leader.is_some_and(|leader| leader != 1))
    };
    let keys = (0..).map(|number| DefinitionKey::new("default", format!("tick-{number}")));
    let key = keys.into_iter().find(led_elsewhere).expect("the others lead their share");
    let definition = serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition",
        "metadata": {"namespace": key.namespace, "id": key.id}, "spec": {"start_workflow": {"type": "Tick", "task_queue": "nobody"}},
    }))
    .expect("a definition");
    let (shard, nodes) = (key.shard(4), &cluster);
    // Leaders are evened out just now: who was told of one must have been told of the one that stays.
    eventually("its shard is led by the same other node before and after it is applied", async || {
        let leader = async || nodes.settle().await.ok()?.shards.iter().find(|one| one.shard == shard)?.leader;
        let before = leader().await.filter(|leader| *leader != 1)?;
        follows.apply(&definition, ApplyOptions::default()).await.expect("passed on");
        (leader().await == Some(before)).then_some(())
    })
    .await;
    passes.get(&key).await.expect("passed on");
    cluster.nodes[0].kill().await.expect("it ran");
    let read = follows.get(&key).await.expect("the leader is asked");
    assert_eq!(read.definition.metadata.id, key.id);
    passes.get(&key).await.expect_err("it knows the first node only");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_are_started_alike_wait_until_one_is_told_to_make_the_cluster() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::waiting(dir.path(), &Sink::Null, 3, 4).expect("they start");
    let second = Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[1].grpc().to_string());
    let made = eventually("it waits behind open doors", async || {
        let said = second.run("cluster init --replication 2").await;
        (said.code == Some(0)).then_some(said.out)
    })
    .await;
    assert!(made.starts_with("cluster ") && made.contains("this is node 1"), "{made}");
    let state = eventually("the others have joined", async || {
        let state = cluster.settle().await.ok()?;
        (state.nodes.len() == 3).then_some(state)
    })
    .await;
    assert_eq!((state.settings.shards, state.settings.replication), (4, 2));
    let names: Vec<&str> = state.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names[0], "n2", "{names:?}");
    let again = second.run("cluster init").await.with_code(4);
    assert!(again.err.contains("there is a cluster already"), "{again:?}");
    let shown = second.done("cluster nodes").await;
    assert!(["n1", "n2", "n3"].iter().all(|name| shown.contains(name)), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_node_that_leads_most_loses_and_doubles_nothing() {
    let scene = Scene::open(&[]).await;
    let mut cluster = three(&scene).await;
    let first = cli(&scene, &cluster.nodes[0]);
    for number in 0..TICKS {
        first.apply(&tick(number)).await;
    }
    first.apply(ORDER).await;
    for round in 0..3 {
        let gone = busiest(&cluster).await;
        let left = cli(&scene, &cluster.nodes[(gone + 1) % 3]);
        publish(&left, &format!("before-{round}")).await;
        cluster.nodes[gone].kill().await.expect("killed");
        // The command line tries again until another node leads.
        publish(&left, &format!("after-{round}")).await;
        let before = left.list("occurrences tick-0 --last 0 --outcome fired").await.len();
        eventually("its schedules go on", async || {
            let now = left.list("occurrences tick-0 --last 0 --outcome fired").await.len();
            (now > before + 1).then_some(())
        })
        .await;
        cluster.nodes[gone].start_again().await.expect("it starts");
    }
    for number in 0..TICKS {
        let started = ids(&scene.workflows("default", &format!("flintwheel:default:tick-{number}:"), 3).await);
        assert_no_gap(&started);
    }
    let orders = ids(&scene.workflows("default", "flintwheel:default:order:", 6).await);
    assert_eq!(orders.len(), 6, "{orders:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_sent_again_after_its_node_has_died_undoes_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let gone = busiest(&cluster).await;
    let cli = |node: usize| {
        let address = cluster.nodes[node % 3].grpc().to_string();
        Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &address)
    };
    let (first, other) = (cli(gone), cli(gone + 1));
    let apply = ["apply", "-f", "-", "--request-id", "rollout-7"];
    for number in 0..TICKS {
        let said = first.words(&apply, &tick(number)).await.with_code(0);
        assert!(said.out.contains("created"), "{said:?}");
        // Somebody else changes half of them, and removes the others.
        match number % 2 {
            0 => assert!(other.apply(&tick(number).replace("1s", "1h")).await.contains("configured")),
            _ => _ = other.done(&format!("delete tick-{number}")).await,
        }
    }
    cluster.nodes[gone].kill().await.expect("killed");
    for number in 0..TICKS {
        let said = other.words(&apply, &tick(number)).await.with_code(0);
        assert!(said.out.contains("created"), "as the first time: {said:?}");
        let shown = other.run(&format!("get tick-{number} -o json")).await;
        match number % 2 {
            0 => assert_eq!(shown.with_code(0).json()["spec"]["trigger"]["schedule"]["interval"][0]["every"], "1h"),
            _ => _ = shown.with_code(3),
        }
    }
    let said = other.words(&apply, &tick(0).replace("1s", "2s")).await.with_code(4);
    assert!(said.err.contains("\"rollout-7\" was given to another request"), "{said:?}");
}

/// What a node that ends by itself has said last.
async fn refusal(what: &str, node: &mut Engine) -> String {
    eventually(what, async || node.check_running().err().map(|error| error.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_belong_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let state = cluster.state().await.expect("it tells");
    let node = |name: &str, join: Option<&str>| {
        let flags = ["--peer-listen=127.0.0.1:0".to_owned(), format!("--name={name}")];
        let more = flags.into_iter().chain(join.map(|join| format!("--join={join}"))).collect();
        let data_dir = dir.path().join(format!("as-{name}"));
        Engine::new(EngineOptions { data_dir, sink: Sink::Null, shards: 4, more }).expect("a program")
    };
    let mut founder = node("founder", None);
    founder.start_again().await.expect("it has made a cluster of its own");
    founder.stop().await.expect("it ends");
    let first = &state.nodes[0];
    let foreign = format!("but {} in join is of cluster {}", first.peer_address, state.cluster_id);
    let no_door = "does not take this node in: something else than a door for nodes answers there";
    let cases = [
        ("n2", &first.peer_address, "does not take this node in: the name \"n2\" belongs to node 2"),
        ("founder", &first.peer_address, foreign.as_str()),
        ("at-grpc", &first.client_address, no_door),
        ("at-http", &first.http_address, no_door),
    ];
    for (name, join, expected) in cases {
        let mut node = node(name, Some(join));
        node.spawn().expect("it starts");
        let why = refusal(name, &mut node).await;
        assert!(why.contains(expected), "{name}: {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_its_cluster_ends_when_it_is_told_to() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::waiting(dir.path(), &Sink::Null, 2, 4).expect("they start");
    let http = cluster.nodes[0].http();
    eventually("it waits behind open doors", async || {
        http::get(http, "/livez").await.ok().filter(|answer| answer.status == 200)
    })
    .await;
    let id = cluster.nodes[0].process().expect("it runs").id();
    let told = std::process::Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).status().expect("sh");
    assert!(told.success());
    let ended = refusal("it ends", &mut cluster.nodes[0]).await;
    assert!(ended.contains("exit status: 0"), "{ended}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_removed_ends_and_does_not_start_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let first = Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[0].grpc().to_string());
    let unknown =
        ["shard transfer 1 --to 9", "shard move 77 --to 2", "node remove 9 --yes", "node replace 77 --with n2"];
    for wish in unknown {
        let said = first.run(wish).await.with_code(3);
        assert!(said.err.contains("there is no"), "{wish}: {said:?}");
    }
    first.done("cluster settings --replication 2").await;
    // Refused while a shard has one replica elsewhere, and another one that is about to go: it can't come back before.
    eventually("it is drained", async || {
        let said = first.run("node drain 3 --wait").await;
        (said.code == Some(0)).then_some(())
    })
    .await;
    first.done("node remove 3 --yes").await;
    for _ in 0..2 {
        let why = refusal("a removed node ends", &mut cluster.nodes[2]).await;
        assert!(why.contains("was removed from the cluster"), "{why}");
        cluster.nodes[2].spawn().expect("it starts");
    }
    let ready = http::get(cluster.nodes[0].http(), "/readyz").await.expect("an answer");
    assert_eq!(ready.status, 200, "the others go on");
}

fn copy(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").args([from, to]).status().expect("cp");
    assert!(copied.success());
}

/// The second node's disk as it was at its first start; it is at its second.
async fn older_disk(cluster: &mut Cluster, dir: &Path) -> PathBuf {
    let older = dir.join("older");
    cluster.nodes[1].stop().await.expect("it ends");
    copy(&dir.join("n2"), &older);
    cluster.nodes[1].start_again().await.expect("it starts");
    eventually("it is registered", async || {
        let state = cluster.settle().await.ok()?;
        (state.nodes[1].epoch == 2).then_some(())
    })
    .await;
    older
}

fn put_back(older: &Path, data: &Path) {
    std::fs::remove_dir_all(data).expect("removed");
    copy(older, data);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_was_rolled_back_ends_its_node_which_comes_back_as_a_new_one() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let older = older_disk(&mut cluster, dir.path()).await;
    let data = dir.path().join("n2");
    cluster.nodes[1].stop().await.expect("it ends");
    put_back(&older, &data);
    cluster.nodes[1].spawn().expect("it starts");
    let why = refusal("a rolled-back disk ends its node", &mut cluster.nodes[1]).await;
    assert!(why.contains("its disk was rolled back or copied"), "{why}");
    // However often it is started: it does not count itself past the others.
    for _ in 0..2 {
        cluster.nodes[1].spawn().expect("it starts");
        let why = refusal("it ends again", &mut cluster.nodes[1]).await;
        assert!(why.contains("its disk was rolled back or copied"), "{why}");
    }
    let first = Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[0].grpc().to_string());
    let nodes = first.list("cluster nodes").await;
    assert_eq!(nodes[1]["epoch"], 2, "it was not let in: {nodes:?}");
    // Its replicas can't go anywhere while it is away: it is removed, and comes anew.
    first.done("node remove 2 --force --yes").await;
    std::fs::remove_dir_all(&data).expect("emptied");
    cluster.nodes[1].start_again().await.expect("it starts");
    eventually("the new one has its share and votes", async || {
        let state = cluster.settle().await.ok()?;
        let new = state.nodes.iter().find(|node| node.id == 4)?;
        let voters = |shard: &ClusterShard| shard.replicas.iter().filter(|r| r.role == ReplicaRole::Voter).count();
        (new.replicas == 5 && state.shards.iter().all(|shard| voters(shard) == 3)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_one_whose_disk_was_rolled_back_never_votes() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 2, 4).await.expect("two nodes, at rest");
    let older = older_disk(&mut cluster, dir.path()).await;
    let first = Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[0].grpc().to_string());
    first.apply(ORDER).await;
    for node in &mut cluster.nodes {
        node.stop().await.expect("it ends");
    }
    let (data, newest) = (dir.path().join("n2"), dir.path().join("newest"));
    std::fs::rename(&data, &newest).expect("put aside");
    copy(&older, &data);
    // Both start at once, and nobody leads the meta group: it is the other one's own knowledge that counts.
    for node in &mut cluster.nodes {
        node.spawn().expect("it starts");
    }
    let why = refusal("a rolled-back disk ends its node", &mut cluster.nodes[1]).await;
    assert!(why.contains("its disk was rolled back or copied"), "{why}");
    let ready = http::get(cluster.nodes[0].http(), "/readyz").await.expect("an answer");
    assert_eq!(ready.status, 503, "it leads nothing: nobody has voted for it");
    // With the disk that it had, both go on.
    put_back(&newest, &data);
    cluster.nodes[1].start_again().await.expect("it starts");
    eventually("all is there", async || {
        let got = first.run("get order").await;
        (got.code == Some(0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_put_back_within_a_start_is_refused_too() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let (data, older) = (dir.path().join("n2"), dir.path().join("older"));
    // As a snapshot of its volume would.
    let process = cluster.nodes[1].process().expect("it runs");
    process.freeze().expect("it is stopped");
    copy(&data, &older);
    process.thaw().expect("it goes on");
    let first = Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[0].grpc().to_string());
    for number in 0..TICKS {
        first.apply(&tick(number)).await;
    }
    cluster.settle().await.expect("at rest");
    cluster.nodes[1].kill().await.expect("killed");
    put_back(&older, &data);
    cluster.nodes[1].spawn().expect("it starts");
    let why = refusal("a disk that was put back ends its node", &mut cluster.nodes[1]).await;
    assert!(why.contains("writes in its log, and has had"), "{why}");
}
