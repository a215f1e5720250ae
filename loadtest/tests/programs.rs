//! The programs that the proofs are made of, as processes: the stand-in with its orders, the bare loop, NATS, the command line.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use flintwheel_loadtest::StartLine;
use flintwheel_loadtest::bare::{self, BareLoad, BareResult};
use flintwheel_loadtest::nats::{Nats, NatsLoad};
use flintwheel_loadtest::process::Process;
use flintwheel_loadtest::raw_temporal::RawTemporal;
use flintwheel_loadtest::standin::{Fault, Rule, StandinProcess};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flintwheel-loadtest");

async fn standin(dir: &Path) -> StandinProcess {
    StandinProcess::start_program(Path::new(PROGRAM), dir).await.expect("stand-in")
}

/// A few starts, until the time is up or one fails.
async fn load(standin: &StandinProcess, prefix: &str) -> anyhow::Result<BareResult> {
    let client = Arc::new(RawTemporal::new(standin.address(), 2)?);
    let load = BareLoad { in_flight: 4, length: Duration::from_millis(50), input_bytes: 20 };
    bare::run(client, "default", prefix, load).await
}

#[tokio::test]
async fn every_start_of_the_bare_loop_is_in_the_exported_record() {
    let dir = tempfile::tempdir().expect("directory");
    let standin = standin(dir.path()).await;
    let started = load(&standin, "a").await.expect("starts").started;
    assert!(started > 0);
    assert_eq!(standin.sums().await.expect("sums").ids, started);
    let path = dir.path().join("record");
    assert_eq!(standin.export(&path).await.expect("export"), started);
    let text = std::fs::read_to_string(path).expect("text");
    let ids: Vec<String> = text.lines().map(|line| line.parse::<StartLine>().expect(line).workflow_id).collect();
    assert!((0..started).all(|n| ids.contains(&format!("a-{n}"))));
}

#[tokio::test]
async fn orders_break_and_heal_it_while_it_runs() {
    let dir = tempfile::tempdir().expect("directory");
    let standin = standin(dir.path()).await;
    standin.set_faults(&[Rule { namespace: None, rate: 1.0, fault: Fault::Throttle }]).await.expect("faults");
    load(&standin, "a").await.expect_err("throttled");
    standin.set_faults(&[]).await.expect("healed");
    load(&standin, "b").await.expect("starts");
    standin.down().await.expect("down");
    load(&standin, "c").await.expect_err("down");
    let before = standin.sums().await.expect("sums").ids;
    standin.up().await.expect("up");
    let started = load(&standin, "d").await.expect("starts").started;
    assert_eq!(standin.sums().await.expect("sums").ids, before + started);
}

#[tokio::test]
async fn nats_acknowledges_what_is_published() {
    let dir = tempfile::tempdir().expect("directory");
    let nats = Nats::start(dir.path()).await.expect("nats");
    let load = NatsLoad { connections: 2, window: 10, length: Duration::from_millis(50) };
    assert!(nats.publish("r", "payload".into(), load).await.expect("published") > 0.0);
}

/// What stands for the state of a process: `Z` for one that has ended and that nobody has asked for yet.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// What a process runs.
fn name(pid: u32) -> Option<String> {
    Some(std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?.trim().to_owned())
}

#[tokio::test]
async fn a_child_ends_with_the_one_who_started_it_even_if_nobody_drops_it() {
    let dir = tempfile::tempdir().expect("directory");
    let log = dir.path().join("log");
    let started = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        runtime.block_on(async {
            let child = Process::spawn(Path::new("sleep"), ["1000"], &log).expect("sleep");
            let pid = child.id();
            std::mem::forget(child);
            // What binds it to its starter becomes the program itself when it has done so.
            while name(pid).as_deref() != Some("sleep") {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            pid
        })
    });
    let pid = started.join().expect("started");
    for _ in 0..1000 {
        if matches!(state(pid), None | Some('Z')) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    panic!("process {pid} goes on although its starter has ended");
}

#[test]
fn the_command_line_names_the_proofs_and_refuses_others() {
    let list = Command::new(PROGRAM).args(["prove", "list"]).output().expect("run");
    let names: Vec<&str> =
        std::str::from_utf8(&list.stdout).expect("text").lines().map(|line| &line[..12]).map(str::trim).collect();
    let expected = [
        "crash",
        "outage",
        "dispatch",
        "firing",
        "ingest",
        "footprint",
        "lag",
        "failover",
        "rolling",
        "upgrade",
        "idle",
        "partition",
        "power",
        "mishaps",
        "rebalance",
        "catchup",
        "overdue",
        "herd",
        "overlap",
        "replication",
        "next",
        "fuzz",
        "oracles",
        "parity",
        "import",
    ];
    assert_eq!(names, expected);
    for (proof, option, why) in [
        ("lag", vec!["--real"], "lag has no run of its own against a real Temporal"),
        ("lag", vec!["--seed", "7"], "lag leaves nothing to chance"),
    ] {
        let odd = Command::new(PROGRAM).args(["prove", proof]).args(option).output().expect("run");
        assert_eq!(odd.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&odd.stderr).contains(why));
    }
    let odd = Command::new(PROGRAM).args(["prove", "nothing"]).output().expect("run");
    assert_eq!(odd.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&odd.stderr).contains("no such proof; there are crash, outage"));
}
