//! Definitions paused and resumed, and pauses that end by themselves.

use super::{Chore, Done, Fault};
use crate::clients::NAMESPACE;
use crate::leader::{Leader, REMEMBERED, Told, What};
use crate::operators::Switch;
use crate::planted::Planted;
use flintwheel_model::DefinitionKey;
use flintwheel_model::definition::OnResume;
use flintwheel_model::ids::{request_content, request_digest};
use flintwheel_node::after::coming;
use flintwheel_node::calendars;
use flintwheel_node::pauses::{Resumed, resumed};
use flintwheel_shard::entry::{Body, Pause, Request};
use flintwheel_shard::query;
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::{Outcome, Pausing};
use tokio::sync::oneshot;

/// Pauses ended by one entry.
const BATCH: usize = 16;

impl Leader {
    /// Pauses a definition, or lets it go on.
    pub(crate) fn switch(&mut self, switch: Switch, to: oneshot::Sender<Told>) -> Result<(), Fault> {
        let number = query::number(&self.group.state(), NAMESPACE, &switch.id).map_err(|error| error.to_string())?;
        let Some(number) = number else {
            let _ = to.send(Told::Gone);
            return Ok(());
        };
        let through = self.here.now();
        let found = if switch.paused {
            Some(Resumed::NOTHING)
        } else {
            self.resumed_of(number, switch.missed, through)?.map(|(_, r)| r)
        };
        let Some(resumed) = found else {
            let _ = to.send(Told::Gone);
            return Ok(());
        };
        if switch.paused {
            self.chores.paused_here.insert(number);
        }
        let key = DefinitionKey::new(NAMESPACE, &switch.id);
        let content = request_content(&[b"switch", format!("{switch:?}").as_bytes()]);
        let request = Request { digest: request_digest(&key, &switch.request), content, window: REMEMBERED };
        let Switch { id, paused, until, .. } = switch;
        let pause = pause_entry(id, paused, resumed, until, Some(request));
        self.propose_computed(Body::Pause(vec![pause]), What::Chore(Chore::Switch(to)));
        Ok(())
    }

    /// Where a definition goes on, as of an instant.
    fn resumed_of(
        &self,
        number: u64,
        missed: Option<OnResume>,
        through: i64,
    ) -> Result<Option<(Version, Resumed)>, Fault> {
        let found = self.read(|machine| machine.slots().get(number).map(|slot| (*slot, coming(machine, number))))?;
        let Some((slot, coming)) = found else { return Ok(None) };
        let stored = query::version(&self.group.state(), number, slot.version).map_err(|error| error.to_string())?;
        let Some(stored) = stored else { return Ok(None) };
        let (known, group) = (&self.chores.known, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        let mut resumed =
            resumed((&slot, &coming), &stored, missed, through, &find).map_err(|error| error.to_string())?;
        if self.has(Planted::ResumeNotCompared) {
            resumed.generation = None;
        }
        Ok(Some((stored, resumed)))
    }

    pub(super) fn switched(&mut self, to: oneshot::Sender<Told>, outcome: Done) -> Result<(), Fault> {
        let Ok(Outcome::Paused(results)) = outcome else {
            let _ = to.send(Told::Failed);
            return Ok(());
        };
        self.follow_pauses(&results)?;
        let told = match results.first() {
            Some(Pausing::Changed(_) | Pausing::Same(_) | Pausing::Repeated { .. }) => Told::Switched,
            Some(Pausing::NotFound) => Told::Gone,
            Some(Pausing::Stale | Pausing::Reused) | None => Told::Failed,
        };
        let _ = to.send(told);
        Ok(())
    }

    fn follow_pauses(&mut self, results: &[Pausing]) -> Result<(), Fault> {
        for result in results {
            if let Pausing::Changed(now) = result {
                self.arm_from_cursor(now.number)?;
            }
        }
        self.retime()
    }

    /// Ends those whose time has come.
    pub(super) fn end_pauses(&mut self, now: i64) -> Result<(), Fault> {
        if self.chores.ending || now < self.chores.from {
            return Ok(());
        }
        let due: Vec<(i64, u64)> = self.read(|machine| machine.pauses().ending_by(now).take(BATCH).collect())?;
        let mut resumes = Vec::new();
        for (until, number) in due {
            if self.has(Planted::PauseEndForgotten) && !self.chores.paused_here.contains(&number) {
                continue;
            }
            // What is due at that instant is not missed.
            let through = if self.has(Planted::PauseEndsNow) { now } else { until - 1 };
            if let Some((stored, resumed)) = self.resumed_of(number, None, through)? {
                resumes.push(pause_entry(stored.id, false, resumed, Some(until), None));
            }
        }
        if !resumes.is_empty() {
            self.chores.ending = true;
            self.propose_computed(Body::Pause(resumes), What::Chore(Chore::EndPauses));
        }
        Ok(())
    }

    pub(super) fn pauses_ended(&mut self, outcome: Done) -> Result<(), Fault> {
        self.chores.ending = false;
        match outcome {
            Ok(Outcome::Paused(results)) => self.follow_pauses(&results),
            _ => Ok(()),
        }
    }
}

fn pause_entry(id: String, paused: bool, resumed: Resumed, until: Option<i64>, request: Option<Request>) -> Pause {
    Pause {
        namespace: NAMESPACE.to_owned(),
        id,
        paused,
        note: String::new(),
        next: resumed.next,
        missed: resumed.passed_over,
        wanted_through: resumed.wanted_through,
        until,
        computed: resumed.computed(),
        request,
    }
}
