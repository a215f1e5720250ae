//! Pauses that end by themselves: the leader of a shard ends them when their time has come. When that is stands in the shard's state, so whoever
//! leads then does it; one that nobody could end in time is ended later, as of the time that was said.

use std::sync::Arc;
use std::time::Duration;

use flintwheel_model::definition::OnResume;
use flintwheel_raft::Group;
use flintwheel_schedule::Plan;
use flintwheel_shard::entry::{Body, Computed, NEVER, Pause};
use flintwheel_shard::records::Version;
use flintwheel_shard::reply::{Outcome, Pausing};
use flintwheel_shard::slots::Slot;
use flintwheel_shard::{Machine, query};

use crate::after::coming;
use crate::calendars;
use crate::error::EngineError;
use crate::plans::{Find, Plans};
use crate::shared::Shared;

/// Due times of a pause that are counted one by one; a pause that passed over more says so by this number.
const MISSED: u32 = 1_000_000;
/// How often it is looked which pauses end soon: one that is said to end sooner ends so much later at most.
const LOOK: i64 = 1_000_000;
/// Between two looks, at least.
const LEAST: i64 = 10_000;
/// Pauses ended by one entry: a thousand definitions that were paused at once may end at once.
const BATCH: usize = 256;

/// Ends pauses for all time.
pub async fn run(shared: Arc<Shared>) {
    loop {
        let now = shared.clock.now();
        let mut wake = now + LOOK;
        for group in shared.led_groups() {
            if let Some(next) = end_due(&shared, &group, now).await {
                wake = wake.min(next);
            }
        }
        let wait = (wake - shared.clock.now()).clamp(LEAST, LOOK);
        tokio::time::sleep(Duration::from_micros(wait.unsigned_abs())).await;
    }
}

/// Ends what is to end by now; tells when the next one of the shard does.
async fn end_due(shared: &Arc<Shared>, group: &Group<Machine>, now: i64) -> Option<i64> {
    let (due, next) = group
        .read(|machine, _| {
            let due: Vec<(i64, u64)> = machine.pauses().ending_by(now).take(BATCH).collect();
            (if machine.is_held() { Vec::new() } else { due }, machine.pauses().next())
        })
        .ok()?;
    let peers = &shared.peers;
    if due.is_empty() || !peers.clocks().may_fire(peers.me()) {
        return next.filter(|next| *next > now);
    }
    if let Err(error) = end(shared, group, due).await {
        tracing::debug!(shard = group.shard(), %error, "pauses were not ended; tried again");
        return None;
    }
    // There may be more of them.
    Some(now)
}

async fn end(shared: &Arc<Shared>, group: &Group<Machine>, due: Vec<(i64, u64)>) -> Result<(), EngineError> {
    let (with, of) = (Arc::clone(shared), group.clone());
    let resumes = tokio::task::spawn_blocking(move || resumes(&with, &of, due)).await;
    let resumes = resumes.map_err(|error| EngineError::Read(format!("a schedule was not looked at: {error}")))??;
    let bytes = resumes.iter().map(|pause| pause.id.len()).sum();
    let names: Vec<(String, String)> = resumes.iter().map(|p| (p.namespace.clone(), p.id.clone())).collect();
    let applied = shared.command(group.shard(), Body::Pause(resumes), bytes).await?;
    let Outcome::Paused(results) = applied.outcome else { return Ok(()) };
    for ((namespace, id), result) in names.iter().zip(results) {
        if matches!(result, Pausing::Changed(_)) {
            tracing::info!(%namespace, %id, "a pause has ended by itself");
        }
    }
    Ok(())
}

fn resumes(shared: &Shared, group: &Group<Machine>, due: Vec<(i64, u64)>) -> Result<Vec<Pause>, EngineError> {
    let find = |namespace: &str, name: &str| calendars::find(&shared.calendars, group, namespace, name);
    let mut resumes = Vec::with_capacity(due.len());
    for (until, number) in due {
        let found =
            group.read(|machine, _| machine.slots().get(number).map(|slot| (*slot, coming(machine, number))))?;
        let Some((slot, coming)) = found else { continue };
        let Some(stored) = query::version(&group.state(), number, slot.version)? else { continue };
        let resumed = ended((&slot, &coming), &stored, until, &find);
        let Version { namespace, id, .. } = stored;
        resumes.push(Pause {
            namespace,
            id,
            paused: false,
            note: String::new(),
            next: resumed.next,
            missed: resumed.passed_over,
            wanted_through: resumed.wanted_through,
            until: Some(until),
            computed: resumed.computed(),
            request: None,
        });
    }
    Ok(resumes)
}

/// Where a definition goes on whose pause ends at that instant; what is due then is not missed. One whose schedule can't be read goes on as it stood
/// (it is armed when that can be read), and holds no other one up.
fn ended((slot, coming): (&Slot, &[(i64, String)]), stored: &Version, until: i64, find: Find<'_>) -> Resumed {
    resumed((slot, coming), stored, None, until - 1, find).unwrap_or_else(|why| {
        let Version { namespace, id, .. } = stored;
        tracing::warn!(%namespace, %id, %why, "a pause ends by itself, and the schedule can't be read");
        Resumed { next: slot.next, generation: Some(slot.generation), ..Resumed::NOTHING }
    })
}

/// What becomes of the schedule of a paused definition that goes on as of an instant; `missed` is what becomes of due times up to then, if not what
/// the definition says; `coming` has come from runs of other definitions. (One that is not paused goes on as it does.)
pub fn resumed(
    (slot, coming): (&Slot, &[(i64, String)]),
    stored: &Version,
    missed: Option<OnResume>,
    through: i64,
    find: Find<'_>,
) -> Result<Resumed, EngineError> {
    let generation = Some(slot.generation);
    if slot.next == NEVER || !slot.is_paused() {
        return Ok(Resumed { next: slot.next, generation, ..Resumed::NOTHING });
    }
    let mut plans = Plans::default();
    let timing = plans.of_document(&stored.document, stored.incarnation, find).map_err(EngineError::Read)?;
    let timing = plans.get(timing);
    let missed = missed.unwrap_or(timing.misfire.on_resume);
    let plan = timing.plan.with_admitted(coming.iter().map(|(nominal, _)| *nominal));
    Ok(Resumed { generation, ..goes_on(&plan, slot.next, through, missed) })
}

/// Where a schedule goes on after a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resumed {
    /// Its next nominal time.
    pub next: i64,
    /// How many before that are passed over.
    pub passed_over: u32,
    /// The last one of these.
    pub passed: Option<i64>,
    /// Those that have passed, up to here, are to fire.
    pub wanted_through: Option<i64>,
    /// The definition's generation from which all this follows.
    pub generation: Option<u32>,
}

impl Resumed {
    /// Nothing passes, and nothing comes.
    pub const NOTHING: Self =
        Self { next: NEVER, passed_over: 0, passed: None, wanted_through: None, generation: None };

    /// What it was computed from, as an entry says it.
    pub fn computed(&self) -> Option<Computed> {
        self.generation.map(|generation| Computed { generation, passed: self.passed })
    }
}

/// `first` is the nominal time at which the schedule was paused.
fn goes_on(plan: &Plan, first: i64, now: i64, missed: OnResume) -> Resumed {
    let passed =
        std::iter::successors(Some(first), |nominal| plan.next(*nominal)).take_while(|nominal| *nominal <= now);
    let ahead = plan.next(now).unwrap_or(NEVER);
    if first > now {
        return Resumed { next: first, ..Resumed::NOTHING };
    }
    match missed {
        OnResume::Drop => {
            let passed_over = passed.take(MISSED as usize).count() as u32;
            Resumed { next: ahead, passed_over, passed: Some(last(plan, first, now)), ..Resumed::NOTHING }
        }
        OnResume::All => Resumed { next: first, wanted_through: Some(now), ..Resumed::NOTHING },
        OnResume::Latest => {
            let latest = last(plan, first, now);
            let passed_over = passed.take(MISSED as usize + 1).count() as u32 - 1;
            let passed = (passed_over > 0).then(|| last(plan, first, latest - 1));
            Resumed { next: latest, passed_over, passed, wanted_through: Some(now), ..Resumed::NOTHING }
        }
    }
}

/// The last nominal time in `first..=now`, of which `first` is one. It is the first instant after which nothing comes up to `now`: some 60 looks,
/// however many due times lie between.
fn last(plan: &Plan, first: i64, now: i64) -> i64 {
    let (mut from, mut to) = (first, now);
    while from < to {
        let middle = from + (to - from) / 2;
        match plan.next(middle) {
            Some(next) if next <= now => from = next,
            _ => to = middle,
        }
    }
    from
}

#[cfg(test)]
mod tests {
    use flintwheel_model::Span;
    use flintwheel_model::definition::{Interval, ScheduleTrigger};

    use super::*;
    use crate::admission::SCHEDULE;

    const MINUTE: i64 = 60_000_000;

    #[test]
    fn a_pause_ends_where_its_schedule_can_not_be_read() {
        let mut slot = Slot::new(0);
        (slot.next, slot.generation) = (5 * MINUTE, 7);
        slot.set_enabled(true);
        slot.set_paused(true);
        let stored = |schedule: &str| Version {
            namespace: "n".into(),
            id: "d".into(),
            incarnation: 1,
            created: 0,
            updated: 0,
            event_types: vec![],
            document: format!(
                r#"{{"metadata":{{"namespace":"n","id":"d"}},"spec":{{"trigger":{{"schedule":{schedule}}}}}}}"#
            )
            .into(),
        };
        let end = |schedule: &str| ended((&slot, &[]), &stored(schedule), 8 * MINUTE, &|_, _| None);
        let unread = Resumed { next: 5 * MINUTE, generation: Some(7), ..Resumed::NOTHING };
        assert_eq!(end(r#"{"interval":[{"every":"1m"}],"only_on":["gone"]}"#), unread);
        let passed = Resumed { next: 8 * MINUTE, passed_over: 3, passed: Some(7 * MINUTE), ..unread };
        assert_eq!(end(r#"{"interval":[{"every":"1m"}]}"#), passed);
    }

    #[test]
    fn what_passed_in_a_pause_is_dropped_or_wanted() {
        let every = Interval::every(Span::from_secs(60), Span::ZERO);
        let end = chrono::DateTime::from_timestamp_micros(20 * MINUTE);
        let trigger = ScheduleTrigger { interval: vec![every], end, ..ScheduleTrigger::default() };
        let plan = Plan::compile(&trigger, SCHEDULE, 0).expect("valid");
        let (drop, latest, all) = (OnResume::Drop, OnResume::Latest, OnResume::All);
        let minutes = |nominal: i64| if nominal == NEVER { 99 } else { nominal / MINUTE };
        // Paused at which due time, resumed when, and what shall become of those between: where it goes on, how many are passed over, the last of
        // them, up to when the others are wanted.
        for (first, now, missed, expected) in [
            (5, 8, drop, (9, 4, Some(8), None)),
            (5, 8, latest, (8, 3, Some(7), Some(8))),
            (5, 8, all, (5, 0, None, Some(8))),
            (5, 5, latest, (5, 0, None, Some(5))),
            (5, 5, drop, (6, 1, Some(5), None)),
            (5, 4, drop, (5, 0, None, None)),
            (5, 4, all, (5, 0, None, None)),
            (19, 90, drop, (99, 2, Some(20), None)),
            (19, 90, latest, (20, 1, Some(19), Some(90))),
        ] {
            let Resumed { next, passed_over, passed, wanted_through, .. } =
                goes_on(&plan, first * MINUTE, now * MINUTE, missed);
            let found = (minutes(next), passed_over, passed.map(minutes), wanted_through.map(minutes));
            assert_eq!(found, expected, "{first} {now} {missed:?}");
        }
    }
}
