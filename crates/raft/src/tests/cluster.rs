//! Groups with several replicas: nodes in one process, on real databases, with a network that tests cut where they like.

use super::toy::{self, Toy};
use crate::{
    CallError, ChangeError, Founding, Groups, Inbound, Lane, Leadership, Members, OpenOptions, Peer, Receiver,
    Transport,
};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes; what is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Carries messages between the nodes of a test, where they are not cut off from each other.
#[derive(Default)]
struct Switchboard {
    nodes: Mutex<BTreeMap<u64, Receiver<Toy>>>,
    /// From, to.
    cut: Mutex<HashSet<(u64, u64)>>,
    /// Changes messages on their way.
    meddle: Mutex<Option<Meddle>>,
}

type Meddle = Box<dyn Fn(Lane, Bytes) -> Bytes + Send>;

/// One node's end of it.
struct Line {
    from: u64,
    board: Arc<Switchboard>,
}

impl Transport for Line {
    fn call(
        &self,
        to: &Peer,
        lane: Lane,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (from, to, board) = (self.from, to.node, self.board.clone());
        let message = board.meddle.lock().as_ref().map_or(message.clone(), |meddle| meddle(lane, message));
        async move {
            let away = || CallError::Unreachable("cut off".to_owned());
            let node = board.nodes.lock().get(&to).cloned().ok_or_else(away)?;
            if board.cut.lock().contains(&(from, to)) {
                return Err(away());
            }
            let answer = tokio::time::timeout(within, node.answer(from, group, message)).await;
            if board.cut.lock().contains(&(to, from)) {
                return Err(away());
            }
            answer.map_err(|_| CallError::TimedOut(within))
        }
        .boxed()
    }
}

impl Switchboard {
    /// Cuts a node off from all others, or lets it back.
    fn isolate(&self, node: u64, others: &[u64]) {
        let pairs = others.iter().filter(|other| **other != node).flat_map(|other| [(node, *other), (*other, node)]);
        self.cut.lock().extend(pairs);
    }

    fn heal(&self) {
        self.cut.lock().clear();
    }
}

struct Cluster {
    board: Arc<Switchboard>,
    roots: BTreeMap<u64, TempDir>,
    nodes: BTreeMap<u64, Groups<Toy>>,
}

fn peer(node: u64) -> Peer {
    Peer { node, address: format!("node-{node}:1").into() }
}

impl Cluster {
    /// Nodes 1 to `count`, and a shard that all of them vote in.
    async fn of(count: u64) -> Self {
        let mut cluster = Self { board: Arc::default(), roots: BTreeMap::new(), nodes: BTreeMap::new() };
        for node in 1..=count {
            cluster.roots.insert(node, tempfile::tempdir().unwrap());
            cluster.start(node).await;
        }
        for node in 2..=count {
            cluster.join(node).await;
        }
        cluster
    }

    fn options(&self, node: u64) -> OpenOptions {
        let data = flintwheel_store::DataDir::open(self.path(node), node, None).unwrap();
        let founding = if node == 1 { Founding::Alone } else { Founding::Member };
        let transport = Arc::new(Line { from: node, board: self.board.clone() });
        OpenOptions { founding, transport, address: peer(node).address, ..OpenOptions::new(data, 1) }
    }

    fn path(&self, node: u64) -> &Path {
        self.roots[&node].path()
    }

    async fn start(&mut self, node: u64) {
        let groups = Groups::open(self.options(node)).await.unwrap();
        self.board.nodes.lock().insert(node, groups.receiver());
        self.nodes.insert(node, groups);
    }

    /// As in a crash: nothing is flushed.
    async fn kill(&mut self, node: u64) {
        self.board.nodes.lock().remove(&node);
        self.nodes.remove(&node).unwrap().close().await;
    }

    async fn join(&self, node: u64) {
        self.nodes[&node].host(0).await.unwrap();
        let leader = self.leader().await;
        self.changed(|| async { self.nodes[&leader].group(0).add_learner(&peer(node)).await }).await;
        self.until(|| self.caught_up(node)).await;
        self.changed(|| async { self.nodes[&leader].group(0).promote(node).await }).await;
    }

    fn caught_up(&self, node: u64) -> bool {
        let applied = |node: &u64| self.nodes[node].find(0).and_then(|group| group.status().applied);
        let most = self.nodes.keys().map(applied).max().flatten();
        applied(&node) == most
    }

    /// Repeats a change until the group takes it: a leader may be new, or another change not quite over.
    async fn changed<F: Future<Output = Result<(), ChangeError>>>(&self, change: impl Fn() -> F) {
        let made = async {
            while let Err(error) = change().await {
                assert!(matches!(error, ChangeError::Changing | ChangeError::NotLeader { .. }), "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, made).await.expect("the change is made");
    }

    fn leader_now(&self) -> Option<u64> {
        let leads = |groups: &Groups<Toy>| groups.find(0).is_some_and(|group| group.status().leadership.is_leader());
        let cut = self.board.cut.lock();
        let alone = |id: u64| self.nodes.len() > 1 && self.nodes.keys().all(|to| *to == id || cut.contains(&(id, *to)));
        self.nodes.iter().find(|(id, groups)| leads(groups) && !alone(**id)).map(|(id, _)| *id)
    }

    /// The node that leads and is not cut off.
    async fn leader(&self) -> u64 {
        self.until(|| self.leader_now().is_some()).await;
        self.leader_now().expect("it has just been one")
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        let held = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, held).await.is_err() {
            panic!("it does not come true: {}", self.report());
        }
    }

    /// Where each node stands, for a test that waits in vain.
    fn report(&self) -> String {
        let of = |(node, groups): (&u64, &Groups<Toy>)| {
            let group = groups.find(0);
            let raft = group.as_ref().and_then(|group| group.inner.raft.as_ref());
            let metrics = raft.map(|raft| raft.metrics().borrow_watched().to_string());
            format!("\nnode {node}: {:?} {metrics:?}", group.as_ref().map(|group| group.status()))
        };
        self.nodes.iter().map(of).collect()
    }

    /// Proposes to whoever leads until `count` entries are acknowledged; how many were proposed at most.
    async fn write(&self, count: u64) -> Toy {
        let mut last = Toy::default();
        for n in 0..count {
            last = loop {
                let leader = self.leader().await;
                match self.nodes[&leader].group(0).propose(Bytes::from(format!("entry {n}"))).await {
                    Ok(reply) => break reply,
                    Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            };
        }
        last
    }

    /// All nodes have applied the same, and at least `count` entries; the state that they share.
    async fn settled(&self, count: u64) -> Toy {
        let states = || -> Vec<Toy> {
            let read = |groups: &Groups<Toy>| groups.group(0).read(|toy, _| Toy { since_open: 0, ..*toy }).unwrap();
            self.nodes.values().map(read).collect()
        };
        self.until(|| states().iter().all(|state| state.count >= count && *state == states()[0])).await;
        for groups in self.nodes.values() {
            assert_eq!(toy::stored(groups, 0), states()[0]);
        }
        states()[0]
    }

    async fn shutdown(self) {
        self.board.nodes.lock().clear();
        for groups in self.nodes.into_values() {
            groups.shutdown().await.unwrap();
        }
    }
}

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
    let mut cluster = Cluster::of(3).await;
    for round in 1..=3 {
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
    let mut cluster = Cluster::of(3).await;
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
async fn leaders_are_handed_over_on_request() {
    let cluster = Cluster::of(3).await;
    for to in [2, 3, 1, 2] {
        let leader = cluster.leader().await;
        if leader != to {
            cluster.changed(|| async { cluster.nodes[&leader].group(0).transfer_leader(to).await }).await;
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
    cluster.changed(|| async { cluster.nodes[&leader].group(0).remove(gone).await }).await;
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
async fn the_last_voter_stays_and_steps_can_be_repeated() {
    let cluster = Cluster::of(1).await;
    let group = cluster.nodes[&1].group(0);
    let refused = group.remove(1).await.unwrap_err();
    assert_eq!(refused.to_string(), "node 1 is the last voter of the shard: give the shard another one first");
    assert!(matches!(group.promote(7).await, Err(ChangeError::Refused(_))), "who does not follow can't vote");
    group.remove(7).await.unwrap();
    for _ in 0..2 {
        group.add_learner(&peer(7)).await.unwrap();
    }
    assert_eq!(group.members().learners, BTreeSet::from([7]));
    for _ in 0..2 {
        group.remove(7).await.unwrap();
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
