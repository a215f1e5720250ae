//! The crates `cron` and `croner`, each in its own terms.
//!
//! `cron` is literal as Temporal is, but not in order where clocks go back, and croner moves what clocks leave out: so both are
//! compared where clocks don't change near by. Around changes the walk is the judge.

use chrono::{DateTime, TimeZone};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::parser::{CronParser, Seconds};
use flintwheel_model::definition::{CronDialect, ScheduleTrigger};
use flintwheel_schedule::Plan;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::spec::Spec;
use super::walk::offset;
use super::{Tally, next, plan};

const DAY: i64 = 86_400;
/// 1973 to 2060: croner searches forty years ahead, and compiled-in offsets end in 2099.
const AFTER: std::ops::Range<i64> = 94_694_400..2_840_140_800;
const NEAR_A_CHANGE: &str = "clocks change near by, left to the walk";
const TOO_FAR: &str = "its search ends before the next time";

/// So many cases with each.
pub fn compare(cases: u32, chance: &mut StdRng) -> [Tally; 2] {
    let (mut with_cron, mut with_croner) = (Tally::new("cron"), Tally::new("croner"));
    for number in 0..cases {
        let zone = TZ_VARIANTS[number as usize % TZ_VARIANTS.len()];
        let (with_seconds, after) = (chance.random_bool(0.3), chance.random_range(AFTER));
        let spec = Spec::random(chance, with_seconds);
        let other: Option<cron::Schedule> = spec.for_cron_crate().parse().ok();
        let plain = plan(&spec.seven(), zone.name());
        let theirs = other.and_then(|other| other.after(&instant(zone, after)).next());
        one(&mut with_cron, zone, after, plain.as_ref(), theirs, &spec.for_cron_crate());
        let (line, both) = in_terms_of_croner(&spec, chance);
        let parser = CronParser::builder().seconds(Seconds::Optional).dom_and_dow(both).build();
        let Ok(other) = parser.parse(&line) else {
            with_croner.explain("it does not read such a line");
            continue;
        };
        let theirs = other.find_next_occurrence(&instant(zone, after), false).ok();
        let ours = if both { plain } else { vixie(&line, zone) };
        one(&mut with_croner, zone, after, ours.as_ref(), theirs, &line);
    }
    [with_cron, with_croner]
}

/// A line, and whether a day must match both its fields. With `L`, `W` and `#` one of the two fields is a star.
fn in_terms_of_croner(spec: &Spec, chance: &mut StdRng) -> (String, bool) {
    if chance.random_bool(0.7) {
        return (spec.six(), true);
    }
    let days = ["L", "15W", "1W", "31W", "LW", "1,L", "28W"];
    let weekdays = ["5#3", "1#1", "0#5", "5L", "0L", "1L,3#2", "6#4"];
    let Spec { minute, hour, month, .. } = spec;
    let pick = |texts: &[&'static str], chance: &mut StdRng| *texts.choose(chance).expect("it is not empty");
    let (day, weekday) =
        if chance.random_bool(0.5) { (pick(&days, chance), "*") } else { ("*", pick(&weekdays, chance)) };
    (format!("{} {} {day} {} {weekday}", minute.text, hour.text, month.text), false)
}

/// In our dialect that knows all of these.
fn vixie(line: &str, zone: Tz) -> Option<Plan> {
    let trigger = ScheduleTrigger {
        cron: vec![line.to_owned()],
        dialect: CronDialect::Vixie,
        timezone: Some(zone.name().to_owned()),
        ..ScheduleTrigger::default()
    };
    Plan::compile(&trigger, "schedule", 0).ok()
}

fn one(tally: &mut Tally, zone: Tz, after: i64, plan: Option<&Plan>, theirs: Option<DateTime<Tz>>, line: &str) {
    let (theirs, found) = (theirs.map(|time| time.timestamp()), plan.and_then(|plan| next(plan, after)));
    let last = theirs.into_iter().chain(found).max().unwrap_or(after);
    // Whatever changed in between has changed for both alike; only what is near either end matters.
    let changes = |time: i64| (-2..2).any(|day| offset(zone, time + day * DAY) != offset(zone, time + (day + 1) * DAY));
    match (theirs, found) {
        (None, Some(_)) if last - after > 4 * 365 * DAY => tally.explain(TOO_FAR),
        _ if theirs != found && [Some(after), theirs, found].into_iter().flatten().any(changes) => {
            tally.explain(NEAR_A_CHANGE);
        }
        _ => tally.case(theirs == found, || format!("{line} in {zone} after {after}: {theirs:?}, found {found:?}")),
    }
}

fn instant(zone: Tz, second: i64) -> DateTime<Tz> {
    zone.timestamp_opt(second, 0).single().expect("an instant has one local time")
}
