//! Backups in an object store, here a real S3-compatible server: they come back, half of one is none, and no credential is ever told.

use std::path::Path;
use std::process::Stdio;

use flintwheel_client::{ApplyOptions, Client, Options};
use flintwheel_loadtest::engine::{Engine, EngineOptions, Sink};
use flintwheel_loadtest::objects::Objects;
use flintwheel_model::ActivityDefinition;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use super::support::{Cli, PATIENCE, Said, command, eventually, flintwheel, tell};

/// A folder, the store, and an engine with something in it.
struct Scene {
    dir: TempDir,
    objects: Objects,
    engine: Engine,
}

impl Scene {
    /// With so many definitions of so many bytes each.
    async fn open(definitions: usize, bytes: usize) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let objects = Objects::start(dir.path()).await.expect("it starts");
        let engine = engine(dir.path(), "first", 1).await;
        let client = Client::new(&[engine.grpc().to_string()], Options::default()).expect("an address");
        for number in 0..definitions {
            client.apply(&definition(number, bytes), ApplyOptions::default()).await.expect("applied");
        }
        Self { dir, objects, engine }
    }

    fn cli(&self, engine: &Engine) -> Cli {
        let mut cli = Cli::alone(self.dir.path()).with("FLINTWHEEL_ADDRESS", &engine.grpc().to_string());
        cli.variables.extend(self.objects.environment());
        cli
    }

    /// `backup create` on its way: so slow that it is not done before the test has seen it.
    async fn slowly(&self, to: &str) -> Child {
        let cli = self.cli(&self.engine);
        let mut create = command(&flintwheel(), self.dir.path());
        create.args(["backup", "create", &format!("s3://backups/{to}"), "--rate", "1KiB"]);
        create.envs(cli.variables.iter().cloned()).stdout(Stdio::null()).stderr(Stdio::piped());
        let create = create.spawn().expect("it starts");
        eventually("the backup has begun", async || {
            let names = self.objects.names(to).await.unwrap_or_default();
            names.contains(&"unfinished".to_owned()).then_some(())
        })
        .await;
        create
    }
}

async fn engine(dir: &Path, name: &str, shards: u32) -> Engine {
    let options = EngineOptions { data_dir: dir.join(name), sink: Sink::Null, shards, more: Vec::new() };
    Engine::start(options).await.expect("it starts")
}

/// Its input does not shrink much.
fn definition(number: usize, bytes: usize) -> ActivityDefinition {
    let mut state = number as u64 + 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state % 64) as usize])
    };
    let input: String = (0..bytes).map(|_| noise()).collect();
    serde_json::from_value(json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": format!("d{number}")},
        "spec": {"trigger": {"event": {"types": "t"}}, "start_workflow": {"type": "W", "task_queue": "q", "input": [input]}},
    }))
    .expect("a definition")
}

fn assert_tells_no_credential(said: &Said) {
    for secret in [Objects::ACCESS_KEY, Objects::SECRET_KEY] {
        assert!(!said.out.contains(secret) && !said.err.contains(secret), "{said:?}");
    }
}

async fn definitions(cli: &Cli) -> Vec<Value> {
    cli.list("list -A").await.into_iter().map(|one| json!([one["metadata"], one["spec"], one["status"]])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_several_parts_comes_back_out_of_a_bucket() {
    let scene = Scene::open(240, 100_000).await;
    let cli = scene.cli(&scene.engine);
    let manifest = cli.json("backup create s3://backups/daily/2026-11-27").await;
    let bytes = manifest["shards"][0]["bytes"].as_u64().expect("a count");
    assert!(bytes > 16 << 20, "{bytes}: more than one part");
    let names = scene.objects.names("daily/2026-11-27").await.expect("listed");
    assert_eq!(names, ["manifest.json", "shard-00000.rows"]);
    let sound = cli.done("backup verify s3://backups/daily/2026-11-27/ --rate 1GB").await;
    assert!(sound.contains("1 shard, 240 definitions") && sound.contains("is sound"), "{sound}");
    let second = engine(scene.dir.path(), "second", 3).await;
    let into = scene.cli(&second);
    let told = into.done("backup restore s3://backups/daily/2026-11-27 --yes").await;
    assert!(told.contains("240 definitions") && told.contains("of 3 shards"), "{told}");
    assert_eq!(definitions(&into).await, definitions(&cli).await);
    let again = cli.run("backup create s3://backups/daily/2026-11-27").await;
    assert!(again.err.contains("s3://backups/daily/2026-11-27 is not empty: there is "), "{again:?}");
    // Beside it is room.
    cli.done("backup create s3://backups/daily/2026-11-27-b").await;
    assert_eq!(scene.objects.names("daily/2026-11-27").await.expect("listed"), names);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_is_told_with_bucket_and_key_and_without_credentials() {
    let scene = Scene::open(1, 10).await;
    let cli = scene.cli(&scene.engine);
    let wrong = cli.with("AWS_SECRET_ACCESS_KEY", "another-secret");
    let stranger = cli.with("AWS_ACCESS_KEY_ID", "AKIASTRANGER");
    let nowhere = cli.with("AWS_ENDPOINT_URL", "http://127.0.0.1:9");
    for (cli, line, told) in [
        (
            &wrong,
            "backup create s3://backups/a",
            &["s3://backups/a can't be listed", "refuses it to these credentials"][..],
        ),
        (
            &stranger,
            "backup create s3://backups/a",
            &["s3://backups/a can't be listed", "refuses it to these credentials"],
        ),
        (&wrong, "backup verify s3://backups/a", &["s3://backups/a/manifest.json can't be read"]),
        (&cli, "backup create s3://absent/a", &["s3://absent/a can't be listed: there is no such bucket"]),
        (&cli, "backup verify s3://absent/a", &["s3://absent/a can't be listed: there is no such bucket"]),
        (&cli, "backup verify s3://backups/a", &["s3://backups/a holds no backup: there is no manifest.json"]),
        (
            &nowhere,
            "backup verify s3://backups/a --retry-for 1s",
            &["s3://backups/a/manifest.json can't be read", "127.0.0.1:9", "refused"],
        ),
        (&cli, "backup verify s3://key:hidden@backups/a", &["has a user or a port in it"]),
    ] {
        let said = cli.run(line).await;
        assert_ne!(said.code, Some(0), "{said:?}");
        for part in told {
            assert!(said.err.contains(part), "{line}: {said:?}");
        }
        assert_tells_no_credential(&said);
        for secret in ["another-secret", "AKIASTRANGER", "hidden"] {
            assert!(!said.err.contains(secret), "{said:?}");
        }
    }
    assert_eq!(scene.objects.names("a").await.expect("listed"), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_backup_is_none_and_one_that_is_given_up_leaves_nothing() {
    let scene = Scene::open(10, 100_000).await;
    let cli = scene.cli(&scene.engine);
    let mut killed = scene.slowly("killed").await;
    killed.kill().await.expect("killed");
    let said = cli.run("backup verify s3://backups/killed").await;
    assert!(said.err.contains("s3://backups/killed holds no backup: there is no manifest.json"), "{said:?}");
    let said = cli.run("backup restore s3://backups/killed --yes").await;
    assert!(said.err.contains("holds no backup"), "{said:?}");
    let said = cli.run("backup create s3://backups/killed").await;
    assert!(said.err.contains("holds a backup that is being written, or was not finished"), "{said:?}");

    let stopped = scene.slowly("stopped").await;
    tell(stopped.id().expect("it runs"), Signal::INT);
    let ended = tokio::time::timeout(PATIENCE, stopped.wait_with_output()).await.expect("it ends").expect("it has run");
    assert!(!ended.status.success(), "{ended:?}");
    assert_eq!(scene.objects.names("stopped").await.expect("listed"), Vec::<String>::new());
    cli.done("backup create s3://backups/stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_comes_back_in_time_is_waited_for() {
    let mut scene = Scene::open(3, 100).await;
    let cli = scene.cli(&scene.engine);
    scene.objects.kill().await.expect("killed");
    let (created, started) =
        tokio::join!(cli.run("backup create s3://backups/late --retry-for 50s"), scene.objects.start_again());
    started.expect("it starts");
    created.with_code(0);
    cli.done("backup verify s3://backups/late").await;
}
