//! What a shard's leader does beside firing, as the tasks of a node do it: pauses are ended, runs watched, backfills gone on with, calendars brought
//! to all shards, and what is over is concluded. What is decided is decided by the real code; here it is only asked for.

mod backfills;
mod calendars;
mod ends;
mod pauses;
mod runs;

pub use runs::Watched;

use crate::leader::{Leader, RETRY, Told};
use flintwheel_node::calendars::Known;
use flintwheel_node::plans::Plans;
use flintwheel_raft::ProposeError;
use flintwheel_shard::reply::Outcome;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;

type Fault = String;
/// What became of an entry.
pub type Done = Result<Outcome, ProposeError>;

/// What an entry was proposed for.
pub enum Chore {
    /// A definition is paused, or goes on.
    Switch(oneshot::Sender<Told>),
    /// Pauses whose time has come.
    EndPauses,
    /// Definitions whose schedule is over.
    Conclude,
    /// Runs that have ended.
    Close(Vec<runs::OpenRun>),
    /// A backfill begins.
    Begin(oneshot::Sender<Told>),
    /// It goes on.
    Advance(u64, String),
    /// It is stopped.
    Stop(oneshot::Sender<Told>),
    /// A calendar is changed, at home.
    Put(oneshot::Sender<Told>),
    /// Its days come to a shard.
    Days(oneshot::Sender<Told>),
    /// It is in all shards.
    Spread,
    /// Definitions are due by it.
    Retime(Vec<u64>),
}

/// What a leader keeps in memory for all that; what matters stands in the shard's state.
pub struct Chores {
    /// Days of calendars that some plan has.
    pub known: Known,
    /// Not before: a leader whose proposals are refused, for it gives the shard away, tries again after a moment.
    from: i64,
    ending: bool,
    /// Definitions that were paused while this one leads; for a planted bug.
    paused_here: BTreeSet<u64>,
    conclude_at: i64,
    /// None while it looks.
    watch: Option<Box<runs::Watch>>,
    watch_at: i64,
    closing: usize,
    /// Firings of bounded definitions, and how many there may be; for a planted bug.
    bounds: BTreeMap<u64, (u32, u32)>,
    /// When backfills go on; none while one is on its way.
    backfills: BTreeMap<(u64, String), Option<i64>>,
    bringing: bool,
    bring_at: i64,
    retiming: bool,
    retime_plans: Plans,
}

impl Chores {
    /// Of one who begins to lead now.
    pub fn new(now: i64) -> Self {
        Self {
            known: Known::default(),
            from: i64::MIN,
            ending: false,
            paused_here: BTreeSet::new(),
            conclude_at: now,
            watch: Some(Box::default()),
            watch_at: now,
            closing: 0,
            bounds: BTreeMap::new(),
            backfills: BTreeMap::new(),
            bringing: false,
            bring_at: now,
            retiming: false,
            retime_plans: Plans::default(),
        }
    }
}

impl Leader {
    /// Does what is to be done now.
    pub(crate) fn do_chores(&mut self, now: i64) -> Result<(), Fault> {
        if self.here.may_fire() {
            self.end_pauses(now)?;
            self.go_on_with_backfills(now)?;
        }
        self.conclude(now)?;
        self.retime()?;
        self.bring(now)?;
        self.watch_runs(now)
    }

    /// An entry of one of them has been applied, or not.
    pub(crate) fn chore_done(&mut self, chore: Chore, outcome: Done) -> Result<(), Fault> {
        if outcome.is_err() {
            self.chores.from = self.here.now() + RETRY;
        }
        match chore {
            Chore::Switch(to) => self.switched(to, outcome),
            Chore::EndPauses => self.pauses_ended(outcome),
            // What was not done is found again.
            Chore::Conclude | Chore::Spread => Ok(()),
            Chore::Close(runs) => {
                self.closed(runs, &outcome);
                Ok(())
            }
            Chore::Begin(to) => {
                drop(to.send(backfills::begun(&outcome)));
                Ok(())
            }
            Chore::Advance(number, id) => {
                self.advanced(number, id);
                Ok(())
            }
            Chore::Stop(to) => {
                drop(to.send(backfills::stopped(&outcome)));
                Ok(())
            }
            Chore::Put(to) => self.put(to, outcome),
            Chore::Days(to) => self.took_days(to, outcome),
            Chore::Retime(numbers) => self.retimed(&numbers, outcome),
        }
    }
}
