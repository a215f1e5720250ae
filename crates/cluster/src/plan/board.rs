//! The planner's working copy: nodes and shards as they will be when what is under way, and what this plan has said so far, is done.
//! So no rule plans the same thing twice, and no node is filled by two moves at once.

use std::collections::BTreeMap;

use super::{Action, CAUGHT_UP, LAGGING, RESERVE, Seen, ShardSeen, Step, View};
use crate::machine::Meta;
use crate::rows::{MoveStep, Node, NodeState, Reason, Role, Settings, Shard, majority};

pub(super) struct Board<'a> {
    pub(super) meta: &'a Meta,
    pub(super) settings: &'a Settings,
    pub(super) spots: BTreeMap<u64, Spot<'a>>,
    pub(super) seats: BTreeMap<u32, Seat<'a>>,
    /// Bytes of replicas that are being made, or will be.
    copying: u64,
    /// With so many of them, what is not urgent waits.
    calm: u64,
}

/// A node.
#[derive(Clone)]
pub(super) struct Spot<'a> {
    pub(super) node: &'a Node,
    /// It answers, and is part of the cluster.
    pub(super) live: bool,
    /// Its replicas are to be made anew elsewhere: it was removed, or is gone for too long.
    pub(super) lost: bool,
    /// It has not been heard for so short a time that it may be restarting, or not yet.
    pub(super) restarts: bool,
    /// It is to give all away.
    pub(super) draining: bool,
    /// A voter on it is far behind.
    pub(super) lagging: bool,
    /// Its clock is not that of the others: it would decide too early or too late.
    pub(super) astray: bool,
    /// Its disk has less free than its reserve.
    pub(super) low: bool,
    /// How many shards it holds.
    pub(super) replicas: usize,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Bytes that new replicas may take.
    pub(super) room: u64,
    /// How many shards it leads.
    pub(super) leaders: usize,
    /// Their decisions a second.
    pub(super) load: u64,
}

/// A shard.
#[derive(Clone)]
pub(super) struct Seat<'a> {
    pub(super) row: &'a Shard,
    /// Where its replicas will be.
    pub(super) nodes: Vec<u64>,
    /// Something is under way, or planned: nothing else is, until that is done.
    pub(super) busy: bool,
    /// Who leads it now.
    pub(super) leads: Option<u64>,
    /// Who will lead it, as far as that is known.
    pub(super) leader: Option<u64>,
    pub(super) bytes: u64,
    pub(super) load: u64,
    /// Nodes whose replicas say that they are damaged.
    pub(super) damaged: Vec<u64>,
    lag: Option<&'a BTreeMap<u64, u64>>,
}

impl<'a> Board<'a> {
    /// None before the cluster is made. `calm`: bytes being copied, with which what is not urgent waits.
    pub(super) fn new(view: &View<'a>, calm: u64) -> Option<Self> {
        let View { meta, seen } = *view;
        let settings = meta.settings()?;
        let spots = meta.nodes().map(|node| (node.id, Spot::new(node, settings, seen))).collect();
        let mut board = Self { meta, settings, spots, seats: BTreeMap::new(), copying: 0, calm };
        for (shard, row) in meta.shards() {
            let mut seat = Seat::new(row, seen.shards.get(&shard));
            seat.damaged = seen.damaged.range((shard, 0)..=(shard, u64::MAX)).map(|(_, node)| *node).collect();
            board.add(shard, row, seat);
        }
        Some(board)
    }

    fn add(&mut self, shard: u32, row: &'a Shard, mut seat: Seat<'a>) {
        for replica in &row.replicas {
            let lag = seat.lag.and_then(|lag| lag.get(&replica.node)).copied().unwrap_or(0);
            let Some(spot) = self.spots.get_mut(&replica.node) else { continue };
            spot.lagging |= replica.role == Role::Voter && lag > LAGGING;
            if replica.role == Role::Learner {
                self.copying += seat.bytes;
                spot.room = spot.room.saturating_sub(seat.needs());
            }
        }
        if seat.leader.is_some() && seat.leader == row.leaving() {
            seat.leader = None;
        }
        for node in &seat.nodes {
            if let Some(spot) = self.spots.get_mut(node) {
                spot.replicas += 1;
                spot.bytes += seat.bytes;
            }
        }
        self.count_leader(&seat, true);
        self.seats.insert(shard, seat);
    }

    fn count_leader(&mut self, seat: &Seat<'_>, leads: bool) {
        let Some(spot) = seat.leader.and_then(|leader| self.spots.get_mut(&leader)) else { return };
        if leads {
            spot.leaders += 1;
            spot.load += seat.load;
        } else {
            spot.leaders -= 1;
            spot.load -= seat.load;
        }
    }

    pub(super) fn is_live(&self, node: u64) -> bool {
        self.spots.get(&node).is_some_and(|spot| spot.live)
    }

    /// The node answers, and its replica of the shard is not damaged: such a one is fenced, and does nothing.
    pub(super) fn serves(&self, shard: u32, node: u64) -> bool {
        self.is_live(node) && !self.is_damaged(shard, node)
    }

    pub(super) fn is_damaged(&self, shard: u32, node: u64) -> bool {
        self.seats[&shard].damaged.contains(&node)
    }

    /// Its replicas are to be made anew elsewhere.
    pub(super) fn is_lost(&self, node: u64) -> bool {
        self.spots.get(&node).is_none_or(|spot| spot.lost)
    }

    pub(super) fn is_draining(&self, node: u64) -> bool {
        self.spots.get(&node).is_some_and(|spot| spot.draining)
    }

    /// A majority of these voters of a shard answers.
    fn decides(&self, shard: u32, voters: impl Iterator<Item = u64>) -> bool {
        let (mut all, mut live) = (0, 0);
        for voter in voters {
            all += 1;
            live += usize::from(self.serves(shard, voter));
        }
        all > 0 && live >= majority(all)
    }

    /// Its membership can be changed: it has a leader, and a majority that answers. What is under way may be done and not yet recorded: who is being promoted
    /// may lead and vote already, and who is being taken out may be out.
    pub(super) fn steerable(&self, shard: u32) -> bool {
        let seat = &self.seats[&shard];
        let leads = |leader: u64| self.serves(shard, leader) && seat.row.on(leader).is_some();
        let decides = || self.decides_as_recorded(shard) || self.decides(shard, seat.voters_when_done());
        seat.leads.is_some_and(leads) && decides()
    }

    /// A majority of those that are recorded as voters answers.
    pub(super) fn decides_as_recorded(&self, shard: u32) -> bool {
        self.decides(shard, self.seats[&shard].row.voters())
    }

    /// How near a shard is to the end: how many voters it can lose before it decides nothing any more, and how many it has left.
    pub(super) fn danger(&self, shard: u32) -> (usize, usize) {
        let row = self.seats[&shard].row;
        let live = row.voters().filter(|voter| self.serves(shard, *voter)).count();
        (live.saturating_sub(majority(row.voters().count())), live)
    }

    /// Shards of which nothing is under way, and something can be changed.
    pub(super) fn idle(&self) -> Vec<u32> {
        self.seats.keys().copied().filter(|shard| self.is_idle(*shard)).collect()
    }

    pub(super) fn is_idle(&self, shard: u32) -> bool {
        !self.seats[&shard].busy && self.steerable(shard)
    }

    /// All its voters answer: nobody waits for one that may come back.
    pub(super) fn healthy(&self, shard: u32) -> bool {
        self.seats[&shard].row.voters().all(|voter| self.serves(shard, voter))
    }

    /// Without this voter a majority of the others answers.
    pub(super) fn can_lose(&self, shard: u32, node: u64) -> bool {
        self.decides(shard, self.seats[&shard].row.voters().filter(|voter| *voter != node))
    }

    /// How many pairs of these share a zone.
    pub(super) fn conflicts(&self, nodes: &[u64]) -> usize {
        nodes.iter().enumerate().map(|(index, node)| self.neighbours(&nodes[..index], *node)).sum()
    }

    /// How many of these share this node's zone. A node without one is a zone of its own.
    fn neighbours(&self, nodes: &[u64], node: u64) -> usize {
        let zone = |node: &u64| self.spots.get(node).and_then(|spot| spot.node.zone.as_deref());
        let Some(own) = zone(&node) else { return 0 };
        nodes.iter().filter(|other| **other != node && zone(other) == Some(own)).count()
    }

    /// Whether a node can get a replica of a shard.
    pub(super) fn takes(&self, shard: u32, node: u64) -> bool {
        let (seat, spot) = (&self.seats[&shard], &self.spots[&node]);
        spot.takes() && seat.row.on(node).is_none() && !seat.nodes.contains(&node) && spot.room >= seat.needs()
    }

    /// Whether a node that takes part and stays holds no replica of a shard, with or without room for it.
    pub(super) fn has_other(&self, shard: u32) -> bool {
        let seat = &self.seats[&shard];
        let holds = |node: &u64| seat.row.on(*node).is_some() || seat.nodes.contains(node);
        self.spots.iter().any(|(node, spot)| spot.levels() && !holds(node))
    }

    /// The best node for a new replica of a shard, that replaces this one.
    pub(super) fn target(&self, shard: u32, replaces: Option<u64>) -> Option<u64> {
        let others: Vec<u64> =
            self.seats[&shard].nodes.iter().copied().filter(|node| Some(*node) != replaces).collect();
        let candidates = self.spots.iter().filter(|(node, _)| self.takes(shard, **node));
        let rank =
            |(node, spot): &(&u64, &Spot<'_>)| (self.neighbours(&others, **node), spot.replicas, spot.bytes, **node);
        candidates.min_by_key(rank).map(|(node, _)| *node)
    }

    /// Whether a voter may lead a shard: it takes part, stays, is fit, and has the log.
    pub(super) fn may_lead(&self, shard: u32, node: u64) -> bool {
        self.could_lead(shard, node) && self.spots.get(&node).is_some_and(Spot::leads)
    }

    /// Whether a voter could lead a shard for a while, although its node is to give all away.
    pub(super) fn could_lead(&self, shard: u32, node: u64) -> bool {
        let row = self.seats[&shard].row;
        row.leaving() != Some(node) && row.voters().any(|voter| voter == node) && self.caught_up(shard, node)
    }

    /// Whether a replica has the log.
    pub(super) fn caught_up(&self, shard: u32, node: u64) -> bool {
        let lag = self.seats[&shard].lag.and_then(|lag| lag.get(&node));
        self.serves(shard, node) && lag.is_some_and(|lag| *lag <= CAUGHT_UP)
    }

    /// So much is being copied that what can wait waits.
    pub(super) fn is_crowded(&self) -> bool {
        self.copying >= self.calm
    }

    /// Begins a move.
    pub(super) fn begin(&mut self, shard: u32, from: Option<u64>, to: u64, reason: Reason) -> Step {
        let needs = self.seats[&shard].needs();
        self.leave(shard, from);
        let seat = self.seats.get_mut(&shard).expect("rules name shards of the board");
        seat.nodes.push(to);
        self.copying += seat.bytes;
        let spot = self.spots.get_mut(&to).expect("targets are nodes of the board");
        spot.replicas += 1;
        spot.bytes += seat.bytes;
        spot.room = spot.room.saturating_sub(needs);
        self.step(shard, false, Action::AddLearner { node: to, replaces: from }, reason)
    }

    /// Takes a voter out, if the shard can do without; a leader hands over first.
    pub(super) fn take_out(&mut self, shard: u32, node: u64, reason: Reason) -> Option<Step> {
        if self.seats[&shard].leads == Some(node) {
            return self.hand_over(shard, reason);
        }
        if !self.can_lose(shard, node) {
            return None;
        }
        self.leave(shard, Some(node));
        Some(self.step(shard, false, Action::Remove { node }, reason))
    }

    /// A replica goes, in the end.
    fn leave(&mut self, shard: u32, from: Option<u64>) {
        let Some(node) = from else { return };
        let mut seat = self.seats[&shard].clone();
        seat.nodes.retain(|held| *held != node);
        if let Some(spot) = self.spots.get_mut(&node) {
            spot.replicas -= 1;
            spot.bytes -= seat.bytes;
        }
        if seat.leader == Some(node) {
            self.count_leader(&seat, false);
            seat.leader = None;
        }
        self.seats.insert(shard, seat);
    }

    /// The leader hands over to the voter that leads least.
    pub(super) fn hand_over(&mut self, shard: u32, reason: Reason) -> Option<Step> {
        let from = self.seats[&shard].leads?;
        let others = self.seats[&shard].row.voters().filter(|node| *node != from && self.may_lead(shard, *node));
        let to = others.min_by_key(|node| (self.spots[node].leaders, self.spots[node].load, *node))?;
        Some(self.transfer(shard, from, to, reason))
    }

    pub(super) fn transfer(&mut self, shard: u32, from: u64, to: u64, reason: Reason) -> Step {
        let mut seat = self.seats[&shard].clone();
        self.count_leader(&seat, false);
        seat.leader = Some(to);
        self.count_leader(&seat, true);
        self.seats.insert(shard, seat);
        self.step(shard, false, Action::TransferLeader { from, to }, reason)
    }

    /// A step of this shard; no other one is planned.
    pub(super) fn step(&mut self, shard: u32, recorded: bool, action: Action, reason: Reason) -> Step {
        let seat = self.seats.get_mut(&shard).expect("rules name shards of the board");
        seat.busy = true;
        Step { shard, generation: seat.row.generation, recorded, action, reason }
    }
}

impl<'a> Spot<'a> {
    fn new(node: &'a Node, settings: &Settings, seen: &Seen) -> Self {
        let observed = seen.nodes.get(&node.id);
        let removed = node.state == NodeState::Removed;
        let gone = observed.and_then(|observed| observed.gone_since);
        let free = observed.map_or(0, |observed| {
            let offered = node.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(observed.bytes));
            observed.free.min(offered)
        });
        Self {
            node,
            live: !removed && observed.is_some() && gone.is_none(),
            lost: removed || gone.is_some_and(|since| seen.now.saturating_sub(since) > settings.repair_after),
            restarts: !removed && observed.is_none_or(|node| node.may_restart(seen.now)),
            draining: node.state == NodeState::Draining,
            lagging: false,
            astray: observed.is_some_and(|observed| observed.clock_ahead.is_some()),
            low: observed.is_some_and(|observed| observed.disk_low),
            replicas: 0,
            bytes: 0,
            room: free.saturating_sub(RESERVE),
            leaders: 0,
            load: 0,
        }
    }

    /// It is one of those among which replicas and leaders are evened out.
    pub(super) fn levels(&self) -> bool {
        self.live && !self.draining && self.node.state == NodeState::Up
    }

    /// Nothing speaks against its leading.
    pub(super) fn is_fit(&self) -> bool {
        !self.astray && !self.low
    }

    /// It is one of those among which leaders are evened out.
    pub(super) fn leads(&self) -> bool {
        self.levels() && self.is_fit()
    }

    /// It gets new replicas.
    pub(super) fn takes(&self) -> bool {
        self.levels() && !self.lagging
    }
}

impl<'a> Seat<'a> {
    fn new(row: &'a Shard, seen: Option<&'a ShardSeen>) -> Self {
        let leads = seen.and_then(|seen| seen.leader);
        Self {
            row,
            nodes: row.after_move(),
            busy: row.pending.is_some(),
            leads,
            leader: leads,
            bytes: seen.map_or(0, |seen| seen.bytes),
            load: seen.map_or(0, |seen| seen.load),
            damaged: Vec::new(),
            lag: seen.map(|seen| &seen.lag),
        }
    }

    /// Who votes when the step under way is done in its group; or, where a move was given up, was done before that.
    fn voters_when_done(&self) -> impl Iterator<Item = u64> {
        let pending = self.row.pending;
        let comes = pending.filter(|pending| matches!(pending.step, MoveStep::Promote | MoveStep::Abandon));
        let goes = pending.filter(|pending| pending.step == MoveStep::Remove).and_then(|pending| pending.from);
        let stay = self.row.voters().filter(move |voter| Some(*voter) != goes);
        stay.chain(comes.and_then(|pending| pending.to))
    }

    /// Where its replicas are when one has moved.
    pub(super) fn nodes_after(&self, from: u64, to: u64) -> Vec<u64> {
        self.nodes.iter().copied().filter(|node| *node != from).chain([to]).collect()
    }

    /// Bytes that a node must have free for a replica: what compaction needs beside the data is in it.
    pub(super) fn needs(&self) -> u64 {
        self.bytes.saturating_add(self.bytes / 4)
    }
}
