//! The meta group's state machine: what it keeps in memory, and how an entry finds its handler in [`crate::apply`].
//!
//! All of it is small, so all of it is in memory; each row that changes is written too, and the machine is opened from the rows.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use flintwheel_shard::codec::DecodeError;
use flintwheel_shard::{ApplyError, Read, ReadError, Replicated, Table, Txn};

use crate::apply;
use crate::entry::Entry;
use crate::keys;
use crate::refusal::Refusal;
use crate::reply::Accepted;
use crate::rows::{Counters, Move, Node, NodeState, Settings, Shard};

/// Who is in the cluster, and where each shard's replicas are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    pub(crate) settings: Option<Settings>,
    pub(crate) counters: Counters,
    pub(crate) nodes: BTreeMap<u64, Node>,
    pub(crate) shards: BTreeMap<u32, Shard>,
}

impl Meta {
    /// None before the cluster is made.
    pub fn settings(&self) -> Option<&Settings> {
        self.settings.as_ref()
    }

    /// Positions.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// All nodes that ever were, in order of their ids.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// One node, also when it was removed.
    pub fn node(&self, id: u64) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Shards that have replicas, in order; the meta group is the last.
    pub fn shards(&self) -> impl Iterator<Item = (u32, &Shard)> {
        self.shards.iter().map(|(shard, row)| (*shard, row))
    }

    /// One shard, where it has replicas.
    pub fn shard(&self, shard: u32) -> Option<&Shard> {
        self.shards.get(&shard)
    }

    /// Moves under way.
    pub fn moves(&self) -> impl Iterator<Item = (u32, &Move)> {
        self.shards().filter_map(|(shard, row)| Some((shard, row.pending.as_ref()?)))
    }

    /// Replicas on a node, learners included.
    pub fn replicas_on(&self, node: u64) -> usize {
        self.shards.values().filter(|row| row.on(node).is_some()).count()
    }

    /// Nodes that are up.
    pub fn nodes_up(&self) -> usize {
        self.nodes.values().filter(|node| node.state == NodeState::Up).count()
    }

    /// The newest format that all nodes which have registered speak: what entries and messages may be written in.
    pub fn format(&self) -> Option<u32> {
        let registered = self.nodes.values().filter(|node| node.epoch > 0 && node.state != NodeState::Removed);
        registered.map(|node| node.formats.most).min()
    }

    pub(crate) fn put_settings(&mut self, txn: &mut Txn<'_>, settings: Settings) {
        txn.put(Table::Meta, keys::SETTINGS.to_vec(), settings.encode());
        self.settings = Some(settings);
    }

    pub(crate) fn put_node(&mut self, txn: &mut Txn<'_>, node: Node) {
        txn.put(Table::Meta, keys::node(node.id), node.encode());
        self.nodes.insert(node.id, node);
    }

    /// Writes a shard as its next generation, which is returned.
    pub(crate) fn put_shard(&mut self, txn: &mut Txn<'_>, shard: u32, mut row: Shard) -> u64 {
        row.generation += 1;
        let generation = row.generation;
        txn.put(Table::Meta, keys::shard(shard), row.encode());
        self.shards.insert(shard, row);
        generation
    }

    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        match key.first() {
            _ if key == keys::SETTINGS => self.settings = Some(Settings::decode(value)?),
            _ if key == keys::COUNTERS => self.counters = Counters::decode(value)?,
            Some(&keys::NODE) => {
                let id = keys::parse_node(key)?;
                self.nodes.insert(id, Node::decode(id, value)?);
            }
            Some(&keys::SHARD) => {
                self.shards.insert(keys::parse_shard(key)?, Shard::decode(value)?);
            }
            _ => return Err(DecodeError(format!("the key {key:?} is not known"))),
        }
        Ok(())
    }

    /// What rows alone can't show: that they fit together.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        if self.settings.is_none() && !(self.nodes.is_empty() && self.shards.is_empty()) {
            return Err(DecodeError("there are nodes or shards, and no settings".into()));
        }
        if let Some(id) = self.nodes.keys().find(|id| **id >= self.counters.next_node) {
            return Err(DecodeError(format!("node {id} is there, and {} is the next", self.counters.next_node)));
        }
        let strange = |row: &&Shard| row.replicas.iter().any(|replica| !self.nodes.contains_key(&replica.node));
        match self.shards.values().find(strange) {
            Some(row) => Err(DecodeError(format!("a shard is on a node that is not there: {row:?}"))),
            None => Ok(()),
        }
    }
}

impl Replicated for Meta {
    type Reply = Result<Accepted, Refusal>;

    fn open(state: &dyn Read) -> Result<Self, ReadError> {
        let mut meta = Self::default();
        let mut fault = Ok(());
        state.scan(Table::Meta, &[], &[u8::MAX], &mut |key, value| {
            fault = meta.load(key, value);
            if fault.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        fault.and_then(|()| meta.check()).map_err(|e| ReadError(format!("the meta group can't be read: {e}")))?;
        Ok(meta)
    }

    fn apply(&mut self, txn: &mut Txn<'_>, entry: &[u8]) -> Result<Self::Reply, ApplyError> {
        let Entry { at, body } = Entry::decode(entry).map_err(|e| ApplyError::Unknown(e.to_string()))?;
        // Leaders follow each other, and their clocks differ.
        self.counters.clock = self.counters.clock.max(at);
        let reply = apply::apply(self, txn, body);
        txn.put(Table::Meta, keys::COUNTERS.to_vec(), self.counters.encode());
        Ok(reply)
    }
}
