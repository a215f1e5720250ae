//! Definitions of every shape travel and come back the same.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flintwheel_model::Span;
use flintwheel_model::definition::*;
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message;
use serde_json::{Map, Value};

use super::*;

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1i64 << 53)..=1 << 53).prop_map(Value::from),
        // Whole numbers as floats are the one thing that comes back in another dress.
        any::<f64>().prop_filter("a fraction", |f| f.is_finite() && f.fract() != 0.0).prop_map(Value::from),
        ".*".prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(".{0,4}", inner, 0..4).prop_map(|m| Value::Object(Map::from_iter(m))),
        ]
    })
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![Just(Span::ZERO), (0..=Span::MAX.micros()).prop_map(Span::from_micros)]
}

fn time() -> impl Strategy<Value = DateTime<Utc>> {
    (-62_135_596_800..=253_402_300_799i64, 0..1_000_000_000u32)
        .prop_map(|(secs, nanos)| DateTime::from_timestamp(secs, nanos).expect("in range"))
}

fn text() -> impl Strategy<Value = String> {
    ".{0,12}"
}

/// For fields whose empty text means a default.
fn some_text() -> impl Strategy<Value = String> {
    ".{1,12}"
}

fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    btree_map(text(), text(), 0..4)
}

fn jitter() -> impl Strategy<Value = Jitter> {
    (span(), prop_oneof![Just(JitterMode::PerFiring), Just(JitterMode::Stable), Just(JitterMode::Auto)])
        .prop_map(|(window, mode)| Jitter { window, mode })
}

fn misfire() -> impl Strategy<Value = MisfirePolicy> {
    let mode = prop_oneof![Just(MisfireMode::All), Just(MisfireMode::Latest), Just(MisfireMode::None)];
    let pace =
        select(vec!["50/s", "10/m", "1/15m"]).prop_map(|text| text.parse::<flintwheel_model::Pace>().expect("a pace"));
    (mode, span(), option::of(pace), select(OnResume::ALL.to_vec()))
        .prop_map(|(mode, window, pace, on_resume)| MisfirePolicy { mode, window, pace, on_resume })
}

fn calendar() -> impl Strategy<Value = CalendarTimes> {
    let field = || vec(text(), 0..2);
    (field(), field(), field(), field(), field(), field(), field(), text()).prop_map(
        |(second, minute, hour, day_of_month, month, day_of_week, year, comment)| CalendarTimes {
            second,
            minute,
            hour,
            day_of_month,
            month,
            day_of_week,
            year,
            comment,
        },
    )
}

fn interval() -> impl Strategy<Value = Interval> {
    let count = || option::of(any::<u32>());
    (option::of(span()), count(), count(), count(), count(), span(), option::of(text())).prop_map(
        |(every, days, weeks, months, years, phase, anchor)| Interval {
            every,
            days,
            weeks,
            months,
            years,
            phase,
            anchor,
        },
    )
}

fn exclusion() -> impl Strategy<Value = Exclusion> {
    let texts = || vec(text(), 0..3);
    let days = (texts(), texts());
    (days, texts(), vec(calendar(), 0..2), texts(), vec(interval(), 0..2), vec(time(), 0..2)).prop_map(
        |((calendar_name, dates), cron, calendar, rrule, interval, at)| Exclusion {
            calendar_name,
            dates,
            cron,
            calendar,
            rrule,
            interval,
            at,
        },
    )
}

fn roll() -> impl Strategy<Value = Roll> {
    prop_oneof![Just(Roll::Skip), Just(Roll::Next), Just(Roll::Previous), Just(Roll::Nearest)]
}

fn dialect() -> impl Strategy<Value = CronDialect> {
    prop_oneof![Just(CronDialect::Temporal), Just(CronDialect::Vixie), Just(CronDialect::Quartz)]
}

fn dst() -> impl Strategy<Value = DstPolicy> {
    let gap = prop_oneof![Just(Gap::Skip), Just(Gap::Shift), Just(Gap::AtEnd)];
    let fold = prop_oneof![Just(Fold::First), Just(Fold::Last), Just(Fold::Both)];
    (gap, fold).prop_map(|(gap, fold)| DstPolicy { gap, fold })
}

fn after() -> impl Strategy<Value = After> {
    let outcome = select(vec![RunOutcome::Success, RunOutcome::Failure, RunOutcome::Any]);
    (text(), span(), outcome).prop_map(|(definition, delay, outcome)| After { definition, delay, outcome })
}

fn schedule() -> impl Strategy<Value = ScheduleTrigger> {
    let lists = (vec(text(), 0..3), vec(calendar(), 0..2), vec(text(), 0..2), vec(interval(), 0..3), vec(time(), 0..3));
    let reading = (dialect(), option::of(text()), option::of(dst()), vec(exclusion(), 0..2), vec(text(), 0..2), roll());
    let rest = (option::of(jitter()), option::of(time()), option::of(time()), option::of(misfire()));
    let runs = (option::of(select(OverlapPolicy::ALL.to_vec())), any::<bool>(), any::<bool>());
    let after_end = select(vec![AfterEnd::Keep, AfterEnd::Disable, AfterEnd::Delete]);
    let ends = (option::of(any::<u32>()), after_end, vec(after(), 0..3));
    let all = (lists, reading, rest, runs, ends);
    all.prop_map(|(lists, reading, (jitter, start, end, misfire_policy), runs, (max_firings, after_end, after))| {
        let (cron, calendar, rrule, interval, at) = lists;
        let (dialect, timezone, dst, exclude, only_on, roll) = reading;
        let (overlap_policy, pause_on_failure, carry_last_result) = runs;
        ScheduleTrigger {
            cron,
            dialect,
            calendar,
            rrule,
            interval,
            at,
            exclude,
            only_on,
            roll,
            timezone,
            dst,
            jitter,
            start,
            end,
            misfire_policy,
            overlap_policy,
            pause_on_failure,
            carry_last_result,
            max_firings,
            after_end,
            after,
        }
    })
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let event = (vec(text(), 0..3), texts()).prop_map(|(types, attributes)| EventTrigger { types, attributes });
    (option::of(schedule()), option::of(event)).prop_map(|(schedule, event)| Trigger { schedule, event })
}

fn source() -> impl Strategy<Value = ContextSource> {
    let http = (text(), some_text(), texts(), option::of(json()), span())
        .prop_map(|(url, method, headers, body, timeout)| HttpSource { url, method, headers, body, timeout });
    (text(), option::of(json()), option::of(http), prop_oneof![Just(OnError::Fail), Just(OnError::Null)])
        .prop_map(|(name, static_value, http, on_error)| ContextSource { name, static_value, http, on_error })
}

fn task() -> impl Strategy<Value = TaskTemplate> {
    let target = || {
        (text(), text(), option::of(span())).prop_map(|(type_name, task_queue, timeout)| Target {
            type_name,
            task_queue,
            timeout,
        })
    };
    (text(), option::of(text()), vec(text(), 0..3), option::of(target()), option::of(target()), json()).prop_map(
        |(name, when, depends_on, workflow, activity, params)| TaskTemplate {
            name,
            when,
            depends_on,
            workflow,
            activity,
            params,
        },
    )
}

/// On the heap: with all the others in one, its values would not fit on a thread's stack.
fn start() -> BoxedStrategy<StartWorkflow> {
    let timeouts = (option::of(span()), option::of(span()), option::of(span()));
    let values = || btree_map(text(), json(), 0..3);
    let more = (values(), values(), values(), option::of(retry()));
    let people = (text(), text(), option::of(priority()), option::of(versioning()));
    (text(), text(), vec(json(), 0..3), more, timeouts, people)
        .prop_map(
            |(type_name, task_queue, input, (memo, search_attributes, header, retry_policy), timeouts, people)| {
                let (execution_timeout, run_timeout, task_timeout) = timeouts;
                let (summary, details, priority, versioning_override) = people;
                StartWorkflow {
                    type_name,
                    task_queue,
                    input,
                    memo,
                    search_attributes,
                    retry_policy,
                    execution_timeout,
                    run_timeout,
                    task_timeout,
                    summary,
                    details,
                    priority,
                    versioning_override,
                    header,
                }
            },
        )
        .boxed()
}

fn priority() -> impl Strategy<Value = Priority> {
    (option::of(any::<u32>()), text(), option::of(0.0..1000.0f64)).prop_map(
        |(priority_key, fairness_key, fairness_weight)| Priority { priority_key, fairness_key, fairness_weight },
    )
}

fn versioning() -> impl Strategy<Value = VersioningOverride> {
    let version = || {
        option::of((text(), text()).prop_map(|(deployment_name, build_id)| WorkerVersion { deployment_name, build_id }))
    };
    (version(), any::<bool>(), version()).prop_map(|(pinned, auto_upgrade, one_time)| VersioningOverride {
        pinned,
        auto_upgrade,
        one_time,
    })
}

fn retry() -> impl Strategy<Value = RetryPolicy> {
    let intervals = (option::of(span()), option::of(span()));
    (intervals, option::of(1.0..9.0f64), option::of(any::<u32>()), vec(text(), 0..3)).prop_map(
        |((initial_interval, maximum_interval), backoff_coefficient, maximum_attempts, non_retryable_error_types)| {
            RetryPolicy {
                initial_interval,
                backoff_coefficient,
                maximum_interval,
                maximum_attempts,
                non_retryable_error_types,
            }
        },
    )
}

fn definition() -> impl Strategy<Value = ActivityDefinition> {
    let metadata = (some_text(), text(), text(), texts()).prop_map(|(namespace, id, name, labels)| Metadata {
        namespace,
        id,
        name,
        labels,
    });
    let dedupe = (option::of(text()), span()).prop_map(|(key, window)| DedupeKeyStrategy { key, window });
    let spec =
        (any::<bool>(), trigger(), option::of(dedupe), vec(source(), 0..3), vec(task(), 0..3), option::of(start()))
            .prop_map(|(enabled, trigger, dedupe_key_strategy, context_sources, task_templates, start_workflow)| {
                Spec { enabled, trigger, dedupe_key_strategy, context_sources, task_templates, start_workflow }
            });
    (some_text(), some_text(), metadata, spec).prop_map(|(api_version, kind, metadata, spec)| ActivityDefinition {
        api_version,
        kind,
        metadata,
        spec,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_definition_comes_back_as_it_went(definition in definition()) {
        let bytes = to_proto(&definition).expect("generated so that it fits").encode_to_vec();
        let proto = v1::ActivityDefinition::decode(bytes.as_slice()).expect("just encoded");
        prop_assert_eq!(from_proto(proto), Ok(definition));
    }
}

fn minimal() -> v1::ActivityDefinition {
    let metadata = v1::Metadata { id: "a".into(), ..Default::default() };
    v1::ActivityDefinition { metadata: Some(metadata), spec: Some(v1::Spec::default()), ..Default::default() }
}

#[test]
fn what_is_unset_gets_the_default_that_a_file_gets() {
    let mut proto = minimal();
    let spec = proto.spec.as_mut().expect("set");
    spec.dedupe_key_strategy = Some(v1::DedupeKeyStrategy::default());
    spec.context_sources = vec![v1::ContextSource { http: Some(v1::HttpSource::default()), ..Default::default() }];
    let day = Some(prost_types::Duration { seconds: 86_400, nanos: 0 });
    spec.trigger = Some(v1::Trigger {
        schedule: Some(v1::ScheduleTrigger {
            interval: vec![v1::Interval { every: day, ..Default::default() }],
            jitter: Some(v1::Jitter { window: day, mode: 0 }),
            misfire_policy: Some(v1::MisfirePolicy::default()),
            ..Default::default()
        }),
        event: None,
    });
    let from_file: ActivityDefinition = serde_json::from_value(serde_json::json!({
        "apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "a"},
        "spec": {
            "dedupe_key_strategy": {},
            "context_sources": [{"name": "", "http": {"url": ""}}],
            "trigger": {"schedule": {"interval": {"every": "1d"}, "jitter": {"window": "1d"}, "misfire_policy": {}}}
        }
    }))
    .expect("a definition");
    assert_eq!(from_proto(proto), Ok(from_file));
}

#[test]
fn faults_name_their_fields_all_at_once() {
    let mut proto = minimal();
    let negative = Some(prost_types::Duration { seconds: -1, nanos: 0 });
    let bad_time = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let spec = proto.spec.as_mut().expect("set");
    spec.trigger = Some(v1::Trigger {
        schedule: Some(v1::ScheduleTrigger {
            interval: vec![v1::Interval { every: negative, ..Default::default() }],
            dialect: 7,
            roll: 9,
            dst: Some(v1::DstPolicy { gap: 7, fold: 0 }),
            exclude: vec![v1::Exclusion::default(), v1::Exclusion { at: vec![bad_time], ..Default::default() }],
            at: vec![prost_types::Timestamp::default(), bad_time],
            jitter: Some(v1::Jitter { window: negative, mode: 7 }),
            ..Default::default()
        }),
        event: None,
    });
    spec.start_workflow = Some(v1::StartWorkflow { input: vec![prost_types::Value::default()], ..Default::default() });
    let faults = from_proto(proto).expect_err("faults");
    let fields: Vec<&str> = faults.0.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.trigger.schedule.interval[0].every",
            "spec.trigger.schedule.at[1]",
            "spec.trigger.schedule.jitter.window",
            "spec.trigger.schedule.jitter.mode",
            "spec.trigger.schedule.dialect",
            "spec.trigger.schedule.dst.gap",
            "spec.trigger.schedule.exclude[1].at[0]",
            "spec.trigger.schedule.roll",
            "spec.start_workflow.input[0]",
        ]
    );
    let faults = from_proto(v1::ActivityDefinition::default()).expect_err("faults").to_string();
    assert_eq!(faults, "metadata: is required; spec: is required");
}
