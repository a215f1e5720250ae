//! `flintwheel publish`: one event from flags, or many from a file or standard input, one JSON object a line.

mod event;
mod lines;
mod send;

use std::path::PathBuf;

use chrono::{DateTime, Utc};

use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, grouped, plural};
use send::Totals;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Events from a file, or from standard input (-): one CloudEvent as JSON on each line
    #[arg(short = 'f', long = "filename", value_name = "FILE|-", conflicts_with = "event_type")]
    filename: Option<PathBuf>,
    #[command(flatten)]
    event: EventArgs,
    /// Events in one message
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=10_000), hide = true)]
    batch: u32,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// One event.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Event")]
pub(super) struct EventArgs {
    /// Its type, such as com.example.invoice.overdue
    #[arg(long = "type", value_name = "TYPE", required_unless_present = "filename")]
    event_type: Option<String>,
    /// Where it comes from
    #[arg(long, default_value = "flintwheel-cli")]
    source: String,
    /// Its id; with the source it says which events are the same [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// What it is about
    #[arg(long)]
    subject: Option<String>,
    /// When it happened (RFC 3339) [default: now]
    #[arg(long)]
    time: Option<DateTime<Utc>>,
    /// Its payload; JSON, unless --content-type says otherwise
    #[arg(short, long)]
    data: Option<String>,
    /// The payload's media type
    #[arg(long, default_value = "application/json")]
    content_type: String,
    /// An extension attribute; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    attr: Vec<String>,
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    let totals = match &args.filename {
        Some(path) => send::all(&session, lines::open(path)?, args.batch as usize).await,
        None => send::one(&session, event::from_args(&args.event, Utc::now())?).await?,
    };
    print(&args, &totals)?;
    Ok(exit(&totals))
}

fn print(args: &Args, totals: &Totals) -> Result<(), Failure> {
    let mut printer = Printer::one(args.output.output);
    match printer.is_table() {
        true => printer.line(&summary(totals))?,
        false => printer.value("events", totals)?,
    }
    printer.finish()
}

fn summary(totals: &Totals) -> String {
    let mut summary = format!("{} published", plural(totals.accepted, "event"));
    let details = [
        (totals.fired, "fired"),
        (totals.duplicate, "duplicate"),
        (totals.accepted - totals.matched.min(totals.accepted), "matched nothing"),
        (totals.refused, "refused"),
        (totals.lost, "not acknowledged"),
    ];
    for (count, what) in details.into_iter().filter(|(count, _)| *count > 0) {
        summary.push_str(&format!(", {} {what}", grouped(count)));
    }
    summary
}

fn exit(totals: &Totals) -> Exit {
    match totals {
        Totals { failure: Some(exit), .. } => *exit,
        Totals { refused: 1.., .. } => Exit::Refused,
        _ => Exit::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_tells_what_is_not_as_usual() {
        for (totals, expected, code) in [
            (Totals { accepted: 1, matched: 1, fired: 1, ..Totals::default() }, "1 event published, 1 fired", Exit::Ok),
            (
                Totals { accepted: 2000, matched: 1500, fired: 1400, duplicate: 100, refused: 3, ..Totals::default() },
                "2,000 events published, 1,400 fired, 100 duplicate, 500 matched nothing, 3 refused",
                Exit::Refused,
            ),
            (
                Totals { lost: 7, refused: 1, failure: Some(Exit::Unavailable), ..Totals::default() },
                "0 events published, 1 refused, 7 not acknowledged",
                Exit::Unavailable,
            ),
        ] {
            assert_eq!((summary(&totals).as_str(), exit(&totals)), (expected, code));
        }
    }
}
