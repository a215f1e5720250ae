//! The sink against a real Temporal server: what the stand-in only imitates.

use std::path::Path;
use std::time::{Duration, Instant};

use flintwheel_loadtest::hand_worker::HandWorker;
use flintwheel_loadtest::temporal_dev::TemporalDev;
use flintwheel_model::definition::{Priority, VersioningOverride, WorkerVersion};
use flintwheel_model::firing::{Left, Start, StartOutcome};
use flintwheel_model::limits;
use flintwheel_temporal::{CallError, RunStatus, TemporalOptions, TemporalSink};
use temporalio_common::protos::temporal::api::history::v1::history_event::Attributes;
use temporalio_common::protos::temporal::api::workflow::v1::versioning_override::Override;

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
        summary: None,
        details: None,
        priority: None,
        versioning_override: None,
        header: vec![],
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
async fn a_real_server_has_what_a_start_says_for_people_for_queues_and_for_interceptors() {
    let dir = tempfile::tempdir().expect("directory");
    let (server, sink) = setup(dir.path()).await;
    let longest = |most: usize| format!("\"{}\"", "x".repeat(most - 2));
    let said = Start {
        summary: Some(longest(limits::SUMMARY_BYTES).into()),
        details: Some(longest(limits::DETAILS_BYTES).into()),
        priority: Some(Priority {
            priority_key: Some(1),
            fairness_key: "ü".repeat(limits::FAIRNESS_KEY_LEN / 2),
            fairness_weight: Some(0.1),
        }),
        versioning_override: Some(VersioningOverride { auto_upgrade: true, ..VersioningOverride::default() }),
        header: vec![("tenant".to_owned(), b"{\"id\":7}".to_vec().into())],
        ..start("a", "r")
    };
    let outcome = sink.start(&said).await;
    assert!(matches!(outcome, StartOutcome::Started { .. }), "{outcome:?}");

    let event = server.client().expect("a client").first_event("default", "a").await.expect("an event");
    let metadata = event.user_metadata.expect("metadata");
    assert_eq!(metadata.summary.expect("a summary").data, said.summary.expect("it was said"));
    assert_eq!(metadata.details.expect("details").data, said.details.expect("they were said"));
    let Some(Attributes::WorkflowExecutionStartedEventAttributes(started)) = event.attributes else {
        panic!("not the start")
    };
    let priority = started.priority.expect("a priority");
    assert_eq!((priority.priority_key, priority.fairness_weight), (1, 0.1));
    assert_eq!(priority.fairness_key, "ü".repeat(32));
    let versioning = started.versioning_override.expect("an override").r#override;
    assert_eq!(versioning, Some(Override::AutoUpgrade(true)));
    let header = started.header.expect("a header").fields;
    assert_eq!(header["tenant"].data, b"{\"id\":7}");
    assert!(header.contains_key("_tracer-data") && header.len() == 2, "{header:?}");
}

#[tokio::test]
async fn a_version_that_no_worker_is_is_refused_for_good_and_one_that_some_are_is_taken() {
    let dir = tempfile::tempdir().expect("directory");
    let (server, sink) = setup(dir.path()).await;
    let version = |build: &str| Some(WorkerVersion { deployment_name: "mail".to_owned(), build_id: build.to_owned() });
    let none = VersioningOverride::default;
    let start = |id: &str, to| Start { versioning_override: Some(to), ..start(id, "r") };
    for to in [
        VersioningOverride { pinned: version("none"), ..none() },
        VersioningOverride { one_time: version("none"), ..none() },
    ] {
        let outcome = sink.start(&start("a", to)).await;
        let StartOutcome::Refused { reason } = &outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("'mail:none' is not present in task queue 'reports'"), "{reason}");
    }
    let mut worker =
        HandWorker::new(server.address(), "default", "reports").expect("an address").of_version("mail", "7");
    for (id, to) in [
        ("pinned", VersioningOverride { pinned: version("7"), ..none() }),
        ("once", VersioningOverride { one_time: version("7"), ..none() }),
    ] {
        // The version is known some time after its worker has asked for the first time.
        let begun = Instant::now();
        while !matches!(sink.start(&start(id, to.clone())).await, StartOutcome::Started { .. }) {
            assert!(begun.elapsed() < Duration::from_secs(60), "{id}");
            worker.poll().await.expect("an answer");
        }
        let task = worker.task(id).await.expect("a task");
        let sent = task.started.versioning_override.clone().expect("an override").r#override;
        let build = match sent.expect("one") {
            Override::Pinned(pinned) if id == "pinned" => pinned.version,
            Override::OneTime(one) if id == "once" => one.target_deployment_version,
            other => panic!("{id}: {other:?}"),
        };
        assert_eq!(build.expect("a version").build_id, "7", "{id}");
    }
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
