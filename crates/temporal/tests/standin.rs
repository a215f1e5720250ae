//! The sink against the recording stand-in: what goes over the wire, and what each fault becomes.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use flintwheel_loadtest::StartLine;
use flintwheel_loadtest::standin::{Fault, Rule, Standin, StandinOptions, Sums};
use flintwheel_model::firing::{Left, Start, StartOutcome};
use flintwheel_temporal::{CallError, TemporalOptions, TemporalSink};

fn sink(address: SocketAddr, start_timeout: Duration) -> TemporalSink {
    let options = TemporalOptions { address: Some(address.to_string()), start_timeout, ..TemporalOptions::default() };
    TemporalSink::new(options.resolve_in(Some(&Default::default())).expect("options")).expect("sink")
}

fn start(workflow_id: &str, request_id: &str) -> Start {
    Start {
        temporal_namespace: "default".to_owned(),
        workflow_id: workflow_id.to_owned(),
        request_id: request_id.to_owned(),
        workflow_type: "Nightly".to_owned(),
        task_queue: "reports".to_owned(),
        input: vec![b"{\"day\":1}".to_vec().into()],
        memo: vec![],
        execution_timeout: None,
        search_attributes: Vec::new(),
        retry_policy: None,
        run_timeout: None,
        task_timeout: None,
        summary: None,
        details: None,
        priority: None,
        versioning_override: None,
        header: vec![],
        trace: vec![],
        left: Left::default(),
    }
}

async fn setup() -> (Standin, TemporalSink) {
    let standin = Standin::start(StandinOptions::default()).await.expect("stand-in");
    let sink = sink(standin.address(), Duration::from_secs(10));
    (standin, sink)
}

fn run_id(outcome: StartOutcome) -> String {
    match outcome {
        StartOutcome::Started { run_id } => run_id,
        other => panic!("not started: {other:?}"),
    }
}

#[tokio::test]
async fn a_repeated_start_gets_the_first_run_and_a_foreign_one_a_conflict() {
    let (standin, sink) = setup().await;
    let first = run_id(sink.start(&start("a", "r1")).await);
    assert_eq!(run_id(sink.start(&start("a", "r1")).await), first);
    let foreign = sink.start(&start("a", "r2")).await;
    assert_eq!(foreign, StartOutcome::Conflict { start_request_id: "r1".to_owned(), run_id: first });
    assert_eq!(standin.sums(), Sums { ids: 1, repeats: 1, conflicts: 1 });
}

#[tokio::test]
async fn the_record_tells_what_was_started() {
    let (standin, sink) = setup().await;
    run_id(sink.start(&start("a", "r1")).await);
    let file = tempfile::NamedTempFile::new().expect("file");
    standin.export(file.path()).expect("export");
    let text = std::fs::read_to_string(file.path()).expect("text");
    let line: StartLine = text.trim_end().parse().expect("line");
    assert_eq!((line.workflow_id.as_str(), line.request_id.as_str(), line.calls), ("a", "r1", 1));
    assert_eq!((line.namespace.as_str(), line.workflow_type.as_str()), ("default", "Nightly"));
}

/// Short form of an outcome.
fn kind(outcome: &StartOutcome) -> &'static str {
    match outcome {
        StartOutcome::Started { .. } => "started",
        StartOutcome::Conflict { .. } => "conflict",
        StartOutcome::Retry { target_wide: true, .. } => "retry all",
        StartOutcome::Retry { target_wide: false, .. } => "retry this",
        StartOutcome::Refused { .. } => "refused",
    }
}

#[tokio::test]
async fn each_fault_becomes_its_outcome_and_leaves_what_it_should_in_the_record() {
    let (standin, sink) = setup().await;
    let cases = [
        (Fault::Fail { code: 14 }, "retry all", 0),
        (Fault::Fail { code: 13 }, "retry this", 0),
        (Fault::Fail { code: 3 }, "refused", 0),
        (Fault::Throttle, "retry all", 0),
        (Fault::NamespaceNotFound, "refused", 0),
        (Fault::DropAnswer, "retry all", 1),
        (Fault::Late { millis: 1 }, "started", 1),
    ];
    for (turn, (fault, expected, noted)) in cases.into_iter().enumerate() {
        let before = standin.sums().ids;
        standin.faults().set(vec![Rule { namespace: None, rate: 1.0, fault: fault.clone() }]);
        let this = start(&format!("w{turn}"), "r");
        let outcome = sink.start(&this).await;
        assert_eq!(kind(&outcome), expected, "{fault:?}: {outcome:?}");
        assert_eq!(standin.sums().ids - before, noted, "{fault:?}");
        standin.faults().set(vec![]);
        run_id(sink.start(&this).await);
    }
    assert_eq!(standin.sums().conflicts, 0);
}

#[tokio::test]
async fn a_fault_of_one_namespace_leaves_others_alone() {
    let (standin, sink) = setup().await;
    let rule = Rule { namespace: Some("busy".to_owned()), rate: 1.0, fault: Fault::Throttle };
    standin.faults().set(vec![rule]);
    let busy = Start { temporal_namespace: "busy".to_owned(), ..start("a", "r") };
    assert_eq!(kind(&sink.start(&busy).await), "retry all");
    assert_eq!(kind(&sink.start(&start("a", "r")).await), "started");
}

#[tokio::test]
async fn a_stalled_start_times_out_and_goes_through_when_tried_again() {
    let standin = Standin::start(StandinOptions::default()).await.expect("stand-in");
    let sink = sink(standin.address(), Duration::from_millis(50));
    standin.faults().set(vec![Rule { namespace: None, rate: 1.0, fault: Fault::Stall }]);
    assert_eq!(kind(&sink.start(&start("a", "r")).await), "retry all");
    standin.faults().set(vec![]);
    // The stalled call may have been noted by now: the same request finds its own run then.
    while kind(&sink.start(&start("a", "r")).await) != "started" {}
    assert_eq!(standin.sums().ids, 1);
}

#[tokio::test]
async fn a_sink_is_made_without_a_server_and_finds_it_when_it_comes_back() {
    let (standin, sink) = setup().await;
    standin.down().await;
    assert_eq!(kind(&sink.start(&start("a", "r")).await), "retry all");
    assert!(matches!(sink.probe().await, Err(CallError::Unavailable(_))));
    standin.up().await.expect("up");
    while kind(&sink.start(&start("a", "r")).await) != "started" {}
    standin.down().await;
    while kind(&sink.start(&start("b", "r")).await) == "started" {}
    standin.up().await.expect("up");
    while kind(&sink.start(&start("b", "r")).await) != "started" {}
    assert_eq!(standin.sums().ids, 2);
}

#[tokio::test]
async fn unusable_starts_are_refused_for_good() {
    let namespaces = BTreeSet::from(["default".to_owned()]);
    let standin = Standin::start(StandinOptions { namespaces, ..StandinOptions::default() }).await.expect("stand-in");
    let sink = sink(standin.address(), Duration::from_secs(10));
    let cases = [
        Start { temporal_namespace: "nowhere".to_owned(), ..start("a", "r") },
        Start { workflow_id: "x".repeat(1001), ..start("a", "r") },
        Start { workflow_id: String::new(), ..start("a", "r") },
        Start { workflow_type: String::new(), ..start("a", "r") },
        Start { task_queue: String::new(), ..start("a", "r") },
        Start { input: vec![vec![b'1'; 3 << 20].into()], ..start("a", "r") },
        Start { input: vec![vec![b'1'; 5 << 20].into()], ..start("a", "r") },
    ];
    for case in cases {
        let outcome = sink.start(&case).await;
        assert_eq!(kind(&outcome), "refused", "{outcome:?}");
    }
    assert_eq!(standin.sums().ids, 0);
}

#[tokio::test]
async fn a_started_workflow_is_found_with_the_request_that_started_it() {
    let (_standin, sink) = setup().await;
    assert_eq!(sink.lookup("default", "a").await, Ok(None));
    let run = run_id(sink.start(&start("a", "r1")).await);
    let found = sink.lookup("default", "a").await.expect("answer").expect("found");
    assert_eq!((found.run_id, found.start_request_ids), (run, vec!["r1".to_owned()]));
}

#[tokio::test]
async fn a_missing_namespace_is_not_taken_for_a_missing_workflow() {
    let namespaces = BTreeSet::from(["default".to_owned()]);
    let standin = Standin::start(StandinOptions { namespaces, ..StandinOptions::default() }).await.expect("stand-in");
    let sink = sink(standin.address(), Duration::from_secs(10));
    assert!(matches!(sink.lookup("nowhere", "a").await, Err(CallError::NotFound(_))));
    assert!(matches!(sink.describe_namespace("nowhere").await, Err(CallError::NotFound(_))));
    let info = sink.describe_namespace("default").await.expect("info");
    assert_eq!((info.retention, info.registered), (Duration::from_secs(72 * 3600), true));
}
