//! Schedule triggers.

use chrono::{DateTime, Utc};
use flintwheel_model::definition::{
    After, AfterEnd, CalendarTimes, CronDialect, DstPolicy, Exclusion, Fold, Gap, Interval, Jitter, JitterMode,
    MisfireMode, MisfirePolicy, OnResume, OverlapPolicy, Roll, RunOutcome, ScheduleTrigger,
};
use flintwheel_model::{Pace, Violations};
use flintwheel_proto::v1;
use prost_types::Timestamp;

use super::at::At;
use super::{known, required, time};

pub(super) fn write(schedule: &ScheduleTrigger, at: At<'_>, faults: &mut Violations) -> v1::ScheduleTrigger {
    let excluded = at.field("exclude");
    let exclude = schedule.exclude.iter().enumerate();
    v1::ScheduleTrigger {
        cron: schedule.cron.clone(),
        interval: schedule.interval.iter().map(write_interval).collect(),
        at: write_times(&schedule.at, at.field("at"), faults),
        timezone: schedule.timezone.clone(),
        jitter: schedule.jitter.as_ref().map(write_jitter),
        start: schedule.start.map(|t| time::write_time(t, at.field("start"), faults)),
        end: schedule.end.map(|t| time::write_time(t, at.field("end"), faults)),
        misfire_policy: schedule.misfire_policy.as_ref().map(write_misfire),
        dialect: write_dialect(schedule.dialect).into(),
        calendar: schedule.calendar.iter().map(write_calendar).collect(),
        rrule: schedule.rrule.clone(),
        dst: schedule.dst.map(write_dst),
        exclude: exclude.map(|(i, exclusion)| write_exclusion(exclusion, excluded.index(i), faults)).collect(),
        only_on: schedule.only_on.clone(),
        roll: write_roll(schedule.roll).into(),
        overlap_policy: write_overlap(schedule.overlap_policy).into(),
        pause_on_failure: schedule.pause_on_failure,
        carry_last_result: schedule.carry_last_result,
        max_firings: schedule.max_firings,
        after_end: write_after_end(schedule.after_end).into(),
        after: schedule.after.iter().map(write_after).collect(),
    }
}

pub(super) fn read(proto: v1::ScheduleTrigger, at: At<'_>, faults: &mut Violations) -> ScheduleTrigger {
    let (excluded, after) = (at.field("exclude"), at.field("after"));
    let exclude = proto.exclude.into_iter().enumerate();
    ScheduleTrigger {
        cron: proto.cron,
        interval: read_intervals(proto.interval, at.field("interval"), faults),
        at: read_times(proto.at, at.field("at"), faults),
        timezone: proto.timezone,
        jitter: proto.jitter.map(|jitter| read_jitter(jitter, at.field("jitter"), faults)),
        start: proto.start.map(|t| time::read_time(t, at.field("start"), faults)),
        end: proto.end.map(|t| time::read_time(t, at.field("end"), faults)),
        misfire_policy: proto.misfire_policy.map(|policy| read_misfire(policy, at.field("misfire_policy"), faults)),
        dialect: read_dialect(proto.dialect, at.field("dialect"), faults),
        calendar: proto.calendar.into_iter().map(read_calendar).collect(),
        rrule: proto.rrule,
        dst: proto.dst.map(|dst| read_dst(dst, at.field("dst"), faults)),
        exclude: exclude.map(|(i, exclusion)| read_exclusion(exclusion, excluded.index(i), faults)).collect(),
        only_on: proto.only_on,
        roll: read_roll(proto.roll, at.field("roll"), faults),
        overlap_policy: read_overlap(proto.overlap_policy, at.field("overlap_policy"), faults),
        pause_on_failure: proto.pause_on_failure,
        carry_last_result: proto.carry_last_result,
        max_firings: proto.max_firings,
        after_end: read_after_end(proto.after_end, at.field("after_end"), faults),
        after: proto.after.into_iter().enumerate().map(|(i, one)| read_after(one, after.index(i), faults)).collect(),
    }
}

/// To the wire.
pub(super) fn write_overlap(policy: Option<OverlapPolicy>) -> v1::OverlapPolicy {
    match policy {
        None => v1::OverlapPolicy::Unspecified,
        Some(OverlapPolicy::Skip) => v1::OverlapPolicy::Skip,
        Some(OverlapPolicy::BufferOne) => v1::OverlapPolicy::BufferOne,
        Some(OverlapPolicy::BufferAll) => v1::OverlapPolicy::BufferAll,
        Some(OverlapPolicy::CancelOther) => v1::OverlapPolicy::CancelOther,
        Some(OverlapPolicy::TerminateOther) => v1::OverlapPolicy::TerminateOther,
        Some(OverlapPolicy::AllowAll) => v1::OverlapPolicy::AllowAll,
    }
}

/// From the wire.
pub(super) fn read_overlap(proto: i32, at: At<'_>, faults: &mut Violations) -> Option<OverlapPolicy> {
    match known::<v1::OverlapPolicy>(proto, at, faults)? {
        v1::OverlapPolicy::Unspecified => None,
        v1::OverlapPolicy::Skip => Some(OverlapPolicy::Skip),
        v1::OverlapPolicy::BufferOne => Some(OverlapPolicy::BufferOne),
        v1::OverlapPolicy::BufferAll => Some(OverlapPolicy::BufferAll),
        v1::OverlapPolicy::CancelOther => Some(OverlapPolicy::CancelOther),
        v1::OverlapPolicy::TerminateOther => Some(OverlapPolicy::TerminateOther),
        v1::OverlapPolicy::AllowAll => Some(OverlapPolicy::AllowAll),
    }
}

fn write_times(times: &[DateTime<Utc>], at: At<'_>, faults: &mut Violations) -> Vec<Timestamp> {
    times.iter().enumerate().map(|(i, t)| time::write_time(*t, at.index(i), faults)).collect()
}

fn read_times(times: Vec<Timestamp>, at: At<'_>, faults: &mut Violations) -> Vec<DateTime<Utc>> {
    times.into_iter().enumerate().map(|(i, given)| time::read_time(given, at.index(i), faults)).collect()
}

fn write_dialect(dialect: CronDialect) -> v1::CronDialect {
    match dialect {
        CronDialect::Temporal => v1::CronDialect::Temporal,
        CronDialect::Vixie => v1::CronDialect::Vixie,
        CronDialect::Quartz => v1::CronDialect::Quartz,
    }
}

fn read_dialect(number: i32, at: At<'_>, faults: &mut Violations) -> CronDialect {
    match known(number, at, faults) {
        Some(v1::CronDialect::Temporal) => CronDialect::Temporal,
        Some(v1::CronDialect::Vixie) => CronDialect::Vixie,
        Some(v1::CronDialect::Quartz) => CronDialect::Quartz,
        Some(v1::CronDialect::Unspecified) | None => CronDialect::default(),
    }
}

fn write_roll(roll: Roll) -> v1::Roll {
    match roll {
        Roll::Skip => v1::Roll::Skip,
        Roll::Next => v1::Roll::Next,
        Roll::Previous => v1::Roll::Previous,
        Roll::Nearest => v1::Roll::Nearest,
    }
}

fn read_roll(number: i32, at: At<'_>, faults: &mut Violations) -> Roll {
    match known(number, at, faults) {
        Some(v1::Roll::Skip) => Roll::Skip,
        Some(v1::Roll::Next) => Roll::Next,
        Some(v1::Roll::Previous) => Roll::Previous,
        Some(v1::Roll::Nearest) => Roll::Nearest,
        Some(v1::Roll::Unspecified) | None => Roll::default(),
    }
}

fn write_calendar(calendar: &CalendarTimes) -> v1::CalendarTimes {
    let CalendarTimes { second, minute, hour, day_of_month, month, day_of_week, year, comment } = calendar.clone();
    v1::CalendarTimes { second, minute, hour, day_of_month, month, day_of_week, year, comment }
}

fn read_calendar(proto: v1::CalendarTimes) -> CalendarTimes {
    let v1::CalendarTimes { second, minute, hour, day_of_month, month, day_of_week, year, comment } = proto;
    CalendarTimes { second, minute, hour, day_of_month, month, day_of_week, year, comment }
}

fn write_interval(interval: &Interval) -> v1::Interval {
    let Interval { every, days, weeks, months, years, phase, anchor } = interval.clone();
    let (every, phase) = (every.map(time::write_span), Some(time::write_span(phase)));
    v1::Interval { every, phase, days, weeks, months, years, anchor }
}

fn read_intervals(proto: Vec<v1::Interval>, at: At<'_>, faults: &mut Violations) -> Vec<Interval> {
    proto.into_iter().enumerate().map(|(i, given)| read_interval(given, at.index(i), faults)).collect()
}

fn read_interval(proto: v1::Interval, at: At<'_>, faults: &mut Violations) -> Interval {
    let v1::Interval { every, phase, days, weeks, months, years, anchor } = proto;
    let every = every.map(|every| time::read_span(every, at.field("every"), faults));
    let phase = phase.map(|phase| time::read_span(phase, at.field("phase"), faults)).unwrap_or_default();
    Interval { every, days, weeks, months, years, phase, anchor }
}

fn write_dst(dst: DstPolicy) -> v1::DstPolicy {
    let gap = match dst.gap {
        Gap::Skip => v1::Gap::Skip,
        Gap::Shift => v1::Gap::Shift,
        Gap::AtEnd => v1::Gap::AtEnd,
    };
    let fold = match dst.fold {
        Fold::First => v1::Fold::First,
        Fold::Last => v1::Fold::Last,
        Fold::Both => v1::Fold::Both,
    };
    v1::DstPolicy { gap: gap.into(), fold: fold.into() }
}

fn read_dst(proto: v1::DstPolicy, at: At<'_>, faults: &mut Violations) -> DstPolicy {
    DstPolicy {
        gap: match known(proto.gap, at.field("gap"), faults) {
            Some(v1::Gap::Skip) => Gap::Skip,
            Some(v1::Gap::Shift) => Gap::Shift,
            Some(v1::Gap::AtEnd) => Gap::AtEnd,
            Some(v1::Gap::Unspecified) | None => Gap::default(),
        },
        fold: match known(proto.fold, at.field("fold"), faults) {
            Some(v1::Fold::First) => Fold::First,
            Some(v1::Fold::Last) => Fold::Last,
            Some(v1::Fold::Both) => Fold::Both,
            Some(v1::Fold::Unspecified) | None => Fold::default(),
        },
    }
}

fn write_exclusion(exclusion: &Exclusion, at: At<'_>, faults: &mut Violations) -> v1::Exclusion {
    v1::Exclusion {
        calendar_name: exclusion.calendar_name.clone(),
        dates: exclusion.dates.clone(),
        cron: exclusion.cron.clone(),
        calendar: exclusion.calendar.iter().map(write_calendar).collect(),
        rrule: exclusion.rrule.clone(),
        interval: exclusion.interval.iter().map(write_interval).collect(),
        at: write_times(&exclusion.at, at.field("at"), faults),
    }
}

fn read_exclusion(proto: v1::Exclusion, at: At<'_>, faults: &mut Violations) -> Exclusion {
    Exclusion {
        calendar_name: proto.calendar_name,
        dates: proto.dates,
        cron: proto.cron,
        calendar: proto.calendar.into_iter().map(read_calendar).collect(),
        rrule: proto.rrule,
        interval: read_intervals(proto.interval, at.field("interval"), faults),
        at: read_times(proto.at, at.field("at"), faults),
    }
}

fn write_jitter(jitter: &Jitter) -> v1::Jitter {
    let mode = match jitter.mode {
        JitterMode::PerFiring => v1::JitterMode::PerFiring,
        JitterMode::Stable => v1::JitterMode::Stable,
        JitterMode::Auto => v1::JitterMode::Auto,
    };
    v1::Jitter { window: Some(time::write_span(jitter.window)), mode: mode.into() }
}

fn read_jitter(proto: v1::Jitter, at: At<'_>, faults: &mut Violations) -> Jitter {
    let window = required(proto.window, at.field("window"), faults);
    Jitter {
        window: window.map(|window| time::read_span(window, at.field("window"), faults)).unwrap_or_default(),
        mode: match known(proto.mode, at.field("mode"), faults) {
            Some(v1::JitterMode::Stable) => JitterMode::Stable,
            Some(v1::JitterMode::Auto) => JitterMode::Auto,
            Some(v1::JitterMode::PerFiring) => JitterMode::PerFiring,
            Some(v1::JitterMode::Unspecified) | None => JitterMode::default(),
        },
    }
}

fn write_misfire(policy: &MisfirePolicy) -> v1::MisfirePolicy {
    let mode = match policy.mode {
        MisfireMode::All => v1::MisfireMode::All,
        MisfireMode::Latest => v1::MisfireMode::Latest,
        MisfireMode::None => v1::MisfireMode::None,
    };
    v1::MisfirePolicy {
        mode: mode.into(),
        window: Some(time::write_span(policy.window)),
        pace: policy.pace.map(|pace| pace.to_string()).unwrap_or_default(),
        on_resume: write_on_resume(Some(policy.on_resume)).into(),
    }
}

fn read_misfire(proto: v1::MisfirePolicy, at: At<'_>, faults: &mut Violations) -> MisfirePolicy {
    let window = proto.window.map(|window| time::read_span(window, at.field("window"), faults));
    MisfirePolicy {
        mode: match known(proto.mode, at.field("mode"), faults) {
            Some(v1::MisfireMode::All) => MisfireMode::All,
            Some(v1::MisfireMode::Latest) => MisfireMode::Latest,
            Some(v1::MisfireMode::None) => MisfireMode::None,
            Some(v1::MisfireMode::Unspecified) | None => MisfireMode::default(),
        },
        window: window.unwrap_or(MisfirePolicy::default().window),
        pace: read_pace(&proto.pace, at.field("pace"), faults),
        on_resume: read_on_resume(proto.on_resume, at.field("on_resume"), faults).unwrap_or_default(),
    }
}

fn read_pace(text: &str, at: At<'_>, faults: &mut Violations) -> Option<Pace> {
    if text.is_empty() {
        return None;
    }
    let pace = text.parse::<Pace>();
    pace.map_err(|error| faults.push(at.to_string(), error.to_string())).ok()
}

/// To the wire.
pub(super) fn write_on_resume(missed: Option<OnResume>) -> v1::OnResume {
    match missed {
        None => v1::OnResume::Unspecified,
        Some(OnResume::Drop) => v1::OnResume::Drop,
        Some(OnResume::Latest) => v1::OnResume::Latest,
        Some(OnResume::All) => v1::OnResume::All,
    }
}

/// From the wire.
pub(super) fn read_on_resume(proto: i32, at: At<'_>, faults: &mut Violations) -> Option<OnResume> {
    match known::<v1::OnResume>(proto, at, faults)? {
        v1::OnResume::Unspecified => None,
        v1::OnResume::Drop => Some(OnResume::Drop),
        v1::OnResume::Latest => Some(OnResume::Latest),
        v1::OnResume::All => Some(OnResume::All),
    }
}

fn write_after(after: &After) -> v1::After {
    let outcome = match after.outcome {
        RunOutcome::Success => v1::RunOutcome::Success,
        RunOutcome::Failure => v1::RunOutcome::Failure,
        RunOutcome::Any => v1::RunOutcome::Any,
    };
    let (definition, delay) = (after.definition.clone(), Some(time::write_span(after.delay)));
    v1::After { definition, delay, outcome: outcome.into() }
}

fn read_after(proto: v1::After, at: At<'_>, faults: &mut Violations) -> After {
    let delay = proto.delay.map(|delay| time::read_span(delay, at.field("delay"), faults)).unwrap_or_default();
    let outcome = match known(proto.outcome, at.field("outcome"), faults) {
        Some(v1::RunOutcome::Failure) => RunOutcome::Failure,
        Some(v1::RunOutcome::Any) => RunOutcome::Any,
        Some(v1::RunOutcome::Success | v1::RunOutcome::Unspecified) | None => RunOutcome::Success,
    };
    After { definition: proto.definition, delay, outcome }
}

fn write_after_end(after_end: AfterEnd) -> v1::AfterEnd {
    match after_end {
        AfterEnd::Keep => v1::AfterEnd::Keep,
        AfterEnd::Disable => v1::AfterEnd::Disable,
        AfterEnd::Delete => v1::AfterEnd::Delete,
    }
}

fn read_after_end(number: i32, at: At<'_>, faults: &mut Violations) -> AfterEnd {
    match known(number, at, faults) {
        Some(v1::AfterEnd::Disable) => AfterEnd::Disable,
        Some(v1::AfterEnd::Delete) => AfterEnd::Delete,
        Some(v1::AfterEnd::Keep | v1::AfterEnd::Unspecified) | None => AfterEnd::Keep,
    }
}
