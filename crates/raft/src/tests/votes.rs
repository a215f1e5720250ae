//! Whom replicas elect that are new on a node which had one before: they know nothing of what that one has acknowledged.

use super::nodes::Cluster;
use crate::Inbound;
use crate::candidate::Candidate;
use crate::message::{Answer, Request};
use crate::types::Vote;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::VoteRequest;

/// Cut off while the members were replaced: it still goes by the old ones, of which the replicas of [`NEW`] are a majority with it.
const OLD: u64 = 1;
/// Members before; taken out, erased, and given new replicas.
const NEW: [u64; 2] = [2, 3];
/// The members that are left.
const LEFT: [u64; 2] = [4, 5];

/// Whether a node's replica gives, or would give, the old member its vote.
async fn elects_the_old_one(cluster: &Cluster, node: u64) -> [bool; 2] {
    let old = cluster.nodes[&OLD].group(0);
    let term = old.inner.raft.as_ref().unwrap().metrics().borrow_watched().current_term;
    let vote = Vote { leader_id: Candidate { term: term + 10, node_id: OLD }, committed: false };
    let asked = VoteRequest::new(vote, old.inner.log.last());
    let mut granted = [true; 2];
    for (granted, request) in granted.iter_mut().zip([Request::PreVote(asked.clone()), Request::Vote(asked)]) {
        let answer = cluster.nodes[&node].receiver().answer(OLD, 0, request.encode(0)).await;
        // (An answer, and no failure: the candidate is to learn of it.)
        let Answer::Vote(answer) = Answer::decode(0, &answer).unwrap() else { panic!("no vote: {answer:?}") };
        *granted = answer.vote_granted;
    }
    granted
}

/// A cluster of five whose members were replaced by the [`LEFT`] ones, behind the back of the [`OLD`] one.
async fn replaced() -> Cluster {
    let cluster = Cluster::of(5).await;
    cluster.write(10).await;
    cluster.changed(async |leader| leader.transfer_leader(LEFT[0]).await).await;
    cluster.until(|| cluster.leader_now() == Some(LEFT[0])).await;
    cluster.board.isolate(OLD, &[1, 2, 3, 4, 5]);
    for node in [OLD, NEW[0], NEW[1]] {
        cluster.changed(async |leader| leader.remove(node).await).await;
    }
    for node in NEW {
        cluster.nodes[&node].retire(0).await.unwrap();
        cluster.nodes[&node].host(0).await.unwrap();
    }
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_has_forgotten_the_new_members_elects_nobody_by_the_old_ones() {
    let mut cluster = replaced().await;
    for node in NEW {
        assert_eq!(elects_the_old_one(&cluster, node).await, [false; 2], "node {node}");
        cluster.kill(node).await;
        cluster.start(node).await;
        assert_eq!(elects_the_old_one(&cluster, node).await, [false; 2], "node {node}, started again");
    }
    let led = cluster.term().await;
    // It asks them itself now, and nobody else.
    cluster.board.heal();
    cluster.board.isolate(OLD, &LEFT);
    for node in NEW {
        cluster.join(node).await;
        cluster.until(|| cluster.nodes[&node].group(0).is_complete()).await;
        assert_eq!(elects_the_old_one(&cluster, node).await, [false; 2], "node {node}, with all entries");
    }
    assert_eq!(cluster.term().await, led);
    // They vote like all others: without them there would be no majority now.
    cluster.kill(led.0).await;
    cluster.write(10).await;
    assert_ne!(cluster.leader().await, OLD);
    cluster.shutdown().await;
}
