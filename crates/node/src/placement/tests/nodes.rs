//! Several nodes in one process, each with its databases, groups and placement, on a network that tests cut where they like.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::entry::{Body, Init, Join, Register};
use flintwheel_cluster::rows::{Addresses, Formats, Settings};
use flintwheel_cluster::{Accepted, META, Meta};
use flintwheel_raft::{CallError, FatalHook, Founding, Groups, Host, Inbound, Lane, OpenOptions, Peer, Transport};
use flintwheel_shard::Machine;
use flintwheel_store::DataDir;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::clock::SystemClock;
use crate::peers::{Directory, Doorman, Peers};
use crate::placement::{Pace, Placement, load_directory};

/// Longer than anything here takes; what is not there by then never comes.
const PATIENCE: Duration = Duration::from_secs(90);
/// Shards of the cluster.
pub(super) const SHARDS: u32 = 4;

const PACE: Pace = Pace {
    round: Duration::from_millis(200),
    copy: Duration::from_millis(10),
    save: Duration::from_millis(20),
    sizes: Duration::from_secs(1),
    grace: Duration::from_secs(2),
};

/// Carries messages between the nodes, where they are not cut off from each other.
#[derive(Default)]
pub(super) struct Board {
    nodes: Mutex<BTreeMap<u64, Arc<Doorman>>>,
    /// From, to.
    cut: Mutex<HashSet<(u64, u64)>>,
}

/// One node's end of it.
struct Line {
    from: u64,
    board: Arc<Board>,
}

impl Transport for Line {
    fn call(
        &self,
        to: &Peer,
        _lane: Lane,
        group: u32,
        message: Bytes,
        within: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        let (from, to, board) = (self.from, to.node, self.board.clone());
        async move {
            let away = || CallError::Unreachable("cut off".to_owned());
            let node = board.nodes.lock().get(&to).cloned().ok_or_else(away)?;
            if board.cut.lock().contains(&(from, to)) {
                return Err(away());
            }
            let answer = tokio::time::timeout(within, node.answer(from, group, message)).await;
            drop(node);
            if board.cut.lock().contains(&(to, from)) {
                return Err(away());
            }
            answer.map_err(|_| CallError::TimedOut(within))
        }
        .boxed()
    }
}

pub(super) struct Node {
    host: Host,
    pub(super) shards: Arc<Groups<Machine>>,
    pub(super) meta: Arc<Groups<Meta>>,
    pub(super) peers: Arc<Peers>,
    pub(super) placement: Arc<Placement>,
    task: JoinHandle<()>,
}

impl Node {
    /// The groups that it has replicas of.
    pub(super) fn held(&self) -> BTreeSet<u32> {
        self.shards.iter().map(|group| group.shard()).chain(self.meta.iter().map(|group| group.shard())).collect()
    }
}

pub(super) struct World {
    pub(super) board: Arc<Board>,
    roots: BTreeMap<u64, TempDir>,
    pub(super) nodes: BTreeMap<u64, Node>,
    /// Whose program would have ended by itself.
    ended: Arc<Mutex<BTreeSet<u64>>>,
}

impl World {
    /// A cluster of one, in which a node that is gone is replaced after a second.
    pub(super) async fn founded() -> Self {
        let (board, ended) = (Arc::default(), Arc::default());
        let mut world = Self { board, roots: BTreeMap::new(), nodes: BTreeMap::new(), ended };
        world.start(1).await;
        let settings =
            Settings { cluster: [7; 16], shards: SHARDS, replication: 3, repair_after: 1_000_000, most_moves: 8 };
        let placement = &world.nodes[&1].placement;
        let init = Body::Init(Init { settings, first: join(1) });
        assert_eq!(placement.propose(init.clone()).await, Ok(Accepted::Node(1)));
        assert_eq!(placement.propose(init).await, Ok(Accepted::Node(1)), "the same again");
        world.register(1).await;
        assert_eq!(world.nodes[&1].placement.record_founding().await, Ok(()));
        assert_eq!(world.nodes[&1].placement.record_founding().await, Ok(()), "it is so already");
        world
    }

    /// Of nodes 1 to `count`, when all is where it should be.
    pub(super) async fn of(count: u64) -> Self {
        let mut world = Self::founded().await;
        for node in 2..=count {
            world.join(node).await;
        }
        world.settled().await;
        world
    }

    /// Lets the next node join, which must get this id.
    pub(super) async fn join(&mut self, id: u64) {
        let seed = &self.nodes[&1];
        assert_eq!(seed.placement.propose(Body::Join(join(id))).await, Ok(Accepted::Node(id)));
        self.start(id).await;
        // As the answer to who joins tells it.
        let (seed, new) = (&self.nodes[&1], &self.nodes[&id]);
        let directory = seed.peers.directory();
        new.peers.directory().set(directory.version(), Meta::clone(&directory.meta()));
        self.until("it is known to itself", |world| world.nodes[&1].peers.directory().meta().node(id).is_some()).await;
        self.register(id).await;
    }

    async fn register(&self, node: u64) {
        let Join { addresses, zone, capacity, .. } = join(node);
        let (program, formats) = ("test".to_owned(), Formats { least: 1, most: 1 });
        let register = Register { node, epoch: 1, incarnation: node, addresses, zone, capacity, program, formats };
        let registered = self.nodes[&node].placement.propose(Body::Register(register)).await;
        assert_eq!(registered, Ok(Accepted::Registered { epoch: 1 }));
    }

    pub(super) async fn start(&mut self, id: u64) {
        let root = self.roots.entry(id).or_insert_with(|| tempfile::tempdir().unwrap()).path().to_owned();
        let data = DataDir::open(&root, id, None).unwrap();
        let directory = Arc::new(Directory::default());
        load_directory(&root, &directory);
        let transport = Arc::new(Line { from: id, board: self.board.clone() });
        let founding = if id == 1 { Founding::Alone } else { Founding::Member };
        let address = join(id).addresses.peer.into();
        let has_peers = directory.nodes().iter().any(|node| node.id != id);
        let ended = self.ended.clone();
        let mut options = OpenOptions { founding, address, has_peers, ..OpenOptions::new(data, SHARDS) };
        options.transport = transport.clone();
        options.fatal = FatalHook::new(move |_| _ = ended.lock().insert(id));
        let host = Host::open(options).await.unwrap();
        let shards = Arc::new(host.shards::<Machine>().await.unwrap());
        let meta = Arc::new(host.meta::<Meta>().await.unwrap());
        let peers = Arc::new(Peers::new(id, transport, directory));
        let clock = Arc::new(SystemClock::default());
        let placement = Placement::with_pace(shards.clone(), meta.clone(), peers.clone(), clock, root, PACE);
        placement.register();
        let doorman = Doorman { shards: shards.receiver(), meta: meta.receiver(), peers: peers.clone() };
        self.board.nodes.lock().insert(id, Arc::new(doorman));
        let task = tokio::spawn(placement.clone().run());
        self.nodes.insert(id, Node { host, shards, meta, peers, placement, task });
    }

    pub(super) async fn stop(&mut self, id: u64) {
        self.board.nodes.lock().remove(&id);
        let Node { host, shards, meta, peers, placement, task } = self.nodes.remove(&id).unwrap();
        peers.close();
        task.abort();
        let _ = task.await;
        drop(placement);
        alone(meta).await.shutdown().await.unwrap();
        alone(shards).await.shutdown().await.unwrap();
        host.close().await;
    }

    pub(super) async fn close(mut self) {
        let ids: Vec<u64> = self.nodes.keys().copied().collect();
        for id in ids {
            self.stop(id).await;
        }
    }

    /// What a node's directory file is in.
    pub(super) fn root(&self, id: u64) -> &std::path::Path {
        self.roots[&id].path()
    }

    /// Cuts a node off from all others.
    pub(super) fn isolate(&self, node: u64) {
        let others = self.roots.keys().filter(|other| **other != node);
        self.board.cut.lock().extend(others.flat_map(|other| [(node, *other), (*other, node)]));
    }

    pub(super) fn heal(&self) {
        self.board.cut.lock().clear();
    }

    /// Nothing of a node is damaged any more, and all is settled. If it ends meanwhile, it is started again, as by its supervisor.
    pub(super) async fn mended(&mut self, id: u64) {
        let until = tokio::time::Instant::now() + PATIENCE;
        while !(self.damaged(id).is_empty() && self.is_settled()) {
            assert!(tokio::time::Instant::now() < until, "it is not mended: {:?}{}", self.damaged(id), self.report());
            if self.ended.lock().remove(&id) {
                self.stop(id).await;
                self.start(id).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The groups whose replicas on a node are damaged.
    pub(super) fn damaged(&self, id: u64) -> BTreeSet<u32> {
        let node = &self.nodes[&id];
        let shards = node.shards.iter().filter(|group| group.damage().is_some()).map(|group| group.shard());
        let meta = node.meta.iter().filter(|group| group.damage().is_some()).map(|group| group.shard());
        shards.chain(meta).collect()
    }

    /// Nothing that a node holds is damaged, and all of it is applied.
    pub(super) fn is_whole(&self, id: u64) -> bool {
        let node = &self.nodes[&id];
        self.damaged(id).is_empty() && node.shards.iter().all(|group| group.status().applied.is_some())
    }

    /// The newest directory of all nodes.
    pub(super) fn meta(&self) -> Arc<Meta> {
        let newest = self.nodes.values().max_by_key(|node| node.peers.directory().version()).unwrap();
        newest.peers.directory().meta()
    }

    /// Each shard's voters are as many as can be, nothing moves, and each node holds what the rows say and leads its share.
    pub(super) async fn settled(&self) {
        self.until("all is placed and even", |world| world.is_settled()).await;
    }

    fn is_settled(&self) -> bool {
        let meta = self.meta();
        let usable: Vec<u64> = self.nodes.keys().copied().filter(|node| takes_part(&meta, *node)).collect();
        let wanted = usable.len().min(3);
        let placed = |row: &flintwheel_cluster::rows::Shard| {
            row.pending.is_none() && row.voters().count() == wanted && row.replicas.len() == wanted
        };
        let even = |count: &dyn Fn(u64) -> usize| {
            let counts = || usable.iter().map(|node| count(*node));
            counts().max().unwrap_or(0) <= counts().min().unwrap_or(0) + 1
        };
        meta.shards().count() == SHARDS as usize + 1
            && meta.shards().all(|(_, row)| placed(row))
            && even(&|node| meta.replicas_on(node))
            && even(&|node| self.leads(node).len())
            && self.nodes.keys().all(|node| self.nodes[node].held() == named(&meta, *node))
    }

    /// The groups that a node leads.
    pub(super) fn leads(&self, node: u64) -> Vec<u32> {
        let node = &self.nodes[&node];
        let shards = node.shards.iter().filter(|group| group.status().leadership.is_leader()).map(|g| g.shard());
        let meta = node.meta.iter().filter(|group| group.status().leadership.is_leader()).map(|g| g.shard());
        shards.chain(meta).collect()
    }

    pub(super) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let searched = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, searched).await.is_err() {
            panic!("it does not come true: {what}{}", self.report());
        }
    }

    /// Where all stands, for a test that waits in vain.
    fn report(&self) -> String {
        let meta = self.meta();
        let rows = meta.shards().map(|(shard, row)| format!("\n{shard}: {row:?}"));
        let nodes = self.nodes.iter().map(|(id, node)| {
            let (leads, version) = (self.leads(*id), node.peers.directory().version());
            format!("\nnode {id}: directory {version}, holds {:?}, leads {leads:?}", node.held())
        });
        rows.chain(nodes).collect()
    }
}

fn takes_part(meta: &Meta, node: u64) -> bool {
    meta.node(node).is_some_and(|node| node.state == flintwheel_cluster::rows::NodeState::Up)
}

/// The groups whose rows name a node.
pub(super) fn named(meta: &Meta, node: u64) -> BTreeSet<u32> {
    meta.shards().filter(|(_, row)| row.on(node).is_some()).map(|(shard, _)| shard).collect()
}

/// Some shard that a node has a replica of, the meta group aside.
pub(super) fn some_shard(meta: &Meta, on: u64) -> u32 {
    named(meta, on).into_iter().find(|shard| *shard != META).expect("it has one")
}

fn join(node: u64) -> Join {
    let at = |port: u32| format!("node-{node}:{port}");
    let addresses = Addresses { peer: at(1), client: at(2), http: at(3) };
    Join { name: format!("node-{node}"), addresses, zone: None, capacity: None, token: node.into() }
}

/// What others held, when they have let go.
async fn alone<T>(mut shared: Arc<T>) -> T {
    loop {
        match Arc::try_unwrap(shared) {
            Ok(alone) => return alone,
            Err(back) => shared = back,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
