//! A schedule that goes back to Temporal: the definition is paused here, which is one entry in its shard's log, so that what it has decided is known;
//! what was due since is started there as a backfill; the schedule is let go on there; and what was due between the two follows. What fires nothing here,
//! because somebody has paused or disabled it, is paused there for the same reason, and nothing of it is started. Each step can be said again.
//!
//! The backfill comes first, as it does to Temporal's first scheduler what a cache does: one that goes on computes due times from where a backfill began,
//! finds one of these once more where jitter has moved it to later, and leaves out what is due next, because that one "runs".

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_client::{DefinitionRecord, OccurrenceQuery, PageRequest};
use flintwheel_import::temporal::{Facts, Info, Mark, Times, Translation, back as between};
use flintwheel_model::{DefinitionKey, limits};
use flintwheel_schedule::Plan;
use flintwheel_temporal::{Described, Switch};

use super::forth::WAS_PAUSED;
use super::report::Word;
use super::temporal::Job;
use crate::exit::{Exit, Failure};
use crate::output::plural;
use crate::read::key;

/// What the note of a definition begins with that is on its way back.
const GOING: &str = "going back to Temporal's schedule ";
/// The same of one that stays paused there; behind the schedule stands why.
const STAYS: &str = "going back, paused, to Temporal's schedule ";
/// And of one that has gone.
pub(super) const WENT: &str = "went back to Temporal's schedule ";
/// A schedule with jitter is let go on when nothing is due within so long, in microseconds, so that nothing is left for a backfill behind that: longer
/// than it mostly takes. Of one that is due all the time that is not waited for.
const CALM: i64 = 2_000_000;
const ROUNDS: u32 = 3;
/// Due times that are started there one by one; more have passed where somebody was interrupted for long.
const MOST: usize = 1000;
const MILLISECOND: i64 = 1000;
/// Occurrences that are looked through for the last one of a due time: others are of events and hands.
const LOOKED_THROUGH: u32 = 1000;

/// Moves it back.
pub async fn back(
    job: &Job,
    id: &str,
    described: &Described,
    translation: &Translation,
) -> Result<(Word, String), Failure> {
    let state = &described.schedule.state;
    let mark = Mark::parse(&state.notes).filter(|_| state.paused);
    let name = mark.as_ref().map_or_else(|| key(&translation.definition), |mark| mark.definition.clone());
    let record = job.record(&name).await?;
    let place = format!("{}/{id}", job.there.namespace);
    let Some(mark) = mark else {
        let begins = |what: &str| record.as_ref().filter(|one| note(one).is_some_and(|note| note.starts_with(what)));
        return match (begins(GOING), begins(STAYS)) {
            // It may act again, while what was due between is still to be done.
            (Some(record), _) if !state.paused => {
                let made = Made::nothing(job, translation, record).await?;
                finish(job, id, described, translation, record, made).await
            }
            (_, Some(_)) if state.paused => went_paused(job, &name, &place).await,
            _ => Ok((Word::NotMoved, String::new())),
        };
    };
    let Some(record) = record else {
        let message = format!(
            "{name} is gone, and with it what it has fired last: unpause the schedule with Temporal's own tools"
        );
        return Err(Failure::new(Exit::NotFound, message));
    };
    if let Some(why) = held(&record, &mark, &place) {
        job.pause(&name, &stays(&place, &why)).await?;
        let note = note_there(&why, &mark);
        job.tell(id, &Switch::Pause { note: note.clone() }).await?;
        job.wait_for(id, "say so", |now| now.schedule.state.notes == note).await?;
        return went_paused(job, &name, &place).await;
    }
    // Before the schedule goes on: what is decided here from now on is nothing.
    job.pause(&name, &format!("{GOING}{place}")).await?;
    let made = make_up(job, id, described, translation, &record).await?;
    let note = if mark.notes.is_empty() { format!("came back from flintwheel {name}") } else { mark.notes.clone() };
    job.resume(id, &note).await?;
    let described = job.wait_for(id, "go on", |now| !now.schedule.state.paused).await?;
    finish(job, id, &described, translation, &record, made).await
}

/// What has been started there so far of what was due since the definition was paused.
#[derive(Clone, Copy)]
struct Made {
    /// The last due time that is done, here or there, in microseconds. One that an overlap policy there has left out is not asked for again.
    through: i64,
    /// How many there.
    count: usize,
}

impl Made {
    async fn nothing(job: &Job, translation: &Translation, record: &DefinitionRecord) -> Result<Self, Failure> {
        let through = match &translation.plan {
            Some(plan) => decided(job, plan, record).await?,
            None => 0,
        };
        Ok(Self { through, count: 0 })
    }
}

/// Starts there what was due up to now, while it is still paused.
async fn make_up(
    job: &Job,
    id: &str,
    described: &Described,
    translation: &Translation,
    record: &DefinitionRecord,
) -> Result<Made, Failure> {
    let mut made = Made::nothing(job, translation, record).await?;
    for _ in 0..ROUNDS {
        made = start_between(job, id, described, &Info::default(), translation, made).await?;
        let now = Utc::now().timestamp_micros();
        let soon = translation.plan.as_ref().and_then(|plan| plan.next(now)).map(|next| next - now);
        match soon {
            Some(soon) if soon < CALM && translation.window > 0 => {
                tokio::time::sleep(Duration::from_micros(soon.unsigned_abs())).await;
            }
            _ => break,
        }
    }
    Ok(made)
}

fn note(record: &DefinitionRecord) -> Option<&str> {
    record.status.paused.as_ref().map(|paused| paused.note.as_str())
}

/// Why a definition fires nothing here, if somebody has said that it shall not; how the schedule was before it moved does not matter any more.
fn held(record: &DefinitionRecord, mark: &Mark, place: &str) -> Option<String> {
    let Some(note) = note(record) else {
        return (!record.definition.spec.enabled).then(String::new);
    };
    match note.strip_prefix(&stays(place, "")) {
        // What has begun here goes on as it began.
        _ if note.starts_with(GOING) => None,
        // An older version says so first of what was paused there.
        _ if note.starts_with(WENT) => mark.was_paused.then(String::new),
        Some(why) => Some(why.to_owned()),
        None if note == WAS_PAUSED => Some(String::new()),
        None => Some(note.to_owned()),
    }
}

/// The note of a definition that goes back and stays paused: so whoever finds the move interrupted knows why. It ends early where it would be longer
/// than a note may be.
fn stays(place: &str, why: &str) -> String {
    let mut note = format!("{STAYS}{place}: {why}");
    note.truncate(note.floor_char_boundary(limits::NOTE_LEN));
    note
}

/// What the schedule says there.
fn note_there(why: &str, mark: &Mark) -> String {
    match (why, mark.notes.as_str()) {
        ("", "") => format!("paused; came back from flintwheel {}", mark.definition),
        ("", before) => before.to_owned(),
        (why, _) => why.to_owned(),
    }
}

async fn went_paused(job: &Job, name: &DefinitionKey, place: &str) -> Result<(Word, String), Failure> {
    job.pause(name, &format!("{WENT}{place}")).await?;
    Ok((Word::Back, "paused, as it was here".to_owned()))
}

/// Starts what was due between, and says that it is done.
async fn finish(
    job: &Job,
    id: &str,
    described: &Described,
    translation: &Translation,
    record: &DefinitionRecord,
    made: Made,
) -> Result<(Word, String), Failure> {
    let name = key(&record.definition);
    let started = start_between(job, id, described, &described.info, translation, made).await?.count;
    let place = format!("{}/{id}", job.there.namespace);
    job.pause(&name, &format!("{WENT}{place}")).await?;
    let detail = if started == 0 {
        String::new()
    } else {
        format!("{} between, started there", plural(started as u64, "due time"))
    };
    Ok((Word::Back, detail))
}

/// `info` is what the schedule has done and will do by itself; nothing, where it is paused.
async fn start_between(
    job: &Job,
    id: &str,
    described: &Described,
    info: &Info,
    translation: &Translation,
    made: Made,
) -> Result<Made, Failure> {
    let Some(plan) = &translation.plan else { return Ok(made) };
    let times = Times::new(&described.schedule.spec);
    let facts = Facts {
        plan,
        times: times.as_ref(),
        window: translation.window,
        overlap: described.schedule.policies.overlap,
        seen: 0,
        passed_over: 0,
        info,
        now: Utc::now().timestamp_micros(),
    };
    let missing = between(&facts, made.through);
    if missing.len() > MOST {
        let message = format!(
            "{} have passed since {}: start those that matter with `temporal schedule backfill`, then say the same again",
            plural(missing.len() as u64, "due time"),
            DateTime::from_timestamp_micros(missing[0]).unwrap_or_default()
        );
        return Err(Failure::new(Exit::Refused, message));
    }
    let mut runs: Vec<(i64, i64)> = Vec::new();
    for time in &missing {
        if is_started(job, described, *time).await? {
            continue;
        }
        match runs.last_mut() {
            Some((_, last)) if plan.next(*last) == Some(*time) => *last = *time,
            _ => runs.push((*time, *time)),
        }
    }
    let mut count = made.count;
    for (from, last) in runs {
        // With jitter, it is due before the one that follows.
        let through = plan.next(last).map_or(last + translation.window, |next| next - MILLISECOND);
        job.tell(id, &Switch::Backfill { from, through }).await?;
        // Of two orders at once, the scheduler may lose one.
        wait_started(job, described, from).await?;
        count += missing.iter().filter(|time| (from..=last).contains(time)).count();
    }
    Ok(Made { through: missing.last().copied().unwrap_or(made.through), count })
}

/// Whether its workflow is there: started before, by whoever was interrupted.
async fn is_started(job: &Job, described: &Described, time: i64) -> Result<bool, Failure> {
    let base = described.schedule.action.as_ref().map(|action| action.workflow_id.as_str()).unwrap_or_default();
    let time = DateTime::from_timestamp_micros(time).unwrap_or_default();
    let workflow_id = format!("{base}-{}", time.format("%Y-%m-%dT%H:%M:%SZ"));
    Ok(job.there.sink.lookup(&job.there.namespace, &workflow_id).await?.is_some())
}

/// For some time: an overlap policy may keep it from starting, or let it wait.
async fn wait_started(job: &Job, described: &Described, time: i64) -> Result<(), Failure> {
    for _ in 0..50 {
        if is_started(job, described, time).await? {
            break;
        }
        tokio::time::sleep(super::forth::FIRST_LOOK * 5).await;
    }
    Ok(())
}

/// The last due time that was decided here, in microseconds: what came of it does not matter. Where there was none, when the definition was stored.
/// What waits for a run to end will not run here any more.
async fn decided(job: &Job, plan: &Plan, record: &DefinitionRecord) -> Result<i64, Failure> {
    let name = key(&record.definition);
    let status = job.session.client.get(&name).await?.status;
    let waiting = status.runs.iter().flat_map(|runs| &runs.next).find_map(|key| nominal(key));
    if let Some(waiting) = waiting {
        return Ok(waiting - 1);
    }
    let DefinitionKey { namespace, id } = name;
    let query = OccurrenceQuery { namespace, definition_id: id, ..OccurrenceQuery::default() };
    let page = PageRequest { size: LOOKED_THROUGH, token: String::new() };
    let found = job.session.client.occurrences(&query, page).await?;
    for occurrence in found.items {
        let Some(time) = nominal(&occurrence.firing_key) else { continue };
        let more = std::iter::successors(Some(time), |time| plan.next(*time));
        return Ok(more.take(occurrence.count.max(1) as usize).last().unwrap_or(time));
    }
    Ok(status.updated_at.timestamp_micros())
}

/// Of the firing of a due time, in microseconds.
fn nominal(firing_key: &str) -> Option<i64> {
    Some(firing_key.strip_prefix("t:")?.parse::<DateTime<Utc>>().ok()?.timestamp_micros())
}

#[cfg(test)]
mod tests {
    use flintwheel_client::Paused;
    use serde_json::json;

    use super::*;
    use crate::commands::show::tests::record;

    const PLACE: &str = "default/nightly";

    fn mark(was_paused: bool, notes: &str) -> Mark {
        let definition = DefinitionKey::new("billing", "a");
        Mark { definition, seen: 0, passed_over: 0, was_paused, notes: notes.to_owned() }
    }

    #[test]
    fn what_somebody_has_paused_or_disabled_here_stays_paused_there_for_the_same_reason() {
        let begun = stays(PLACE, "incident 7");
        for (enabled, paused, was_paused, expected) in [
            // It fires: the schedule goes on, also where it was paused when it moved.
            (true, None, false, None),
            (true, None, true, None),
            (true, Some("incident 7"), false, Some("incident 7")),
            (true, Some("incident 7"), true, Some("incident 7")),
            (true, Some(""), false, Some("came back")),
            (true, Some(WAS_PAUSED), true, Some("came back")),
            (false, None, false, Some("came back")),
            (false, Some("incident 7"), false, Some("incident 7")),
            // Interrupted, and said again.
            (true, Some("going back to Temporal's schedule default/nightly"), false, None),
            (true, Some(&*begun), false, Some("incident 7")),
            (true, Some(&*stays(PLACE, "")), true, Some("came back")),
            (true, Some("went back to Temporal's schedule default/nightly"), true, Some("came back")),
        ] {
            let mut record = record(json!({"enabled": enabled}));
            let at = record.status.updated_at;
            record.status.paused = paused.map(|note| Paused { note: note.to_owned(), at, until: None });
            let said = held(&record, &mark(was_paused, ""), PLACE).map(|why| note_there(&why, &mark(was_paused, "")));
            let expected = expected.map(|expected| match expected {
                "came back" => "paused; came back from flintwheel billing/a".to_owned(),
                why => why.to_owned(),
            });
            assert_eq!(said, expected, "{enabled} {paused:?} {was_paused}");
        }
        assert_eq!(note_there("", &mark(false, "of the team")), "of the team", "as it had been there");
    }

    #[test]
    fn a_reason_that_is_too_long_for_a_note_ends_early() {
        let long = stays(PLACE, &"ü".repeat(limits::NOTE_LEN));
        assert!((limits::NOTE_LEN - 1..=limits::NOTE_LEN).contains(&long.len()) && long.ends_with('ü'), "{long}");
    }
}
