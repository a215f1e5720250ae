//! `flintwheel describe ID`.

use chrono::{DateTime, Utc};
use flintwheel_client::{DefinitionRecord, NextOf, OccurrenceQuery, PageRequest};
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
    let (now, zone) = (Utc::now(), Zone::of(&record.definition));
    printer.line(head(&record, now)?.trim_end())?;
    if record.definition.spec.trigger.schedule.is_some() {
        let next = session.client.next_times(NextOf::Stored(key), SHOWN, None).await?;
        printer.line("Coming times:")?;
        for time in &next.times {
            printer.line(&format!("  {}", when(time.due, now, zone)))?;
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
        occurrences::print(&mut table, &last, true, zone)?;
        table.finish()?;
    }
    Ok(())
}

fn head(record: &DefinitionRecord, now: DateTime<Utc>) -> Result<String, Failure> {
    let (metadata, status, counts) = (&record.definition.metadata, &record.status, &record.status.counts);
    let labels: Vec<_> = metadata.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let time = |time: DateTime<Utc>| format!("{} ({})", Zone::UTC.exact(time), ago(time, now));
    let paused = |p: &flintwheel_client::Paused| format!("{}  {}", time(p.at), p.note);
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
    text.push_str("Spec:\n");
    for line in yaml(&record.definition.spec)?.lines() {
        text.push_str(&format!("  {line}\n"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use flintwheel_client::Paused;
    use serde_json::json;

    use super::*;
    use crate::commands::show::tests::record;

    #[test]
    fn the_head_says_who_it_is_and_how_it_stands() {
        let mut record = record(json!({"trigger": {"schedule": {"cron": "0 9 * * *"}}}));
        let now = "2026-11-23T18:00:00Z".parse().expect("a time");
        record.status.paused =
            Some(Paused { note: "incident 7".into(), at: "2026-11-23T17:00:00Z".parse().expect("a time") });
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
