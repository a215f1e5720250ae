//! `flintwheel backfills`: due times of the past that fire at a pace, or have lately.

use std::time::Duration;

use chrono::{DateTime, Utc};
use flintwheel_client::{Backfill, BackfillQuery};
use tokio::time::sleep;

use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Watch, Zone, ago, grouped, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only this definition's: ID, or NAMESPACE/ID
    name: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "name")]
    all_namespaces: bool,
    /// Only those under way
    #[arg(long)]
    running: bool,
    /// Stay until none is under way, and show how far they are
    #[arg(long)]
    watch: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Between two looks at how far they are.
pub const PAUSE: Duration = Duration::from_secs(1);

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    let key = args.name.as_deref().map(|name| session.key(name)).transpose()?;
    let query = match key {
        Some(key) => BackfillQuery { namespace: key.namespace, definition_id: key.id, running: args.running },
        None => BackfillQuery {
            namespace: if args.all_namespaces { String::new() } else { session.namespace.clone() },
            definition_id: String::new(),
            running: args.running,
        },
    };
    if args.watch {
        let mut watch = Watch::new();
        loop {
            let all = session.client.backfills(&query).await?.items;
            let running: Vec<&Backfill> = all.iter().filter(|known| known.ended_at.is_none()).collect();
            if running.is_empty() {
                break;
            }
            let told = running.iter().take(3).map(|known| format!("{}: {}", known.definition, progress(known)));
            let more = if running.len() > 3 { format!(", and {} more", running.len() - 3) } else { String::new() };
            watch.tell(&format!("{}{more}", told.collect::<Vec<_>>().join("; ")));
            sleep(PAUSE).await;
        }
        watch.done();
    }
    let found = session.client.backfills(&query).await?;
    let mut printer = Printer::list(args.output.output);
    print(&mut printer, &found.items, Utc::now())?;
    printer.finish()?;
    if found.items.is_empty() {
        say(if args.running { "no backfill is under way" } else { "no backfills" });
    }
    if found.truncated {
        say(format_args!("there are more than these {}; name a definition", found.items.len()));
    }
    Ok(Exit::Ok)
}

/// One row for each.
pub fn print(printer: &mut Printer, backfills: &[Backfill], now: DateTime<Utc>) -> Result<(), Failure> {
    if !printer.is_table() {
        let name = |known: &Backfill| format!("backfill/{}/{}", known.definition, known.backfill_id);
        return backfills.iter().try_for_each(|known| printer.value(&name(known), known));
    }
    let wide = printer.is_wide();
    let rows: Vec<_> = backfills.iter().map(|known| row(known, wide, now)).collect();
    let head = ["DEFINITION", "BACKFILL", "STATE", "DECIDED", "NEXT", "BEGUN", "RATE", "ORDER", "OVERLAP", "SKIPPED"];
    printer.rows(&head[..if wide { 10 } else { 6 }], &rows)
}

fn row(known: &Backfill, wide: bool, now: DateTime<Utc>) -> Vec<String> {
    let mut row = vec![
        known.definition.to_string(),
        known.backfill_id.clone(),
        known.state().to_owned(),
        progress(known),
        known.next.map(|next| Zone::UTC.exact(next)).unwrap_or_default(),
        known.begun_at.map(|begun| ago(begun, now)).unwrap_or_default(),
    ];
    if wide {
        row.push(format!("{}/s", known.rate));
        row.push(known.order.to_string());
        row.push(known.overlap_policy.map(|policy| policy.as_str().to_owned()).unwrap_or_default());
        row.push(grouped(known.skipped));
    }
    row
}

/// `1,200 of 86,400 (1%)`.
pub fn progress(known: &Backfill) -> String {
    let percent = (known.decided.min(known.total) * 100).checked_div(known.total);
    let percent = percent.map(|percent| format!(" ({percent}%)")).unwrap_or_default();
    format!("{} of {}{percent}", grouped(known.decided), grouped(known.total))
}

#[cfg(test)]
mod tests {
    use flintwheel_client::BackfillOrder;
    use flintwheel_model::DefinitionKey;

    use super::*;

    #[test]
    fn a_row_says_how_far_it_is() {
        let time = |text: &str| text.parse().expect("a time");
        let mut known = Backfill {
            definition: DefinitionKey::new("n", "d"),
            backfill_id: "b".into(),
            from: time("2026-11-01T00:00:00Z"),
            to: time("2026-11-02T00:00:00Z"),
            rate: 7,
            order: BackfillOrder::NewestFirst,
            overlap_policy: None,
            total: 86_400,
            decided: 1_200,
            skipped: 3,
            next: Some(time("2026-11-01T12:00:00Z")),
            begun_at: Some(time("2026-11-03T00:00:00Z")),
            ended_at: None,
            stopped: false,
        };
        let now = time("2026-11-03T00:02:00Z");
        let expected = ["n/d", "b", "running", "1,200 of 86,400 (1%)", "2026-11-01 12:00:00 +0000", "2m ago"];
        assert_eq!(row(&known, false, now), expected);
        assert_eq!(row(&known, true, now)[6..], ["7/s", "newest_first", "", "3"]);
        (known.total, known.decided, known.ended_at) = (0, 0, Some(now));
        assert_eq!((progress(&known).as_str(), known.state()), ("0 of 0", "done"));
    }
}
