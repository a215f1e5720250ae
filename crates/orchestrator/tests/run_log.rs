//! The run log on SQLite and on a real Postgres: the same behaviour from the same SQL.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use chrono::{DateTime, Duration, Utc};
use flintwheel_client::{Run, RunQuery, RunStatus, SpawnedTask, TaskKind, TaskStatus, TriggerKind};
use flintwheel_model::DefinitionKey;
use flintwheel_orchestrator::run_log::Cursor;
use flintwheel_orchestrator::{RunLog, RunLogError};
use serde_json::{Map, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

fn at(micros: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(micros).expect("a time")
}

fn begun(run_id: &str, definition: &str, fired_at: i64) -> Run {
    Run {
        run_id: run_id.to_owned(),
        workflow_id: format!("flintwheel:billing:{definition}:t:{fired_at}"),
        definition: DefinitionKey::new("billing", definition),
        incarnation: u64::MAX,
        version_used: 3,
        trigger_kind: TriggerKind::Time,
        scheduled_for: at(-1),
        fired_at: at(fired_at),
        started_at: at(fired_at + 1),
        ended_at: None,
        status: RunStatus::Running,
        error: String::new(),
        context_snapshot: Map::new(),
        tasks_spawned: Vec::new(),
    }
}

fn failed(run: &Run) -> Run {
    Run {
        ended_at: Some(run.started_at + Duration::microseconds(5)),
        status: RunStatus::Failed,
        error: "task a failed: \u{1F525} 'quoted'; DROP TABLE runs".to_owned(),
        context_snapshot: Map::from_iter([("invoice".to_owned(), json!({"open": true, "n": [1, null, "ä"]}))]),
        tasks_spawned: vec![SpawnedTask {
            name: "a".to_owned(),
            kind: TaskKind::Workflow,
            type_name: "Send".to_owned(),
            id: "w/a".to_owned(),
            status: TaskStatus::Failed,
            detail: "no".to_owned(),
        }],
        ..run.clone()
    }
}

async fn ids(log: &RunLog, query: &RunQuery) -> Vec<String> {
    log.list(query, None, 10).await.expect("a list").into_iter().map(|run| run.run_id).collect()
}

/// What a run log is, wherever it is.
async fn behaves(url: &str) {
    let log = RunLog::open(url).await.expect(url);
    assert_eq!(log.list(&RunQuery::default(), None, 10).await.expect("an empty list"), []);
    let run = begun("r1", "reminder", 1000);
    log.write(&run).await.expect("a beginning");
    log.write(&run).await.expect("told again");
    assert_eq!(log.get("r1").await.expect("a look"), Some(run.clone()));
    log.write(&failed(&run)).await.expect("an end");
    log.write(&run).await.expect("a late word of the beginning");
    assert_eq!(log.get("r1").await.expect("a look"), Some(failed(&run)), "what has ended stays as it ended");
    assert_eq!(log.get("nobody").await.expect("a look"), None);
    filters_and_pages(&log).await;
    log.close().await;
    let again = RunLog::open(url).await.expect("opened again");
    assert_eq!(again.get("r1").await.expect("a look"), Some(failed(&run)), "it is still there");
}

async fn filters_and_pages(log: &RunLog) {
    for (id, definition, fired_at) in [("r2", "reminder", 2000), ("r4", "reminder", 2000), ("r3", "report", 1500)] {
        log.write(&begun(id, definition, fired_at)).await.expect(id);
    }
    let all = RunQuery::default;
    let of = |namespace: &str, id: &str| RunQuery {
        namespace: namespace.to_owned(),
        definition_id: id.to_owned(),
        ..RunQuery::default()
    };
    for (query, expected) in [
        (all(), vec!["r4", "r2", "r3", "r1"]),
        (of("billing", "reminder"), vec!["r4", "r2", "r1"]),
        (of("billing", ""), vec!["r4", "r2", "r3", "r1"]),
        (of("other", "reminder"), vec![]),
        (RunQuery { since: Some(at(1500)), ..all() }, vec!["r4", "r2", "r3"]),
        (RunQuery { statuses: vec![RunStatus::Failed], ..all() }, vec!["r1"]),
        (RunQuery { statuses: vec![RunStatus::Running, RunStatus::Failed], ..of("billing", "report") }, vec!["r3"]),
    ] {
        assert_eq!(ids(log, &query).await, expected, "{query:?}");
    }
    let mut after: Option<Cursor> = None;
    for expected in ["r4", "r2", "r3", "r1"] {
        let page = log.list(&all(), after.as_ref(), 1).await.expect("a page");
        assert_eq!(page.iter().map(|run| run.run_id.as_str()).collect::<Vec<_>>(), [expected]);
        after = Some(Cursor::of(&page[0]).to_string().parse().expect("a token"));
    }
    assert_eq!(log.list(&all(), after.as_ref(), 1).await.expect("an empty page"), []);
}

#[tokio::test]
async fn sqlite_behaves() {
    let folder = tempfile::tempdir().expect("a folder");
    behaves(&format!("sqlite:{}", folder.path().join("odd name?#%20.db").display())).await;
    assert!(folder.path().join("odd name?#%20.db").exists());
}

#[tokio::test]
async fn a_sqlite_log_that_cannot_be_opened_is_known_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let nowhere = folder.path().join("none/runs.db");
    let error = RunLog::open(&format!("sqlite:{}", nowhere.display())).await.err().expect("no such folder").to_string();
    assert!(error.contains(&nowhere.display().to_string()) && error.contains("unable to open"), "{error}");
}

#[tokio::test]
async fn a_log_that_a_newer_program_has_written_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("runs.db").display());
    RunLog::open(&url).await.expect("a log").close().await;
    sqlx::any::install_default_drivers();
    let pool = sqlx::AnyPool::connect(&url).await.expect("the same file");
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', TRUE, x'00', 0)";
    sqlx::query(newer).execute(&pool).await.expect("a row");
    pool.close().await;
    let error = RunLog::open(&url).await.err().expect("refused");
    assert!(matches!(&error, RunLogError::Migration { why, .. } if why.contains("a newer flintwheel")), "{error}");
}

#[tokio::test]
async fn a_postgres_that_is_down_is_an_error_without_secrets_and_no_reason_not_to_open() {
    let log = RunLog::open("postgres://ada:s3cret@127.0.0.1:1/runs").await.expect("opened");
    let error = log.write(&begun("r", "d", 1)).await.expect_err("down").to_string();
    assert!(error.contains("postgres://127.0.0.1:1/runs") && !error.contains("s3cret"), "{error}");
}

#[tokio::test]
async fn a_token_of_somebody_else_is_refused() {
    for text in ["", "x", "12", "a.b"] {
        assert!(matches!(text.parse::<Cursor>(), Err(RunLogError::PageToken(_))), "{text:?}");
    }
}

#[tokio::test]
async fn postgres_behaves() {
    let Some(bin) = postgres_bin() else {
        assert!(
            std::env::var_os("FLINTWHEEL_REQUIRE_POSTGRES").is_none(),
            "no Postgres here: install the package postgresql"
        );
        eprintln!("NOT RUN: the run log on Postgres. Install the package postgresql to run it.");
        return;
    };
    let server = Postgres::start(&bin).await;
    behaves(&server.url()).await;
}

/// Where `initdb` and `postgres` are: in the PATH, or where Debian puts them.
fn postgres_bin() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    std::env::split_paths(&path).chain(debian).find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists())
}

/// A Postgres of the test's own, on a free port.
struct Postgres {
    port: u16,
    _process: Child,
    _folder: tempfile::TempDir,
}

impl Postgres {
    async fn start(bin: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        give_to_nobody(folder.path()).await;
        let data = folder.path().join("data");
        let made = command(&bin.join("initdb"))
            .args(["--auth=trust", "--no-sync", "--username=flintwheel", "--encoding=UTF8", "--locale=C.UTF-8", "-D"])
            .arg(&data)
            .output()
            .await
            .expect("initdb");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let mut process = command(&bin.join("postgres"))
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-p"])
            .arg(port.to_string())
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("postgres");
        let mut lines = BufReader::new(process.stderr.take().expect("piped")).lines();
        while let Some(line) = lines.next_line().await.expect("its log") {
            if line.contains("ready to accept connections") {
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return Self { port, _process: process, _folder: folder };
            }
        }
        panic!("postgres has ended before it served");
    }

    fn url(&self) -> String {
        format!("postgres://flintwheel:ignored@127.0.0.1:{}/postgres", self.port)
    }
}

/// Postgres refuses to run as root.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]).arg(program);
    command
}

async fn give_to_nobody(folder: &Path) {
    if is_root() {
        let given = Command::new("chown").arg("nobody:nogroup").arg(folder).status().await.expect("chown");
        assert!(given.success());
    }
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|metadata| metadata.uid() == 0)
}
