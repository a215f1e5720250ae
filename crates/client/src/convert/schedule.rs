//! Schedule triggers.

use flintwheel_model::Violations;
use flintwheel_model::definition::{Interval, Jitter, JitterMode, MisfireMode, MisfirePolicy, ScheduleTrigger};
use flintwheel_proto::v1;

use super::at::At;
use super::{known, required, time};

pub(super) fn write(schedule: &ScheduleTrigger, at: At<'_>, faults: &mut Violations) -> v1::ScheduleTrigger {
    let times = at.field("at");
    v1::ScheduleTrigger {
        cron: schedule.cron.clone(),
        interval: schedule.interval.iter().map(write_interval).collect(),
        at: schedule.at.iter().enumerate().map(|(i, t)| time::write_time(*t, times.index(i), faults)).collect(),
        timezone: schedule.timezone.clone(),
        jitter: schedule.jitter.as_ref().map(write_jitter),
        start: schedule.start.map(|t| time::write_time(t, at.field("start"), faults)),
        end: schedule.end.map(|t| time::write_time(t, at.field("end"), faults)),
        misfire_policy: schedule.misfire_policy.as_ref().map(write_misfire),
    }
}

pub(super) fn read(proto: v1::ScheduleTrigger, at: At<'_>, faults: &mut Violations) -> ScheduleTrigger {
    let (intervals, times) = (at.field("interval"), at.field("at"));
    let interval = proto.interval.into_iter().enumerate();
    let times_given = proto.at.into_iter().enumerate();
    ScheduleTrigger {
        cron: proto.cron,
        interval: interval.map(|(i, given)| read_interval(given, intervals.index(i), faults)).collect(),
        at: times_given.map(|(i, given)| time::read_time(given, times.index(i), faults)).collect(),
        timezone: proto.timezone,
        jitter: proto.jitter.map(|jitter| read_jitter(jitter, at.field("jitter"), faults)),
        start: proto.start.map(|t| time::read_time(t, at.field("start"), faults)),
        end: proto.end.map(|t| time::read_time(t, at.field("end"), faults)),
        misfire_policy: proto.misfire_policy.map(|policy| read_misfire(policy, at.field("misfire_policy"), faults)),
    }
}

fn write_interval(interval: &Interval) -> v1::Interval {
    v1::Interval { every: Some(time::write_span(interval.every)), phase: Some(time::write_span(interval.phase)) }
}

fn read_interval(proto: v1::Interval, at: At<'_>, faults: &mut Violations) -> Interval {
    let every = required(proto.every, at.field("every"), faults);
    Interval {
        every: every.map(|every| time::read_span(every, at.field("every"), faults)).unwrap_or_default(),
        phase: proto.phase.map(|phase| time::read_span(phase, at.field("phase"), faults)).unwrap_or_default(),
    }
}

fn write_jitter(jitter: &Jitter) -> v1::Jitter {
    let mode = match jitter.mode {
        JitterMode::PerFiring => v1::JitterMode::PerFiring,
        JitterMode::Stable => v1::JitterMode::Stable,
    };
    v1::Jitter { window: Some(time::write_span(jitter.window)), mode: mode.into() }
}

fn read_jitter(proto: v1::Jitter, at: At<'_>, faults: &mut Violations) -> Jitter {
    let window = required(proto.window, at.field("window"), faults);
    Jitter {
        window: window.map(|window| time::read_span(window, at.field("window"), faults)).unwrap_or_default(),
        mode: match known(proto.mode, at.field("mode"), faults) {
            Some(v1::JitterMode::Stable) => JitterMode::Stable,
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
    v1::MisfirePolicy { mode: mode.into(), window: Some(time::write_span(policy.window)) }
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
    }
}
