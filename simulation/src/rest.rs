//! What a run has come to when it is at rest: each shard as its leader has it, beside the ledger and Temporal.

use crate::clients::NAMESPACE;
use crate::dispatch::PREFIX;
use crate::leader::SOURCE;
use crate::ledger::Ledger;
use crate::stage::{NODES, SHARDS, Stage};
use crate::temporal::Run;
use flintwheel_model::{DefinitionKey, FiringKey, event, ids};
use flintwheel_node::dispatch::firing_key;
use flintwheel_shard::Read;
use flintwheel_shard::backfills::Backfill;
use flintwheel_shard::query::{self, Occurrence};
use flintwheel_shard::slots::Slot;
use flintwheel_shard::tracks::Track;
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
    /// When each of a definition's versions was made, by the clock of the leader.
    pub made: BTreeMap<u64, Vec<i64>>,
    /// Runs, and what waits for them.
    pub tracks: BTreeMap<u64, Track>,
    /// By definition and id.
    pub backfills: BTreeMap<(u64, String), Backfill>,
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
        let slots: BTreeMap<u64, Slot> = slots;
        let names = named.into_iter().map(|(_, id, number)| (id, number)).collect();
        let mut made = BTreeMap::new();
        for (number, slot) in &slots {
            made.insert(*number, times_made(state, *number, slot.version)?);
        }
        let tracks = machine.tracks().iter().map(|(number, track)| (number, track.clone())).collect();
        let backfills = machine.backfills().iter().map(|(number, id, one)| ((number, id.to_owned()), one.clone()));
        Ok(Shard { names, slots, account, made, tracks, backfills: backfills.collect() })
    });
    looked.map_err(|stopped| stopped.to_string())?
}

fn times_made(state: &dyn Read, number: u64, last: u32) -> Result<Vec<i64>, String> {
    let mut made = Vec::new();
    for version in 1..=last {
        let stored = query::version(state, number, version).map_err(|error| error.to_string())?;
        made.extend(stored.map(|stored| stored.updated));
    }
    Ok(made)
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
