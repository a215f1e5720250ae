//! `RunService` asked over gRPC by the client that users have.

use chrono::DateTime;
use flintwheel_client::{Client, Code, Options, PageRequest, Run, RunQuery, RunStatus, TriggerKind};
use flintwheel_model::DefinitionKey;
use flintwheel_orchestrator::{RunLog, Runs};
use serde_json::{Map, json};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;

fn run(n: i64) -> Run {
    let time = DateTime::from_timestamp_micros(n).expect("a time");
    Run {
        run_id: format!("r{n}"),
        definition: DefinitionKey::new("billing", "reminder"),
        incarnation: u64::MAX,
        version_used: 3,
        trigger_kind: TriggerKind::Manual,
        scheduled_for: time,
        fired_at: time,
        started_at: time,
        ended_at: None,
        status: RunStatus::Running,
        error: String::new(),
        workflow_id: "w".to_owned(),
        context_snapshot: Map::from_iter([("n".to_owned(), json!({"a": [n, null]}))]),
        tasks_spawned: Vec::new(),
    }
}

async fn served(url: &str) -> (RunLog, Client) {
    let log = RunLog::open(url).await.expect("a run log");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let server = Server::builder().add_service(Runs::service(log.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let once = Options { retry_for: std::time::Duration::ZERO, ..Options::default() };
    (log, Client::new(&[address], once).expect("a client"))
}

#[tokio::test]
async fn runs_are_listed_in_pages_newest_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let (log, client) = served(&format!("sqlite:{}", folder.path().join("runs.db").display())).await;
    for n in 1..=5 {
        log.write(&run(n)).await.expect("written");
    }
    let mut token = String::new();
    for (page, more) in [(vec![run(5), run(4)], true), (vec![run(3), run(2)], true), (vec![run(1)], false)] {
        let answer = client.runs(&RunQuery::default(), PageRequest { size: 2, token }).await.expect("a page");
        assert_eq!((answer.items, answer.next.is_some()), (page, more));
        token = answer.next.unwrap_or_default();
    }
    let failed = RunQuery { statuses: vec![RunStatus::Failed], ..RunQuery::default() };
    assert_eq!(client.runs(&failed, PageRequest::default()).await.expect("a page").items, []);
}

#[tokio::test]
async fn bad_requests_and_a_database_that_is_away_are_told_apart() {
    let (_, client) = served("postgres://ada:s3cret@127.0.0.1:1/runs").await;
    let bad =
        client.runs(&RunQuery::default(), PageRequest { size: 2000, token: "x".to_owned() }).await.expect_err("bad");
    assert_eq!((bad.code, bad.violations.len()), (Code::InvalidArgument, 2));
    let away = client.runs(&RunQuery::default(), PageRequest::default()).await.expect_err("away");
    assert_eq!(away.code, Code::Unavailable);
    assert!(away.retry_delay.is_some() && !away.message.contains("s3cret"), "{away:?}");
}
