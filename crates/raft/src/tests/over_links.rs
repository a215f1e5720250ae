//! Replicas that talk over real connections: three nodes with doors on the loopback.

use super::toy::Toy;
use crate::{
    ChangeError, Founding, Group, Groups, Identity, Links, OpenOptions, PROTOCOL_VERSIONS, Peer, PeerDoor, peer_server,
};
use bytes::Bytes;
use flintwheel_store::DataDir;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio_stream::wrappers::TcpListenerStream;

const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    id: u64,
    address: String,
    root: TempDir,
    running: Option<(Groups<Toy>, Runtime)>,
}

impl Node {
    async fn new(id: u64) -> Self {
        let mut node =
            Self { id, address: "127.0.0.1:0".to_owned(), root: tempfile::tempdir().unwrap(), running: None };
        node.start().await;
        node
    }

    /// At the address of before, if it had one.
    async fn start(&mut self) {
        let door = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let address = self.address.clone();
        let listener = door.spawn(async move { TcpListener::bind(address).await.unwrap() }).await.unwrap();
        self.address = listener.local_addr().unwrap().to_string();
        let identity = Identity { cluster: [7; 16], node: self.id, versions: PROTOCOL_VERSIONS };
        let data = DataDir::open(self.root.path(), self.id, None).unwrap();
        let founding = if self.id == 1 { Founding::Alone } else { Founding::Member };
        let transport = Arc::new(Links::new(identity.clone(), Handle::current()));
        let address = self.address.as_str().into();
        let groups = Groups::open(OpenOptions { founding, transport, address, ..OpenOptions::new(data, 1) });
        let groups = groups.await.unwrap();
        let receiver = PeerDoor::new(identity, Arc::new(groups.receiver()), |_| Ok(()));
        let server = peer_server().add_service(receiver.service());
        door.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        self.running = Some((groups, door));
    }

    async fn kill(&mut self) {
        let (groups, door) = self.running.take().unwrap();
        door.shutdown_background();
        groups.close().await;
    }

    fn group(&self) -> Option<Group<Toy>> {
        self.running.as_ref().and_then(|(groups, _)| groups.find(0))
    }

    fn toy(&self) -> Option<Toy> {
        self.group().and_then(|group| group.read(|toy, _| Toy { since_open: 0, ..*toy }).ok())
    }
}

async fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let waited = async {
        loop {
            if let Some(found) = found() {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.expect("it comes true")
}

fn leader(nodes: &[Node]) -> Option<usize> {
    nodes.iter().position(|node| node.group().is_some_and(|group| group.status().leadership.is_leader()))
}

async fn write(nodes: &[Node], count: usize) {
    for n in 0..count {
        loop {
            let leader = until(|| leader(nodes)).await;
            let group = nodes[leader].group().unwrap();
            if group.propose(Bytes::from(format!("{n}"))).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// All nodes that run have the same, and at least `count` entries.
async fn settled(nodes: &[Node], count: u64) {
    until(|| {
        let toys: Vec<Toy> = nodes.iter().filter(|node| node.running.is_some()).filter_map(Node::toy).collect();
        toys.iter().all(|toy| *toy == toys[0] && toy.count >= count).then_some(())
    })
    .await;
}

async fn join(nodes: &[Node], new: usize) {
    nodes[new].running.as_ref().unwrap().0.host(0).await.unwrap();
    let group = nodes[0].group().unwrap();
    let peer = Peer { node: nodes[new].id, address: nodes[new].address.as_str().into() };
    loop {
        let added = group.add_learner(&peer).await;
        match added {
            Ok(()) => break,
            Err(ChangeError::Changing) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    settled(nodes, 0).await;
    while let Err(error) = group.promote(nodes[new].id).await {
        assert_eq!(error, ChangeError::Changing);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_agree_through_a_killed_leader_and_a_snapshot() {
    let mut nodes = vec![Node::new(1).await, Node::new(2).await, Node::new(3).await];
    join(&nodes, 1).await;
    join(&nodes, 2).await;
    write(&nodes, 100).await;
    settled(&nodes, 100).await;

    let killed = until(|| leader(&nodes)).await;
    nodes[killed].kill().await;
    // Far more than the log keeps below a flush: what the killed node lacks is not in the log any more.
    for round in 1..=5 {
        write(&nodes, 200).await;
        settled(&nodes, 100 + round * 200).await;
        for node in nodes.iter().filter(|node| node.running.is_some()) {
            let (groups, _) = node.running.as_ref().unwrap();
            groups.flush().await.unwrap();
        }
    }
    let next = until(|| leader(&nodes)).await;
    until(|| nodes[next].group().and_then(|group| group.status().purged).filter(|purged| *purged > 110)).await;
    nodes[killed].start().await;
    settled(&nodes, 1100).await;
    let purged = || nodes[killed].group().and_then(|group| group.status().purged).filter(|purged| *purged > 110);
    until(purged).await;
    write(&nodes, 10).await;
    settled(&nodes, 1110).await;
    for node in &mut nodes {
        node.kill().await;
    }
}
