//! From local times to instants: the first instant at which the local clock of a zone shows what is asked for.
//!
//! Between two changes of the offset, local time is UTC and a constant. So the spans between changes are taken one after
//! the other, and each is searched in local time. What falls in a gap lies in no span; what is repeated lies in two. A
//! policy for gaps searches them too; one for folds leaves out a part of one of the two spans.

use flintwheel_model::definition::{DstPolicy, Fold, Gap};

use crate::zone::{Span, Zone};

/// The first instant at or after `from`, in seconds since the Unix epoch. `first_local` yields the first local time at or
/// after one that is asked for.
pub(crate) fn first_instant(
    zone: &Zone,
    dst: DstPolicy,
    from: i64,
    first_local: impl FnMut(i64) -> Option<i64>,
) -> Option<i64> {
    let mut ahead = Ahead { first_local, searched_from: i64::MAX, found: None };
    zone.spans_from(from).find_map(|span| {
        let moved = in_gap(span, dst.gap, from, &mut ahead);
        let start = if dst.fold == Fold::First {
            span.start.max(span.start.saturating_add(span.before - span.offset))
        } else {
            span.start
        };
        let end = if dst.fold == Fold::Last {
            span.end.min(span.end.saturating_sub(span.offset - span.after))
        } else {
            span.end
        };
        let local = ahead.from(start.max(from) + span.offset);
        let found = local.map(|local| local - span.offset).filter(|instant| *instant < end);
        // Either may be missing.
        moved.into_iter().chain(found).min()
    })
}

/// The first instant to which a local time is moved that the clock left out as the span began.
fn in_gap(span: Span, gap: Gap, from: i64, ahead: &mut Ahead<impl FnMut(i64) -> Option<i64>>) -> Option<i64> {
    let reached = match gap {
        Gap::Skip => return None,
        Gap::AtEnd if span.start < from => return None,
        Gap::AtEnd => span.start,
        Gap::Shift => span.start.max(from),
    };
    // As if the clock had not been changed yet.
    let (unchanged, resumes) = (reached.checked_add(span.before)?, span.start.checked_add(span.offset)?);
    if unchanged >= resumes {
        return None;
    }
    let left_out = ahead.from(unchanged).filter(|local| *local < resumes)?;
    Some(if gap == Gap::AtEnd { span.start } else { left_out - span.before })
}

/// The local time that was found last, which may hold for the next search too: a rare one would be searched anew in each
/// span.
struct Ahead<F> {
    first_local: F,
    searched_from: i64,
    found: Option<i64>,
}

impl<F: FnMut(i64) -> Option<i64>> Ahead<F> {
    fn from(&mut self, local: i64) -> Option<i64> {
        // What was found holds for later local times as long as the clock moved neither behind where that search began,
        // nor past what it found.
        if local < self.searched_from || self.found.is_some_and(|found| found < local) {
            self.found = (self.first_local)(local);
        }
        self.searched_from = local;
        self.found
    }
}
