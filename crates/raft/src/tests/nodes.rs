//! Several nodes in one process, on real databases, with a network that tests cut where they like.

use super::toy::{self, Toy};
use crate::log_writer::Commit;
use crate::{
    CallError, ChangeError, Founding, Group, Groups, Identity, Inbound, Lane, Leadership, Limits, Links, OpenOptions,
    PROTOCOL_VERSIONS, Peer, PeerDoor, Presence, Receiver, Transport, peer_server,
};
use bytes::Bytes;
use flintwheel_store::{DataDir, LogDb};
use futures::FutureExt;
use futures::future::BoxFuture;
use openraft::async_runtime::WatchReceiver;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_stream::wrappers::TcpListenerStream;

/// Longer than anything here takes; what is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Carries messages between the nodes of a test, where they are not cut off from each other.
#[derive(Default)]
pub(super) struct Switchboard {
    nodes: Mutex<BTreeMap<u64, Receiver<Toy>>>,
    /// From, to.
    pub(super) cut: Mutex<HashSet<(u64, u64)>>,
    /// Changes messages on their way.
    pub(super) meddle: Mutex<Option<Meddle>>,
}

pub(super) type Meddle = Box<dyn Fn(Lane, Bytes) -> Bytes + Send>;

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
    pub(super) fn isolate(&self, node: u64, others: &[u64]) {
        let pairs = others.iter().filter(|other| **other != node).flat_map(|other| [(node, *other), (*other, node)]);
        self.cut.lock().extend(pairs);
    }

    pub(super) fn heal(&self) {
        self.cut.lock().clear();
    }
}

/// What carries the messages.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// A switchboard, in memory.
    Board,
    /// Real connections on the loopback.
    Links,
}

pub(super) struct Cluster {
    wire: Wire,
    limits: Limits,
    commit: Commit,
    addresses: BTreeMap<u64, String>,
    /// Of nodes with real connections: what their doors run on.
    doors: BTreeMap<u64, Runtime>,
    pub(super) board: Arc<Switchboard>,
    roots: BTreeMap<u64, TempDir>,
    pub(super) nodes: BTreeMap<u64, Groups<Toy>>,
}

impl Cluster {
    /// Nodes 1 to `count`, and a shard that all of them vote in.
    pub(super) async fn of(count: u64) -> Self {
        Self::over(Wire::Board, count).await
    }

    pub(super) async fn over(wire: Wire, count: u64) -> Self {
        Self::with(wire, count, Limits::default(), LogDb::commit).await
    }

    pub(super) async fn with(wire: Wire, count: u64, limits: Limits, commit: Commit) -> Self {
        let (addresses, doors, roots, nodes) = Default::default();
        let mut cluster = Self { wire, limits, commit, addresses, doors, board: Arc::default(), roots, nodes };
        for node in 1..=count {
            cluster.roots.insert(node, tempfile::tempdir().unwrap());
            cluster.start(node).await;
        }
        for node in 2..=count {
            cluster.join(node).await;
        }
        cluster
    }

    pub(super) fn peer(&self, node: u64) -> Peer {
        let address = self.addresses.get(&node).map_or_else(|| format!("node-{node}:1"), Clone::clone);
        Peer { node, address: address.into() }
    }

    /// At the address of before, if it had one.
    pub(super) async fn start(&mut self, node: u64) {
        let data = DataDir::open(self.roots[&node].path(), node, None).unwrap();
        let founding = if node == 1 { Founding::Alone } else { Founding::Member };
        let has_peers = self.roots.len() > 1;
        let options = OpenOptions { founding, has_peers, limits: self.limits, ..OpenOptions::new(data, 1) };
        let groups = match self.wire {
            Wire::Board => {
                let transport = Arc::new(Line { from: node, board: self.board.clone() });
                let options = OpenOptions { transport, address: self.peer(node).address, ..options };
                let groups = Groups::open_with(options, self.commit).await.unwrap();
                self.board.nodes.lock().insert(node, groups.receiver());
                groups
            }
            Wire::Links => self.start_linked(node, options).await,
        };
        self.nodes.insert(node, groups);
    }

    async fn start_linked(&mut self, node: u64, options: OpenOptions) -> Groups<Toy> {
        let door = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = self.addresses.get(&node).map_or_else(|| "127.0.0.1:0".to_owned(), Clone::clone);
        let listener = door.spawn(async move { TcpListener::bind(address).await.unwrap() }).await.unwrap();
        self.addresses.insert(node, listener.local_addr().unwrap().to_string());
        let identity = Identity { cluster: [7; 16], node, versions: PROTOCOL_VERSIONS };
        let anybody: Arc<dyn Presence> = Arc::new(|_: u64| Ok(()));
        let transport = Arc::new(Links::new(identity.clone(), Handle::current(), anybody.clone()));
        let options = OpenOptions { transport, address: self.peer(node).address, ..options };
        let groups = Groups::open_with(options, self.commit).await.unwrap();
        let receiver = PeerDoor::new(identity, Arc::new(groups.receiver()), anybody);
        let server = peer_server().add_service(receiver.service());
        door.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        self.doors.insert(node, door);
        groups
    }

    /// As in a crash: nothing is flushed.
    pub(super) async fn kill(&mut self, node: u64) {
        self.board.nodes.lock().remove(&node);
        if let Some(door) = self.doors.remove(&node) {
            door.shutdown_background();
        }
        self.nodes.remove(&node).unwrap().close().await;
    }

    /// Gives a node that runs a replica, and a vote when it has caught up.
    pub(super) async fn join(&self, node: u64) {
        self.nodes[&node].host(0).await.unwrap();
        self.changed(async |leader| leader.add_learner(&self.peer(node)).await).await;
        self.until(|| self.caught_up(node)).await;
        self.changed(async |leader| leader.promote(node).await).await;
    }

    /// Takes a node's replica out, has it removed there, and lets it join again: as a damaged one is made anew.
    pub(super) async fn make_anew(&self, node: u64) {
        self.changed(async |leader| leader.remove(node).await).await;
        self.nodes[&node].retire(0).await.unwrap();
        self.join(node).await;
    }

    /// Where a node's data is.
    pub(super) fn root(&self, node: u64) -> &std::path::Path {
        self.roots[&node].path()
    }

    fn caught_up(&self, node: u64) -> bool {
        let applied = |node: &u64| self.nodes[node].find(0).and_then(|group| group.status().applied);
        let most = self.nodes.keys().map(applied).max().flatten();
        applied(&node) == most
    }

    /// Asks the leader for a change until it is made: a leader may be new, or gone, or another change not quite over.
    pub(super) async fn changed(&self, change: impl AsyncFn(Group<Toy>) -> Result<(), ChangeError>) {
        let made = async {
            while let Err(error) = change(self.nodes[&self.leader().await].group(0)).await {
                let passing =
                    matches!(error, ChangeError::Changing | ChangeError::NotLeader { .. } | ChangeError::Unknown);
                assert!(passing, "{error}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, made).await.expect("the change is made");
    }

    pub(super) fn leader_now(&self) -> Option<u64> {
        let leads = |groups: &Groups<Toy>| groups.find(0).is_some_and(|group| group.status().leadership.is_leader());
        let cut = self.board.cut.lock();
        let alone = |id: u64| self.nodes.len() > 1 && self.nodes.keys().all(|to| *to == id || cut.contains(&(id, *to)));
        self.nodes.iter().find(|(id, groups)| leads(groups) && !alone(**id)).map(|(id, _)| *id)
    }

    /// The node that leads and is not cut off.
    pub(super) async fn leader(&self) -> u64 {
        self.found(|| self.leader_now()).await
    }

    /// The node that leads, and in which term.
    pub(super) async fn term(&self) -> (u64, u64) {
        let term = |node: u64| match self.nodes[&node].group(0).status().leadership {
            Leadership::Leader { term } => Some((node, term)),
            _ => None,
        };
        self.found(|| self.leader_now().and_then(term)).await
    }

    pub(super) async fn until(&self, holds: impl Fn() -> bool) {
        self.found(|| holds().then_some(())).await;
    }

    /// Waits for what `find` finds.
    pub(super) async fn found<T>(&self, find: impl Fn() -> Option<T>) -> T {
        let searched = async {
            loop {
                if let Some(found) = find() {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        match tokio::time::timeout(PATIENCE, searched).await {
            Ok(found) => found,
            Err(_) => panic!("it does not come true: {}", self.report()),
        }
    }

    /// Where each node stands, for a test that waits in vain.
    pub(super) fn report(&self) -> String {
        let of = |(node, groups): (&u64, &Groups<Toy>)| {
            let group = groups.find(0);
            let raft = group.as_ref().and_then(|group| group.inner.raft.as_ref());
            let metrics = raft.map(|raft| raft.metrics().borrow_watched().to_string());
            format!("\nnode {node}: {:?} {metrics:?}", group.as_ref().map(|group| group.status()))
        };
        self.nodes.iter().map(of).collect()
    }

    /// Proposes to whoever leads until `count` entries are acknowledged; what the last one was answered.
    pub(super) async fn write(&self, count: u64) -> Toy {
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
    pub(super) async fn settled(&self, count: u64) -> Toy {
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

    pub(super) async fn shutdown(self) {
        self.board.nodes.lock().clear();
        self.doors.into_values().for_each(Runtime::shutdown_background);
        for groups in self.nodes.into_values() {
            groups.shutdown().await.unwrap();
        }
    }
}
