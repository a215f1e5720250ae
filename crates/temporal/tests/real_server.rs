//! The sink against a real Temporal server: what the stand-in only imitates.

use std::path::Path;
use std::time::Duration;

use flintwheel_loadtest::temporal_dev::TemporalDev;
use flintwheel_model::firing::{Left, Start, StartOutcome};
use flintwheel_temporal::{CallError, RunStatus, TemporalOptions, TemporalSink};

async fn setup(dir: &Path) -> (TemporalDev, TemporalSink) {
    let server = TemporalDev::start(dir, &[]).await.expect("dev server");
    let options = TemporalOptions { address: Some(server.address().to_string()), ..TemporalOptions::default() };
    let target = options.resolve_in(Some(&Default::default())).expect("options");
    (server, TemporalSink::new(target).expect("sink"))
}

fn start(workflow_id: &str, request_id: &str) -> Start {
    Start {
        temporal_namespace: "default".to_owned(),
        workflow_id: workflow_id.to_owned(),
        request_id: request_id.to_owned(),
        workflow_type: "Nightly".to_owned(),
        task_queue: "reports".to_owned(),
        input: vec![b"{\"day\":1}".to_vec().into()],
        memo: vec![("team".to_owned(), b"\"billing\"".to_vec().into())],
        execution_timeout: Some(Duration::from_secs(3600)),
        search_attributes: Vec::new(),
        retry_policy: None,
        run_timeout: None,
        task_timeout: None,
        trace: vec![("traceparent".to_owned(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned())],
        left: Left::default(),
    }
}

#[tokio::test]
async fn a_real_server_starts_once_whatever_is_sent_again() {
    let dir = tempfile::tempdir().expect("directory");
    let (_server, sink) = setup(dir.path()).await;
    let id = "flintwheel:default:a:t:2026-11-23T08:00:00Z";
    let first = sink.start(&start(id, "r1")).await;
    let StartOutcome::Started { run_id } = &first else { panic!("not started: {first:?}") };
    assert_eq!(sink.start(&start(id, "r1")).await, first);
    let foreign = sink.start(&start(id, "r2")).await;
    assert_eq!(foreign, StartOutcome::Conflict { start_request_id: "r1".to_owned(), run_id: run_id.clone() });

    let found = sink.lookup("default", id).await.expect("answer").expect("found");
    assert_eq!((&found.run_id, found.status), (run_id, RunStatus::Running));
    assert_eq!(found.start_request_ids, ["r1"]);
    assert_eq!(sink.lookup("default", "never-started").await, Ok(None));
}

#[tokio::test]
async fn a_real_server_s_refusals_are_for_good_and_its_absence_is_not() {
    let dir = tempfile::tempdir().expect("directory");
    let (mut server, sink) = setup(dir.path()).await;
    let hopeless = [
        Start { temporal_namespace: "nowhere".to_owned(), ..start("a", "r") },
        Start { workflow_id: "x".repeat(1001), ..start("a", "r") },
        Start { input: vec![vec![b'1'; 3 << 20].into()], ..start("a", "r") },
        Start { input: vec![vec![b'1'; 5 << 20].into()], ..start("a", "r") },
    ];
    for case in hopeless {
        let outcome = sink.start(&case).await;
        assert!(matches!(outcome, StartOutcome::Refused { .. }), "{outcome:?}");
    }

    server.stop().await.expect("stopped");
    let outcome = sink.start(&start("a", "r")).await;
    assert!(matches!(outcome, StartOutcome::Retry { target_wide: true, .. }), "{outcome:?}");
    server.start_again().await.expect("started again");
    while !matches!(sink.start(&start("a", "r")).await, StartOutcome::Started { .. }) {}
}

#[tokio::test]
async fn a_real_server_tells_about_itself_its_namespaces_and_its_workflows() {
    let dir = tempfile::tempdir().expect("directory");
    let (server, sink) = setup(dir.path()).await;
    assert!(!sink.probe().await.expect("probe").server_version.is_empty());
    let info = sink.describe_namespace("default").await.expect("info");
    assert!(info.registered && info.retention >= Duration::from_secs(3600), "{info:?}");
    assert!(matches!(sink.describe_namespace("nowhere").await, Err(CallError::NotFound(_))));
    assert!(matches!(sink.lookup("nowhere", "a").await, Err(CallError::NotFound(_))));

    for id in ["a", "b", "c"] {
        sink.start(&start(id, "r")).await;
    }
    assert_eq!(server.started("default").await.expect("list").len(), 3);
    assert_eq!(sink.count("default", "WorkflowType = 'Nightly'").await, Ok(3));
    let (first, token) = sink.list("default", "", 2, Vec::new()).await.expect("page");
    let (second, end) = sink.list("default", "", 2, token).await.expect("page");
    assert!(end.is_empty());
    let mut ids: Vec<_> = first.into_iter().chain(second).map(|execution| execution.workflow_id).collect();
    ids.sort();
    assert_eq!(ids, ["a", "b", "c"]);
}
