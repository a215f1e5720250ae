//! Newer time-zone data from a folder: what was due by the old one moves.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::support::{Node, eventually};

const DEFINITIONS: &str = r#"
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: ops, id: berlin}
spec:
  trigger: {schedule: {cron: "0 9 1 1 *", timezone: Europe/Berlin}}
  start_workflow: {type: W, task_queue: q}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: ops, id: london}
spec:
  trigger: {schedule: {cron: "0 9 1 1 *", timezone: Europe/London}}
  start_workflow: {type: W, task_queue: q}
"#;

/// A file of a zone with one offset, which its last line gives; the older part of the format is left empty, as `zic` does.
fn fixed(rule: &str) -> Vec<u8> {
    let head = [b"TZif2".as_slice(), &[0; 15], [0_u32, 0, 0, 0, 1, 4].map(u32::to_be_bytes).as_flattened()].concat();
    let part = [head.as_slice(), &[0; 6], b"UTC\0"].concat();
    [part.as_slice(), &part, format!("\n{rule}\n").as_bytes()].concat()
}

/// In which Berlin is three hours ahead of UTC.
fn write(dir: &Path) {
    fs::create_dir_all(dir.join("Europe")).expect("a folder");
    fs::write(dir.join("Europe/Berlin"), fixed("MSK-3")).expect("written");
    fs::write(dir.join("+VERSION"), "2099z\n").expect("written");
}

#[tokio::test]
async fn newer_time_zone_data_moves_what_is_due_by_it_and_is_named() {
    let dir = tempfile::tempdir().expect("a folder");
    let zones = dir.path().join("zones");
    write(&zones);
    let mut node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    node.cli().apply(DEFINITIONS).await;
    let due = async |node: &Node, id: &str| {
        let status = node.cli().json(&format!("get ops/{id}")).await["status"].clone();
        status["next_due"].as_str().expect("it is due").to_owned()
    };
    assert!(due(&node, "berlin").await.ends_with("T08:00:00Z"));
    node.stop().await;

    let flag = format!("--timezone-data={}", zones.display());
    let node = Node::start("server", dir.path(), &["--sink=null", &flag], &[]).await;
    eventually("Berlin's has moved", async || due(&node, "berlin").await.ends_with("T06:00:00Z").then_some(())).await;
    assert!(due(&node, "london").await.ends_with("T09:00:00Z"));
    let log = node.log();
    assert!(log.contains("due at another time by other time-zone data") && log.contains("berlin"), "{log}");
    let status = node.cli().json("status").await;
    assert_eq!(status["tzdata_version"], "2099z");
}

#[tokio::test]
async fn local_times_are_shown_as_the_server_counts_them_whatever_data_the_program_has() {
    let dir = tempfile::tempdir().expect("a folder");
    let zones = dir.path().join("zones");
    write(&zones);
    // Of which the program knows no name.
    fs::create_dir_all(zones.join("Mars")).expect("a folder");
    fs::write(zones.join("Mars/Base"), fixed("MMT-4:30")).expect("written");
    let flag = format!("--timezone-data={}", zones.display());
    let node = Node::start("server", dir.path(), &["--sink=null", &flag], &[]).await;
    let applied = node.cli().apply(DEFINITIONS).await;
    let (berlin, london) = applied.split_once('\n').expect("two lines");
    assert!(berlin.contains("-01-01 09:00 +03:00 (in ") && london.contains("-01-01 09:00 GMT (in "), "{applied}");

    let record = node.cli().json("get ops/berlin").await;
    let due = record["status"]["next_due"].as_str().expect("it is due").to_owned();
    assert_eq!(record["status"]["offsets"], json!([{"from": due, "utc_offset_seconds": 10_800}]));
    node.cli().done("trigger ops/berlin").await;
    for (line, shown) in [
        ("next ops/berlin --count 3", "-01-01 09:00:00 +0300"),
        ("explain ops/berlin --at DUE", "yes: YEAR-01-01 09:00:00 +0300"),
        ("explain ops/berlin --at YEAR-01-01T09:00", "yes: YEAR-01-01 09:00:00 +0300"),
        ("get ops/berlin", "-01-01 09:00 +03:00 (in "),
        ("describe ops/berlin", "-01-01 09:00 +03:00 (in "),
        ("occurrences ops/berlin", " +0300 "),
        ("next ops/london --count 1", "-01-01 09:00:00 +0000"),
    ] {
        let [line, shown] = [line, shown].map(|text| text.replace("DUE", &due).replace("YEAR", &due[..4]));
        let said = node.cli().done(&line).await;
        assert!(said.contains(&shown), "{line}: {said}");
    }

    // A zone that only the server knows.
    node.cli().apply(&DEFINITIONS.replace("Europe/Berlin", "Mars/Base")).await;
    for (line, shown) in [
        ("next ops/berlin --count 1", "-01-01 09:00:00 +0430"),
        ("get ops/berlin", "-01-01 09:00 +04:30 (in "),
        ("occurrences ops/berlin", " +0430 "),
    ] {
        let said = node.cli().done(line).await;
        assert!(said.contains(shown), "{line}: {said}");
    }
}

#[tokio::test]
async fn a_folder_that_holds_no_zones_is_refused_before_anything_is_opened() {
    let dir = tempfile::tempdir().expect("a folder");
    let flag = format!("--timezone-data={}", dir.path().display());
    let mut node = Node::new("server", dir.path(), &["--sink=null", &flag], &[]);
    node.spawn();
    eventually("it has ended, and says why", async || node.log().contains("timezone_data: ").then_some(())).await;
    assert!(node.log().contains("holds no file of a time zone"), "{}", node.log());
}
