//! One group's part: whether it sleeps, and how it leaves its sleep.
//!
//! All that changes it is done under one lock, and whoever counts on its sleep is owed a notice before that lock is given back. So nothing that
//! could unseat a leader is handed on before the next beat tells of it. Under that lock openraft's metrics are read: so nobody may take it while
//! reading them, or a writer that waits between the two would hold up both.

use super::keeper::Sleepers;
use super::leader::Queue;
use super::pairs::Notice;
use super::{Sleeper, Why};
use crate::group::Inner;
use crate::leadership::Leadership;
use crate::runtime::{Moment, Tasks};
use crate::types::Vote;
use flintwheel_shard::Replicated;
use openraft::async_runtime::WatchReceiver;
use parking_lot::{Mutex, MutexGuard};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// See the module.
pub(crate) struct Doze<M: Replicated> {
    /// The group itself, for tasks that outlive a call.
    me: Weak<Inner<M>>,
    pub(super) sleepers: Arc<Sleepers>,
    /// Where the group's tasks run.
    pub(super) tasks: Tasks,
    current: Mutex<Current>,
    /// It is awake, or was found not to lead.
    pub(super) settled: Notify,
    /// It leads, but has not heard of a majority for a while, or its disk stands still: it asks nobody for now.
    pub(super) hushed: AtomicBool,
}

pub(super) struct Current {
    pub(super) state: State,
    /// Requests of other nodes under way that may change its vote.
    pub(super) disturbing: u32,
    /// When something was last proposed, or it woke.
    pub(super) active: Moment,
    /// How often it has woken.
    pub(super) wakes: u64,
    /// Since when it leads, in which term, as far as it was looked at.
    pub(super) leads: Option<(u64, Moment)>,
}

pub(super) enum State {
    Awake,
    /// It leads and asks the others to sleep, or it was asked and makes sure that it may.
    Nodding {
        token: u64,
    },
    Asleep(Asleep),
    /// It has slept as a leader, and makes sure that it still leads before it proposes what waits.
    Waking(Queue),
}

#[derive(Clone, Debug)]
pub(super) struct Asleep {
    pub(super) token: u64,
    /// The leader's.
    pub(super) vote: Vote,
    pub(super) part: Part,
}

#[derive(Clone, Debug)]
pub(super) enum Part {
    Leads {
        voters: Vec<u64>,
        /// Who has agreed, and in which start of their programs.
        with: Vec<(u64, u64)>,
    },
    Follows,
}

impl<M: Replicated> Doze<M> {
    pub(crate) fn new(me: Weak<Inner<M>>, sleepers: Arc<Sleepers>, tasks: Tasks) -> Self {
        let current = Current { state: State::Awake, disturbing: 0, active: Moment::now(), wakes: 0, leads: None };
        let (settled, hushed) = (Notify::new(), AtomicBool::new(false));
        Self { me, sleepers, tasks, current: Mutex::new(current), settled, hushed }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock()
    }
}

impl<M: Replicated> Inner<M> {
    pub(super) fn notice(&self, token: u64) -> Notice {
        Notice { group: self.machine.group, token }
    }

    /// Runs for the group, unless it is gone.
    pub(super) fn spawn<F: Future<Output = ()> + Send + 'static>(&self, task: impl FnOnce(Arc<Self>) -> F) {
        if let Some(me) = self.doze.me.upgrade() {
            drop(self.doze.tasks.spawn(task(me)));
        }
    }

    /// Ends its sleep; what comes then is the caller's. What counted on it is owed a notice from now on.
    pub(super) fn leave(&self, current: &mut Current) -> Option<Asleep> {
        match std::mem::replace(&mut current.state, State::Awake) {
            State::Asleep(asleep) => {
                self.doze.sleepers.pairs.wake(self.notice(asleep.token));
                current.wakes += 1;
                (current.active, current.leads) = (Moment::now(), None);
                Some(asleep)
            }
            waking @ State::Waking(_) => {
                current.state = waking;
                None
            }
            // Those who have agreed already are told when the others have answered.
            State::Awake | State::Nodding { .. } => None,
        }
    }

    /// Ticks again, unless it has fallen asleep since or has woken once more.
    pub(super) fn tick(&self, wakes: u64) -> bool {
        let current = self.doze.lock();
        let still = current.wakes == wakes && !matches!(current.state, State::Asleep(_));
        if let Some(raft) = self.raft.as_ref().filter(|_| still) {
            raft.runtime_config().tick(true);
        }
        still
    }

    /// Its replica leaves this node.
    pub(crate) fn depart(&self) {
        self.leave(&mut self.doze.lock());
    }

    /// Whether it sleeps.
    pub(crate) fn sleeps(&self) -> bool {
        matches!(self.doze.lock().state, State::Asleep(_))
    }

    /// Whether it is not to ask a majority whether it leads: whoever hears it would not elect another one.
    pub(crate) fn is_hushed(&self) -> bool {
        let counts_on_others = |state: &State| match state {
            State::Asleep(Asleep { part: Part::Leads { with, .. }, .. }) => !with.is_empty(),
            _ => false,
        };
        let is_hushed = self.doze.hushed.load(Ordering::Relaxed);
        is_hushed || (self.doze.sleepers.is_stalled() && counts_on_others(&self.doze.lock().state))
    }
}

impl<M: Replicated> Sleeper for Inner<M> {
    fn end(&self, token: u64, why: Why) {
        let mut current = self.doze.lock();
        match &current.state {
            State::Nodding { token: mine } if *mine == token => current.state = State::Awake,
            State::Asleep(asleep) if asleep.token == token => {
                let Some(asleep) = self.leave(&mut current) else { return };
                match asleep.part {
                    Part::Leads { .. } => self.make_sure(&mut current, Queue::new()),
                    Part::Follows => self.rouse(&current, asleep, why),
                }
            }
            _ => {}
        }
    }

    fn look(&self, now: Moment) {
        let has_stopped = matches!(*self.leadership.borrow(), Leadership::Stopped(_));
        let mut current = self.doze.lock();
        match &current.state {
            // Others wait for a leader that is no more.
            State::Asleep(_) if has_stopped => _ = self.leave(&mut current),
            State::Awake if !has_stopped => self.tend(current, now),
            _ => {}
        }
    }

    fn members(&self) -> Vec<u64> {
        let Some(raft) = &self.raft else { return Vec::new() };
        raft.metrics().borrow_watched().membership_config.membership().nodes().map(|(id, _)| *id).collect()
    }
}
