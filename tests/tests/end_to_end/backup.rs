//! A backup taken while events pour in, and brought into new clusters: what it holds is there, what Temporal has started is not started again, and
//! what is missing since then comes by itself or is passed over, as the user says.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use flintwheel_loadtest::StartLine;
use flintwheel_loadtest::cluster::Cluster;
use flintwheel_loadtest::engine::{Engine, EngineOptions, Sink};
use flintwheel_loadtest::standin::StandinProcess;
use serde_json::Value;

use super::support::{Cli, assert_no_gap, eventually, text, texts};

const DEFINITIONS: &str = "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: still}
spec:
  trigger: {schedule: {interval: {every: 1s}}}
  start_workflow: {type: Still, task_queue: nobody}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: order}
spec:
  trigger: {event: {types: com.example.order}}
  start_workflow: {type: Order, task_queue: nobody}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {id: gone}
spec:
  trigger: {event: {types: com.example.order}}
  start_workflow: {type: Gone, task_queue: nobody}
";

/// Enough that each of some shards has some.
const TICKS: usize = 8;

fn tick(number: usize, queue: &str) -> String {
    format!(
        "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{id: tick-{number}}}
spec:
  trigger: {{schedule: {{interval: {{every: 1s}}}}}}
  start_workflow: {{type: Tick, task_queue: {queue}}}
"
    )
}

/// Temporal's stand-in, which forgets nothing, and a folder.
struct Scene {
    dir: tempfile::TempDir,
    temporal: StandinProcess,
}

impl Scene {
    async fn open() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let temporal = StandinProcess::start(dir.path()).await.expect("it starts");
        Self { dir, temporal }
    }

    fn sink(&self) -> Sink {
        Sink::Temporal { address: self.temporal.address(), namespace: "default".to_owned() }
    }

    async fn engine(&self, name: &str, shards: u32) -> Engine {
        let data_dir = self.dir.path().join(name);
        let options = EngineOptions { data_dir, sink: self.sink(), shards, more: Vec::new() };
        Engine::start(options).await.expect("it starts")
    }

    async fn cluster(&self, name: &str, nodes: usize, shards: u32) -> Cluster {
        let dir = self.dir.path().join(name);
        std::fs::create_dir(&dir).expect("a folder");
        Cluster::start(&dir, &self.sink(), nodes, shards).await.expect("at rest")
    }

    fn cli(&self, engine: &Engine) -> Cli {
        Cli::alone(self.dir.path()).with("FLINTWHEEL_ADDRESS", &engine.grpc().to_string())
    }

    /// What was started, by workflow id.
    async fn started(&self) -> BTreeMap<String, StartLine> {
        let path = self.dir.path().join("started");
        self.temporal.export(&path).await.expect("exported");
        let text = std::fs::read_to_string(&path).expect("read");
        let lines = text.lines().map(|line| line.parse::<StartLine>().expect("a line"));
        let mut all = BTreeMap::new();
        for line in lines {
            assert_eq!(line.conflicts, 0, "another request wanted to start {}", line.workflow_id);
            let id = line.workflow_id.clone();
            assert!(all.insert(id.clone(), line).is_none(), "{id} was started twice");
        }
        all
    }

    /// Of one definition, in order of time.
    async fn started_of(&self, id: &str) -> Vec<String> {
        let prefix = format!("flintwheel:default:{id}:");
        self.started().await.into_keys().filter(|id| id.starts_with(&prefix)).collect()
    }
}

/// Version, incarnation, and why it is paused, of each definition.
async fn kept(cli: &Cli) -> Vec<(String, Value, Value, Value)> {
    let row = |record: &Value| {
        let status = &record["status"];
        let id = text(&record["metadata"], "id").to_owned();
        (id, status["version"].clone(), status["incarnation"].clone(), status["paused"].clone())
    };
    cli.list("list -A").await.iter().map(row).collect()
}

async fn publish(cli: &Cli, number: u64) -> String {
    cli.done(&format!("publish --type com.example.order --source /shop --id {number}")).await
}

/// Publishes one event after the other until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(cli: &Cli) -> Self {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let (cli, stopped, count) = (cli.clone(), Arc::clone(&stop), Arc::clone(&acknowledged));
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Acquire) {
                publish(&cli, count.load(Ordering::Acquire)).await;
                count.fetch_add(1, Ordering::AcqRel);
            }
        });
        Self { stop, acknowledged, task }
    }

    /// Events 0 to this one, without it, have been acknowledged.
    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    async fn reaches(&self, count: u64) {
        eventually("events are acknowledged", async || (self.acknowledged() >= count).then_some(())).await;
    }

    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.task.await.expect("it publishes");
        self.acknowledged.load(Ordering::Acquire)
    }
}

/// Ticks, one that was changed, one that is paused, one that was deleted; and events that go on.
async fn lived(cli: &Cli) -> Load {
    for number in 0..TICKS {
        cli.apply(&tick(number, "nobody")).await;
    }
    cli.apply(DEFINITIONS).await;
    cli.apply(&tick(0, "another")).await;
    cli.words(&["pause", "still", "--note", "incident 7"], "").await.with_code(0);
    let load = Load::start(cli);
    load.reaches(3).await;
    cli.done("delete gone --yes").await;
    load.reaches(6).await;
    load
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_taken_under_load_comes_back_in_a_cluster_of_another_size_and_nothing_starts_twice() {
    let scene = Scene::open().await;
    let mut first = scene.engine("first", 4).await;
    let cli = scene.cli(&first);
    let load = lived(&cli).await;
    let (before, certain) = (kept(&cli).await, load.acknowledged());
    let told = cli.done("backup create copy").await;
    assert!(told.contains("4 shards, 10 definitions") && told.contains("written to copy"), "{told}");
    load.reaches(certain + 5).await;
    let all = load.stop().await;
    first.kill().await.expect("killed");
    let sound = Cli::alone(scene.dir.path()).done("backup verify copy").await;
    assert!(sound.contains("4 shards, 10 definitions") && sound.contains("is sound"), "{sound}");

    let second = scene.cluster("second", 3, 6).await;
    let cli = scene.cli(&second.nodes[1]);
    let told = cli.done("backup restore copy").await;
    assert!(told.contains("of 6 shards; what was due since then fires"), "{told}");
    assert_eq!(kept(&cli).await, before);
    assert_eq!(cli.done("backup restore copy").await, told, "said again, it changes nothing");
    // Through another node, as a producer that got no answer would.
    let other = scene.cli(&second.nodes[2]);
    for number in 0..certain {
        assert_eq!(publish(&other, number).await, "1 event published, 1 duplicate\n", "{number}");
    }
    for number in certain..=all {
        publish(&other, number).await;
    }
    let orders = eventually("each order has been started", async || {
        let orders = scene.started_of("order").await;
        (orders.len() as u64 > all).then_some(orders)
    })
    .await;
    let mut expected: Vec<String> = (0..=all).map(|n| format!("flintwheel:default:order:e:/shop|{n}")).collect();
    expected.sort();
    assert_eq!(orders, expected);
    goes_on(&scene, &cli).await;
    assert_eq!(cli.json("status").await["dead_letters"], 0);
}

/// Every schedule has fired each second: before the backup, since then, and now.
async fn goes_on(scene: &Scene, cli: &Cli) {
    let before = scene.started_of("tick-1").await.len();
    eventually("the schedules go on", async || (scene.started_of("tick-1").await.len() > before + 2).then_some(()))
        .await;
    for number in 0..TICKS {
        let id = format!("tick-{number}");
        cli.done(&format!("pause {id}")).await;
        let account = texts(&cli.list(&format!("occurrences {id} --last 0 --outcome fired")).await, "workflow_id");
        assert_no_gap(&account);
        let started = eventually("all that was decided is started", async || {
            let started = scene.started_of(&id).await;
            account.iter().all(|one| started.contains(one)).then_some(started)
        })
        .await;
        assert_eq!(started, account, "and nothing that the account does not know");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_due_before_a_time_that_the_user_names_is_passed_over_and_accounted_for() {
    let scene = Scene::open().await;
    let mut first = scene.engine("first", 2).await;
    let cli = scene.cli(&first);
    lived(&cli).await.stop().await;
    cli.done("backup create copy").await;
    let at_backup = scene.started_of("tick-1").await.len();
    eventually("time passes", async || (scene.started_of("tick-1").await.len() > at_backup + 2).then_some(())).await;
    first.kill().await.expect("killed");

    // Another Temporal, which knows nothing: so what is started shows what was fired.
    let elsewhere = Scene::open().await;
    let second = elsewhere.engine("second", 3).await;
    let cli = elsewhere.cli(&second);
    let from = scene.dir.path().join("copy").display().to_string();
    let told = cli.json(&format!("backup restore {from} --skip-until now")).await;
    let skip_before = text(&told, "skip_before").to_owned();
    let started = eventually("the schedules go on", async || {
        let started = elsewhere.started_of("tick-1").await;
        (started.len() > 2).then_some(started)
    })
    .await;
    let due = |id: &String| id.rsplit_once(":t:").map(|(_, time)| time.to_owned()).unwrap_or_default();
    let seconds = |text: &str| text.chars().take(19).collect::<String>();
    assert!(started.iter().all(|id| seconds(&due(id)) >= seconds(&skip_before)), "{started:?} {skip_before}");
    let passed_over = cli.list("occurrences tick-1 --last 0 --reason restored").await;
    assert!(!passed_over.is_empty() && passed_over.iter().all(|one| one["outcome"] == "skipped"), "{passed_over:?}");
    assert_eq!(elsewhere.started_of("still").await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_three_nodes_can_be_taken_from_any_of_them() {
    let scene = Scene::open().await;
    let cluster = scene.cluster("first", 3, 4).await;
    let cli = scene.cli(&cluster.nodes[0]);
    lived(&cli).await.stop().await;
    let mut rows = Vec::new();
    for (place, node) in cluster.nodes.iter().enumerate() {
        let manifest = scene.cli(node).json(&format!("backup create copy-{place}")).await;
        assert_eq!(manifest["definitions"], 10);
        let shards = manifest["shards"].as_array().expect("a list").clone();
        assert!(shards.iter().all(|shard| Path::new(text(shard, "file")).extension().is_some()), "{shards:?}");
        rows.push(shards.iter().map(|shard| shard["rows"].as_u64().expect("a count")).sum::<u64>());
        cli.done(&format!("backup verify copy-{place}")).await;
    }
    assert!(rows.windows(2).all(|pair| pair[0] <= pair[1]), "each has what the one before had: {rows:?}");
}
