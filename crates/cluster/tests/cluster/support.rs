//! A meta group in memory: a map as its store, and short ways to write entries. Knows no expectations beyond one: a machine opened
//! from its rows equals the one that made them, which is checked after each entry.

use std::collections::BTreeMap;

use bytes::Bytes;
use flintwheel_cluster::entry::{
    BeginMove, Body, Change, Drain, EndMove, Init, Join, MoveOutcome, Placement, Register, Remove, StepMove,
};
use flintwheel_cluster::rows::{Addresses, Formats, MoveStep, Reason, Settings};
use flintwheel_cluster::{Accepted, Entry, Meta, Refusal};
use flintwheel_shard::{ApplyError, Read, ReadError, Replicated, Table, Txn, Visit, Write};

/// One second in microseconds.
pub const SECOND: i64 = 1_000_000;
/// When tests begin, in microseconds since the epoch.
pub const START: i64 = 1_700_000_000 * SECOND;
/// How long a node may be gone.
pub const REPAIR_AFTER: i64 = 300 * SECOND;

/// A store that is a map; the meta group uses one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory(pub BTreeMap<Vec<u8>, Vec<u8>>);

impl Read for Memory {
    fn get(&self, _: Table, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        Ok(self.0.get(key).cloned())
    }

    fn scan(&self, _: Table, from: &[u8], to: &[u8], visit: Visit<'_>) -> Result<(), ReadError> {
        let _ = self.0.range(from.to_vec()..to.to_vec()).try_for_each(|(key, value)| visit(key, value));
        Ok(())
    }
}

impl Memory {
    pub fn write(&mut self, writes: Vec<Write>) {
        for write in writes {
            match write {
                Write::Put(Table::Meta, key, value) => drop(self.0.insert(key, value)),
                other => panic!("the meta group only puts rows into its table: {other:?}"),
            }
        }
    }
}

/// A machine over its store, and a clock that tests move.
#[derive(Clone)]
pub struct Group {
    pub state: Memory,
    pub meta: Meta,
    pub at: i64,
}

impl Default for Group {
    fn default() -> Self {
        Self { state: Memory::default(), meta: Meta::default(), at: START }
    }
}

pub type Reply = Result<Accepted, Refusal>;

impl Group {
    /// A cluster of nodes that are up, with ids from 1, in these zones.
    pub fn with(settings: Settings, zones: &[Option<&str>]) -> Self {
        let mut group = Self::default();
        for (index, zone) in zones.iter().enumerate() {
            let id = index as u64 + 1;
            let join = Join { zone: zone.map(str::to_owned), ..join(id) };
            let body = if id == 1 {
                Body::Init(Init { settings: settings.clone(), first: join.clone() })
            } else {
                Body::Join(join.clone())
            };
            assert_eq!(group.apply(body), Ok(Accepted::Node(id)));
            let register = Register { zone: join.zone, ..register(id, 1) };
            assert_eq!(group.apply(Body::Register(register)), Ok(Accepted::Registered { epoch: 1 }));
        }
        group
    }

    /// With nodes that name no zone.
    pub fn of(nodes: usize, settings: Settings) -> Self {
        Self::with(settings, &vec![None; nodes])
    }

    pub fn apply(&mut self, body: Body) -> Reply {
        let entry = Entry { at: self.at, body }.encode();
        self.apply_together(std::slice::from_ref(&entry)).remove(0)
    }

    pub fn apply_together(&mut self, entries: &[Bytes]) -> Vec<Reply> {
        self.try_apply(entries).expect("entries are understood")
    }

    /// What it wrote before an error is lost, as it would be in a program that stops.
    pub fn try_apply(&mut self, entries: &[Bytes]) -> Result<Vec<Reply>, ApplyError> {
        let mut txn = Txn::new(&self.state);
        let replies: Result<Vec<_>, _> = entries.iter().map(|entry| self.meta.apply(&mut txn, entry)).collect();
        let writes = txn.into_writes();
        self.state.write(if replies.is_ok() { writes } else { Vec::new() });
        assert_eq!(Meta::open(&self.state).expect("opens"), self.meta);
        replies
    }

    pub fn place(&mut self, shard: u32, nodes: &[u64]) {
        let placement = Placement { shard, nodes: nodes.to_vec() };
        assert_eq!(self.apply(Body::SetReplicas(vec![placement])), Ok(Accepted::Done));
    }

    pub fn generation(&self, shard: u32) -> u64 {
        self.meta.shard(shard).expect("is placed").generation
    }

    /// Nodes and whether they vote.
    pub fn replicas(&self, shard: u32) -> Vec<(u64, bool)> {
        let row = self.meta.shard(shard).expect("is placed");
        row.replicas.iter().map(|replica| (replica.node, row.voters().any(|voter| voter == replica.node))).collect()
    }

    pub fn begin(&mut self, shard: u32, from: Option<u64>, to: Option<u64>) -> Reply {
        let generation = self.generation(shard);
        self.apply(Body::BeginMove(BeginMove { shard, generation, from, to, reason: Reason::Command }))
    }

    pub fn step(&mut self, shard: u32, step: MoveStep) -> Reply {
        let generation = self.generation(shard);
        self.apply(Body::StepMove(StepMove { shard, generation, step }))
    }

    pub fn end(&mut self, shard: u32, outcome: MoveOutcome) -> Reply {
        let generation = self.generation(shard);
        self.apply(Body::EndMove(EndMove { shard, generation, outcome }))
    }

    pub fn drain(&mut self, node: u64, drain: bool) -> Reply {
        self.apply(Body::Drain(Drain { node, drain }))
    }

    pub fn remove(&mut self, node: u64, force: bool) -> Reply {
        self.apply(Body::Remove(Remove { node, force }))
    }

    pub fn set(&mut self, change: Change) -> Reply {
        self.apply(Body::SetSettings(change))
    }
}

pub fn settings() -> Settings {
    Settings { cluster: [7; 16], shards: 16, replication: 3, repair_after: REPAIR_AFTER, most_moves: 4 }
}

pub fn addresses(id: u64) -> Addresses {
    Addresses { peer: format!("n{id}:7071"), client: format!("n{id}:7070"), http: format!("n{id}:7080") }
}

pub fn join(id: u64) -> Join {
    Join { name: format!("n{id}"), addresses: addresses(id), zone: None, capacity: None, token: id.into() }
}

pub fn register(node: u64, epoch: u64) -> Register {
    Register {
        node,
        epoch,
        incarnation: 1000 * node + epoch,
        addresses: addresses(node),
        zone: None,
        capacity: None,
        program: "0.1.0".into(),
        formats: Formats { least: 1, most: 1 },
    }
}

/// Random numbers from a seed, for what a strategy can't know beforehand.
pub struct Dice(pub u64);

impl Dice {
    /// Below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    /// One time in so many.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these; none of none.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        if items.is_empty() { None } else { Some(items[self.below(items.len() as u64) as usize]) }
    }
}
