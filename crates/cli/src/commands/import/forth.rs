//! A schedule that moves here. What must be known to finish an interrupted move stands in the schedule's own note ([`Mark`]), so each step can be
//! said again, by anybody.
//!
//! 1. The definition is tried out here: one that would be refused moves nothing.
//! 2. The schedule is paused there, with the mark as its note, and done with what it was starting.
//! 3. What it has started tells which due time was its last one ([`cut::forth`](flintwheel_import::temporal::forth)).
//! 4. The definition is stored here, with due times after that one: those that have passed meanwhile fire late.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_client::ApplyOptions;
use flintwheel_import::temporal::{
    Facts, Handed, Mark, Overlap, Times, Translation, forth as cut, is_settled, translate,
};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use flintwheel_temporal::{Described, Switch};

use super::back::WENT;
use super::report::Word;
use super::temporal::Job;
use crate::exit::{Exit, Failure};
use crate::output::plural;
use crate::read::key;

/// A scheduler that is busy with other starts sees to a signal when it has done these: its limit is 30 a second for a namespace.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// Between looks: a scheduler that has nothing else to do needs some milliseconds.
pub(super) const FIRST_LOOK: Duration = Duration::from_millis(20);
pub(super) const LONGEST_LOOK: Duration = Duration::from_secs(1);
/// An apply is tried with due times of the last hour, in microseconds: a server that does not know them shows it.
const EARLIER: i64 = 3_600_000_000;

/// Why it is paused here, where nobody had said there why it was.
pub(super) const WAS_PAUSED: &str = "it was paused in Temporal";

/// Moves it. `seen` is a moment before it was described.
pub async fn forth(
    job: &Job,
    id: &str,
    seen: i64,
    mut described: Described,
    translation: &Translation,
) -> Result<(Word, String), Failure> {
    let name = key(&translation.definition);
    let mark = match Mark::parse(&described.schedule.state.notes).filter(|_| described.schedule.state.paused) {
        Some(mark) if mark.definition != name => {
            let message = format!("it has moved to {} already", mark.definition);
            return Err(Failure::new(Exit::Conflict, message));
        }
        Some(mark) => {
            described = job.wait_for(id, "pause", is_done).await?;
            mark
        }
        None => {
            prepare(job, &name, translation, seen).await?;
            let mark = Mark {
                definition: name.clone(),
                seen,
                passed_over: described.info.passed_over,
                was_paused: described.schedule.state.paused,
                notes: described.schedule.state.notes.clone(),
            };
            described = pause_there(job, id, &mark).await?;
            mark
        }
    };
    if let Some(record) = job.record(&name).await?
        && record.definition.spec.enabled
    {
        return Ok((Word::MovedBefore, String::new()));
    }
    // As it is by now: somebody may have changed it since, and what it has left to do has become less.
    let translation = translate(id, &described.schedule, &job.destination);
    if mark.was_paused {
        take_over_paused(job, &translation.definition, &mark).await
    } else {
        take_over(job, &described, &translation, &mark).await
    }
}

/// It starts nothing more: what it was still starting would be started here, too.
fn is_done(described: &Described) -> bool {
    described.schedule.state.paused && is_settled(&described.info, described.schedule.policies.overlap)
}

/// Nothing may fire here yet, and what is to fire must be accepted, by a server that knows how to begin with what is due by then.
async fn prepare(job: &Job, name: &DefinitionKey, translation: &Translation, now: i64) -> Result<(), Failure> {
    let client = &job.session.client;
    if let Some(record) = job.record(name).await? {
        let came_back = record.status.paused.as_ref().is_some_and(|paused| paused.note.starts_with(WENT));
        if record.definition.spec.enabled && !came_back {
            let why = "and enabled, while the schedule acts in Temporal: both would start the same";
            return Err(Failure::new(Exit::Conflict, format!("{name} is there already, {why}")));
        }
        // Disabled first: resumed, it fires nothing.
        if record.definition.spec.enabled {
            let expected_version = Some(record.status.version);
            let mut disabled = record.definition;
            disabled.spec.enabled = false;
            job.apply(&disabled, ApplyOptions { expected_version, ..ApplyOptions::default() }).await?;
        }
        if came_back {
            client.resume(name, "", None).await?;
        }
    }
    let earlier = now - EARLIER;
    let due_after = DateTime::from_timestamp_micros(earlier);
    let options = ApplyOptions { validate_only: true, due_after, ..ApplyOptions::default() };
    let tried = client.apply(&translation.definition, options).await?;
    let expected = translation.plan.as_ref().and_then(|plan| plan.next(earlier));
    if expected.is_some() && tried.next_due.map(|next| next.timestamp_micros()) != expected {
        let message = "the server does not know `due_after`: due times would be missed; upgrade it first";
        return Err(Failure::new(Exit::Refused, message));
    }
    Ok(())
}

async fn pause_there(job: &Job, id: &str, mark: &Mark) -> Result<Described, Failure> {
    let note = mark.text();
    let pause = Switch::Pause { note: note.clone() };
    job.tell(id, &pause).await?;
    job.wait_for(id, "pause", |now| is_done(now) && now.schedule.state.notes == note).await
}

/// What was paused there is paused here, for the same reason.
async fn take_over_paused(job: &Job, definition: &ActivityDefinition, mark: &Mark) -> Result<(Word, String), Failure> {
    let name = key(definition);
    let mut disabled = definition.clone();
    disabled.spec.enabled = false;
    job.apply(&disabled, ApplyOptions::default()).await?;
    job.pause(&name, if mark.notes.is_empty() { WAS_PAUSED } else { &mark.notes }).await?;
    job.apply(definition, ApplyOptions::default()).await?;
    Ok((Word::Moved, "paused, as it was there".to_owned()))
}

async fn take_over(
    job: &Job,
    described: &Described,
    translation: &Translation,
    mark: &Mark,
) -> Result<(Word, String), Failure> {
    let handed = handed(described, translation, mark);
    let due_after = handed.and_then(|handed| DateTime::from_timestamp_micros(handed.after));
    let options = ApplyOptions { due_after, ..ApplyOptions::default() };
    let applied = job.apply(&translation.definition, options).await?;
    let mut detail = Vec::new();
    if let Some(next) = applied.next_due {
        let zone = crate::output::Zone::of(&translation.definition).told(&applied.offsets);
        detail.push(format!("next {}", zone.exact(next)));
    }
    let late = handed.map_or(0, |handed| handed.late);
    if late > 0 {
        detail.push(format!("{} passed meanwhile", plural(late as u64, "due time")));
    }
    let open = described.info.running.len();
    if open > 0 && described.schedule.policies.overlap != Overlap::AllowAll {
        detail.push(format!("{} open there, which is not seen here", plural(open as u64, "run")));
    }
    Ok((Word::Moved, detail.join(", ")))
}

/// None where it has no due times.
fn handed(described: &Described, translation: &Translation, mark: &Mark) -> Option<Handed> {
    let times = Times::new(&described.schedule.spec);
    Some(cut(&Facts {
        plan: translation.plan.as_ref()?,
        times: times.as_ref(),
        window: translation.window,
        overlap: described.schedule.policies.overlap,
        seen: mark.seen,
        passed_over: mark.passed_over,
        info: &described.info,
        now: Utc::now().timestamp_micros(),
    }))
}
