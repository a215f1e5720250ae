//! The first instant at which the local clock of a zone shows what a cron line names.
//!
//! Between two changes of the offset, local time is UTC and a constant. So the spans between changes are taken one after
//! the other, and each is searched in local time. What falls in a gap lies in no span; what is repeated lies in two.

use super::Cron;
use crate::zone::Span;

impl Cron {
    /// The first instant at or after `from`, in seconds since the Unix epoch. `spans` are those of the zone, from the
    /// one that `from` is in.
    pub(crate) fn first_instant(&self, spans: impl Iterator<Item = Span>, from: i64) -> Option<i64> {
        let mut searched_from = i64::MAX;
        let mut found = None;
        for span in spans {
            let local = span.start.max(from) + span.offset;
            // What was found holds for later local times as long as the clock moved neither behind where that search
            // began, nor past what it found.
            if local < searched_from || found.is_some_and(|found| found < local) {
                found = self.first_local(local);
            }
            searched_from = local;
            if let Some(instant) = found.map(|found| found - span.offset).filter(|instant| *instant < span.end) {
                return Some(instant);
            }
        }
        None
    }
}
