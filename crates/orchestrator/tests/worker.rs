//! The workers of an orchestrator through outages of Temporal.

mod support;

use flintwheel_orchestrator::{Orchestrator, WorkerState};
use serde_json::json;

use support::temporal::{TemporalServer, address, free_port, options};
use support::{orchestrator, orchestrator_in};

async fn last_error(orchestrator: &Orchestrator) -> String {
    let (_, mut state) = orchestrator.workers().next().expect("a worker");
    let failed = |state: &WorkerState| matches!(state, WorkerState::Connecting { last_error: Some(_) });
    match state.wait_for(failed).await.expect("the worker lives").clone() {
        WorkerState::Connecting { last_error: Some(error) } => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_starts_before_temporal_does_and_stops_after_it_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let orchestrator = orchestrator(options(&address(port)), folder.path(), Some(json!({})), 0).await;
    let error = last_error(&orchestrator).await;
    assert!(error.contains("refused"), "{error}");
    let temporal = TemporalServer::start_on(port).await;
    orchestrator.running().await;
    temporal.kill().await;
    let states: Vec<_> = orchestrator.workers().map(|(_, state)| state).collect();
    orchestrator.stop().await;
    assert_eq!(*states[0].borrow(), WorkerState::Stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_of_a_namespace_that_is_not_there_says_so_and_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let temporal = TemporalServer::start().await;
    let orchestrator = orchestrator_in("elsewhere", temporal.options(), folder.path(), None, 0).await;
    let error = last_error(&orchestrator).await;
    assert!(error.contains("elsewhere") && error.contains("not found"), "{error}");
    orchestrator.stop().await;
}
