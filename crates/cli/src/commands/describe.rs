//! `flintwheel describe ID`.

use chrono::{DateTime, Utc};
use flintwheel_client::{DefinitionRecord, NextOf, OccurrenceQuery, OpenRun, PageRequest, WatchedRuns};
use flintwheel_model::DefinitionKey;

use super::{occurrences, show};
use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{Format, Printer, Zone, ago, when, yaml};
use crate::read::key;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    #[arg(required = true)]
    names: Vec<String>,
    /// What any replica knows by now, also where a shard has no leader
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Coming times and last occurrences that are shown.
const SHOWN: u32 = 5;
/// Occurrences that one run has kept out, from which on that is hardly meant. The server warns at the same number.
const MANY: u32 = 3;

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?.reading(args.stale);
    let mut printer = Printer::list(Format::Table);
    for (i, key) in session.keys(&args.names)?.iter().enumerate() {
        if i > 0 {
            printer.line("")?;
        }
        describe(&session, key, &mut printer).await?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

async fn describe(session: &Session, key: &DefinitionKey, printer: &mut Printer) -> Result<(), Failure> {
    let record = session.client.get(key).await?;
    let (now, own) = (Utc::now(), Zone::of(&record.definition));
    printer.line(head(&record, now)?.trim_end())?;
    if record.definition.spec.trigger.schedule.is_some() {
        let next = session.client.next_times(NextOf::Stored(key), SHOWN, None).await?;
        let zone = own.clone().told(&next.offsets);
        let none =
            Some(show::when_runs_end(&record.definition)).filter(|none| next.times.is_empty() && !none.is_empty());
        let held = show::held(&record).map(|(_, until)| format!(" (when {until}):"));
        printer.line(&format!("Coming times{}", none.or(held).as_deref().unwrap_or(":")))?;
        for time in &next.times {
            let because = if time.because.is_empty() { String::new() } else { format!("   {}", time.because) };
            printer.line(&format!("  {}{because}", when(time.due, now, &zone)))?;
        }
    }
    let query = OccurrenceQuery {
        namespace: key.namespace.clone(),
        definition_id: key.id.clone(),
        ..OccurrenceQuery::default()
    };
    let page = PageRequest { size: SHOWN, token: String::new() };
    let last = session.client.occurrences(&query, page).await?.items;
    if !last.is_empty() {
        printer.line("Last occurrences:")?;
        let mut table = Printer::list(Format::Table);
        printer.flush()?;
        occurrences::print(&mut table, &last, true, &own)?;
        table.finish()?;
    }
    Ok(())
}

fn head(record: &DefinitionRecord, now: DateTime<Utc>) -> Result<String, Failure> {
    let (metadata, status, counts) = (&record.definition.metadata, &record.status, &record.status.counts);
    let labels: Vec<_> = metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let time = |time: DateTime<Utc>| format!("{} ({})", Zone::UTC.exact(time), ago(time, now));
    let until = |p: &flintwheel_client::Paused| {
        p.until.map(|until| format!(", until {}", Zone::UTC.exact(until))).unwrap_or_default()
    };
    let paused = |p: &flintwheel_client::Paused| format!("{}{}  {}", time(p.at), until(p), p.note);
    let fields = [
        ("Definition", key(&record.definition).to_string()),
        ("Name", metadata.name.clone()),
        ("Labels", labels.join(", ")),
        ("State", show::state(record).to_owned()),
        ("Paused", status.paused.as_ref().map(paused).unwrap_or_default()),
        (
            "Version",
            format!("{} (generation {}, incarnation {})", status.version, status.generation, status.incarnation),
        ),
        ("Created", time(status.created_at)),
        ("Updated", time(status.updated_at)),
        ("Last fired", status.last_fired.map(time).unwrap_or_default()),
        ("Left", firings_left(record)),
        (
            "Occurrences",
            format!(
                "{} fired, {} skipped, {} dropped, {} failed",
                counts.fired, counts.skipped, counts.dropped, counts.failed
            ),
        ),
    ];
    let mut text: String = fields
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{:<13}{value}\n", format!("{name}:")))
        .collect();
    if let Some(watched) = &status.runs {
        text.push_str(&runs(watched, now));
    }
    text.push_str("Spec:\n");
    for line in yaml(&record.definition.spec)?.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    Ok(text)
}

/// How many due times may still fire, where that is bounded.
fn firings_left(record: &DefinitionRecord) -> String {
    let max = record.definition.spec.trigger.schedule.as_ref().and_then(|schedule| schedule.max_firings);
    match (record.status.firings_left, max) {
        (Some(left), Some(max)) => format!("{left} of {max} firings"),
        _ => String::new(),
    }
}

/// What is open, and what waits for it.
fn runs(runs: &WatchedRuns, now: DateTime<Utc>) -> String {
    let WatchedRuns { open, waiting, kept_out, oldest, next } = runs;
    let mut text = format!("{:<13}{open} open, {waiting} waiting\n", "Runs:");
    for OpenRun { workflow_id, since, started, wish } in oldest {
        let wish = if wish.is_empty() { String::new() } else { format!(", asked to {wish}") };
        let started = if *started { "" } else { ", not taken by Temporal yet" };
        text.push_str(&format!("  {workflow_id}   open since {}{started}{wish}\n", ago(*since, now)));
    }
    for key in next {
        text.push_str(&format!("  {key}   waits\n"));
    }
    if *kept_out >= MANY {
        text.push_str(&format!(
            "{:<13}{kept_out} occurrences were skipped because of the oldest open run\n",
            "Warning:"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use flintwheel_client::Paused;
    use serde_json::json;

    use super::*;
    use crate::commands::show::tests::record;

    #[test]
    fn runs_say_what_is_open_and_what_waits() {
        let time = |text: &str| text.parse().expect("a time");
        let open = |workflow_id: &str, started, wish: &str| OpenRun {
            workflow_id: workflow_id.into(),
            since: time("2026-11-23T17:00:00Z"),
            started,
            wish: wish.into(),
        };
        let watched = WatchedRuns {
            open: 2,
            waiting: 1,
            kept_out: 3,
            oldest: vec![open("a", true, "cancel"), open("b", false, "")],
            next: vec!["m:r1".into()],
        };
        let expected = "\
Runs:        2 open, 1 waiting
  a   open since 1h ago, asked to cancel
  b   open since 1h ago, not taken by Temporal yet
  m:r1   waits
Warning:     3 occurrences were skipped because of the oldest open run
";
        assert_eq!(runs(&watched, time("2026-11-23T18:00:00Z")), expected);
    }

    #[test]
    fn a_bounded_schedule_says_how_many_firings_are_left_and_that_it_is_over() {
        let mut record = record(json!({"trigger": {"schedule": {"cron": "0 9 * * *", "max_firings": 20}}}));
        let now = "2026-11-23T18:00:00Z".parse().expect("a time");
        for (left, over, expected) in [(3, false, "State:       armed"), (0, true, "State:       over")] {
            (record.status.firings_left, record.status.over, record.status.armed) = (Some(left), over, !over);
            let head = head(&record, now).expect("printed");
            assert!(
                head.contains(expected) && head.contains(&format!("Left:        {left} of 20 firings\n")),
                "{head}"
            );
        }
    }

    #[test]
    fn the_head_says_who_it_is_and_how_it_stands() {
        let mut record = record(json!({"trigger": {"schedule": {"cron": "0 9 * * *"}}}));
        let now = "2026-11-23T18:00:00Z".parse().expect("a time");
        record.status.paused = Some(Paused {
            note: "incident 7".into(),
            at: "2026-11-23T17:00:00Z".parse().expect("a time"),
            until: None,
        });
        let expected = "\
Definition:  billing/a
Name:        An example
Labels:      team=x
State:       paused
Paused:      2026-11-23 17:00:00 +0000 (1h ago)  incident 7
Version:     3 (generation 5, incarnation 1)
Created:     2026-11-01 00:00:00 +0000 (22d ago)
Updated:     2026-11-02 00:00:00 +0000 (21d ago)
Last fired:  2026-11-23 08:00:00 +0000 (10h ago)
Occurrences: 20 fired, 1 skipped, 0 dropped, 0 failed
Spec:
  trigger:
    schedule:
      cron:
      - 0 9 * * *
  start_workflow:
    type: W
    task_queue: q
";
        assert_eq!(head(&record, now).expect("printed"), expected);
    }
}
