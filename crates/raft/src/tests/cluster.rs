//! Groups with several replicas: who takes part, who leads, and what becomes of those that were away.

use super::nodes::{Cluster, Wire};
use super::toy::{self, Toy};
use crate::{ChangeError, Groups, Inbound, Leadership, Members};
use bytes::Bytes;
use flintwheel_store::DataDir;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_acknowledged_is_on_all_replicas_with_equal_state() {
    let cluster = Cluster::of(3).await;
    let last = cluster.write(200).await;
    assert_eq!(last.count, 200);
    let state = cluster.settled(200).await;
    assert_eq!((state.count, state.digest), (last.count, last.digest));
    let members = cluster.nodes[&cluster.leader().await].group(0).members();
    assert_eq!(members.voters, BTreeSet::from([1, 2, 3]));
    assert_eq!(members.addresses[&3], "node-3:1");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_leader_is_killed_another_one_goes_on_and_nothing_acknowledged_is_lost() {
    leaders_are_killed(Wire::Board, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_leaders_are_replaced_over_real_connections() {
    leaders_are_killed(Wire::Links, 2).await;
}

async fn leaders_are_killed(wire: Wire, rounds: u64) {
    let mut cluster = Cluster::over(wire, 3).await;
    for round in 1..=rounds {
        cluster.write(50).await;
        let leader = cluster.leader().await;
        cluster.kill(leader).await;
        let next = cluster.leader().await;
        assert_ne!(next, leader);
        cluster.write(20).await;
        cluster.start(leader).await;
        cluster.settled(round * 70).await;
    }
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cut_off_acknowledges_nothing_and_confirms_nothing() {
    let cluster = Cluster::of(3).await;
    cluster.write(10).await;
    let old = cluster.leader().await;
    let group = cluster.nodes[&old].group(0);
    group.confirm().await.unwrap();
    cluster.board.isolate(old, &[1, 2, 3]);
    let lost = tokio::spawn(group.propose(Bytes::from_static(b"lost")));
    let confirming = tokio::spawn(group.confirm());
    cluster.write(10).await;
    cluster.board.heal();
    assert!(lost.await.unwrap().is_err(), "what a majority does not have is not acknowledged");
    assert!(confirming.await.unwrap().is_err(), "who has been replaced does not lead");
    assert_eq!(cluster.settled(20).await.count, 20);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_entries_are_gone_from_the_log_is_brought_up_by_a_snapshot() {
    brought_up_by_a_snapshot(Wire::Board).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_comes_over_real_connections() {
    brought_up_by_a_snapshot(Wire::Links).await;
}

async fn brought_up_by_a_snapshot(wire: Wire) {
    let mut cluster = Cluster::over(wire, 3).await;
    cluster.write(20).await;
    let late = (1..=3).find(|node| Some(*node) != cluster.leader_now()).unwrap();
    cluster.kill(late).await;
    for _ in 0..8 {
        cluster.write(200).await;
        for groups in cluster.nodes.values() {
            groups.flush().await.unwrap();
        }
    }
    let had = 20 + 1; // Entries, and the blank one of the first leader, at least.
    let purged = |groups: &Groups<Toy>| groups.group(0).status().purged.unwrap_or(0);
    cluster.until(|| cluster.nodes.values().all(|groups| purged(groups) > had)).await;
    cluster.start(late).await;
    let state = cluster.settled(20 + 1600).await;
    let group = cluster.nodes[&late].group(0);
    assert!(group.read(|toy, _| toy.since_open).unwrap() < 1600, "most of it did not come through the log");
    cluster.until(|| group.status().purged > Some(had)).await;
    drop(group);
    cluster.write(5).await;
    cluster.kill(late).await;
    cluster.start(late).await;
    assert_eq!(cluster.settled(state.count + 5).await.count, state.count + 5);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_state_was_written_out_before_its_log_goes_on() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(30).await;
    cluster.settled(30).await;
    let leader = cluster.leader().await;
    let node = (1..=3).find(|node| *node != leader).unwrap();
    cluster.nodes[&node].flush().await.unwrap();
    cluster.kill(node).await;
    toy::lose_end(&DataDir::open(cluster.root(node), node, None).unwrap(), 10);
    cluster.start(node).await;
    cluster.write(10).await;
    cluster.settled(40).await;
    // It counts: with one of the others it is a majority.
    let leader = cluster.leader().await;
    cluster.kill(leader).await;
    cluster.write(5).await;
    cluster.settled(45).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_is_near_when_it_has_what_it_missed() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(5).await;
    let leader = cluster.leader().await;
    let away = (1..=3).find(|node| *node != leader).unwrap();
    cluster.kill(away).await;
    cluster.write(30).await;
    let group = cluster.nodes[&leader].group(0).clone();
    assert!(!group.is_near(away, Duration::from_millis(20)).await, "it lacks thirty");
    cluster.start(away).await;
    assert!(group.is_near(away, Duration::from_secs(60)).await);
    assert!(group.replication()[&away] >= Some(30), "it has them");
    let follower = cluster.nodes[&away].group(0).clone();
    assert!(!follower.is_near(leader, Duration::from_secs(60)).await, "who follows knows nothing of others");
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_are_handed_over_on_request() {
    let cluster = Cluster::of(3).await;
    for to in [2, 3, 1, 2] {
        let leader = cluster.leader().await;
        if leader != to {
            cluster.changed(async |leader| leader.transfer_leader(to).await).await;
        }
        cluster.until(|| cluster.leader_now() == Some(to)).await;
        cluster.write(5).await;
    }
    let refused = cluster.nodes[&2].group(0).transfer_leader(9).await.unwrap_err();
    assert_eq!(refused.to_string(), "node 9 is no voter of the shard: it can't lead it");
    cluster.settled(20).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_removed_leaves_nothing_behind_and_can_come_back() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(30).await;
    let leader = cluster.leader().await;
    let gone = (1..=3).find(|node| *node != leader).unwrap();
    cluster.changed(async |leader| leader.remove(gone).await).await;
    cluster.nodes[&gone].retire(0).await.unwrap();
    assert!(cluster.nodes[&gone].find(0).is_none());
    let left = cluster.nodes.remove(&gone).unwrap();
    cluster.write(10).await;
    cluster.settled(40).await;
    cluster.nodes.insert(gone, left);
    cluster.kill(gone).await;
    cluster.start(gone).await;
    assert!(cluster.nodes[&gone].find(0).is_none(), "nothing of it is opened again, not even by who made it");
    cluster.join(gone).await;
    cluster.write(10).await;
    cluster.settled(50).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_replaced_does_not_call_a_member_removed_that_came_since() {
    let cluster = Cluster::of(4).await;
    let old = cluster.leader().await;
    let again = (1..=4).find(|node| *node != old).unwrap();
    cluster.changed(async |leader| leader.remove(again).await).await;
    cluster.nodes[&again].retire(0).await.unwrap();
    cluster.changed(async |leader| leader.remove(again).await).await;
    let old = cluster.leader().await;
    let group = cluster.nodes[&old].group(0);
    cluster.board.isolate(old, &[1, 2, 3, 4]);
    cluster.join(again).await;
    assert!(!group.members().voters.contains(&again), "it has not heard of that");
    let removing = tokio::spawn(async move { group.remove(again).await });
    cluster.write(5).await;
    cluster.board.heal();
    let told = removing.await.unwrap();
    assert!(matches!(told, Err(ChangeError::NotLeader { .. })), "{told:?}");
    cluster.settled(5).await;
    assert!(cluster.nodes[&cluster.leader().await].group(0).members().voters.contains(&again));
    cluster.shutdown().await;
}

#[tokio::test]
async fn who_led_before_a_start_is_not_taken_for_who_leads() {
    let mut cluster = Cluster::of(3).await;
    cluster.write(1).await;
    let leader = cluster.leader().await;
    let (one, other) = if leader == 1 { (2, 3) } else { (1, 5 - leader) };
    let follows = |cluster: &Cluster| match cluster.nodes[&one].group(0).leadership() {
        Leadership::Follower { leader } => leader,
        leads => panic!("{leads:?}"),
    };
    let before = follows(&cluster);
    assert_eq!(before, Some(leader));
    // A follower comes back while its leader goes on: it is told soon.
    cluster.kill(one).await;
    cluster.start(one).await;
    cluster.until(|| follows(&cluster) == Some(leader)).await;
    // All are gone, and it comes back alone: its disk says who led.
    for node in [one, other, leader] {
        cluster.kill(node).await;
    }
    cluster.start(one).await;
    assert_eq!(follows(&cluster), None);
    cluster.start(other).await;
    let new = cluster.leader().await;
    let told = if new == one { other } else { one };
    cluster.until(|| cluster.nodes[&told].group(0).leadership() == Leadership::Follower { leader: Some(new) }).await;
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_voter_stays_and_steps_can_be_repeated() {
    let cluster = Cluster::of(1).await;
    let group = cluster.nodes[&1].group(0);
    let refused = group.remove(1).await.unwrap_err();
    assert_eq!(refused.to_string(), "node 1 is the last voter of the shard: give the shard another one first");
    assert!(matches!(group.promote(7).await, Err(ChangeError::Refused(_))), "who does not follow can't vote");
    group.remove(7).await.unwrap();
    // (Each may come while the one before is not quite over.)
    for _ in 0..2 {
        cluster.changed(async |leader| leader.add_learner(&cluster.peer(7)).await).await;
    }
    assert_eq!(group.members().learners, BTreeSet::from([7]));
    for _ in 0..2 {
        cluster.changed(async |leader| leader.remove(7).await).await;
    }
    let alone = Members {
        voters: BTreeSet::from([1]),
        addresses: BTreeMap::from([(1, "node-1:1".to_owned())]),
        ..Members::default()
    };
    assert_eq!(group.members(), alone);
    drop(group);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_cut_messages_are_not_taken_and_hurt_nobody() {
    let cluster = Cluster::of(3).await;
    cluster.write(5).await;
    let count = std::sync::atomic::AtomicUsize::new(0);
    *cluster.board.meddle.lock() = Some(Box::new(move |_, message| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        match n % 4 {
            0 => message.slice(..n % message.len()),
            1 => {
                let mut bytes = message.to_vec();
                let at = n % bytes.len();
                bytes[at] ^= 1 << (n % 8);
                bytes.into()
            }
            _ => message,
        }
    }));
    cluster.write(10).await;
    *cluster.board.meddle.lock() = None;
    cluster.settled(15).await;
    let receiver = cluster.nodes[&1].receiver();
    for message in [Bytes::new(), Bytes::from_static(b"\x01"), Bytes::from(vec![0xff; 100])] {
        let answer = receiver.answer(9, 0, message).await;
        assert!(String::from_utf8_lossy(&answer).contains("a message from node 9 can't be read"), "{answer:?}");
    }
    let answer = receiver.answer(9, 77, Bytes::new()).await;
    assert!(!answer.is_empty());
    assert!(matches!(
        cluster.nodes[&1].group(0).status().leadership,
        Leadership::Leader { .. } | Leadership::Follower { .. }
    ));
    cluster.shutdown().await;
}
