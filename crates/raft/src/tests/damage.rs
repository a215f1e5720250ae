//! Replicas whose data or machine can't be trusted any more: found, fenced, and made anew from their peers.

use super::nodes::Cluster;
use super::toy::{self, Toy};
use crate::candidate::Candidate;
use crate::message::{Answer, Request};
use crate::types::Vote;
use crate::{Groups, Inbound, Leadership, StopKind};
use bytes::Bytes;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

/// Files with tables in a database's folder, the largest first.
fn tables(database: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(database).unwrap().map(|entry| entry.unwrap().path());
    let mut tables: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "sst")).collect();
    tables.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().len()));
    tables
}

fn flip(path: &Path, at: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// A byte in the first block of each file of the state.
fn flip_state(root: &Path) {
    tables(&root.join("state")).iter().for_each(|table| flip(table, 8));
}

fn damage(groups: &Groups<Toy>) -> Option<String> {
    groups.group(0).damage()
}

fn follower(cluster: &Cluster) -> u64 {
    (1..=3).find(|node| Some(*node) != cluster.leader_now()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_state_can_not_be_read_is_fenced_and_made_anew() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(200).await;
    cluster.settled(200).await;
    let sick = follower(&cluster);
    cluster.nodes[&sick].flush().await.unwrap();
    cluster.kill(sick).await;
    flip_state(cluster.root(sick));
    cluster.start(sick).await;
    let group = cluster.nodes[&sick].group(0);
    let why = group.damage().unwrap();
    assert!(why.contains("checksum"), "{why}");
    assert!(matches!(group.status().leadership, Leadership::Stopped(stopped) if stopped.kind == StopKind::Damaged));
    assert!(group.read(|_, _| ()).is_err() && group.propose(Bytes::from_static(b"x")).await.is_err());
    assert!(group.confirm().await.is_err());
    drop(group);
    cluster.write(50).await;
    cluster.make_anew(sick).await;
    assert_eq!((damage(&cluster.nodes[&sick]), cluster.settled(250).await.count), (None, 250));
    // It votes again: one of the others may go.
    let gone = (1..=3).find(|node| *node != sick).unwrap();
    cluster.kill(gone).await;
    cluster.write(10).await;
    // What it has survives a restart: the database was made anew then.
    cluster.start(gone).await;
    cluster.kill(sick).await;
    cluster.start(sick).await;
    assert_eq!((damage(&cluster.nodes[&sick]), cluster.settled(260).await.count), (None, 260));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_was_made_anew_makes_others_anew() {
    let cluster = Cluster::of(3).await;
    cluster.write(400).await;
    cluster.settled(400).await;
    for (new, next) in [(2, 3), (3, 1), (1, 2)] {
        for groups in cluster.nodes.values() {
            groups.flush().await.unwrap();
        }
        cluster.make_anew(new).await;
        cluster.changed(async |leader| leader.transfer_leader(new).await).await;
        cluster.until(|| cluster.leader_now() == Some(new)).await;
        cluster.make_anew(next).await;
        cluster.write(100).await;
    }
    cluster.settled(700).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_is_made_anew_does_not_elect_itself_by_a_membership_of_long_ago() {
    let cluster = Cluster::of(3).await;
    cluster.write(10).await;
    // Node 1 has made the group, and was its only voter once: its log, which is whole, begins with that.
    if cluster.leader().await == 1 {
        cluster.changed(async |leader| leader.transfer_leader(2).await).await;
        cluster.until(|| cluster.leader_now() == Some(2)).await;
    }
    cluster.changed(async |leader| leader.remove(1).await).await;
    cluster.nodes[&1].retire(0).await.unwrap();
    cluster.nodes[&1].host(0).await.unwrap();
    let (leader, term) = cluster.term().await;
    let (old, new) = (cluster.nodes[&leader].group(0), cluster.nodes[&1].group(0));
    let first = old.inner.log.read_disk(0..1, 1).unwrap();
    let vote = Vote { leader_id: Candidate { term, node_id: leader }, committed: true };
    let leader_commit = first[0].log_id;
    let request = AppendEntriesRequest { vote, prev_log_id: None, entries: first, leader_commit: Some(leader_commit) };
    // All that it hears is how the group began; then nothing any more.
    let answer = cluster.nodes[&1].receiver().answer(leader, 0, Request::Append(request).encode(0)).await;
    assert_eq!(Answer::decode(0, &answer).unwrap(), Answer::Append(AppendEntriesResponse::Success));
    assert!(new.inner.log.is_mute() && !new.is_complete());
    drop((old, new));
    cluster.join(1).await;
    assert_eq!(cluster.term().await, (leader, term), "nobody was unseated");
    cluster.until(|| cluster.nodes[&1].group(0).is_complete()).await;
    cluster.settled(10).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_replica_does_not_vote() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(20).await;
    cluster.settled(20).await;
    let sick = follower(&cluster);
    cluster.nodes[&sick].flush().await.unwrap();
    cluster.kill(sick).await;
    flip_state(cluster.root(sick));
    cluster.start(sick).await;
    let leader = cluster.leader().await;
    let other = (1..=3).find(|node| ![sick, leader].contains(node)).unwrap();
    let group = cluster.nodes[&leader].group(0);
    // Nor does it promise to keep an entry: a majority would be this leader and the fenced one.
    cluster.kill(other).await;
    let waiting = tokio::spawn(group.propose(Bytes::from_static(b"one more")));
    // Were it asked for its vote by one that has all entries and a later term, it would give it.
    let term = group.inner.raft.as_ref().unwrap().metrics().borrow_watched().current_term;
    let vote = Vote { leader_id: Candidate { term: term + 10, node_id: other }, committed: false };
    let asked = VoteRequest::new(vote, group.inner.log.last());
    for request in [Request::PreVote(asked.clone()), Request::Vote(asked)] {
        let answer = cluster.nodes[&sick].receiver().answer(other, 0, request.encode(0)).await;
        let answer = Answer::decode(0, &answer).unwrap();
        assert!(matches!(&answer, Answer::Failed(why) if why.contains("checksum")), "{answer:?}");
    }
    assert!(!waiting.is_finished());
    drop(group);
    cluster.start(other).await;
    // Somebody may have been elected without it.
    let count = 20 + u64::from(waiting.await.unwrap().is_ok());
    cluster.make_anew(sick).await;
    cluster.settled(count).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_where_nobody_looks_is_found_by_verifying() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(300).await;
    cluster.settled(300).await;
    let sick = follower(&cluster);
    cluster.nodes[&sick].flush().await.unwrap();
    cluster.kill(sick).await;
    // The largest file is of the table that is only ever written to.
    flip(&tables(&cluster.root(sick).join("state"))[0], 8);
    cluster.start(sick).await;
    let group = cluster.nodes[&sick].group(0);
    assert_eq!(group.damage(), None);
    let mut leadership = group.watch_leader();
    for groups in cluster.nodes.values() {
        groups.verify(1 << 30).await;
    }
    assert!(group.damage().is_some_and(|why| why.contains("checksum")), "{:?}", group.damage());
    leadership.wait_for(|now| matches!(now, Leadership::Stopped(_))).await.unwrap();
    assert!(cluster.nodes.iter().all(|(node, groups)| groups.is_damaged() == (*node == sick)));
    cluster.nodes[&sick].release_compactions().unwrap();
    drop((group, leadership));
    cluster.make_anew(sick).await;
    assert_eq!(cluster.settled(300).await.count, 300);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_panics_on_one_replica_is_made_anew_and_a_leader_so_fenced_is_replaced() {
    let cluster = Cluster::of(3).await;
    cluster.write(20).await;
    toy::PANICS.store(1, Ordering::SeqCst);
    let leader = cluster.leader().await;
    // Who applies first panics: mostly the leader. The entry is committed all the same.
    let _ = cluster.nodes[&leader].group(0).propose(Bytes::from_static(toy::PANIC_SOME)).await;
    cluster.until(|| cluster.nodes.values().any(|groups| damage(groups).is_some())).await;
    let sick = *cluster.nodes.iter().find(|(_, groups)| damage(groups).is_some()).unwrap().0;
    assert_eq!(damage(&cluster.nodes[&sick]).as_deref(), Some("applying an entry panicked"));
    cluster.write(20).await;
    cluster.make_anew(sick).await;
    assert_eq!(cluster.settled(41).await.count, 41);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_log_can_not_be_read_is_fenced_and_made_anew() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(5).await;
    let leader = cluster.leader().await;
    for n in 0..300 {
        // Of more than one block, so that the damaged one is not looked at when the log is opened.
        let entry = Bytes::from(vec![n as u8; 2_000]);
        cluster.nodes[&leader].group(0).propose(entry).await.unwrap();
    }
    let before = cluster.settled(305).await;
    let sick = follower(&cluster);
    // The log goes into a table when it is opened again.
    cluster.kill(sick).await;
    cluster.start(sick).await;
    cluster.settled(305).await;
    cluster.kill(sick).await;
    flip(&tables(&cluster.root(sick).join("log"))[0], 100);
    cluster.start(sick).await;
    cluster.until(|| damage(&cluster.nodes[&sick]).is_some()).await;
    cluster.make_anew(sick).await;
    assert_eq!((damage(&cluster.nodes[&sick]), cluster.settled(305).await), (None, before));
    cluster.shutdown().await;
}

/// What is done to a log while its node is down.
type Harm = fn(&Path);

fn newest(log: &Path, end: &str) -> PathBuf {
    let files = fs::read_dir(log).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().contains(end)).max().unwrap()
}

fn flip_end(log: &Path) {
    flip(&newest(log, ".log"), 2_000);
}

fn cut_end(log: &Path) {
    File::options().write(true).open(newest(log, ".log")).unwrap().set_len(1_000).unwrap();
}

fn remove_end(log: &Path) {
    fs::remove_file(newest(log, ".log")).unwrap();
}

fn break_list(log: &Path) {
    fs::write(newest(log, "MANIFEST"), "what").unwrap();
}

fn remove_log(log: &Path) {
    fs::remove_dir_all(log).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_log_has_lost_what_was_on_disk_does_not_vote_and_is_made_anew() {
    for harm in [flip_end as Harm, cut_end, remove_end, break_list, remove_log] {
        let mut cluster = Cluster::of(3).await;
        cluster.write(200).await;
        cluster.settled(200).await;
        let sick = follower(&cluster);
        cluster.kill(sick).await;
        harm(&cluster.root(sick).join("log"));
        for _ in 0..2 {
            // However often it is started.
            cluster.start(sick).await;
            // (It may not know any more that it had one.)
            cluster.nodes[&sick].host(0).await.unwrap();
            assert!(damage(&cluster.nodes[&sick]).is_some());
            cluster.kill(sick).await;
        }
        cluster.start(sick).await;
        cluster.nodes[&sick].host(0).await.unwrap();
        cluster.write(20).await;
        cluster.make_anew(sick).await;
        assert_eq!((damage(&cluster.nodes[&sick]), cluster.settled(220).await.count), (None, 220));
        cluster.kill(sick).await;
        cluster.start(sick).await;
        assert_eq!((damage(&cluster.nodes[&sick]), cluster.settled(220).await.count), (None, 220));
        cluster.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_without_peers_does_not_start_without_the_end_of_its_log() {
    for harm in [flip_end as Harm, cut_end, remove_end, break_list] {
        let root = tempfile::tempdir().unwrap();
        let groups = toy::open(root.path(), 1).await;
        toy::propose(&groups, 0, 200).await;
        groups.close().await;
        harm(&root.path().join("log"));
        for _ in 0..2 {
            let error = Groups::<Toy>::open(toy::options(root.path(), 1)).await.err().unwrap().to_string();
            assert!(error.contains("data is damaged"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_shard_without_peers_stays_fenced_and_the_others_go_on() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 2).await;
    // So many that the log begins after the first ones.
    toy::propose(&groups, 0, 400).await;
    groups.flush().await.unwrap();
    assert!(groups.group(0).status().purged.is_some());
    toy::propose(&groups, 1, 5).await;
    groups.shutdown().await.unwrap();
    // Files of the first flush hold shard 0 alone.
    let mut state = tables(&root.path().join("state"));
    state.sort();
    state[..2].iter().for_each(|table| flip(table, 8));
    for _ in 0..2 {
        let groups = toy::open(root.path(), 2).await;
        assert!(groups.group(0).damage().is_some());
        assert_eq!(groups.group(1).damage(), None);
        toy::propose(&groups, 1, 5).await;
        groups.shutdown().await.unwrap();
    }
    let groups = toy::open(root.path(), 2).await;
    assert_eq!(toy::machine(&groups, 1).count, 15);
    groups.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shard_whose_log_is_whole_needs_no_state() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 1).await;
    toy::propose(&groups, 0, 5).await;
    let before = toy::machine(&groups, 0);
    groups.shutdown().await.unwrap();
    tables(&root.path().join("state")).iter().for_each(|table| flip(table, 8));
    // It is found now, and the database made anew at the next start.
    toy::open(root.path(), 1).await.shutdown().await.unwrap();
    let groups = toy::open(root.path(), 1).await;
    assert_eq!((groups.group(0).damage(), toy::machine(&groups, 0).digest), (None, before.digest));
    groups.shutdown().await.unwrap();
}

/// What is done to the list of a database's files, or to what says which list counts.
const LISTS: [Harm; 4] = [break_list, cut_list, remove_current, remove_log];

fn cut_list(database: &Path) {
    let list = newest(database, "MANIFEST");
    let bytes = fs::metadata(&list).unwrap().len();
    File::options().write(true).open(list).unwrap().set_len(bytes * 2 / 3).unwrap();
}

fn remove_current(database: &Path) {
    fs::remove_file(database.join("CURRENT")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_does_not_know_its_files_any_more_is_made_anew() {
    for (database, harm) in ["log", "state"].into_iter().flat_map(|database| LISTS.map(|harm| (database, harm))) {
        let mut cluster = Cluster::of(3).await;
        cluster.write(400).await;
        cluster.settled(400).await;
        let sick = follower(&cluster);
        cluster.nodes[&sick].flush().await.unwrap();
        cluster.kill(sick).await;
        harm(&cluster.root(sick).join(database));
        cluster.start(sick).await;
        cluster.nodes[&sick].host(0).await.unwrap();
        assert!(damage(&cluster.nodes[&sick]).is_some(), "{database}");
        cluster.make_anew(sick).await;
        assert_eq!((damage(&cluster.nodes[&sick]), cluster.settled(400).await.count), (None, 400));
        cluster.shutdown().await;
    }
}

#[tokio::test]
async fn a_node_without_peers_does_not_start_without_the_list_of_its_files_and_says_so_each_time() {
    for (database, harm) in ["log", "state"].into_iter().flat_map(|database| LISTS.map(|harm| (database, harm))) {
        let root = tempfile::tempdir().unwrap();
        let groups = toy::open(root.path(), 1).await;
        toy::propose(&groups, 0, 200).await;
        groups.close().await;
        let database = root.path().join(database);
        harm(&database);
        let there = || fs::read_dir(&database).map_or(0, Iterator::count);
        let before = there();
        for _ in 0..2 {
            let error = Groups::<Toy>::open(toy::options(root.path(), 1)).await.err().unwrap().to_string();
            assert!(error.contains("data is damaged") && error.contains("from a backup"), "{error}");
            assert_eq!(there(), before, "nothing of it was touched");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_bit_in_a_log_takes_no_other_group_with_it() {
    let root = tempfile::tempdir().unwrap();
    let groups = toy::open(root.path(), 3).await;
    for group in 0..3 {
        // Each fills blocks of its own.
        for n in 0..200 {
            groups.group(group).propose(Bytes::from(vec![n; 2_000])).await.unwrap();
        }
    }
    let before = [0, 2].map(|group| toy::machine(&groups, group));
    groups.close().await;
    // The log goes into a table when it is opened again.
    toy::open(root.path(), 3).await.close().await;
    let table = tables(&root.path().join("log")).remove(0);
    let half = fs::metadata(&table).unwrap().len() / 2;
    flip(&table, half);
    let open = async || {
        let mut options = toy::options(root.path(), 3);
        options.has_peers = true;
        Groups::<Toy>::open(options).await.unwrap()
    };
    let groups = open().await;
    groups.verify(1 << 30).await;
    let damaged = |groups: &Groups<Toy>| [0, 1, 2].map(|group| groups.group(group).damage().is_some());
    assert_eq!((damaged(&groups), groups.is_damaged()), ([false, true, false], true));
    groups.close().await;
    for _ in 0..2 {
        let groups = open().await;
        assert_eq!((damaged(&groups), groups.is_damaged()), ([false, true, false], false));
        assert_eq!([0, 2].map(|group| toy::machine(&groups, group).digest), before.map(|toy| toy.digest));
        groups.close().await;
    }
    assert!(root.path().join("log.damaged").exists());
}
