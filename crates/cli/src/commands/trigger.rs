//! `flintwheel trigger ID`.

use std::path::PathBuf;
use std::time::Duration;

use flintwheel_client::{
    Client, Code, Error, Occurrence, OccurrenceQuery, Outcome as Ended, PageRequest, Triggered, reason,
};
use flintwheel_model::definition::OverlapPolicy;
use flintwheel_model::{DefinitionKey, Span};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::show;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    name: String,
    /// What templates see as `input`, as JSON
    #[arg(short, long, value_name = "JSON")]
    input: Option<String>,
    /// The same from a file, or from standard input (-)
    #[arg(long, value_name = "FILE|-", conflicts_with = "input")]
    input_file: Option<PathBuf>,
    /// One firing for each request id, however often it is asked for [default: a new one]
    #[arg(long, default_value = "", hide_default_value = true)]
    request_id: String,
    /// What becomes of it while a run is open: skip, buffer_one, buffer_all, cancel_other, terminate_other or allow_all [default: what the
    /// definition says]
    #[arg(long, value_name = "POLICY")]
    overlap: Option<OverlapPolicy>,
    /// Wait until Temporal has taken it, for so long at most
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "30s")]
    wait: Option<Span>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Between two looks at whether it has started.
const PAUSE: Duration = Duration::from_millis(200);

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    let key = session.key(&args.name)?;
    let input = input(&args)?;
    let triggered = session.client.trigger(&key, &args.request_id, input.as_ref(), args.overlap).await?;
    let mut printer = Printer::one(args.output.output);
    let name = show::name(&key);
    match printer.is_table() {
        true => printer.line(&line(&name, &triggered))?,
        false => printer.value(&name, &triggered)?,
    }
    printer.flush()?;
    let Some(wait) = args.wait else { return Ok(Exit::Ok) };
    let ended = wait_for(&session.client, &key, &triggered, wait.into()).await?;
    if printer.is_table() {
        printer.line(&format!("{name} {}", ending(&ended)))?;
    }
    printer.finish()?;
    Ok(if ended.outcome == Ended::Fired { Exit::Ok } else { Exit::Failed })
}

fn input(args: &Args) -> Result<Option<Value>, Failure> {
    let text = match (&args.input, &args.input_file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) if path.as_os_str() == "-" => std::io::read_to_string(std::io::stdin())?,
        (None, Some(path)) => std::fs::read_to_string(path)
            .map_err(|error| Failure::new(Exit::Refused, format!("{} can't be read: {error}", path.display())))?,
        (None, None) => return Ok(None),
    };
    let value = serde_json::from_str(&text).map_err(|error| {
        Failure::new(
            Exit::Refused,
            format!("the input is not JSON: {error}; a text needs quotes of its own: '\"text\"'"),
        )
    })?;
    Ok(Some(value))
}

fn line(name: &str, triggered: &Triggered) -> String {
    let what = match triggered {
        Triggered { duplicate: true, .. } => "was triggered with this request id before",
        Triggered { skipped: true, .. } => return format!("{name} skipped: a run of it is open"),
        Triggered { waits: true, .. } => "waits for a run of it to end",
        _ => "triggered",
    };
    format!("{name} {what}   workflow {}", triggered.workflow_id)
}

async fn wait_for(
    client: &Client,
    key: &DefinitionKey,
    triggered: &Triggered,
    wait: Duration,
) -> Result<Occurrence, Failure> {
    let query = OccurrenceQuery {
        namespace: key.namespace.clone(),
        definition_id: key.id.clone(),
        firing_key: triggered.firing_key.clone(),
        ..OccurrenceQuery::default()
    };
    let give_up = Instant::now() + wait;
    loop {
        let page = PageRequest { size: 1, token: String::new() };
        let found = client.occurrences(&query, page).await?.items.into_iter().next();
        if let Some(ended) = found.filter(|o| o.started_at.is_some() || o.outcome != Ended::Fired) {
            return Ok(ended);
        }
        if Instant::now() + PAUSE > give_up {
            let place = if triggered.waits { "for a run of its definition" } else { "in the outbox" };
            let message = format!("it waits {place} still, after {}", crate::output::compact(wait));
            return Err(Error::new(Code::DeadlineExceeded, reason::DEADLINE, message).into());
        }
        sleep(PAUSE).await;
    }
}

fn ending(occurrence: &Occurrence) -> String {
    match occurrence.outcome {
        Ended::Fired => "started".to_owned(),
        other => format!("{}: {} {}", other.as_str(), occurrence.reason, occurrence.detail).trim_end().to_owned(),
    }
}
