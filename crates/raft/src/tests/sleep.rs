//! Groups without work: that they sleep, what wakes them, and that nobody is believed for longer than he may be.

use super::nodes::{Cluster, Wire};
use super::toy::Toy;
use crate::sleep::Sleeper;
use crate::{Group, Lane, Leadership, Limits};
use bytes::Bytes;
use flintwheel_store::{LogBatch, LogDb, StoreError};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

async fn sleepy(nodes: u64) -> Cluster {
    over(Wire::Board, nodes).await
}

async fn over(wire: Wire, nodes: u64) -> Cluster {
    Cluster::with(wire, nodes, limits(), LogDb::commit).await
}

fn limits() -> Limits {
    Limits { sleep_after: Duration::from_millis(50), ..Limits::default() }
}

/// All of these sleep.
async fn asleep(cluster: &Cluster, nodes: &[u64]) {
    cluster.until(|| nodes.iter().all(|node| cluster.nodes[node].group(0).is_asleep())).await;
}

fn others(leader: u64) -> [u64; 2] {
    let mut others = (1..=3).filter(|node| *node != leader);
    [others.next().unwrap(), others.next().unwrap()]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_without_work_sleeps_and_is_awake_when_there_is_some() {
    slept_and_woken(Wire::Board).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_sleep_over_real_connections() {
    slept_and_woken(Wire::Links).await;
}

async fn slept_and_woken(wire: Wire) {
    let cluster = over(wire, 3).await;
    let (leader, term) = cluster.term().await;
    for round in 1..=3 {
        asleep(&cluster, &[1, 2, 3]).await;
        // At once and in order: nobody is told to come again.
        let group = cluster.nodes[&leader].group(0);
        let answers = (0..5).map(|n| group.propose(Bytes::from(format!("{round}/{n}"))));
        let counts: Vec<u64> =
            futures::future::join_all(answers).await.into_iter().map(|answer| answer.unwrap().count).collect();
        assert_eq!(counts, (1..=5).map(|n| (round - 1) * 5 + n).collect::<Vec<_>>());
    }
    cluster.settled(15).await;
    assert_eq!(cluster.term().await, (leader, term), "nobody was elected");
    cluster.shutdown().await;
}

#[tokio::test]
async fn who_is_alone_sleeps_too() {
    let cluster = sleepy(1).await;
    asleep(&cluster, &[1]).await;
    assert_eq!(cluster.write(3).await.count, 3);
    asleep(&cluster, &[1]).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_wakes_nobody_and_leases_go_on() {
    let cluster = sleepy(3).await;
    cluster.write(3).await;
    let (leader, term) = cluster.term().await;
    asleep(&cluster, &[1, 2, 3]).await;
    let group = cluster.nodes[&leader].group(0);
    let before = Instant::now();
    cluster.until(|| group.quorum_seen(term) > Some(before)).await;
    assert_eq!(group.quorum_seen(term + 1), None);
    group.confirm().await.unwrap();
    assert!(cluster.nodes.values().all(|groups| groups.group(0).is_asleep()));
    drop(group);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_majority_and_who_looks_after_the_group_do_not_wait_for_each_other() {
    let cluster = Cluster::with(Wire::Board, 3, Limits { sleep_after: Duration::MAX, ..limits() }, LogDb::commit).await;
    let (leader, term) = cluster.term().await;
    let done = Arc::new(AtomicBool::new(false));
    let repeated = |work: fn(&Group<Toy>, u64)| {
        let (group, done) = (cluster.nodes[&leader].group(0), done.clone());
        std::thread::spawn(move || {
            while !done.load(Ordering::Relaxed) {
                work(&group, term);
            }
        })
    };
    let looks = repeated(|group, _| group.inner.look(crate::runtime::Moment::now()));
    let asks = repeated(|group, term| _ = group.quorum_seen(term));
    // Each of them has the metrics written anew.
    cluster.write(300).await;
    done.store(true, Ordering::Relaxed);
    looks.join().unwrap();
    asks.join().unwrap();
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_node_of_a_sleeping_leader_dies_another_one_leads() {
    let mut cluster = sleepy(3).await;
    for round in 1..=3 {
        cluster.write(3).await;
        asleep(&cluster, &[1, 2, 3]).await;
        let (leader, term) = cluster.term().await;
        cluster.kill(leader).await;
        let (next, later) = cluster.term().await;
        assert!(next != leader && later > term);
        cluster.write(3).await;
        cluster.start(leader).await;
        cluster.settled(round * 6).await;
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_follower_unseats_nobody_who_sleeps() {
    let mut cluster = sleepy(3).await;
    cluster.write(3).await;
    let (leader, term) = cluster.term().await;
    for follower in others(leader) {
        asleep(&cluster, &[1, 2, 3]).await;
        cluster.kill(follower).await;
        cluster.start(follower).await;
        asleep(&cluster, &[follower]).await;
        assert_eq!(cluster.term().await, (leader, term));
    }
    asleep(&cluster, &[1, 2, 3]).await;
    assert_eq!(cluster.write(1).await.count, 4);
    cluster.settled(4).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_away_is_not_waited_for_and_brought_up_when_it_is_back() {
    let mut cluster = sleepy(3).await;
    cluster.write(3).await;
    let (leader, term) = cluster.term().await;
    let [away, there] = others(leader);
    asleep(&cluster, &[1, 2, 3]).await;
    cluster.kill(away).await;
    // They sleep on; and again, when they were woken and the other one has all they have.
    cluster.nodes[&leader].group(0).inner.awake().await;
    cluster.until(|| !cluster.nodes[&leader].group(0).is_asleep()).await;
    asleep(&cluster, &[leader, there]).await;
    cluster.start(away).await;
    asleep(&cluster, &[1, 2, 3]).await;
    assert_eq!(cluster.term().await, (leader, term));
    cluster.write(3).await;
    cluster.settled(6).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_loses_one_follower_stays_and_one_that_loses_both_goes() {
    let cluster = sleepy(3).await;
    cluster.write(3).await;
    let (leader, term) = cluster.term().await;
    let [one, other] = others(leader);
    asleep(&cluster, &[1, 2, 3]).await;
    cluster.board.cut.lock().extend([(leader, one), (one, leader)]);
    // It looks for a leader; the other follower, who hears the old one, does not want another.
    cluster.until(|| !cluster.nodes[&one].group(0).is_asleep()).await;
    assert_eq!(cluster.write(3).await.count, 6);
    assert_eq!(cluster.term().await, (leader, term));
    cluster.board.cut.lock().extend([(leader, other), (other, leader)]);
    let (next, later) = cluster.term().await;
    assert!(next != leader && later > term);
    cluster.write(3).await;
    cluster.board.heal();
    cluster.settled(9).await;
    asleep(&cluster, &[1, 2, 3]).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_leader_that_was_replaced_is_believed_by_nobody() {
    let cluster = sleepy(3).await;
    cluster.write(3).await;
    let (old, term) = cluster.term().await;
    let group = cluster.nodes[&old].group(0);
    asleep(&cluster, &[1, 2, 3]).await;
    cluster.board.isolate(old, &[1, 2, 3]);
    let cut = Instant::now();
    cluster.write(3).await;
    // It sleeps, and does not know.
    assert_eq!(group.status().leadership, Leadership::Leader { term });
    assert!(group.quorum_seen(term).is_some_and(|seen| seen <= cut), "what was sent after the cut was not answered");
    assert!(group.propose(Bytes::from_static(b"lost")).await.is_err());
    assert!(group.confirm().await.is_err());
    cluster.board.heal();
    assert_eq!(cluster.settled(6).await.count, 6);
    drop(group);
    cluster.shutdown().await;
}

/// The directory of the node whose disk stands still.
static HUNG: Mutex<Option<PathBuf>> = Mutex::new(None);

fn commit_or_hang(db: &LogDb, batch: LogBatch<'_>) -> Result<(), StoreError> {
    while HUNG.lock().unwrap().as_ref().is_some_and(|root| db.path().starts_with(root)) {
        std::thread::sleep(Duration::from_millis(5));
    }
    db.commit(batch)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_disk_stands_still_is_replaced_though_its_network_lives() {
    for sleep_after in [limits().sleep_after, Duration::MAX] {
        replaced_when_its_disk_stands_still(Limits { sleep_after, ..limits() }).await;
    }
}

async fn replaced_when_its_disk_stands_still(limits: Limits) {
    let cluster = Cluster::with(Wire::Board, 3, limits, commit_or_hang).await;
    cluster.write(3).await;
    let (old, term) = cluster.term().await;
    if limits.sleep_after < Duration::MAX {
        asleep(&cluster, &[1, 2, 3]).await;
    }
    *HUNG.lock().unwrap() = Some(cluster.root(old).to_owned());
    let later = |node: &u64| match cluster.nodes[node].group(0).status().leadership {
        Leadership::Leader { term: later } => later > term,
        _ => false,
    };
    let next = cluster.found(|| others(old).into_iter().find(later)).await;
    assert_eq!(cluster.nodes[&next].group(0).propose(Bytes::from_static(b"on")).await.unwrap().count, 4);
    *HUNG.lock().unwrap() = None;
    cluster.settled(4).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sleeping_groups_are_given_away_and_their_members_change() {
    let cluster = sleepy(3).await;
    cluster.write(3).await;
    for to in [2, 3, 1] {
        asleep(&cluster, &[1, 2, 3]).await;
        if cluster.leader().await != to {
            cluster.changed(async |leader| leader.transfer_leader(to).await).await;
        }
        cluster.until(|| cluster.leader_now() == Some(to)).await;
    }
    asleep(&cluster, &[1, 2, 3]).await;
    cluster.changed(async |leader| leader.remove(2).await).await;
    cluster.nodes[&2].retire(0).await.unwrap();
    asleep(&cluster, &[1, 3]).await;
    cluster.join(2).await;
    asleep(&cluster, &[1, 2, 3]).await;
    let members = cluster.nodes[&cluster.leader().await].group(0).members();
    assert_eq!(members.voters, BTreeSet::from([1, 2, 3]));
    cluster.write(3).await;
    cluster.settled(6).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_beats_keeps_its_groups_awake() {
    let cluster = sleepy(3).await;
    let beats = Arc::new(AtomicU64::new(0));
    let count = beats.clone();
    // As a node of an earlier version answers: it can't read them.
    *cluster.board.meddle.lock() = Some(Box::new(move |lane, message| match message.get(9) {
        Some(48) if lane == Lane::Beat => {
            count.fetch_add(1, Ordering::Relaxed);
            Bytes::from_static(b"?")
        }
        _ => message,
    }));
    // Those who sleep already hear nothing of their leader any more, and elect.
    cluster.until(|| cluster.nodes.values().all(|groups| !groups.group(0).is_asleep())).await;
    cluster.write(3).await;
    cluster.settled(3).await;
    // Longer than it takes to be away, nobody elects. (On a machine that stands still for a while, one may: then once more.)
    let mut calm = false;
    for _ in 0..20 {
        let before = cluster.term().await;
        let enough = beats.load(Ordering::Relaxed) + 6 * 25;
        cluster.until(|| beats.load(Ordering::Relaxed) > enough).await;
        assert!(cluster.nodes.values().all(|groups| !groups.group(0).is_asleep()));
        calm = cluster.term().await == before;
        if calm {
            break;
        }
    }
    assert!(calm, "they elect again and again");
    *cluster.board.meddle.lock() = None;
    asleep(&cluster, &[1, 2, 3]).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_reaches_only_a_bridge_gives_way_to_those_beyond_it() {
    let mut cluster = sleepy(5).await;
    cluster.write(3).await;
    cluster.settled(3).await;
    let (leader, term) = cluster.term().await;
    let rest: Vec<u64> = (1..=5).filter(|node| *node != leader).collect();
    // One is gone, so that the two beyond need the bridge's vote, who hears the old leader.
    cluster.kill(rest[3]).await;
    let beyond = [rest[1], rest[2]];
    cluster.board.cut.lock().extend(beyond.into_iter().flat_map(|node| [(leader, node), (node, leader)]));
    let later = |node: &u64| match cluster.nodes[node].group(0).status().leadership {
        Leadership::Leader { term: later } => later > term,
        _ => false,
    };
    let next = cluster.found(|| rest[..3].iter().copied().find(later)).await;
    // Also while somebody asks the old one to read.
    cluster.nodes[&next].group(0).propose(Bytes::from_static(b"on")).await.unwrap();
    cluster.board.heal();
    cluster.start(rest[3]).await;
    cluster.settled(4).await;
    cluster.shutdown().await;
}
