//! The leader of the meta group goes through the steps that the planner names: recorded, done in the shard's group, recorded again.
//!
//! It remembers nothing that matters: what is under way stands in the meta group, and whoever leads next goes on. Steps of different shards
//! are done side by side, one a shard.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flintwheel_cluster::plan::describe::describe;
use flintwheel_cluster::{Accepted, Step, View, plan};
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;

use super::change::{Action, Change, Fault};
use super::meta::NotDone;
use super::seen::{Observed, Observer};
use super::{Placement, backoff};

/// A node that does not lead the meta group looks so often whether it does.
const GLANCE: Duration = Duration::from_millis(200);
/// When one step has ended, others are about to.
const GATHER: Duration = Duration::from_millis(20);
/// Who takes part in a group and stands in no row is taken out when it was seen in so many rounds in which nothing moved.
const STRAY_ROUNDS: u32 = 5;

/// For all time, on every node.
pub(super) async fn drive(placement: Arc<Placement>) {
    let mut driver = None;
    loop {
        if placement.leads_meta() {
            let driver = driver.get_or_insert_with(Driver::default);
            driver.round(&placement).await;
            driver.wait(&placement).await;
            continue;
        }
        // What it was doing goes with it.
        if driver.take().is_some() {
            placement.observed.send_replace(None);
        }
        tokio::time::sleep(placement.pace.round.min(GLANCE)).await;
    }
}

#[derive(Default)]
struct Driver {
    observer: Observer,
    steps: JoinSet<Ended>,
    /// When a shard's last step has ended, and whether it was done.
    ended: BTreeMap<u32, (Instant, bool)>,
    /// What was said of a shard's last step that was not done: the same is not said again.
    told: BTreeMap<u32, String>,
    /// Members of shards that stand in no row: by which generation, and in how many rounds.
    strays: BTreeMap<(u32, u64), (u64, u32)>,
}

struct Ended {
    shard: u32,
    words: String,
    result: Result<(), Fault>,
}

/// Nothing else is done to this shard until it is dropped.
pub(super) struct Turn<'a> {
    placement: &'a Placement,
    shard: u32,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.placement.busy.lock().remove(&self.shard);
    }
}

impl Driver {
    async fn round(&mut self, placement: &Arc<Placement>) {
        let began = Instant::now();
        let observed = Arc::new(self.observer.observe(placement).await);
        placement.observed.send_replace(Some(Arc::clone(&observed)));
        self.harvest();
        self.ended.retain(|_, (at, _)| at.elapsed() < placement.pace.round.max(began.elapsed()));
        placement.copy_own();
        let meta = placement.peers.directory().meta();
        let view = View { meta: &meta, seen: &observed.seen };
        for step in plan(&view) {
            // What was observed before its last step ended says nothing of what that has done; what failed waits for the next round.
            let waits = self.ended.get(&step.shard).is_some_and(|(at, done)| !done || *at >= began);
            let leader = observed.seen.shards.get(&step.shard).and_then(|seen| seen.leader);
            if !waits && let Some(leader) = leader {
                let words = describe(&view, &step);
                let placement = Arc::clone(placement);
                self.steps.spawn(async move {
                    let result = placement.take_and_do(&step, leader).await;
                    Ended { shard: step.shard, words, result }
                });
            }
        }
        self.take_out_strays(placement, &view, &observed);
    }

    /// Waits for the next round, or until there may be something to do before.
    async fn wait(&mut self, placement: &Placement) {
        let ended = tokio::select! {
            () = tokio::time::sleep(placement.pace.round) => None,
            () = placement.sooner.notified() => None,
            ended = self.steps.join_next(), if !self.steps.is_empty() => ended,
        };
        if let Some(ended) = ended {
            self.note(ended);
            tokio::time::sleep(GATHER).await;
            self.harvest();
        }
    }

    fn harvest(&mut self) {
        while let Some(ended) = self.steps.try_join_next() {
            self.note(ended);
        }
    }

    fn note(&mut self, ended: Result<Ended, JoinError>) {
        let Ended { shard, words, result } = match ended {
            Ok(ended) => ended,
            Err(error) => return tracing::error!(%error, "a step of the placement failed; the next plan says it again"),
        };
        self.ended.insert(shard, (Instant::now(), result.is_ok()));
        match result {
            Ok(()) => {
                self.told.remove(&shard);
                tracing::info!(step = words, "a step of the placement is done");
            }
            Err(fault) if self.told.get(&shard) == Some(&fault.0) => {
                tracing::debug!(step = words, why = fault.0, "a step of the placement is not done yet");
            }
            Err(fault) => {
                tracing::warn!(step = words, why = fault.0, "a step of the placement is not done; it is tried again");
                self.told.insert(shard, fault.0);
            }
        }
    }

    /// A change that came too late can leave a member behind that no row names: its node holds nothing, and the group waits for it.
    fn take_out_strays(&mut self, placement: &Arc<Placement>, view: &View<'_>, observed: &Observed) {
        let before = std::mem::take(&mut self.strays);
        let resting = view.meta.shards().filter(|(_, row)| row.pending.is_none());
        for (shard, row) in resting {
            let members = observed.members.get(&shard).into_iter().flatten();
            for node in members.copied().filter(|node| row.on(*node).is_none()) {
                let rounds = before.get(&(shard, node)).filter(|(generation, _)| *generation == row.generation);
                let rounds = rounds.map_or(1, |(_, rounds)| rounds + 1);
                let leader = observed.seen.shards.get(&shard).and_then(|seen| seen.leader);
                if rounds >= STRAY_ROUNDS
                    && let Some(leader) = leader
                {
                    let change = Change { shard, generation: row.generation, action: Action::Remove { node } };
                    let (placement, words) = (
                        Arc::clone(placement),
                        format!("take node {node} out of shard {shard}, whose row does not name it"),
                    );
                    self.steps.spawn(async move {
                        let result = placement.ask_change(leader, change).await;
                        Ended { shard, words, result }
                    });
                } else {
                    self.strays.insert((shard, node), (row.generation, rounds));
                }
            }
        }
    }
}

impl Placement {
    /// None while another step of the shard is being done.
    pub(super) fn take_turn(&self, shard: u32) -> Option<Turn<'_>> {
        self.busy.lock().insert(shard).then(|| Turn { placement: self, shard })
    }

    /// Does a step, unless another one of its shard is being done.
    async fn take_and_do(&self, step: &Step, leader: u64) -> Result<(), Fault> {
        match self.take_turn(step.shard) {
            Some(_turn) => self.execute(step, leader).await,
            None => Err(Fault("something else is being done to the shard".to_owned())),
        }
    }

    /// Records a step, does it in the group that `leader` leads, and records that it is done.
    pub(super) async fn execute(&self, step: &Step, leader: u64) -> Result<(), Fault> {
        let generation = match step.before() {
            Some(body) => match self.propose_here(body).await.map_err(not_done)? {
                Accepted::Shard { generation } => generation,
                other => return Err(Fault(format!("the meta group answered {other:?} to a move"))),
            },
            None => step.generation,
        };
        if let Some(action) = in_group(step) {
            self.ask_change(leader, Change { shard: step.shard, generation, action }).await?;
        }
        match step.after(generation) {
            Some(body) => self.propose_surely(body).await,
            None => Ok(()),
        }
    }

    /// The group has changed: that is to be recorded, as long as this node leads the meta group. Were it not, the next plan would repeat the
    /// change, which does no harm.
    async fn propose_surely(&self, body: flintwheel_cluster::entry::Body) -> Result<(), Fault> {
        for attempt in 0..5 {
            match self.propose_here(body.clone()).await {
                Ok(_) => return Ok(()),
                Err(NotDone::Later(_)) => tokio::time::sleep(backoff(attempt)).await,
                Err(other) => return Err(not_done(other)),
            }
        }
        Err(Fault("the meta group takes nothing at this moment".to_owned()))
    }
}

/// What is to be done in the shard's group.
fn in_group(step: &Step) -> Option<Action> {
    use flintwheel_cluster::plan::Action as Planned;
    match step.action {
        Planned::AddLearner { node, .. } => Some(Action::AddLearner { node }),
        Planned::Promote { node, .. } => Some(Action::Promote { node }),
        Planned::Remove { node } | Planned::Abandon { node } => Some(Action::Remove { node }),
        Planned::TransferLeader { to, .. } => Some(Action::TransferLeader { to }),
        Planned::Keep { .. } => None,
    }
}

fn not_done(why: NotDone) -> Fault {
    match why {
        NotDone::Refused(why) | NotDone::NotFound(why) | NotDone::Later(why) => Fault(why),
        NotDone::NotLeader { .. } => Fault("this node does not lead the meta group any more".to_owned()),
    }
}
