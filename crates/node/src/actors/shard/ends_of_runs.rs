//! Ends of other definitions' runs that make some of the shard due: whether their schedules let them be then, and armed when that is written.

use flintwheel_shard::entry::{Match, NEVER};
use flintwheel_shard::reply::Ingested;

use super::{IngestJob, State};
use crate::calendars;
use crate::error::EngineError;

impl State {
    /// What a schedule excludes or bounds is no due time of it, whoever names it. One that can't be read now is not asked.
    pub(super) fn keep_to_schedules(&mut self, matches: &mut [Match]) {
        for matched in matches {
            if let Some(due) = matched.due
                && !self.allows(matched.number, due).unwrap_or(true)
            {
                matched.due = Some(NEVER);
            }
        }
    }

    fn allows(&mut self, number: u64, due: i64) -> Result<bool, EngineError> {
        let Some(stored) = self.stored(number)? else { return Ok(true) };
        let (known, group) = (&self.shared.calendars, &self.group);
        let find = |namespace: &str, name: &str| calendars::find(known, group, namespace, name);
        let plan = self.plans.of_document(&stored.document, stored.incarnation, &find);
        Ok(plan.map_or(true, |plan| self.plans.get(plan).plan.allows(due)))
    }

    /// Their cursors stand elsewhere now.
    pub(super) fn arm_due(&mut self, jobs: &[IngestJob], outcomes: &[Ingested]) -> Result<(), EngineError> {
        let matches = jobs.iter().flat_map(|job| &job.matches).zip(outcomes);
        let due = matches.filter(|(matched, outcome)| matched.due.is_some() && **outcome == Ingested::Fired);
        let mut numbers: Vec<u64> = due.map(|(matched, _)| matched.number).collect();
        if numbers.is_empty() {
            return Ok(());
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().try_for_each(|number| self.arm_from_cursor(number))?;
        self.sleep();
        Ok(())
    }
}
