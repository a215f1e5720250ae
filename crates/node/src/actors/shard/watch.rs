//! Compares all cursors with what is armed, and tells operators of what they should look at.

use flintwheel_model::ids::rfc3339;
use flintwheel_schedule::catchup::LATE_AFTER;
use flintwheel_shard::query;
use flintwheel_shard::records::Version;
use flintwheel_shard::tracks::{STUCK, Track};

use super::State;
use crate::actors::coming::Found;
use crate::actors::watch::{PAGE, Seen};
use crate::dispatch::firing_key;
use crate::error::EngineError;

impl State {
    /// Looks at some thousand cursors, if it is time to. Nobody may be forgotten, whatever went wrong.
    pub(super) fn watch(&mut self, now: i64) -> Result<(), EngineError> {
        if self.watcher.is_due(now) {
            self.begin_round(now)?;
            self.tell_stuck()?;
        }
        if !self.watcher.is_looking() {
            return Ok(());
        }
        let (page, horizon, searched) = (self.watcher.page(), self.filled_to, self.backlog.has_more());
        let (watcher, unreadable) = (&mut self.watcher, &self.unreadable);
        let last = self.group.read(|machine, _| {
            // Until all of a backup is there, nothing of it fires.
            let slots = machine.slots().range(page).filter(|_| !machine.is_held());
            let armed = slots.filter(|(_, slot)| slot.is_armed() && slot.next <= horizon);
            let armed = armed.filter(|(number, _)| !unreadable.has(*number));
            let found = armed.map(|(number, slot)| Found { number, generation: slot.generation, nominal: slot.next });
            watcher.show(found, searched, now - LATE_AFTER);
            machine.counters().next_number
        })?;
        match self.watcher.turn(last, now) {
            Some(seen) => self.take_seen(seen, now),
            None => Ok(()),
        }
    }

    /// Shows the watcher all that waits to be decided.
    fn begin_round(&mut self, now: i64) -> Result<(), EngineError> {
        self.watcher.begin();
        let (wheel, watcher) = (&self.wheel, &mut self.watcher);
        self.group.read(|machine, _| {
            for (due, armed) in wheel.iter() {
                let slot = machine.slots().get(armed.number);
                // What a later generation has overtaken waits for nothing.
                if slot.is_some_and(|slot| slot.generation == armed.generation && slot.next == armed.nominal) {
                    watcher.waits(armed.number);
                    if due < now {
                        watcher.is_overdue(due);
                    }
                }
            }
        })?;
        self.coming.iter().for_each(|found| self.watcher.waits(found.number));
        self.deciding.numbers().into_iter().for_each(|number| self.watcher.waits(number));
        for armed in &self.due {
            self.watcher.waits(armed.number);
            self.watcher.is_overdue(armed.nominal);
        }
        self.backlog.iter().for_each(|late| self.watcher.is_late(late));
        Ok(())
    }

    fn take_seen(&mut self, seen: Seen, now: i64) -> Result<(), EngineError> {
        let oldest = seen.oldest.map_or(0, |oldest| (now - oldest).max(0));
        self.shared.metrics.set_overdue(self.shard, oldest, seen.late);
        for found in seen.forgotten {
            let Some(Version { namespace, id, .. }) = self.stored(found.number)? else { continue };
            let (shard, due) = (self.shard, rfc3339(found.nominal));
            tracing::warn!(shard, %namespace, %id, due, "a definition was forgotten: nobody waited for its due time; it is armed again");
            self.shared.metrics.rearmed();
            self.arm(found)?;
        }
        Ok(())
    }

    /// A run that keeps others out for long is hardly meant; told once for each.
    fn tell_stuck(&mut self) -> Result<(), EngineError> {
        let stuck: Vec<(u64, i64, String)> = self.group.read(|machine, _| {
            let oldest = |(number, track): (u64, &Track)| {
                let (_, run) = track.open().find(|(_, run)| !run.is_beside())?;
                Some((number, run.since, firing_key(&run.key).text()))
            };
            machine.tracks().stuck().filter_map(oldest).collect()
        })?;
        for (number, since, run) in stuck.iter().filter(|(number, since, _)| !self.stuck.contains(&(*number, *since))) {
            let version = self.group.read(|machine, _| machine.slots().get(*number).map(|slot| slot.version))?;
            let stored = version.map(|v| query::version(&self.group.state(), *number, v)).transpose()?.flatten();
            let Some(Version { namespace, id, .. }) = stored else { continue };
            let since = rfc3339(*since);
            tracing::warn!(%namespace, %id, run, since, "a run has been open for more than {STUCK} intervals; what is due is skipped");
        }
        self.stuck = stuck.into_iter().map(|(number, since, _)| (number, since)).collect();
        Ok(())
    }
}

const _: () = assert!(PAGE <= 1 << 17, "a page is looked at in one go");
