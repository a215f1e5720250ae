//! Due times beside those of a real Temporal server, for schedules that both are told of in the same words, over three years of many zones. Where the two
//! differ, a literal walk says who is right, and each cause is counted; the table of causes is what users are told (`docs/temporal-schedules.md`).
//!
//! What is due a few times a day is compared over all three years; what is due more often, around each change of clocks and at random.

mod case;
mod farm;
mod judge;
mod server;

use std::sync::Arc;

use anyhow::{Result, anyhow};
use chrono_tz::Tz;
use flintwheel_import::temporal::{Cause, next_change};
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use futures::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::scene::directory;
use super::{Scale, progress};
use crate::report::{Kind, Report, number};
use crate::temporal_dev::TemporalDev;
use case::{Case, cases};
use judge::{Found, Pair};
use server::Server;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400;
/// 2024-01-01 to 2027-01-01.
const YEARS: (i64, i64) = (1_704_067_200, 1_798_761_600);
/// Where a zone did something that no coming year has: 2010-06-01 to 2013-06-01.
const EARLIER: (i64, i64) = (1_275_350_400, 1_370_044_800);
const ZONES: [&str; 20] = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "America/Asuncion",
    "Atlantic/Azores",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Asia/Tehran",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Australia/Sydney",
    "Antarctica/Troll",
    "Pacific/Norfolk",
];
/// Times in three years up to which all of them are compared: two answers of the server.
const FEW: usize = 2_000;
/// Of the others, as many in one window: one answer.
const WINDOW: i64 = 500;
/// What is under way at a time: a dev server does not get faster with more.
const UNDER_WAY: usize = 24;
/// A dev server's limits are those of a namespace that people use.
const UNLIMITED: [&str; 6] = [
    "frontend.rps=1000000",
    "frontend.namespaceRPS=1000000",
    "frontend.persistenceMaxQPS=1000000",
    "history.persistenceMaxQPS=1000000",
    "history.rps=1000000",
    "matching.rps=1000000",
];
/// What makes a server use its second scheduler.
const CHASM: [&str; 2] =
    ["history.enableCHASMSchedulerCreation=true", "history.chasmSchedulerCreationRolloutPercent=100"];

pub(super) async fn run(scale: Scale, seed: u64) -> Result<Report> {
    let mut report = Report::new("parity", "due times beside a real Temporal server's");
    let mut chance = StdRng::seed_from_u64(seed);
    let all = cases(scale.pick(400, 44), &mut chance);
    let few: Vec<Case> = all.iter().take(scale.pick(60, 4)).cloned().collect();
    report.figure("schedules and zones", format!("{} x {}", all.len(), ZONES.len()));
    let first = compare(all, &[], &mut chance).await?;
    tell(&mut report, "first scheduler", &first);
    let second = compare(few, &CHASM, &mut chance).await?;
    tell(&mut report, "second scheduler (CHASM)", &second);
    for cause in Cause::ALL {
        let (there, here) = first.explained.get(&cause).copied().unwrap_or_default();
        let pairs = first.pairs.get(&cause).copied().unwrap_or_default();
        let counted =
            format!("{} only there, {} only here, in {} of the pairs", count(there), count(here), count(pairs));
        report.figure(format!("{cause:?}"), counted);
        report.note(format!("{cause:?}: {}", first.examples.get(&cause).map_or("none was met", String::as_str)));
    }
    report.figure("time-zone data here", flintwheel_schedule::tzdata_version());
    report.figure("seed", seed);
    Ok(report)
}

fn count(value: u64) -> String {
    number(value as f64)
}

fn tell(report: &mut Report, which: &str, found: &Found) {
    let asked =
        format!("{} ({} with jitter), in {} answers", count(found.times), count(found.jittered), count(found.asked));
    report.figure(format!("times compared, {which}"), asked);
    report.figure(format!("given up by the server for exclusions, {which}"), count(found.given_up));
    report.check(Kind::Bar, format!("{which}: {} unexplained differences", found.unexplained), found.unexplained == 0);
    let foretold = format!("{which}: {} times are not as `import` tells them", found.not_foretold);
    report.check(Kind::Bar, foretold, found.not_foretold == 0);
    report.check(Kind::Bar, format!("{which}: times were compared"), found.times > 0);
    for difference in &found.shown {
        report.note(format!("{which}: {difference}"));
    }
}

/// All schedules in all zones.
async fn compare(cases: Vec<Case>, settings: &[&str], chance: &mut StdRng) -> Result<Found> {
    let dir = directory()?;
    let server = TemporalDev::start_set(dir.path(), &[&UNLIMITED, settings].concat()).await?;
    let asked = Server::open(server.address()).await?;
    let cases = Arc::new(cases);
    let pairs: Vec<(usize, Tz, u64)> = ZONES
        .into_iter()
        .map(|name| name.parse::<Tz>().map_err(|why| anyhow!("{name}: {why}")))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .flat_map(|zone| (0..cases.len()).map(move |case| (case, zone)))
        .map(|(case, zone)| (case, zone, chance.random()))
        .collect();
    progress(format!("{} schedules in each of {} zones", cases.len(), ZONES.len()));
    let (total, every) = (pairs.len(), pairs.len() / 10 + 1);
    let jobs = pairs.into_iter().map(|(case, zone, seed)| {
        let (server, cases) = (asked.clone(), Arc::clone(&cases));
        tokio::spawn(async move { one(&server, &cases[case], zone, case, seed).await })
    });
    let mut done = stream::iter(jobs).buffer_unordered(UNDER_WAY);
    let (mut found, mut number) = (Found::default(), 0);
    while let Some(one) = done.next().await {
        found += one??;
        number += 1;
        if number % every == 0 {
            progress(format!("{number} of {total}, {} times", count(found.times)));
        }
    }
    Ok(found)
}

async fn one(server: &Server, case: &Case, zone: Tz, number: usize, seed: u64) -> Result<Found> {
    let years @ (begin, _) = if zone.name() == "Pacific/Apia" { EARLIER } else { YEARS };
    let id = format!("parity-{number}-{}", zone.name().replace('/', "-"));
    server.create(&id, case.there(zone, begin)).await?;
    let here = case.here(zone, begin);
    let bare = ScheduleTrigger { jitter: None, ..here.clone() };
    // What never fires is refused here, and has no times there.
    let plan = Plan::compile(&bare, "schedule", 0).ok();
    let moved = Plan::compile(&here, "schedule", 0).ok();
    let (times, jitter) = (case.foretold(zone, begin), server.seed(&id));
    let pair = Pair { case, zone, begin, times: &times, plan: plan.as_ref(), moved: moved.as_ref(), seed: &jitter };
    let mut found = Found::default();
    for (after, through) in windows(plan.as_ref(), zone, years, seed) {
        match server.times(&id, after, through).await? {
            Some((listed, asked)) => found += Found { asked, ..pair.judge(&listed, after, through) },
            None => found += Found { given_up: 1, ..Found::default() },
        }
    }
    // One pair, in however many windows.
    found.pairs.values_mut().for_each(|count| *count = 1);
    Ok(found)
}

/// After one second, up to another: all of the years, or parts of them.
fn windows(plan: Option<&Plan>, zone: Tz, (begin, end): (i64, i64), seed: u64) -> Vec<(i64, i64)> {
    let changes = || std::iter::successors(next_change(zone, begin, end), |change| next_change(zone, change.at, end));
    if let Some(change) = changes().find(|change| change.after - change.before >= DAY) {
        // A day that was left out, by itself: a server may come no further there.
        let around = (change.at - 2 * DAY, change.at + DAY);
        let [before, after] = [(begin, around.0), (around.1, end)].map(|years| windows(plan, zone, years, seed));
        return [before, vec![around], after].concat();
    }
    let Some(plan) = plan else { return vec![(begin - 1, end)] };
    let times = || {
        std::iter::successors(plan.next(begin * SECOND), |time| plan.next(*time))
            .take_while(|time| *time < end * SECOND)
    };
    if times().take(FEW).count() < FEW {
        return vec![(begin - 1, end)];
    }
    let some = times().take(200);
    let (first, last) = (times().next().unwrap_or_default(), some.last().unwrap_or_default());
    let length = ((last - first) / SECOND * WINDOW / 200).clamp(WINDOW, 3 * DAY);
    let mut chance = StdRng::seed_from_u64(seed);
    let mut windows: Vec<i64> = (0..2).map(|_| chance.random_range(begin..end - length)).collect();
    for change in changes() {
        // Two hours before and after can be affected: what is due each second has not all of them in one answer.
        let offsets = if length < 6 * 3_600 { vec![-7_200, -3_600, 0, 3_600, 7_200] } else { vec![0] };
        windows.extend(offsets.into_iter().map(|offset| change.at + offset - (length / 3).min(4 * 3_600)));
    }
    windows.into_iter().map(|after| (after, after + length)).collect()
}
