//! A leader: puts its group to sleep, and makes sure that it still leads when it wakes.

use super::LEASE;
use super::pairs::{Notice, Theirs};
use super::state::{Asleep, Current, Part, State};
use crate::group::Inner;
use crate::message::{Answer, Request};
use crate::propose;
use crate::runtime::Moment;
use crate::state_machine::StateMachine;
use crate::transport::{Lane, Peer};
use crate::types::{LogId, Types, Vote};
use bytes::Bytes;
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::ClientWriteResult;
use openraft::{Raft, RaftMetrics, ReadPolicy, ServerState};
use parking_lot::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Entries that were proposed while it slept, in the order of the calls. Their bytes are limited as all that is under way.
pub(crate) type Queue = Vec<(Bytes, propose::Answer<ClientWriteResult<Types>>)>;

/// How long a follower may take to agree.
const AGREE: Duration = Duration::from_secs(1);
/// A leader that has lost its majority is silent for so long, then asks for as long, and so on: whoever hears it still must not keep the others
/// from electing. At least as long as an election takes.
const SILENCE: Duration = Duration::from_millis(1500);

/// What it would sleep with.
struct Plan {
    vote: Vote,
    last: LogId,
    voters: Vec<u64>,
    /// Members to be asked.
    ask: Vec<Peer>,
    /// Members that nobody reaches.
    away: Vec<u64>,
}

impl<M: Replicated> Inner<M> {
    /// Proposes an entry in its turn: at once, or when it is awake.
    pub(crate) fn put(
        &self,
        raft: &Raft<Types, StateMachine<M>>,
        entry: Bytes,
        answer: propose::Answer<ClientWriteResult<Types>>,
    ) {
        let mut current = self.doze.lock();
        current.active = Moment::now();
        match &mut current.state {
            State::Awake => propose::enter(raft, entry, answer),
            State::Waking(queue) => queue.push((entry, answer)),
            // Who follows is told so by openraft, and may go on sleeping.
            State::Asleep(Asleep { part: Part::Follows, .. }) => propose::enter(raft, entry, answer),
            State::Nodding { .. } => {
                current.state = State::Awake;
                propose::enter(raft, entry, answer);
            }
            State::Asleep(_) => {
                self.leave(&mut current);
                self.make_sure(&mut current, vec![(entry, answer)]);
            }
        }
    }

    /// Wakes it, and waits until it is known whether it leads. To be done before a change that is not proposed.
    pub(crate) async fn awake(&self) {
        loop {
            let settled = self.doze.settled.notified();
            tokio::pin!(settled);
            {
                let mut current = self.doze.lock();
                // Before the look at the state: who settles it after that is heard.
                settled.as_mut().enable();
                current.active = Moment::now();
                match &current.state {
                    State::Asleep(Asleep { part: Part::Leads { .. }, .. }) => {
                        self.leave(&mut current);
                        self.make_sure(&mut current, Queue::new());
                    }
                    State::Nodding { .. } => {
                        current.state = State::Awake;
                        return;
                    }
                    State::Waking(_) => {}
                    State::Awake | State::Asleep(_) => return,
                }
            }
            settled.await;
        }
    }

    /// Wakes it without making sure of anything: another one is about to lead.
    pub(crate) fn awake_to_give_away(&self) {
        let mut current = self.doze.lock();
        current.active = Moment::now();
        if let State::Nodding { .. } = current.state {
            current.state = State::Awake;
        }
        if self.leave(&mut current).is_some()
            && let Some(raft) = &self.raft
        {
            raft.runtime_config().tick(true);
        }
    }

    /// Others may have elected somebody while it slept: it asks a majority, and only then proposes what waits, and ticks again. (The order
    /// matters: a tick before a heartbeat was answered would be one of a leader that has lost its majority.)
    pub(super) fn make_sure(&self, current: &mut Current, queue: Queue) {
        current.state = State::Waking(queue);
        self.spawn(|group| async move {
            let Some(raft) = &group.raft else { return };
            let asks = !group.doze.sleepers.is_stalled();
            if !asks {
                group.silence(raft, true);
            }
            let leads = asks && raft.ensure_linearizable(ReadPolicy::ReadIndex).await.is_ok();
            raft.runtime_config().tick(true);
            group.made_sure(raft, leads);
        });
    }

    fn made_sure(&self, raft: &Raft<Types, StateMachine<M>>, leads: bool) {
        let mut current = self.doze.lock();
        (current.active, current.leads) = (Moment::now(), None);
        if let State::Waking(queue) = std::mem::replace(&mut current.state, State::Awake) {
            for (entry, answer) in queue {
                if leads {
                    propose::enter(raft, entry, answer);
                } else {
                    propose::refuse(answer);
                }
            }
        }
        drop(current);
        self.doze.settled.notify_waiters();
    }

    /// An instant at which nobody had been elected after it, where it sleeps as the leader of this term.
    pub(crate) fn sleeping_majority(&self, term: u64) -> Option<Moment> {
        let current = self.doze.lock();
        match &current.state {
            State::Asleep(asleep) if asleep.vote.leader_id.term == term => self.majority(asleep),
            _ => None,
        }
    }

    pub(super) fn majority(&self, asleep: &Asleep) -> Option<Moment> {
        let Part::Leads { voters, with } = &asleep.part else { return None };
        let sleepers = &self.doze.sleepers;
        sleepers.pairs.majority(sleepers.node, voters, with, Moment::now())
    }

    /// Looks after a group that is awake: silences a leader without a majority, and puts to sleep what has nothing to do.
    pub(super) fn tend(&self, mut current: MutexGuard<'_, Current>, now: Moment) {
        let Some(raft) = &self.raft else { return };
        let metrics = raft.metrics();
        let plan = {
            let metrics = metrics.borrow_watched();
            self.hush(raft, &mut current, &metrics, now);
            let idle = now.saturating_duration_since(current.active) >= self.doze.sleepers.after;
            if idle { self.plan(&metrics, now) } else { None }
        };
        let Some((plan, turn)) = plan.and_then(|plan| Some((plan, self.doze.sleepers.turn()?))) else { return };
        let token = self.doze.sleepers.token();
        current.state = State::Nodding { token };
        drop(current);
        self.spawn(|group| async move { group.put_to_sleep(plan, token, turn).await });
    }

    /// Silences a leader that has lost its majority, by turns, or whose disk stands still. (openraft's own probing would silence one that has only
    /// slept, and knows no disk.)
    fn hush(
        &self,
        raft: &Raft<Types, StateMachine<M>>,
        current: &mut Current,
        metrics: &RaftMetrics<Types>,
        now: Moment,
    ) {
        let leads = metrics.running_state.is_ok() && metrics.state == ServerState::Leader;
        let hushed = if leads {
            let term = metrics.current_term;
            let since = match current.leads {
                Some((before, since)) if before == term => since,
                _ => now,
            };
            current.leads = Some((term, since));
            let acked = metrics.last_quorum_acked.map(|acked| acked.into_inner());
            let alone = metrics.membership_config.membership().voter_ids().all(|voter| voter == metrics.id);
            let known = acked.map_or(since, |acked| acked.max(since));
            !alone && (is_silent(known, now) || self.doze.sleepers.is_stalled())
        } else {
            current.leads = None;
            false
        };
        self.silence(raft, hushed);
    }

    fn silence(&self, raft: &Raft<Types, StateMachine<M>>, hushed: bool) {
        if self.doze.hushed.swap(hushed, Ordering::Relaxed) != hushed {
            raft.runtime_config().heartbeat(!hushed);
        }
    }

    /// What it would sleep with, if it may: it leads, everybody has everything, and nothing is under way.
    fn plan(&self, metrics: &RaftMetrics<Types>, now: Moment) -> Option<Plan> {
        let (me, vote, last) = (metrics.id, metrics.vote, self.log.last()?);
        let leads = metrics.running_state.is_ok() && metrics.state == ServerState::Leader;
        let mine = vote.committed && vote.leader_id.node_id == me;
        let (stored, membership) = (&metrics.membership_config, metrics.membership_config.membership());
        let settled = stored.log_id() == metrics.committed_membership_config.log_id()
            && membership.get_joint_config().len() == 1
            && membership.learner_ids().next().is_none();
        let through = metrics.last_applied == Some(last) && self.in_flight.bytes() == 0;
        if !(leads && mine && settled && through) {
            return None;
        }
        let voters: Vec<u64> = membership.voter_ids().collect();
        let (mut ask, mut away) = (Vec::new(), Vec::new());
        for (node, at) in membership.nodes().filter(|(node, _)| **node != me) {
            let matched = metrics.replication.as_ref().and_then(|all| all.get(node)).and_then(Option::as_ref);
            if matched != Some(&last) {
                return None;
            }
            let pairs = &self.doze.sleepers.pairs;
            if pairs.answers(*node, now) {
                ask.push(Peer { node: *node, address: at.addr.as_str().into() });
            } else if pairs.is_away(*node, now) {
                away.push(*node);
            } else {
                return None;
            }
        }
        let enough = voters.contains(&me) && (ask.len() + 1) * 2 > voters.len();
        enough.then_some(Plan { vote, last, voters, ask, away })
    }

    async fn put_to_sleep(&self, plan: Plan, token: u64, _turn: OwnedSemaphorePermit) {
        let asked = plan.ask.iter().map(|peer| self.ask(peer, token, plan.vote, plan.last));
        let answers: Vec<Option<u64>> = futures::future::join_all(asked).await;
        let with: Vec<(u64, u64)> =
            plan.ask.iter().zip(&answers).filter_map(|(peer, boot)| Some((peer.node, (*boot)?))).collect();
        let mut current = self.doze.lock();
        let nodding = matches!(current.state, State::Nodding { token: mine } if mine == token);
        let (notice, pairs) = (self.notice(token), &self.doze.sleepers.pairs);
        if nodding && with.len() == plan.ask.len() && self.lie_down(notice, &with, &plan.away) {
            let part = Part::Leads { voters: plan.voters, with };
            current.state = State::Asleep(Asleep { token, vote: plan.vote, part });
            return self.raft.iter().for_each(|raft| raft.runtime_config().tick(false));
        }
        if nodding {
            current.state = State::Awake;
            // It is tried again after as long.
            current.active = Moment::now();
        }
        pairs.wake(notice);
        with.iter().for_each(|(node, _)| pairs.owe(*node, notice));
    }

    /// `false` where a node that has agreed was restarted since.
    fn lie_down(&self, notice: Notice, with: &[(u64, u64)], away: &[u64]) -> bool {
        let pairs = &self.doze.sleepers.pairs;
        away.iter().all(|node| pairs.sleep(*node, None, notice, Theirs::Away))
            && with.iter().all(|(node, boot)| pairs.sleep(*node, Some(*boot), notice, Theirs::Follows))
    }

    /// Which start of its program has agreed.
    async fn ask(&self, peer: &Peer, token: u64, vote: Vote, last: LogId) -> Option<u64> {
        let group = self.machine.group;
        let request = Request::Sleep { token, vote, last }.encode(group);
        // On the lane of entries: after all that was sent before.
        let answer = self.doze.sleepers.transport.call(peer, Lane::Log, group, request, AGREE).await;
        let answer = answer.map_err(|e| e.to_string());
        match answer.and_then(|answer| Answer::decode(group, &answer).map_err(|e| e.to_string())) {
            Ok(Answer::Slept { boot }) => Some(boot),
            other => {
                tracing::debug!(shard = group, node = peer.node, ?other, "a follower does not sleep");
                None
            }
        }
    }
}

/// Of a leader whose majority was last known at `known`.
fn is_silent(known: Moment, now: Moment) -> bool {
    let age = now.saturating_duration_since(known);
    age >= LEASE && ((age - LEASE).as_millis() / SILENCE.as_millis()).is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_without_a_majority_is_silent_and_asks_by_turns() {
        let known = Moment::now();
        for (millis, silent) in [(0, false), (499, false), (500, true), (1999, true), (2000, false), (3500, true)] {
            assert_eq!(is_silent(known, known + Duration::from_millis(millis)), silent, "after {millis} ms");
        }
    }
}
