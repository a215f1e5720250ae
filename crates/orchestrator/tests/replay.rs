//! Histories of runs that earlier versions have begun are carried on by this one.
//!
//! Each file in `tests/histories` is a run as Temporal kept it. A change of the workflow that makes one of them fail here would break
//! runs that are open during an upgrade: put it behind `ctx.patched`, and keep a new history beside the old ones with
//! `FLINTWHEEL_KEEP_HISTORIES=1 cargo test -p flintwheel-orchestrator --test run_activity`, under a new name.

use std::path::{Path, PathBuf};

use flintwheel_orchestrator::workflow::RunActivity;
use temporalio_client::WorkflowHistory;
use temporalio_sdk::workflow_replayer::{WorkflowReplayer, WorkflowReplayerOptions};

fn histories() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories");
    let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).expect("a file")
}

async fn replay(json: &str) -> Result<(), String> {
    let history = WorkflowHistory::from_json(json.as_bytes()).map_err(|e| e.to_string())?;
    let options = WorkflowReplayerOptions::new().register_workflow::<RunActivity>().map_err(|e| e.to_string())?.build();
    let replayer = WorkflowReplayer::new(options).map_err(|e| e.to_string())?;
    replayer.replay_workflow(history).await.map_err(|e| e.to_string())
}

#[tokio::test]
async fn every_kept_history_is_replayed() {
    let files = histories();
    assert!(files.len() >= 7, "{files:?}");
    for path in files {
        assert_eq!(replay(&read(&path)).await, Ok(()), "{}", path.display());
    }
}

#[tokio::test]
async fn a_history_of_other_decisions_is_told_apart() {
    let path = histories().into_iter().find(|path| path.ends_with("ordered.json")).expect("a history");
    let other = read(&path).replace("flintwheel:billing:reminder:e:1/second", "flintwheel:billing:reminder:e:1/other");
    assert!(replay(&other).await.is_err());
}
