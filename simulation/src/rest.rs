//! What a run has come to when it is at rest: each shard as its leader has it, beside the ledger and Temporal.

use crate::clients::NAMESPACE;
use crate::dispatch::PREFIX;
use crate::leader::SOURCE;
use crate::ledger::Ledger;
use crate::stage::{NODES, SHARDS, Stage};
use crate::temporal::Run;
use flintwheel_model::{DefinitionKey, FiringKey, event, ids};
use flintwheel_node::dispatch::firing_key;
use flintwheel_shard::query::{self, Occurrence};
use flintwheel_shard::slots::Slot;
use std::collections::BTreeMap;

/// Everything, for who looks at it at the end.
pub struct Rest<'a> {
    /// What clients were told.
    pub ledger: &'a Ledger,
    /// What Temporal has.
    pub runs: &'a BTreeMap<String, Vec<Run>>,
    /// By number.
    pub shards: Vec<Shard>,
}

/// A shard.
pub struct Shard {
    /// Number of each definition that is there, by id.
    pub names: BTreeMap<String, u64>,
    /// Its cursor.
    pub slots: BTreeMap<u64, Slot>,
    /// By definition's number.
    pub account: BTreeMap<u64, Vec<Occurrence>>,
}

impl Shard {
    /// Occurrences of one definition that fire.
    pub fn firings(&self, number: u64) -> impl Iterator<Item = &Occurrence> {
        self.account.get(&number).into_iter().flatten().filter(|occurrence| occurrence.what.skip.is_none())
    }
}

/// Reads all shards where they are led.
pub fn shards(stage: &Stage) -> Result<Vec<Shard>, String> {
    (0..SHARDS).map(|shard| read(stage, shard)).collect()
}

fn read(stage: &Stage, shard: u32) -> Result<Shard, String> {
    let leads = (1..=NODES).filter_map(|node| stage.nodes[&node].groups()?.find(shard));
    let group = leads.into_iter().find(|group| group.status().leadership.is_leader());
    let group = group.ok_or_else(|| format!("nobody leads shard {shard}"))?;
    let looked = group.read(|machine, state| {
        let named = query::names(state, None, None, 100_000).map_err(|error| error.to_string())?;
        let mut account: BTreeMap<u64, Vec<Occurrence>> = BTreeMap::new();
        for seq in 1..machine.counters().next_chunk {
            let mut chunk = query::of_chunk(state, seq).map_err(|error| error.to_string())?;
            chunk.reverse();
            chunk.into_iter().for_each(|one| account.entry(one.what.number).or_default().push(one));
        }
        let slots = machine.slots().iter().map(|(number, slot)| (number, *slot)).collect();
        let names = named.into_iter().map(|(_, id, number)| (id, number)).collect();
        Ok(Shard { names, slots, account })
    });
    looked.map_err(|stopped| stopped.to_string())?
}

impl Rest<'_> {
    /// The definition's id, by shard and number; none where its acknowledgement was never heard.
    pub fn id_of(&self, shard: u32, number: u64) -> Option<&str> {
        let is = |known: &crate::ledger::Known| known.shard == shard && known.number == Some(number);
        self.ledger.definitions.iter().find(|(_, known)| is(known)).map(|(id, _)| id.as_str())
    }

    /// The workflow id of an occurrence.
    pub fn workflow_id(id: &str, occurrence: &Occurrence) -> String {
        ids::workflow_id(PREFIX, &DefinitionKey::new(NAMESPACE, id), &firing_key(&occurrence.what.key))
    }

    /// What an event's firing has for a key.
    pub fn event_key(id: &str) -> FiringKey {
        FiringKey::Event(event::default_key(SOURCE, id))
    }
}
