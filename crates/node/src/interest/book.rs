//! The leases of all shards, as one node keeps them: of each it is the leader's side or a follower's.
//!
//! Pure: time is passed in. Knows no index: whoever changes one changes the other.

use std::sync::Arc;

use super::lease::{Followed, Led, Position, Settled};
use super::wire::{Asked, Change, Next, Told};

/// As long as this node is alone: nobody else can change anything.
pub const FOREVER: i64 = i64::MAX;

/// See the module.
pub struct Book {
    parts: Vec<Part>,
    /// No other node has been met since this one started.
    alone: bool,
    runs: u32,
}

enum Part {
    Leads(Led<Arc<Change>>),
    Follows(Followed),
}

/// What a node that asks is told of one shard.
#[derive(Debug, PartialEq, Eq)]
pub enum Tell {
    /// This.
    This(Told),
    /// All subscriptions as they are now or later, from this place on.
    All(Next),
    /// Who leads it.
    Elsewhere,
}

impl Book {
    /// Of so many shards; nothing is known of any.
    pub fn new(shards: u32) -> Self {
        let parts = (0..shards).map(|_| Part::Follows(Followed::NOTHING)).collect();
        Self { parts, alone: true, runs: 0 }
    }

    /// There are other nodes. Once met, they may come back at any time.
    pub fn meet(&mut self) {
        self.alone = false;
    }

    /// Whether no other node has been met.
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// This node leads a shard, and has read its subscriptions (anew).
    pub fn lead(&mut self, shard: u32, term: u64, confirmed: Option<i64>, now: i64) {
        self.runs += 1;
        let (run, alone) = (self.runs, self.alone);
        let part = &mut self.parts[shard as usize];
        match part {
            Part::Leads(led) if led.head().term == term => led.again(run),
            _ => *part = Part::Leads(Led::new(term, run, now, alone)),
        }
        confirmed.into_iter().for_each(|at| self.confirm(shard, term, at));
    }

    /// This node does not lead a shard any more.
    pub fn lose(&mut self, shard: u32) {
        let part = &mut self.parts[shard as usize];
        if let Part::Leads(led) = part {
            *part = Part::Follows(Followed { has: led.head(), until: led.until() });
        }
    }

    /// The same, unless it leads again, or is alone: then nobody else does. Says whether it was lost.
    pub fn lose_term(&mut self, shard: u32, term: u64) -> bool {
        let lost = !self.alone && self.leads(shard, term).is_some();
        if lost {
            self.lose(shard);
        }
        lost
    }

    /// At that time nobody had been elected after this node.
    pub fn confirm(&mut self, shard: u32, term: u64, at: i64) {
        if let Some(led) = self.leads(shard, term) {
            led.confirm(at);
        }
    }

    /// Subscriptions have changed, or were found to be as asked for. Gives up to where they go; `None` if this node does not lead in that term.
    pub fn change(&mut self, shard: u32, term: u64, changes: &[Change], now: i64) -> Option<Position> {
        let alone = self.alone;
        let led = self.leads(shard, term)?;
        if alone {
            return Some(led.change_alone(changes.len() as u64));
        }
        for change in changes {
            led.change(Arc::new(change.clone()), change.bytes(), now);
        }
        Some(led.head())
    }

    /// Drops changes that are kept no longer.
    pub fn trim(&mut self, now: i64) {
        for part in &mut self.parts {
            if let Part::Leads(led) = part {
                led.trim(now);
            }
        }
    }

    /// Whether all who may match have a shard's subscriptions up to there.
    pub fn settled(&self, shard: u32, position: Position, now: i64) -> Settled {
        match &self.parts[shard as usize] {
            Part::Leads(led) => led.settled(position, now),
            Part::Follows(_) => Settled::Lost,
        }
    }

    /// When the first lease ends.
    pub fn until(&self) -> i64 {
        self.parts.iter().map(|part| self.until_of(part)).min().unwrap_or(FOREVER)
    }

    /// Shards without a lease.
    pub fn lacking(&self, now: i64) -> usize {
        self.parts.iter().filter(|part| self.until_of(part) <= now).count()
    }

    fn until_of(&self, part: &Part) -> i64 {
        match part {
            Part::Leads(_) if self.alone => FOREVER,
            Part::Leads(led) => led.until(),
            Part::Follows(followed) => followed.until,
        }
    }

    /// Those of some shards that this node leads and that were not confirmed since then, each with its term.
    pub fn doubted(&self, shards: impl Iterator<Item = u32>, since: i64) -> Vec<(u32, u64)> {
        let term = |shard: u32| match self.parts.get(shard as usize) {
            Some(Part::Leads(led)) if !led.is_confirmed(since) => Some((shard, led.head().term)),
            _ => None,
        };
        shards.filter_map(term).collect()
    }

    /// What this node has of a shard that it does not lead.
    pub fn followed(&self, shard: u32) -> Option<Followed> {
        match self.parts.get(shard as usize) {
            Some(Part::Follows(followed)) => Some(*followed),
            _ => None,
        }
    }

    /// The same, to bring it up.
    pub fn follow(&mut self, shard: u32) -> Option<&mut Followed> {
        match self.parts.get_mut(shard as usize) {
            Some(Part::Follows(followed)) => Some(followed),
            _ => None,
        }
    }

    /// Another node says what it has. Says whether that is more than was known.
    pub fn heard(&mut self, node: u64, asked: &Asked) -> bool {
        match self.parts.get_mut(asked.shard as usize) {
            Some(Part::Leads(led)) => led.heard(node, asked.has),
            _ => false,
        }
    }

    /// Whether a node that asks would be told more than that nothing has changed.
    pub fn has_news(&self, asked: &Asked, now: i64) -> bool {
        match self.parts.get(asked.shard as usize) {
            Some(Part::Leads(led)) => led.head() != asked.has || led.until() <= now,
            _ => true,
        }
    }

    /// What a node that was heard is told of a shard, within so many bytes.
    pub fn tell(&mut self, node: u64, asked: &Asked, now: i64, room: &mut usize) -> Tell {
        let Some(Part::Leads(led)) = self.parts.get_mut(asked.shard as usize) else { return Tell::Elsewhere };
        // It may have been deposed: who was elected knows.
        if led.until() <= now {
            return Tell::This(Told::Later);
        }
        let Some(lacks) = led.since(asked.has) else {
            let next = asked.next.clone().filter(|next| led.since(next.of).is_some());
            return Tell::All(next.unwrap_or(Next { of: led.head(), from: Vec::new() }));
        };
        let (mut changes, mut to) = (Vec::new(), asked.has);
        for (change, bytes) in lacks {
            let Some(rest) = room.checked_sub(bytes) else { break };
            *room = rest;
            to.seq += 1;
            changes.push(Change::clone(change));
        }
        let lasts = if to == led.head() { led.grant(node, now) } else { 0 };
        Tell::This(Told::Changes { to, changes, lasts })
    }

    fn leads(&mut self, shard: u32, term: u64) -> Option<&mut Led<Arc<Change>>> {
        match &mut self.parts[shard as usize] {
            Part::Leads(led) if led.head().term == term => Some(led),
            _ => None,
        }
    }
}
