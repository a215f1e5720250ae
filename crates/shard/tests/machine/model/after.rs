//! The model's part for runs that make other definitions due. Written from what is promised to who waits.

use bytes::Bytes;
use flintwheel_shard::entry::{Closed, FollowStep, NEVER};
use flintwheel_shard::occurrence::{Key, Reason};
use flintwheel_shard::reply::Ingested;
use flintwheel_shard::tracks::{Ended, LINGER};

use super::naive::Model;

impl Model {
    /// What lies before the next due time of its definition has been decided, or is not to be.
    pub fn pass(&mut self) {
        for definition in self.definitions.values_mut() {
            let next = definition.next;
            definition.coming.retain(|nominal, _| *nominal >= next);
        }
    }

    pub fn follow(&mut self, step: FollowStep) {
        let clock = self.clock;
        let (FollowStep::Follow { number, .. } | FollowStep::Told { number, .. }) = step;
        let Some(definition) = self.definitions.get_mut(&number) else { return };
        let runs = &mut definition.runs;
        match step {
            FollowStep::Follow { followed: true, .. } => runs.followed = runs.followed.max(Some(clock)),
            FollowStep::Follow { .. } => runs.followed = runs.followed.filter(|asked| clock - asked < LINGER),
            FollowStep::Told { run, .. } => _ = runs.ended.remove(&run),
        }
    }

    /// A run of a definition for which others wait has ended.
    pub fn note_end(&mut self, item: &Closed, key: Key) {
        let clock = self.clock;
        let runs = self.runs(item.number);
        if runs.followed.is_some() {
            let at = item.at.unwrap_or(clock).min(clock);
            runs.ended.insert(item.run, Ended { key, end: item.end, at });
        }
    }

    /// A run elsewhere makes a definition due.
    pub fn come_due(&mut self, number: u64, due: i64, why: &Bytes) -> Ingested {
        if due == NEVER {
            return Ingested::Skipped;
        }
        let used_up = self.is_used_up(number);
        let definition = self.definitions.get_mut(&number).expect("exists");
        let decided = definition.last.map_or(0, |last| last + 1);
        let mut nominal = due.max(decided).max(0);
        if used_up {
            self.happen(number, Key::Time { nominal, due: nominal, count: 1 }, Some(Reason::UsedUp), None);
            return Ingested::Skipped;
        }
        while definition.coming.contains_key(&nominal) {
            nominal += 1;
        }
        definition.coming.insert(nominal, why.clone());
        definition.generation += 1;
        definition.next = definition.soonest(definition.next);
        Ingested::Fired
    }

    /// An event fires: where others wait for that, it is a run, and in nobody's way.
    pub fn fire_event(&mut self, number: u64, key: Key, event: Bytes) {
        self.happen(number, key.clone(), None, Some(event));
        if self.runs(number).followed.is_some() {
            let happened = self.happened.len() - 1;
            self.open_run(number, key, happened);
        }
    }
}
