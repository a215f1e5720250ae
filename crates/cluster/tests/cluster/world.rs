//! A cluster as the planner's driver has it: the meta group, the membership that each shard's group really has, and what is observed.
//! Checks with each step that it may be done: no group loses its majority, no leader is taken out, nothing goes where it must not.

use std::collections::{BTreeMap, BTreeSet};

use flintwheel_cluster::plan::{Action, NodeSeen, Seen, ShardSeen, plan};
use flintwheel_cluster::rows::{NodeState, Settings, majority};
use flintwheel_cluster::{Accepted, META, Step, View};

use crate::support::*;

/// One shard's group as it is.
#[derive(Clone, Debug, Default)]
pub struct Truth {
    pub voters: BTreeSet<u64>,
    pub learners: BTreeMap<u64, u64>,
}

#[derive(Clone)]
pub struct World {
    pub group: Group,
    pub seen: Seen,
    pub groups: BTreeMap<u32, Truth>,
}

/// Which part of a step is done before its driver stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    Recorded,
    Changed,
    All,
}

impl World {
    /// Nodes that all answer and have room, in these zones. The meta group is on node 1.
    pub fn with(settings: Settings, zones: &[Option<&str>]) -> Self {
        let group = Group::with(settings, zones);
        let node = NodeSeen { free: 1 << 40, ..NodeSeen::default() };
        let nodes = (1..=zones.len() as u64).map(|id| (id, node)).collect();
        let seen = Seen { now: group.at, nodes, ..Seen::default() };
        let mut world = Self { group, seen, groups: BTreeMap::new() };
        world.observe(META, &[1], 1);
        world
    }

    pub fn of(nodes: usize, settings: Settings) -> Self {
        Self::with(settings, &vec![None; nodes])
    }

    /// The first of the nodes leads.
    pub fn place(&mut self, shard: u32, nodes: &[u64]) {
        self.group.place(shard, nodes);
        self.observe(shard, nodes, nodes[0]);
    }

    fn observe(&mut self, shard: u32, nodes: &[u64], leader: u64) {
        let lag = nodes.iter().map(|node| (*node, 0)).collect();
        self.seen.shards.insert(shard, ShardSeen { leader: Some(leader), bytes: 1 << 20, load: 10, lag });
        let voters = nodes.iter().copied().collect();
        self.groups.insert(shard, Truth { voters, learners: BTreeMap::new() });
    }

    pub fn view(&self) -> View<'_> {
        View { meta: &self.group.meta, seen: &self.seen }
    }

    pub fn plan(&self) -> Vec<Step> {
        plan(&self.view())
    }

    pub fn gone(&mut self, node: u64, ago: i64) {
        self.seen.nodes.get_mut(&node).expect("is there").gone_since = Some(self.seen.now - ago);
    }

    pub fn shard(&mut self, shard: u32) -> &mut ShardSeen {
        self.seen.shards.get_mut(&shard).expect("is there")
    }

    pub fn is_live(&self, node: u64) -> bool {
        let answers = self.seen.nodes.get(&node).is_some_and(|seen| seen.gone_since.is_none());
        answers && self.state(node) != NodeState::Removed
    }

    /// A node's replica of a shard does its part.
    fn serves(&self, shard: u32, node: u64) -> bool {
        self.is_live(node) && !self.seen.damaged.contains(&(shard, node))
    }

    pub fn state(&self, node: u64) -> NodeState {
        self.group.meta.node(node).expect("is there").state
    }

    /// Nodes among which everything is evened out.
    pub fn usable(&self) -> Vec<u64> {
        let up = self.group.meta.nodes().filter(|node| node.state == NodeState::Up && self.is_live(node.id));
        up.map(|node| node.id).collect()
    }

    /// Whether every group has a majority that answers, also without this node.
    pub fn decides_without(&self, node: u64) -> bool {
        self.groups.iter().all(|(shard, truth)| {
            let live = truth.voters.iter().filter(|voter| **voter != node && self.serves(*shard, **voter)).count();
            live >= majority(truth.voters.len())
        })
    }

    /// A node's replica of a shard is damaged, if it has one that the shard can do without.
    pub fn damage(&mut self, shard: u32, node: u64) {
        let truth = &self.groups[&shard];
        let live = truth.voters.iter().filter(|voter| **voter != node && self.serves(shard, **voter)).count();
        let holds = truth.voters.contains(&node) || truth.learners.contains_key(&node);
        if holds && live >= majority(truth.voters.len()) {
            self.seen.damaged.insert((shard, node));
        }
    }

    pub fn replicas_on(&self, node: u64) -> usize {
        self.groups.values().filter(|truth| truth.voters.contains(&node)).count()
    }

    pub fn leaders_on(&self, node: u64) -> usize {
        self.seen.shards.values().filter(|seen| seen.leader == Some(node)).count()
    }

    pub fn voters(&self, shard: u32) -> Vec<u64> {
        self.groups[&shard].voters.iter().copied().collect()
    }

    /// A second passes: learners catch up, and groups whose leader is gone elect another.
    pub fn tick(&mut self) {
        self.group.at += SECOND;
        self.seen.now = self.group.at;
        let shards: Vec<u32> = self.groups.keys().copied().collect();
        for shard in shards {
            let truth = self.groups[&shard].clone();
            let live = |node: &&u64| self.serves(shard, **node);
            let elects = truth.voters.iter().filter(live).count() >= majority(truth.voters.len());
            let leader =
                self.seen.shards[&shard].leader.filter(|leader| truth.voters.contains(leader) && live(&leader));
            let leader = leader.or_else(|| truth.voters.iter().find(live).copied()).filter(|_| elects);
            for lag in self.groups.get_mut(&shard).expect("is there").learners.values_mut() {
                *lag = lag.saturating_sub(500);
            }
            let learners = self.groups[&shard].learners.clone();
            let seen = self.shard(shard);
            seen.leader = leader;
            seen.lag = truth.voters.iter().map(|voter| (*voter, 0)).chain(learners).collect();
        }
    }

    /// Does a step, or the first part of it, as its driver would.
    pub fn execute(&mut self, step: &Step, done: Done) {
        let mut generation = step.generation;
        if let Some(body) = step.before() {
            match self.group.apply(body) {
                Ok(Accepted::Shard { generation: next }) => generation = next,
                other => panic!("{step:?}: {other:?}"),
            }
        }
        if done == Done::Recorded {
            return;
        }
        self.change(step);
        if let (Done::All, Some(body)) = (done, step.after(generation)) {
            let reply = self.group.apply(body);
            assert!(matches!(reply, Ok(Accepted::Shard { .. })), "{step:?}: {reply:?}");
        }
    }

    fn change(&mut self, step: &Step) {
        let usable = self.usable();
        let leader = self.seen.shards[&step.shard].leader;
        let moving = self.group.meta.shard(step.shard).is_some_and(|row| row.pending.is_some());
        let live = matches!(step.action, Action::TransferLeader { to, .. } if self.is_live(to));
        let truth = self.groups.get_mut(&step.shard).expect("is there");
        match step.action {
            Action::AddLearner { node, .. } => {
                assert!(step.recorded || usable.contains(&node), "{step:?}");
                assert!(!truth.voters.contains(&node), "{step:?}");
                truth.learners.entry(node).or_insert(1000);
                // Made anew before it is added.
                self.seen.damaged.remove(&(step.shard, node));
            }
            Action::Promote { node, .. } => {
                let lag = truth.learners.remove(&node);
                assert!(truth.voters.contains(&node) || lag.is_some_and(|lag| lag <= 64), "{step:?}");
                truth.voters.insert(node);
            }
            Action::Remove { node } => {
                assert_ne!(leader, Some(node), "{step:?}: it leads");
                truth.voters.remove(&node);
            }
            Action::Abandon { node } => {
                assert_ne!(leader, Some(node), "{step:?}: it leads");
                truth.learners.remove(&node);
                truth.voters.remove(&node);
            }
            Action::Keep { node } => assert!(truth.voters.contains(&node), "{step:?}"),
            Action::TransferLeader { from, to } => {
                // A move that must end may need a leader on a node that is drained; never one that is gone.
                assert!(usable.contains(&to) || (moving && live), "{step:?}");
                assert!(leader == Some(from) && truth.voters.contains(&to), "{step:?}");
                self.shard(step.shard).leader = Some(to);
            }
        }
        self.assert_decides(step);
    }

    fn assert_decides(&self, step: &Step) {
        let voters = &self.groups[&step.shard].voters;
        let live = voters.iter().filter(|voter| self.serves(step.shard, **voter)).count();
        assert!(!voters.is_empty() && live >= majority(voters.len()), "{step:?} leaves {voters:?}");
    }

    /// Plans and does all of it until nothing is left to do. Returns how many steps that took.
    pub fn settle(&mut self, bound: usize) -> usize {
        let mut count = 0;
        for _ in 0..bound {
            self.tick();
            let steps = self.plan();
            self.assert_limited(&steps);
            if steps.is_empty() && self.group.meta.moves().count() == 0 {
                return count;
            }
            count += steps.len();
            steps.iter().for_each(|step| self.execute(step, Done::All));
        }
        let stuck = self
            .group
            .meta
            .moves()
            .map(|(shard, pending)| (shard, pending, &self.groups[&shard], &self.seen.shards[&shard]));
        let moves: Vec<_> = stuck.collect();
        panic!(
            "not settled after {bound} rounds; next {:?}; under way {moves:?}; usable {:?}",
            self.plan(),
            self.usable()
        );
    }

    /// One step a shard, and no more at once than allowed, but for what goes on.
    pub fn assert_limited(&self, steps: &[Step]) {
        let shards: BTreeSet<u32> = steps.iter().map(|step| step.shard).collect();
        assert_eq!(shards.len(), steps.len(), "{steps:?}");
        let most = self.group.meta.settings().expect("is made").most_moves as usize;
        let moving: BTreeSet<u32> = self.group.meta.moves().map(|(shard, _)| shard).collect();
        assert!(shards.union(&moving).count() <= most.max(moving.len()), "{steps:?}");
    }
}
