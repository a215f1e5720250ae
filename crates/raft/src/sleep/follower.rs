//! A follower: agrees to sleep, hears what other nodes ask of the group meanwhile, and is roused.

use super::pairs::Theirs;
use super::state::{Asleep, Current, Part, State};
use super::{LEASE, Why};
use crate::group::Inner;
use crate::message::Answer;
use crate::open::META;
use crate::runtime::{Moment, random, sleep};
use crate::transport::Peer;
use crate::types::{LogId, Types, Vote};
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteResponse};
use std::time::Duration;

/// Who takes over from a lost node does so within this time, so that not all groups elect at once.
const SPREAD: Duration = Duration::from_millis(150);
/// One follower is first to stand for a group; each further one waits so much longer. It then hears of the first one, as a rule.
const TURN: Duration = Duration::from_millis(250);

/// A request for the group while it is being answered.
pub(crate) struct Heard<'a, M: Replicated> {
    group: &'a Inner<M>,
    counted: bool,
    /// It has slept until then, and ticks again once it is answered: so it has heard of a leader before it looks for one.
    tick: Option<u64>,
}

impl<M: Replicated> Drop for Heard<'_, M> {
    fn drop(&mut self) {
        if self.counted {
            self.group.doze.lock().disturbing -= 1;
        }
        if let Some(wakes) = self.tick {
            self.group.tick(wakes);
        }
    }
}

impl<M: Replicated> Inner<M> {
    /// A leader appends. A heartbeat of the leader under which it sleeps does not wake it: so reads don't either.
    pub(crate) fn hear_append(&self, vote: &Vote, is_heartbeat: bool) -> Heard<'_, M> {
        let mut current = self.doze.lock();
        match &current.state {
            State::Asleep(asleep) if is_heartbeat && asleep.vote == *vote => {
                Heard { group: self, counted: false, tick: None }
            }
            _ => self.disturbed(&mut current),
        }
    }

    /// Another node asks for a vote, or whether it would get one. The refusal, where the leader under which it sleeps is well: as openraft refuses
    /// while heartbeats come.
    pub(crate) fn hear_vote(&self, is_transfer: bool) -> Result<Heard<'_, M>, VoteResponse<Types>> {
        let mut current = self.doze.lock();
        if let State::Asleep(asleep) = &current.state
            && !is_transfer
        {
            if self.is_led(asleep) {
                let refusal = VoteResponse { vote: asleep.vote, last_log_id: self.log.last(), vote_granted: false };
                self.wake(&mut current, Why::Told);
                return Err(refusal);
            }
            self.wake(&mut current, Why::Lost);
        }
        Ok(self.disturbed(&mut current))
    }

    /// Another node asks for something that may change who leads.
    pub(crate) fn hear(&self) -> Heard<'_, M> {
        self.disturbed(&mut self.doze.lock())
    }

    fn disturbed(&self, current: &mut Current) -> Heard<'_, M> {
        if let State::Nodding { .. } = current.state {
            current.state = State::Awake;
        }
        let tick = self.leave(current).map(|_| current.wakes);
        current.disturbing += 1;
        Heard { group: self, counted: true, tick }
    }

    fn wake(&self, current: &mut Current, why: Why) {
        let Some(asleep) = self.leave(current) else { return };
        match asleep.part {
            Part::Leads { .. } => self.make_sure(current, Vec::new()),
            Part::Follows => self.rouse(current, asleep, why),
        }
    }

    /// Whether the leader under which it sleeps was heard a moment ago; or, of a leader, a majority.
    fn is_led(&self, asleep: &Asleep) -> bool {
        let now = Moment::now();
        match &asleep.part {
            Part::Follows => self.doze.sleepers.pairs.is_alive(asleep.vote.leader_id.node_id, now),
            Part::Leads { .. } => {
                let majority = self.majority(asleep);
                let heard = majority.is_some_and(|since| now.saturating_duration_since(since) < LEASE);
                heard && self.doze.sleepers.is_well()
            }
        }
    }

    /// The leader asks it to sleep. Before it agrees, it hears the leader once more, so that its vote is the leader's, and makes sure that it has
    /// and has applied what the leader has.
    pub(crate) async fn agree(&self, from: u64, token: u64, vote: Vote, last: LogId) -> Result<Answer, String> {
        let Some(raft) = &self.raft else { return Err("it has ended".to_owned()) };
        let pairs = &self.doze.sleepers.pairs;
        let Some(boot) = pairs.boot(from).filter(|_| pairs.is_alive(from, Moment::now())) else {
            return Err(format!("node {from} was not heard lately"));
        };
        if !vote.committed || vote.leader_id.node_id != from {
            return Err(format!("node {from} does not lead by vote {vote}"));
        }
        // Who only follows knows no way to others yet, and will owe them notices.
        let at =
            raft.metrics().borrow_watched().membership_config.membership().get_node(&from).map(|at| at.addr.clone());
        at.iter().for_each(|at| self.doze.sleepers.meet(&Peer { node: from, address: at.as_str().into() }));
        self.nod(token)?;
        let heartbeat =
            AppendEntriesRequest { vote, prev_log_id: Some(last), entries: Vec::new(), leader_commit: Some(last) };
        let heard = raft.append_entries(heartbeat).await;
        let mut current = self.doze.lock();
        if !matches!(current.state, State::Nodding { token: mine } if mine == token) {
            return Err("it was disturbed".to_owned());
        }
        current.state = State::Awake;
        match heard {
            Ok(AppendEntriesResponse::Success) => {}
            other => return Err(format!("it does not follow: {other:?}")),
        }
        if self.log.last() != Some(last) || self.machine.applied().last != Some(last) {
            return Err("it has not applied what the leader has, or has more".to_owned());
        }
        if !pairs.sleep(from, Some(boot), self.notice(token), Theirs::Leads) {
            return Err(format!("node {from} was restarted"));
        }
        current.state = State::Asleep(Asleep { token, vote, part: Part::Follows });
        raft.runtime_config().tick(false);
        Ok(Answer::Slept { boot: self.doze.sleepers.boot })
    }

    fn nod(&self, token: u64) -> Result<(), String> {
        let mut current = self.doze.lock();
        // Its leader has woken, and asks anew before its notice was here.
        self.wake(&mut current, Why::Told);
        match &current.state {
            State::Awake | State::Nodding { .. } if current.disturbing == 0 => {
                current.state = State::Nodding { token };
                Ok(())
            }
            _ => Err("something is being asked of it".to_owned()),
        }
    }

    /// It has slept as a follower. If its leader lives, that is as good as a heartbeat, and it waits for the next one as usual. If not, it
    /// stands for election: not all groups and not all followers at once.
    pub(super) fn rouse(&self, current: &Current, asleep: Asleep, why: Why) {
        let (wakes, leader) = (current.wakes, asleep.vote.leader_id.node_id);
        if why == Why::Told && self.doze.sleepers.pairs.is_alive(leader, Moment::now()) {
            return self.spawn(move |group| async move {
                let Some(raft) = &group.raft else { return };
                let (entries, vote) = (Vec::new(), asleep.vote);
                let heartbeat = AppendEntriesRequest { vote, prev_log_id: None, entries, leader_commit: None };
                if let Err(error) = raft.append_entries(heartbeat).await {
                    tracing::debug!(shard = group.machine.group, %error, "a group that has slept does not answer");
                }
                group.tick(wakes);
            });
        }
        let delay = self.turn(leader);
        self.spawn(move |group| async move {
            sleep(delay).await;
            let Some(raft) = group.raft.as_ref().filter(|_| group.tick(wakes)) else { return };
            let same = raft.metrics().borrow_watched().vote == asleep.vote;
            if same && let Err(error) = raft.trigger().elect(true).await {
                tracing::debug!(shard = group.machine.group, %error, "a group that has slept does not answer");
            }
        });
    }

    /// When to stand for election: the meta group's leader has to be there first, for it says what becomes of the others.
    fn turn(&self, leader: u64) -> Duration {
        let group = self.machine.group;
        let Some(raft) = &self.raft else { return Duration::ZERO };
        let me = self.doze.sleepers.node;
        let metrics = raft.metrics();
        let mut voters: Vec<u64> = metrics.borrow_watched().membership_config.membership().voter_ids().collect();
        voters.retain(|voter| *voter != leader);
        voters.sort_unstable();
        let first = group as usize % voters.len().max(1);
        let place = voters.iter().cycle().skip(first).take(voters.len()).position(|voter| *voter == me).unwrap_or(0);
        let spread = if group == META { Duration::ZERO } else { SPREAD.mul_f64(random() as f64 / u64::MAX as f64) };
        TURN * u32::try_from(place).unwrap_or(u32::MAX) + spread
    }
}
