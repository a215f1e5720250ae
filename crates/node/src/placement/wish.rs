//! What an operator wants: asked on any node, decided by the leader of the meta group from what it has observed.
//!
//! Everything is safe to repeat: what is so already, or is being done, is granted again, and said to change nothing.

use std::sync::Arc;
use std::time::Duration;

use flintwheel_client::{ClusterState, Granted, PlannedStep, SettingsChange};
use flintwheel_cluster::entry::{Body, Change, Drain, Remove};
use flintwheel_cluster::plan::describe::describe;
use flintwheel_cluster::plan::{can_drain, can_move, can_remove, can_set_replication, can_transfer, plan_all};
use flintwheel_cluster::refusal::shard_name;
use flintwheel_cluster::rows::NodeState;
use flintwheel_cluster::{Accepted, META, Meta, Refusal, Step, View};
use flintwheel_raft::{ChangeError, Leadership};
use serde::{Deserialize, Serialize};

use super::Placement;
use super::meta::{Answer, MetaError, NotDone};
use super::seen::Observed;
use super::status;

/// How long a new leader of the meta group is given to observe the cluster.
const FIRST_LOOK: Duration = Duration::from_secs(3);

/// As JSON on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Wish {
    Move { shard: u32, from: Option<u64>, to: u64 },
    Transfer { shard: u32, to: Option<u64> },
    Drain { node: u64, drain: bool },
    Remove { node: u64, force: bool },
    Replace { old: u64, new: u64 },
    Rebalance { dry_run: bool },
    Set(SettingsChange),
    Status,
}

impl Placement {
    /// Moves a shard's replica to a node, from the one given or from the one that it is best taken from. Returns when it has begun.
    pub async fn move_shard(&self, shard: u32, from: Option<u64>, to: u64) -> Result<Granted, MetaError> {
        self.granted(Wish::Move { shard, from, to }).await
    }

    /// Hands a shard's leadership over, to a node or to the one that leads least. Returns when that is done.
    pub async fn transfer(&self, shard: u32, to: Option<u64>) -> Result<Granted, MetaError> {
        self.granted(Wish::Transfer { shard, to }).await
    }

    /// Lets a node give away all that it holds, or take part again.
    pub async fn drain(&self, node: u64, drain: bool) -> Result<Granted, MetaError> {
        self.granted(Wish::Drain { node, drain }).await
    }

    /// Removes a node for good; with `force` although it holds replicas, which are made anew elsewhere.
    pub async fn remove(&self, node: u64, force: bool) -> Result<Granted, MetaError> {
        self.granted(Wish::Remove { node, force }).await
    }

    /// Drains a node for which another one has joined, and removes it when it holds nothing any more. Goes one stretch: ask again until
    /// nothing changes any more. Where the replicas go, the planner decides: first to nodes that hold least.
    pub async fn replace(&self, old: u64, new: u64) -> Result<Granted, MetaError> {
        self.granted(Wish::Replace { old, new }).await
    }

    /// What is to be done until all is even. Without `dry_run` it begins at once, and not with the next round.
    pub async fn rebalance(&self, dry_run: bool) -> Result<Vec<PlannedStep>, MetaError> {
        match self.wish(&Wish::Rebalance { dry_run }).await? {
            Answer::Plan(steps) => Ok(steps),
            other => Err(other.unexpected()),
        }
    }

    /// Changes settings.
    pub async fn set_settings(&self, change: SettingsChange) -> Result<Granted, MetaError> {
        self.granted(Wish::Set(change)).await
    }

    /// The cluster as the leader of the meta group sees it.
    pub async fn status(&self) -> Result<ClusterState, MetaError> {
        match self.wish(&Wish::Status).await? {
            Answer::State(state) => Ok(*state),
            other => Err(other.unexpected()),
        }
    }

    async fn granted(&self, wish: Wish) -> Result<Granted, MetaError> {
        match self.wish(&wish).await? {
            Answer::Granted(granted) => Ok(granted),
            other => Err(other.unexpected()),
        }
    }

    /// By the leader of the meta group.
    pub(super) async fn grant(&self, wish: Wish) -> Result<Answer, NotDone> {
        let observed = self.look().await?;
        self.copy_own();
        let meta = self.peers.directory().meta();
        let view = View { meta: &meta, seen: &observed.seen };
        let granted = match wish {
            Wish::Move { shard, from, to } => self.begin_move(&view, shard, from, to).await?,
            Wish::Transfer { shard, to } => self.hand_over(&view, shard, to).await?,
            Wish::Drain { node, drain } => self.set_drain(&view, node, drain).await?,
            Wish::Remove { node, force } => self.take_off(&view, node, force).await?,
            Wish::Replace { old, new } => self.replace_one(&view, old, new).await?,
            Wish::Set(change) => self.set(&view, change).await?,
            Wish::Rebalance { dry_run } => {
                if !dry_run {
                    self.sooner.notify_one();
                }
                return Ok(Answer::Plan(planned(&view)));
            }
            Wish::Status => return Ok(Answer::State(Box::new(status::state(self.peers.me(), &meta, &observed)))),
        };
        self.sooner.notify_one();
        Ok(Answer::Granted(granted))
    }

    /// What was observed last, if this node leads the meta group for sure.
    async fn look(&self) -> Result<Arc<Observed>, NotDone> {
        let group = self.meta.find(META).ok_or(NotDone::NotLeader { leader: None })?;
        match group.confirm().await {
            Ok(()) => {}
            Err(ChangeError::NotLeader { leader }) => {
                let known = match group.status().leadership {
                    Leadership::Follower { leader } => leader,
                    _ => None,
                };
                return Err(NotDone::NotLeader { leader: leader.or(known) });
            }
            Err(other) => return Err(NotDone::Later(other.to_string())),
        }
        let mut observed = self.observed.subscribe();
        let found = tokio::time::timeout(FIRST_LOOK, observed.wait_for(Option::is_some)).await;
        let found = found.ok().and_then(Result::ok).and_then(|found| Option::clone(&found));
        found.ok_or_else(|| NotDone::Later("its leader is new and has not looked at all nodes yet".to_owned()))
    }

    async fn begin_move(&self, view: &View<'_>, shard: u32, from: Option<u64>, to: u64) -> Result<Granted, NotDone> {
        if is_moved(view.meta, shard, from, to) {
            return Ok(same(format!("node {to} has a replica of {} already, or is getting it", shard_name(shard))));
        }
        let step = can_move(view, shard, from, to)?;
        let body = step.before().ok_or_else(|| NotDone::Later("the move is recorded already".to_owned()))?;
        self.propose_here(body).await?;
        Ok(done(describe(view, &step)))
    }

    async fn hand_over(&self, view: &View<'_>, shard: u32, to: Option<u64>) -> Result<Granted, NotDone> {
        let step = match to.map_or_else(|| best_leader(view, shard), |to| can_transfer(view, shard, to)) {
            Err(Refusal::LeadsAlready { shard, node }) => {
                return Ok(same(format!("node {node} leads {} already", shard_name(shard))));
            }
            other => other?,
        };
        let leader = view.seen.shards.get(&shard).and_then(|seen| seen.leader).ok_or(Refusal::NoLeader { shard })?;
        let turn = self.take_turn(shard);
        let _turn = turn.ok_or_else(|| NotDone::Later(format!("{} is being changed", shard_name(shard))))?;
        self.execute(&step, leader).await.map_err(|fault| NotDone::Later(fault.0))?;
        Ok(done(describe(view, &step)))
    }

    async fn set_drain(&self, view: &View<'_>, node: u64, drain: bool) -> Result<Granted, NotDone> {
        if drain {
            can_drain(view, node)?;
        }
        let accepted = self.propose_here(Body::Drain(Drain { node, drain })).await?;
        let replicas = view.meta.replicas_on(node);
        let words = match drain {
            true => format!("node {node} is draining, and holds {replicas} replicas"),
            false => format!("node {node} takes part"),
        };
        Ok(Granted { changed: accepted != Accepted::Same, description: words })
    }

    async fn take_off(&self, view: &View<'_>, node: u64, force: bool) -> Result<Granted, NotDone> {
        can_remove(view, node, force)?;
        let accepted = self.propose_here(Body::Remove(Remove { node, force })).await?;
        Ok(Granted { changed: accepted != Accepted::Same, description: format!("node {node} is removed") })
    }

    async fn replace_one(&self, view: &View<'_>, old: u64, new: u64) -> Result<Granted, NotDone> {
        let state = |node: u64| view.meta.node(node).map(|row| row.state).ok_or(Refusal::UnknownNode { node });
        match (state(old)?, state(new)?) {
            _ if old == new => {
                return Err(NotDone::Refused(format!("node {old} can't replace itself: name another node")));
            }
            (NodeState::Removed, _) => return Ok(same(format!("node {old} is removed"))),
            (_, NodeState::Up) => {}
            (_, is) => return Err(Refusal::NotUp { node: new, is }.into()),
        }
        if view.seen.nodes.get(&new).is_none_or(|seen| seen.gone_since.is_some()) {
            return Err(Refusal::NotAlive { node: new }.into());
        }
        match (state(old)?, view.meta.replicas_on(old)) {
            (NodeState::Joining, 0) | (NodeState::Draining, 0) => self.take_off(view, old, false).await,
            (NodeState::Draining, left) => Ok(done(format!("node {old} is draining, and holds {left} replicas"))),
            _ => self.set_drain(view, old, true).await,
        }
    }

    async fn set(&self, view: &View<'_>, wanted: SettingsChange) -> Result<Granted, NotDone> {
        if let Some(replication) = wanted.replication {
            can_set_replication(view, replication)?;
        }
        let micros = |span: flintwheel_model::Span| i64::try_from(span.micros()).unwrap_or(i64::MAX);
        let SettingsChange { replication, repair_after, most_moves } = wanted;
        let change = Change { replication, repair_after: repair_after.map(micros), most_moves };
        let accepted = self.propose_here(Body::SetSettings(change)).await?;
        let changed = accepted != Accepted::Same;
        let words = if changed { "the settings are changed" } else { "the settings are so already" };
        Ok(Granted { changed, description: words.to_owned() })
    }
}

fn done(description: String) -> Granted {
    Granted { changed: true, description }
}

fn same(description: String) -> Granted {
    Granted { changed: false, description }
}

/// The target has a replica, and who was to lose one has none or is losing it.
fn is_moved(meta: &Meta, shard: u32, from: Option<u64>, to: u64) -> bool {
    let Some(row) = meta.shard(shard) else { return false };
    let left = from.is_none_or(|from| row.on(from).is_none() || row.leaving() == Some(from));
    row.on(to).is_some() && row.leaving() != Some(to) && left
}

/// Of the voters that may lead, the one that leads least.
fn best_leader(view: &View<'_>, shard: u32) -> Result<Step, Refusal> {
    let leaders = |node: u64| view.seen.shards.values().filter(|seen| seen.leader == Some(node)).count();
    let mut voters: Vec<u64> = view.meta.shard(shard).iter().flat_map(|row| row.voters()).collect();
    voters.sort_by_key(|node| (leaders(*node), *node));
    let mut refused = None;
    for node in voters {
        match can_transfer(view, shard, node) {
            Ok(step) => return Ok(step),
            // That one leads already is no reason, unless it is the only one.
            Err(why @ Refusal::LeadsAlready { .. }) => refused = refused.or(Some(why)),
            Err(why) => refused = Some(why),
        }
    }
    // Without a voter it says that there is no such shard, or none with replicas.
    refused.map_or_else(|| can_transfer(view, shard, view.meta.nodes().next().map_or(1, |node| node.id)), Err)
}

fn planned(view: &View<'_>) -> Vec<PlannedStep> {
    let steps = plan_all(view);
    let words = |step: &Step| PlannedStep {
        shard: step.shard,
        reason: status::reason(step.reason),
        description: describe(view, step),
    };
    steps.iter().map(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_have_this_form() {
        let cases = [
            (Wish::Move { shard: 3, from: None, to: 4 }, r#"{"move":{"shard":3,"from":null,"to":4}}"#),
            (Wish::Transfer { shard: 3, to: Some(2) }, r#"{"transfer":{"shard":3,"to":2}}"#),
            (Wish::Drain { node: 2, drain: true }, r#"{"drain":{"node":2,"drain":true}}"#),
            (Wish::Remove { node: 2, force: false }, r#"{"remove":{"node":2,"force":false}}"#),
            (Wish::Replace { old: 2, new: 4 }, r#"{"replace":{"old":2,"new":4}}"#),
            (Wish::Rebalance { dry_run: true }, r#"{"rebalance":{"dry_run":true}}"#),
            (
                Wish::Set(SettingsChange { most_moves: Some(2), ..SettingsChange::default() }),
                r#"{"set":{"replication":null,"repair_after":null,"most_moves":2}}"#,
            ),
            (Wish::Status, r#""status""#),
        ];
        for (wish, json) in cases {
            assert_eq!(serde_json::to_string(&wish).unwrap(), json);
            assert_eq!(serde_json::from_str::<Wish>(json).unwrap(), wish);
        }
    }
}
