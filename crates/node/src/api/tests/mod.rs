//! Asks between nodes: their form on the wire, the way that they take, and two nodes of which one has no replica.

mod calendar_wire;
mod calendars;
mod clocks;
mod routes;
mod two_nodes;
mod wire;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flintwheel_cluster::entry::{Body, Init, Join, Placement, Register};
use flintwheel_cluster::rows::{Addresses, Formats, Settings};
use flintwheel_cluster::{Entry, Meta};
use flintwheel_raft::{CallError, Founding, Groups, Lane, OpenOptions, Peer, Transport};
use flintwheel_shard::{Machine, Read, ReadError, Replicated, Table, Txn, Visit};
use flintwheel_store::DataDir;
use futures::future::BoxFuture;

use super::ask::write;
use super::{Api, NodeInfo};
use crate::clock::SystemClock;
use crate::dispatch::{Dispatchers, Route, Routes, Sink};
use crate::metrics::Metrics;
use crate::paces::Paces;
use crate::peers::{Directory, Peers};
use crate::shared::Shared;

/// The node that asks: it has no replica of anything.
const ME: u64 = 4;
const SHARDS: u32 = 4;

/// How another node's answer travels.
fn sealed(reply: &super::ask::Reply) -> Bytes {
    [&[0][..], &write(reply).expect("fits")].concat().into()
}

struct Empty;

impl Read for Empty {
    fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(None)
    }

    fn scan(&self, _: Table, _: &[u8], _: &[u8], _: Visit<'_>) -> Result<(), ReadError> {
        Ok(())
    }
}

/// Four nodes that speak formats up to this one, and all shards on the first `replicas` of them; nowhere yet for 0.
fn meta(replicas: u64, format: u32) -> Meta {
    let address = |kind: &str, id: u64| format!("{kind}{id}:1");
    let addresses =
        |id| Addresses { peer: address("peer", id), client: address("client", id), http: address("http", id) };
    let join = |id: u64| Join {
        name: format!("n{id}"),
        addresses: addresses(id),
        zone: None,
        capacity: None,
        token: u128::from(id),
    };
    let register = |id| Register {
        node: id,
        epoch: 1,
        incarnation: 1,
        addresses: addresses(id),
        zone: None,
        capacity: None,
        program: "test".into(),
        formats: Formats { least: 1, most: format },
    };
    let settings =
        Settings { cluster: [1; 16], shards: SHARDS, replication: 3, repair_after: 300_000_000, most_moves: 2 };
    let mut bodies = vec![Body::Init(Init { settings, first: join(1) })];
    bodies.extend((2..=ME).map(|id| Body::Join(join(id))));
    bodies.extend((1..=ME).map(|id| Body::Register(register(id))));
    let placement = |shard| Placement { shard, nodes: (1..=replicas).collect() };
    let placed = if replicas == 0 { 0 } else { SHARDS };
    bodies.push(Body::SetReplicas((0..placed).map(placement).collect()));
    let mut meta = Meta::default();
    for body in bodies {
        let entry = Entry { at: 1, body }.encode();
        meta.apply(&mut Txn::new(&Empty), &entry).expect("is understood").expect("is accepted");
    }
    meta
}

/// A node without replicas, which knows the others by the copy of the meta group alone.
async fn stranger(directory: &Path, transport: Arc<dyn Transport>, replicas: u64) -> Api {
    let data = DataDir::open(directory, ME, None).expect("a directory");
    let options = OpenOptions { founding: Founding::Member, ..OpenOptions::new(data, SHARDS) };
    let groups = Arc::new(Groups::<Machine>::open(options).await.expect("opens"));
    let known = Arc::new(Directory::default());
    known.set(1, meta(replicas, 1));
    let peers = Arc::new(Peers::new(ME, transport, known));
    let route = Route { sink: Sink::Null, temporal_namespace: "null".into(), task_queue: "q".into() };
    let dispatchers = Dispatchers::new("flintwheel".into(), Routes::new(route, HashMap::new()));
    let clock = Arc::new(SystemClock::default());
    let paces = Paces::new(flintwheel_model::Pace::per_second(1000), HashMap::new());
    let shared = Arc::new(Shared::new(groups, peers, clock, Metrics::new(SHARDS), dispatchers, paces));
    let info = NodeInfo {
        cluster_id: "test".into(),
        id: ME,
        address: "client4:1".into(),
        started: chrono::Utc::now(),
        data_dir: directory.to_owned(),
        sampled: parking_lot::Mutex::default(),
    };
    Api::new(shared, info)
}

async fn close(api: Api) {
    let groups = Arc::clone(&api.shared.groups);
    drop(api);
    let groups = Arc::into_inner(groups).expect("nobody else has them");
    groups.shutdown().await.expect("closes");
}

/// A way to other nodes where a closure answers.
fn calls<F>(answer: F) -> Arc<dyn Transport>
where
    F: Fn(u64, Bytes) -> BoxFuture<'static, Result<Bytes, CallError>> + Send + Sync + 'static,
{
    Arc::new(Calls(answer))
}

struct Calls<F>(F);

impl<F> Transport for Calls<F>
where
    F: Fn(u64, Bytes) -> BoxFuture<'static, Result<Bytes, CallError>> + Send + Sync + 'static,
{
    fn call(
        &self,
        to: &Peer,
        lane: Lane,
        _: u32,
        message: Bytes,
        _: Duration,
    ) -> BoxFuture<'static, Result<Bytes, CallError>> {
        assert_eq!(lane, Lane::Call);
        self.0(to.node, message)
    }
}
