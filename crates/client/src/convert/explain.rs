//! What schedules say.

use chrono::{DateTime, NaiveDateTime, Utc};
use flintwheel_model::Violations;
use flintwheel_proto::v1;
use flintwheel_proto::v1::explain_request::At as AskedProto;
use prost_types::{Duration as ProtoDuration, Timestamp};

use super::at::At;
use super::record::{read_instant, read_optional};
use super::{clock, definition, occurrence, required, time};
use crate::types::{AskedTime, DueCount, DuePart, DueQuery, Explanation, LeftOut, Moment, Paused};

/// How a local time is written on the wire.
const LOCAL: &str = "%Y-%m-%dT%H:%M:%S";

/// To the wire.
pub fn asked_to_proto(asked: AskedTime) -> AskedProto {
    match asked {
        AskedTime::Instant(instant) => AskedProto::Instant(time::timestamp(instant)),
        AskedTime::Local(local) => AskedProto::Local(local.format(LOCAL).to_string()),
    }
}

/// From the wire.
pub fn asked_from_proto(proto: Option<AskedProto>) -> Result<AskedTime, Violations> {
    let mut faults = Violations::default();
    let asked = match required(proto, At::root("at"), &mut faults) {
        Some(AskedProto::Instant(instant)) => {
            Some(AskedTime::Instant(time::read_time(instant, At::root("instant"), &mut faults)))
        }
        Some(AskedProto::Local(text)) => match NaiveDateTime::parse_from_str(&text, LOCAL) {
            Ok(local) => Some(AskedTime::Local(local)),
            Err(_) => {
                let text = flintwheel_model::ids::short(&text);
                faults.push("local", format!("{text:?} is no local time; it is written 2026-11-19T09:00:00"));
                None
            }
        },
        None => None,
    };
    faults.into_result()?;
    asked.ok_or_else(Violations::default)
}

/// To the wire.
pub fn to_proto(explanation: &Explanation) -> v1::ExplainResponse {
    v1::ExplainResponse {
        timezone: explanation.timezone.clone(),
        moments: explanation.moments.iter().map(moment_to_proto).collect(),
        left_out: explanation.left_out.as_ref().map(left_out_to_proto),
        before: explanation.before.map(time::timestamp),
        after: explanation.after.map(time::timestamp),
        enabled: explanation.enabled,
        paused_at: explanation.paused.as_ref().map(|paused| time::timestamp(paused.at)),
        paused_until: explanation.paused.as_ref().and_then(|paused| paused.until).map(time::timestamp),
        paused_note: explanation.paused.as_ref().map(|paused| paused.note.clone()).unwrap_or_default(),
        version_since: Some(time::timestamp(explanation.version_since)),
        version: explanation.version,
        looked_back_to: explanation.looked_back_to.map(time::timestamp),
        offsets: clock::to_proto(&explanation.offsets),
    }
}

/// From the wire.
pub fn from_proto(proto: v1::ExplainResponse) -> Result<Explanation, Violations> {
    let moments = proto.moments.into_iter().map(moment_from_proto).collect::<Result<_, _>>()?;
    let mut faults = Violations::default();
    let paused_at = read_optional(proto.paused_at, At::root("paused_at"), &mut faults);
    let paused_until = read_optional(proto.paused_until, At::root("paused_until"), &mut faults);
    let explanation = Explanation {
        timezone: proto.timezone,
        moments,
        left_out: proto.left_out.map(|left_out| left_out_from_proto(left_out, &mut faults)),
        before: read_optional(proto.before, At::root("before"), &mut faults),
        after: read_optional(proto.after, At::root("after"), &mut faults),
        enabled: proto.enabled,
        paused: paused_at.map(|at| Paused { note: proto.paused_note, at, until: paused_until }),
        version: proto.version,
        version_since: read_instant(proto.version_since, At::root("version_since"), &mut faults),
        looked_back_to: read_optional(proto.looked_back_to, At::root("looked_back_to"), &mut faults),
        offsets: clock::from_proto(proto.offsets, At::root("offsets"), &mut faults),
    };
    faults.into_result().map(|()| explanation)
}

fn moment_to_proto(moment: &Moment) -> v1::ExplainedMoment {
    v1::ExplainedMoment {
        instant: Some(time::timestamp(moment.instant)),
        is_nominal: moment.is_nominal,
        due: moment.due.map(time::timestamp),
        jittered_from: moment.jittered_from.map(time::timestamp),
        named_by: moment.named_by.clone(),
        closed_by: moment.closed_by.clone(),
        rolled_from: moment.rolled_from.iter().copied().map(time::timestamp).collect(),
        rolls_to: moment.rolls_to.map(time::timestamp),
        is_other_of_fold: moment.is_other_of_fold,
        before_start: moment.before_start,
        after_end: moment.after_end,
        occurrences: moment.occurrences.iter().map(occurrence::to_proto).collect(),
    }
}

fn moment_from_proto(proto: v1::ExplainedMoment) -> Result<Moment, Violations> {
    let occurrences = proto.occurrences.into_iter().map(occurrence::from_proto).collect::<Result<_, _>>()?;
    let mut faults = Violations::default();
    let all = |times: Vec<Timestamp>, faults: &mut Violations| -> Vec<DateTime<Utc>> {
        times.into_iter().map(|proto| time::read_time(proto, At::root("rolled_from"), faults)).collect()
    };
    let moment = Moment {
        instant: read_instant(proto.instant, At::root("instant"), &mut faults),
        is_nominal: proto.is_nominal,
        due: read_optional(proto.due, At::root("due"), &mut faults),
        jittered_from: read_optional(proto.jittered_from, At::root("jittered_from"), &mut faults),
        named_by: proto.named_by,
        closed_by: proto.closed_by,
        rolled_from: all(proto.rolled_from, &mut faults),
        rolls_to: read_optional(proto.rolls_to, At::root("rolls_to"), &mut faults),
        is_other_of_fold: proto.is_other_of_fold,
        before_start: proto.before_start,
        after_end: proto.after_end,
        occurrences,
    };
    faults.into_result().map(|()| moment)
}

fn left_out_to_proto(left_out: &LeftOut) -> v1::LeftOutTime {
    v1::LeftOutTime {
        change: Some(time::timestamp(left_out.change)),
        forward: Some(seconds(left_out.forward)),
        named_by: left_out.named_by.clone(),
        moves_to: left_out.moves_to.map(time::timestamp),
    }
}

fn left_out_from_proto(proto: v1::LeftOutTime, faults: &mut Violations) -> LeftOut {
    LeftOut {
        change: read_instant(proto.change, At::root("left_out.change"), faults),
        forward: read_seconds(proto.forward, At::root("left_out.forward"), faults),
        named_by: proto.named_by,
        moves_to: read_optional(proto.moves_to, At::root("left_out.moves_to"), faults),
    }
}

/// To the wire; whether it may be stale is the client's to say.
pub fn due_query_to_proto(query: &DueQuery, page_token: String) -> v1::CountDueRequest {
    v1::CountDueRequest {
        namespace: query.namespace.clone(),
        label_selector: query.label_selector.clone(),
        from: Some(time::timestamp(query.from)),
        until: Some(time::timestamp(query.until)),
        step: Some(seconds(query.step)),
        examples: query.examples,
        page_token,
        stale: false,
    }
}

/// From the wire.
pub fn due_query_from_proto(proto: &v1::CountDueRequest) -> Result<DueQuery, Violations> {
    let mut faults = Violations::default();
    let query = DueQuery {
        namespace: proto.namespace.clone(),
        label_selector: proto.label_selector.clone(),
        from: read_instant(proto.from, At::root("from"), &mut faults),
        until: read_instant(proto.until, At::root("until"), &mut faults),
        step: read_seconds(proto.step, At::root("step"), &mut faults),
        examples: proto.examples,
    };
    faults.into_result().map(|()| query)
}

/// To the wire.
pub fn due_part_to_proto(part: &DuePart) -> v1::CountDueResponse {
    let count = |count: &DueCount| v1::DueCount {
        from: Some(time::timestamp(count.from)),
        due: count.due,
        steady: count.steady,
        examples: count.examples.iter().map(definition::key_to_proto).collect(),
    };
    v1::CountDueResponse {
        counts: part.counts.iter().map(count).collect(),
        definitions: part.definitions,
        next_page_token: part.next.clone().unwrap_or_default(),
    }
}

/// From the wire.
pub fn due_part_from_proto(proto: v1::CountDueResponse) -> Result<DuePart, Violations> {
    let mut faults = Violations::default();
    let mut counts = Vec::with_capacity(proto.counts.len());
    for count in proto.counts {
        let keys = count.examples.into_iter().map(|key| definition::key_from_proto(Some(key), "examples"));
        counts.push(DueCount {
            from: read_instant(count.from, At::root("counts.from"), &mut faults),
            due: count.due,
            steady: count.steady,
            examples: keys.collect::<Result<_, _>>()?,
        });
    }
    let next = Some(proto.next_page_token).filter(|token| !token.is_empty());
    faults.into_result().map(|()| DuePart { counts, definitions: proto.definitions, next })
}

fn seconds(seconds: u32) -> ProtoDuration {
    ProtoDuration { seconds: seconds.into(), nanos: 0 }
}

fn read_seconds(proto: Option<ProtoDuration>, at: At<'_>, faults: &mut Violations) -> u32 {
    let Some(proto) = required(proto, at, faults) else { return 0 };
    let whole = u32::try_from(proto.seconds).ok().filter(|_| proto.nanos == 0);
    whole.unwrap_or_else(|| {
        let message =
            format!("{} s and {} ns are not whole seconds from 0 to {}", proto.seconds, proto.nanos, u32::MAX);
        faults.push(at.to_string(), message);
        0
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::ClockOffset;

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    #[test]
    fn an_explanation_travels_whole() {
        let moment = Moment {
            instant: instant("2026-11-01T08:00:00Z"),
            is_nominal: true,
            due: Some(instant("2026-11-01T08:00:07Z")),
            jittered_from: Some(instant("2026-11-01T07:00:00Z")),
            named_by: vec!["a".into()],
            closed_by: vec!["b".into(), "c".into()],
            rolled_from: vec![instant("2026-10-31T08:00:00Z")],
            rolls_to: Some(instant("2026-11-02T08:00:00Z")),
            is_other_of_fold: true,
            before_start: true,
            after_end: true,
            occurrences: Vec::new(),
        };
        let left_out = LeftOut {
            change: instant("2027-03-28T01:00:00Z"),
            forward: 3600,
            named_by: vec!["d".into()],
            moves_to: Some(instant("2027-03-28T01:30:00Z")),
        };
        let explanation = Explanation {
            timezone: "Europe/Berlin".into(),
            moments: vec![moment],
            left_out: Some(left_out),
            before: Some(instant("2026-10-01T08:00:00Z")),
            after: Some(instant("2026-12-01T08:00:00Z")),
            enabled: true,
            paused: Some(Paused {
                note: "holidays".into(),
                at: instant("2026-10-02T08:00:00Z"),
                until: Some(instant("2027-10-02T08:00:00Z")),
            }),
            version: 7,
            version_since: instant("2026-09-01T08:00:00Z"),
            looked_back_to: Some(instant("2026-11-02T08:00:00Z")),
            offsets: vec![ClockOffset { from: instant("2026-09-01T08:00:00Z"), utc_offset_seconds: -3600 }],
        };
        assert_eq!(from_proto(to_proto(&explanation)), Ok(explanation));
    }

    #[test]
    fn counts_and_what_is_asked_for_travel_whole() {
        let examples = vec![flintwheel_model::DefinitionKey::new("a", "b")];
        let count = DueCount { from: instant("2026-11-01T08:00:00Z"), due: 3, steady: 2, examples };
        let part = DuePart { counts: vec![count], definitions: 9, next: Some("x".into()) };
        assert_eq!(due_part_from_proto(due_part_to_proto(&part)), Ok(part));
        let query = DueQuery {
            namespace: "n".into(),
            label_selector: "a=b".into(),
            from: instant("2026-11-01T08:00:00Z"),
            until: instant("2026-11-02T08:00:00Z"),
            step: 60,
            examples: 3,
        };
        assert_eq!(due_query_from_proto(&due_query_to_proto(&query, String::new())), Ok(query));
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for (proto, field) in [
            (None, "at"),
            (Some(AskedProto::Local("2026-11-19".into())), "local"),
            (Some(AskedProto::Local("2026-11-19T25:00:00".into())), "local"),
            (Some(AskedProto::Instant(Timestamp { seconds: 0, nanos: -1 })), "instant"),
        ] {
            assert_eq!(asked_from_proto(proto).expect_err("refused").0[0].field, field);
        }
        for asked in [AskedTime::Instant(instant("2026-11-01T08:00:00Z")), "2026-11-01T08:00".parse().expect("a time")]
        {
            assert_eq!(asked_from_proto(Some(asked_to_proto(asked))), Ok(asked));
        }
    }
}
