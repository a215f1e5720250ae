//! Killing a process that applies: what it had acknowledged is there, and the machine is what it was.
//!
//! The process is this test binary itself, told to run [`victim`].

use super::toy::{self, Toy};
use crate::Groups;
use bytes::Bytes;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DIRECTORY: &str = "FLINTWHEEL_TEST_KILL";
const SHARDS: u32 = 2;

/// Applies entries to two shards until it is killed, telling `shard count digest` of each that was acknowledged.
#[tokio::test]
#[ignore = "run by the test below"]
async fn victim() {
    let path = PathBuf::from(std::env::var(DIRECTORY).unwrap());
    let mut options = toy::options(&path, SHARDS);
    options.limits.replay_bytes = 50_000;
    let groups = Groups::<Toy>::open(options).await.unwrap();
    for n in 0.. {
        let shard = n % SHARDS;
        let Toy { count, digest, .. } = groups.group(shard).propose(Bytes::from(vec![n as u8; 500])).await.unwrap();
        println!("acknowledged {shard} {count} {digest}");
        groups.maintain().await.unwrap();
    }
}

/// Runs a victim until it has acknowledged `entries`, kills it, and returns the last that each shard acknowledged.
fn kill_after(path: &Path, entries: usize) -> [Toy; SHARDS as usize] {
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::kill::victim", "--ignored", "--nocapture"])
        .env(DIRECTORY, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut told = BufReader::new(victim.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut last = [Toy::default(); SHARDS as usize];
    let mut note = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let (["acknowledged", shard, count, digest] | [.., "acknowledged", shard, count, digest]) = words[..] else {
            return 0;
        };
        let [shard, count, digest] = [shard, count, digest].map(|number| number.parse::<u64>().unwrap());
        last[shard as usize] = Toy { count, digest, since_open: 0 };
        1
    };
    let mut seen = 0;
    while seen < entries {
        seen += note(&told.next().expect("the victim told enough before it ended"));
    }
    victim.kill().unwrap();
    victim.wait().unwrap();
    // What was still in the pipe had been acknowledged too.
    told.for_each(|line| seen += note(&line));
    assert!(seen >= entries);
    last
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let root = tempfile::tempdir().unwrap();
    let mut replayed = 0;
    for entries in [1, 40, 333, 100] {
        let acknowledged = kill_after(root.path(), entries);
        let groups = toy::open(root.path(), SHARDS).await;
        for (shard, acknowledged) in acknowledged.into_iter().enumerate().filter(|(_, toy)| toy.count > 0) {
            let shard = shard as u32;
            let machine = toy::machine(&groups, shard);
            assert!(machine.count >= acknowledged.count, "{machine:?} {acknowledged:?}");
            let state = groups.group(shard).state();
            let then = flintwheel_shard::Read::get(
                &state,
                flintwheel_shard::Table::Account,
                &acknowledged.count.to_be_bytes(),
            );
            let digest = u64::from_be_bytes(then.unwrap().unwrap()[8..].try_into().unwrap());
            assert_eq!(digest, acknowledged.digest);
            assert_eq!(toy::stored(&groups, shard).digest, machine.digest);
            replayed += machine.since_open;
        }
        groups.shutdown().await.unwrap();
    }
    assert!(replayed > 0, "no kill left anything to replay");
}
