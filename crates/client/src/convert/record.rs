//! Stored definitions, how they stand, and what became of calls that changed them.

use chrono::{DateTime, Utc};
use flintwheel_model::Violations;
use flintwheel_model::definition::{OnResume, OverlapPolicy};
use flintwheel_proto::v1;
use prost_types::Timestamp;

use super::at::At;
use super::{clock, definition, required, schedule, time};
use crate::types::{
    Applied, ApplyOutcome, Counts, DefinitionRecord, DefinitionStatus, DueTime, NextTimes, OpenRun, Paused, WatchedRuns,
};

/// To the wire.
pub fn to_proto(record: &DefinitionRecord) -> Result<v1::DefinitionRecord, Violations> {
    let definition = definition::to_proto(&record.definition)?;
    Ok(v1::DefinitionRecord { definition: Some(definition), status: Some(status_to_proto(&record.status)) })
}

/// From the wire.
pub fn from_proto(proto: v1::DefinitionRecord) -> Result<DefinitionRecord, Violations> {
    let definition = definition::from_proto(proto.definition.unwrap_or_default())?;
    Ok(DefinitionRecord { definition, status: status_from_proto(proto.status)? })
}

/// To the wire.
pub fn status_to_proto(status: &DefinitionStatus) -> v1::DefinitionStatus {
    let Counts { fired, skipped, failed, dropped } = status.counts;
    v1::DefinitionStatus {
        version: status.version,
        generation: status.generation,
        incarnation: status.incarnation,
        created_at: Some(time::timestamp(status.created_at)),
        updated_at: Some(time::timestamp(status.updated_at)),
        next_due: status.next_due.map(time::timestamp),
        last_fired: status.last_fired.map(time::timestamp),
        paused: status.paused.as_ref().map(write_paused),
        counts: Some(v1::OccurrenceCounts { fired, skipped, failed, dropped }),
        armed: status.armed,
        runs: status.runs.as_ref().map(write_runs),
        firings_left: status.firings_left,
        over: status.over,
        offsets: clock::to_proto(&status.offsets),
    }
}

fn write_paused(paused: &Paused) -> v1::Paused {
    let Paused { note, at, until } = paused;
    v1::Paused { note: note.clone(), at: Some(time::timestamp(*at)), until: until.map(time::timestamp) }
}

fn read_paused(proto: v1::Paused, at: At<'_>, faults: &mut Violations) -> Paused {
    let v1::Paused { note, at: since, until } = proto;
    let since = read_instant(since, at.field("at"), faults);
    Paused { note, at: since, until: read_optional(until, at.field("until"), faults) }
}

fn write_runs(runs: &WatchedRuns) -> v1::WatchedRuns {
    let write = |run: &OpenRun| v1::OpenRun {
        workflow_id: run.workflow_id.clone(),
        since: Some(time::timestamp(run.since)),
        started: run.started,
        wish: run.wish.clone(),
    };
    let WatchedRuns { open, waiting, kept_out, oldest, next } = runs;
    let oldest = oldest.iter().map(write).collect();
    v1::WatchedRuns { open: *open, waiting: *waiting, kept_out: *kept_out, oldest, next: next.clone() }
}

fn read_runs(proto: v1::WatchedRuns, at: At<'_>, faults: &mut Violations) -> WatchedRuns {
    let v1::WatchedRuns { open, waiting, kept_out, oldest, next } = proto;
    let (mut read, at) = (Vec::with_capacity(oldest.len()), at.field("oldest"));
    for (i, run) in oldest.into_iter().enumerate() {
        let v1::OpenRun { workflow_id, since, started, wish } = run;
        let since = read_instant(since, at.index(i).field("since"), faults);
        read.push(OpenRun { workflow_id, since, started, wish });
    }
    WatchedRuns { open, waiting, kept_out, oldest: read, next }
}

/// From the wire.
pub fn status_from_proto(proto: Option<v1::DefinitionStatus>) -> Result<DefinitionStatus, Violations> {
    let mut faults = Violations::default();
    let at = At::root("status");
    let proto = required(proto, at, &mut faults).unwrap_or_default();
    let v1::OccurrenceCounts { fired, skipped, failed, dropped } = proto.counts.unwrap_or_default();
    let paused = proto.paused.map(|paused| read_paused(paused, at.field("paused"), &mut faults));
    let status = DefinitionStatus {
        version: proto.version,
        generation: proto.generation,
        incarnation: proto.incarnation,
        created_at: read_instant(proto.created_at, at.field("created_at"), &mut faults),
        updated_at: read_instant(proto.updated_at, at.field("updated_at"), &mut faults),
        next_due: read_optional(proto.next_due, at.field("next_due"), &mut faults),
        last_fired: read_optional(proto.last_fired, at.field("last_fired"), &mut faults),
        paused,
        counts: Counts { fired, skipped, failed, dropped },
        armed: proto.armed,
        runs: proto.runs.map(|runs| read_runs(runs, at.field("runs"), &mut faults)),
        firings_left: proto.firings_left,
        over: proto.over,
        offsets: clock::from_proto(proto.offsets, at.field("offsets"), &mut faults),
    };
    faults.into_result().map(|()| status)
}

/// A time that must be there.
pub(super) fn read_instant(proto: Option<Timestamp>, at: At<'_>, faults: &mut Violations) -> DateTime<Utc> {
    let time = required(proto, at, faults).map(|proto| time::read_time(proto, at, faults));
    time.unwrap_or_default()
}

/// A time that may be absent.
pub(super) fn read_optional(proto: Option<Timestamp>, at: At<'_>, faults: &mut Violations) -> Option<DateTime<Utc>> {
    proto.map(|proto| time::read_time(proto, at, faults))
}

/// To the wire.
pub fn overlap_to_proto(policy: Option<OverlapPolicy>) -> v1::OverlapPolicy {
    schedule::write_overlap(policy)
}

/// From the wire.
pub fn overlap_from_proto(proto: i32) -> Result<Option<OverlapPolicy>, Violations> {
    let mut faults = Violations::default();
    let policy = schedule::read_overlap(proto, At::root("overlap_policy"), &mut faults);
    faults.into_result().map(|()| policy)
}

/// To the wire.
pub fn missed_to_proto(missed: Option<OnResume>) -> v1::OnResume {
    schedule::write_on_resume(missed)
}

/// From the wire.
pub fn missed_from_proto(proto: i32) -> Result<Option<OnResume>, Violations> {
    let mut faults = Violations::default();
    let missed = schedule::read_on_resume(proto, At::root("missed"), &mut faults);
    faults.into_result().map(|()| missed)
}

/// To the wire.
pub(super) fn outcome_to_proto(outcome: ApplyOutcome) -> v1::ApplyOutcome {
    match outcome {
        ApplyOutcome::Created => v1::ApplyOutcome::Created,
        ApplyOutcome::Configured => v1::ApplyOutcome::Configured,
        ApplyOutcome::Unchanged => v1::ApplyOutcome::Unchanged,
    }
}

/// From the wire.
pub(super) fn outcome_from_proto(proto: v1::ApplyOutcome, faults: &mut Violations) -> ApplyOutcome {
    let outcome = match proto {
        v1::ApplyOutcome::Created => Some(ApplyOutcome::Created),
        v1::ApplyOutcome::Configured => Some(ApplyOutcome::Configured),
        v1::ApplyOutcome::Unchanged => Some(ApplyOutcome::Unchanged),
        v1::ApplyOutcome::Unspecified => None,
    };
    required(outcome, At::root("outcome"), faults).unwrap_or(ApplyOutcome::Unchanged)
}

/// To the wire.
pub fn applied_to_proto(applied: &Applied) -> v1::ApplyResult {
    v1::ApplyResult {
        outcome: outcome_to_proto(applied.outcome).into(),
        old_version: applied.old_version,
        new_version: applied.new_version,
        next_due: applied.next_due.map(time::timestamp),
        warnings: applied.warnings.clone(),
        offsets: clock::to_proto(&applied.offsets),
    }
}

/// From the wire.
pub fn applied_from_proto(proto: v1::ApplyResult) -> Result<Applied, Violations> {
    let mut faults = Violations::default();
    let outcome = outcome_from_proto(proto.outcome(), &mut faults);
    let next_due = read_optional(proto.next_due, At::root("next_due"), &mut faults);
    let (old_version, new_version, warnings) = (proto.old_version, proto.new_version, proto.warnings);
    let offsets = clock::from_proto(proto.offsets, At::root("offsets"), &mut faults);
    faults.into_result().map(|()| Applied { outcome, old_version, new_version, next_due, warnings, offsets })
}

/// To the wire.
pub fn next_times_to_proto(next: &NextTimes) -> v1::NextTimesResponse {
    let write = |t: &DueTime| v1::DueTime {
        nominal: Some(time::timestamp(t.nominal)),
        due: Some(time::timestamp(t.due)),
        because: t.because.clone(),
    };
    v1::NextTimesResponse {
        times: next.times.iter().map(write).collect(),
        timezone: next.timezone.clone(),
        offsets: clock::to_proto(&next.offsets),
    }
}

/// From the wire.
pub fn next_times_from_proto(proto: v1::NextTimesResponse) -> Result<NextTimes, Violations> {
    let mut faults = Violations::default();
    let at = At::root("times");
    let mut read = |(i, t): (usize, v1::DueTime)| {
        let at = at.index(i);
        let nominal = read_instant(t.nominal, at.field("nominal"), &mut faults);
        DueTime { nominal, due: read_instant(t.due, at.field("due"), &mut faults), because: t.because }
    };
    let times = proto.times.into_iter().enumerate().map(&mut read).collect();
    let offsets = clock::from_proto(proto.offsets, At::root("offsets"), &mut faults);
    faults.into_result().map(|()| NextTimes { times, timezone: proto.timezone, offsets })
}
