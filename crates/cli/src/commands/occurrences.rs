//! `flintwheel occurrences`.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clap::ValueEnum;
use flintwheel_client::{Client, ListQuery, Occurrence, OccurrenceQuery, Outcome as Ended};
use flintwheel_model::{DefinitionKey, Span};

use super::account::Account;
use super::pages::Pages;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Zone, compact, say};
use crate::read::key as key_of;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID; without it, occurrences of the whole namespace
    name: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// At most this many; 0 for all
    #[arg(long, visible_alias = "limit", default_value_t = 20)]
    last: u64,
    /// Only those that ended so; may be repeated
    #[arg(long, value_enum)]
    outcome: Vec<OutcomeArg>,
    #[arg(long, value_name = "REASON", default_value = "", hide_default_value = true, help = reasons())]
    reason: String,
    /// Only those of definitions whose labels match: k=v, k!=v, k in (a,b), k notin (a,b), k, !k; with commas between
    #[arg(
        short = 'l',
        long,
        value_name = "LABELS",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "name"
    )]
    selector: String,
    /// Only how many there are, by ending and reason, the most frequent first; of all of them, whatever --last says
    #[arg(long)]
    counts: bool,
    /// Decided at this time (RFC 3339) or later; 1h is an hour ago
    #[arg(long, value_name = "TIME", value_parser = past)]
    since: Option<DateTime<Utc>>,
    /// Decided before this time (RFC 3339, or 1h for an hour ago)
    #[arg(long, value_name = "TIME", value_parser = past)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OutcomeArg {
    Fired,
    Skipped,
    Dropped,
    Failed,
}

impl From<OutcomeArg> for Ended {
    fn from(outcome: OutcomeArg) -> Self {
        match outcome {
            OutcomeArg::Fired => Self::Fired,
            OutcomeArg::Skipped => Self::Skipped,
            OutcomeArg::Dropped => Self::Dropped,
            OutcomeArg::Failed => Self::Failed,
        }
    }
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    let key = args.name.as_deref().map(|name| session.key(name)).transpose()?;
    let everywhere = || if args.all_namespaces { String::new() } else { session.namespace.clone() };
    let query = OccurrenceQuery {
        namespace: key.as_ref().map_or_else(everywhere, |key| key.namespace.clone()),
        definition_id: key.as_ref().map(|key| key.id.clone()).unwrap_or_default(),
        outcomes: args.outcome.into_iter().map(Into::into).collect(),
        reason: args.reason,
        since: args.since,
        until: args.until,
        ..OccurrenceQuery::default()
    };
    let mut printer = Printer::list(args.output.output);
    let zone = zone_of(&session.client, key.as_ref().filter(|_| printer.is_table())).await;
    let chosen = chosen(&session.client, &query.namespace, &args.selector).await?;
    // Of those that are left out here, the server knows nothing.
    let last = if args.counts || chosen.is_some() { 0 } else { args.last };
    let (mut pages, mut account, mut left) = (Pages::new(last), Account::default(), args.last);
    while let Some(mut occurrences) = pages.next(|page| session.client.occurrences(&query, page)).await? {
        occurrences.retain(|one| chosen.as_ref().is_none_or(|chosen| chosen.contains(&one.definition)));
        if args.counts {
            account.add(&occurrences);
            continue;
        }
        if args.last > 0 {
            occurrences.truncate(usize::try_from(left).unwrap_or(usize::MAX));
            left -= occurrences.len() as u64;
        }
        print(&mut printer, &occurrences, key.is_some(), &zone)?;
        if args.last > 0 && left == 0 {
            break;
        }
    }
    account.print(&mut printer)?;
    if printer.printed() == 0 {
        say("no occurrences");
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// Of `--reason`.
fn reasons() -> String {
    let all: Vec<_> = flintwheel_node::api::occurrence_reasons().collect();
    format!("Only those with this reason: {}", all.join(", "))
}

/// A time, or how long ago.
fn past(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Ok(time);
    }
    let span: Option<Span> = text.parse().ok();
    let ago = span.and_then(|span| chrono::TimeDelta::from_std(span.into()).ok());
    let time = ago.and_then(|ago| Utc::now().checked_sub_signed(ago));
    time.ok_or_else(|| "is a time such as 2026-12-24T08:00:00Z, or a length of time such as 1h".to_owned())
}

/// The definitions that have these labels now; none where all are meant.
async fn chosen(client: &Client, namespace: &str, selector: &str) -> Result<Option<HashSet<DefinitionKey>>, Failure> {
    if selector.is_empty() {
        return Ok(None);
    }
    let (namespace, label_selector) = (namespace.to_owned(), selector.to_owned());
    let query = ListQuery { namespace, label_selector, paused: None };
    let (mut pages, mut keys) = (Pages::new(0), HashSet::new());
    while let Some(records) = pages.next(|page| client.list(&query, page)).await? {
        keys.extend(records.iter().map(|record| key_of(&record.definition)));
    }
    Ok(Some(keys))
}

/// The definition's own zone, for what a server does not tell; UTC for many of them, and for one that has been deleted.
async fn zone_of(client: &Client, key: Option<&DefinitionKey>) -> Zone {
    match key {
        Some(key) => client.get(key).await.map_or(Zone::UTC, |record| Zone::of(&record.definition)),
        None => Zone::UTC,
    }
}

/// Some occurrences, of one definition or of many.
pub(super) fn print(
    printer: &mut Printer,
    occurrences: &[Occurrence],
    of_one: bool,
    zone: &Zone,
) -> Result<(), Failure> {
    if !printer.is_table() {
        let name = |o: &Occurrence| format!("occurrence/{}/{}", o.definition, o.firing_key);
        return occurrences.iter().try_for_each(|o| printer.value(&name(o), o));
    }
    let head = ["DEFINITION", "DUE", "ENDED", "LATE", "WORKFLOW", "REASON"];
    let first = usize::from(of_one);
    let rows: Vec<Vec<String>> = occurrences.iter().map(|o| row(o, zone).into_iter().skip(first).collect()).collect();
    printer.rows(&head[first..], &rows)
}

fn row(occurrence: &Occurrence, zone: &Zone) -> Vec<String> {
    let fired = occurrence.outcome == Ended::Fired;
    let late = occurrence.started_at.and_then(|started| (started - occurrence.due).to_std().ok());
    vec![
        occurrence.definition.to_string(),
        zone.told_at(occurrence.due, occurrence.utc_offset_seconds).exact(occurrence.due),
        if fired && occurrence.started_at.is_none() {
            "pending".to_owned()
        } else {
            occurrence.outcome.as_str().to_owned()
        },
        late.map(compact).unwrap_or_default(),
        occurrence.workflow_id.clone(),
        reason(occurrence),
    ]
}

/// `overlap: run 7f3a.. open`, and how many due times it stands for.
fn reason(occurrence: &Occurrence) -> String {
    let parts = [occurrence.reason.as_str(), occurrence.detail.as_str()];
    let mut reason = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
    if occurrence.count > 1 {
        reason.push_str(&format!(" ({} due times)", occurrence.count));
    }
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occurrence() -> Occurrence {
        let time = |text: &str| text.parse().expect("a time");
        Occurrence {
            definition: DefinitionKey::new("billing", "invoice-reminder"),
            version: 1,
            firing_key: "t:2026-11-23T08:00:00Z".into(),
            outcome: Ended::Fired,
            reason: String::new(),
            detail: String::new(),
            due: time("2026-11-23T08:00:00Z"),
            decided_at: time("2026-11-23T08:00:00.001Z"),
            started_at: Some(time("2026-11-23T08:00:00.004Z")),
            workflow_id: "w".into(),
            count: 1,
            utc_offset_seconds: None,
        }
    }

    #[test]
    fn a_time_of_the_past_is_a_time_or_how_long_ago() {
        assert_eq!(
            past("2026-11-23T09:00:00+01:00").map(|time| time.to_rfc3339()),
            Ok("2026-11-23T08:00:00+00:00".into())
        );
        let hour = chrono::TimeDelta::hours(1);
        let earliest = Utc::now() - hour;
        let told = past("1h").expect("a length");
        assert!(earliest <= told && told <= Utc::now() - hour, "{told}");
        for bad in ["", "soon", "-1h"] {
            assert!(past(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn each_ending_has_its_row() {
        let berlin = Zone::named("Europe/Berlin");
        let due = "2026-11-23 09:00:00 +0100";
        let waiting = Occurrence { started_at: None, ..occurrence() };
        let skipped = Occurrence {
            outcome: Ended::Skipped,
            started_at: None,
            workflow_id: String::new(),
            reason: "late".into(),
            detail: "window 1h".into(),
            count: 7,
            ..occurrence()
        };
        let elsewhere = Occurrence { utc_offset_seconds: Some(7_200), ..occurrence() };
        for (occurrence, expected) in [
            (elsewhere, ["2026-11-23 10:00:00 +0200", "fired", "4ms", "w", ""]),
            (occurrence(), [due, "fired", "4ms", "w", ""]),
            (waiting, [due, "pending", "", "w", ""]),
            (skipped, [due, "skipped", "", "", "late: window 1h (7 due times)"]),
        ] {
            assert_eq!(row(&occurrence, &berlin)[1..], expected);
        }
    }
}
