//! `flintwheel backfill ID --from TIME --to TIME`: due times of the past, fired at a pace.

use chrono::{DateTime, Utc};
use flintwheel_client::{Backfill, BackfillBegun, BackfillOrder, BackfillQuery, BackfillRequest, Client};
use flintwheel_model::definition::OverlapPolicy;
use flintwheel_model::{DefinitionKey, limits};
use tokio::time::sleep;

use super::backfills::{PAUSE, print, progress};
use super::show;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Watch, Zone, compact, confirm, grouped, plural};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID. It may be paused or disabled
    name: String,
    /// The first nominal time (RFC 3339)
    #[arg(long, value_name = "TIME", required_unless_present = "stop")]
    from: Option<DateTime<Utc>>,
    /// The last nominal time (RFC 3339); it belongs to the range
    #[arg(long, value_name = "TIME", required_unless_present = "stop")]
    to: Option<DateTime<Utc>>,
    /// Due times a second, at most 1,000; what is due by itself goes first
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rate: u32,
    /// oldest_first, or newest_first
    #[arg(long, default_value_t)]
    order: BackfillOrder,
    /// What becomes of its due times while a run is open: skip, buffer_one, buffer_all, cancel_other, terminate_other or allow_all [default: what
    /// the definition says]
    #[arg(long, value_name = "POLICY")]
    overlap: Option<OverlapPolicy>,
    /// Its name, which stands in its workflow ids: the same again fires nothing twice, another one fires the range once more [default: made of the
    /// range]
    #[arg(long = "as", value_name = "ID", default_value = "", hide_default_value = true)]
    id: String,
    /// Count its due times, and fire nothing
    #[arg(long)]
    dry_run: bool,
    /// Stay until it has ended, and show how far it is
    #[arg(long)]
    wait: bool,
    /// Stop the backfill of this id instead
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "rate", "order", "overlap", "id", "dry_run", "wait"])]
    stop: Option<String>,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    let key = session.key(&args.name)?;
    if let Some(backfill) = &args.stop {
        return stop(&args, &session.client, &key, backfill).await;
    }
    let mut request = request(&args)?;
    let counted = BackfillRequest { validate_only: true, ..request.clone() };
    let counted = session.client.backfill(&key, &counted).await?;
    let mut printer = Printer::one(args.output.output);
    if args.dry_run {
        match printer.is_table() {
            true => printer.line(&format!("{key} would fire {}{}", many(&counted), span(&counted)))?,
            false => printer.value(&show::name(&key), &counted)?,
        }
        printer.finish()?;
        return Ok(Exit::Ok);
    }
    let total = counted.backfill.total;
    if total > limits::BACKFILL_TIMES && !counted.repeated {
        request.allow_many = asked(&key, &counted, args.yes)?;
    }
    let begun = session.client.backfill(&key, &request).await?;
    match printer.is_table() {
        true => printer.line(&line(&key, &begun))?,
        // One value: how it has ended, where that is waited for.
        false if args.wait => return wait(&session.client, &key, &begun.backfill.backfill_id, printer).await,
        false => printer.value(&show::name(&key), &begun)?,
    }
    printer.finish()?;
    if !args.wait {
        return Ok(Exit::Ok);
    }
    wait(&session.client, &key, &begun.backfill.backfill_id, Printer::list(args.output.output)).await
}

fn request(args: &Args) -> Result<BackfillRequest, Failure> {
    let (Some(from), Some(to)) = (args.from, args.to) else {
        return Err(Failure::usage("a range has --from and --to"));
    };
    Ok(BackfillRequest {
        from,
        to,
        rate: args.rate,
        order: args.order,
        overlap_policy: args.overlap,
        backfill_id: args.id.clone(),
        validate_only: false,
        allow_many: false,
    })
}

/// Where nobody can be asked, so many must have been said.
fn asked(key: &DefinitionKey, counted: &BackfillBegun, yes: bool) -> Result<bool, Failure> {
    let many = format!("{}{}", many(counted), span(counted));
    if yes {
        return Ok(true);
    }
    if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
        let message = format!("{key} would fire {many}; --yes says that so many are meant. Nothing was fired");
        return Err(Failure::new(Exit::Refused, message));
    }
    confirm(&format!("Fire {many} of {key}?"), false).map(|()| true)
}

/// `about 315,360,000 due times`.
fn many(begun: &BackfillBegun) -> String {
    let BackfillBegun { backfill, estimated, .. } = begun;
    format!("{}{}", if *estimated { "about " } else { "" }, plural(backfill.total, "due time"))
}

/// How long that takes, and where it begins.
fn span(begun: &BackfillBegun) -> String {
    let Backfill { total, rate, next, .. } = &begun.backfill;
    let Some(next) = next else { return String::new() };
    let takes = std::time::Duration::from_secs(total / u64::from((*rate).max(1)));
    format!(", {} a second ({}), from {} on", grouped((*rate).into()), compact(takes), Zone::UTC.exact(*next))
}

fn line(key: &DefinitionKey, begun: &BackfillBegun) -> String {
    let Backfill { backfill_id, .. } = &begun.backfill;
    if begun.repeated {
        let state = begun.backfill.state();
        return format!(
            "{key}: this backfill is there already ({state}): {backfill_id}; --as another id fires the range once more"
        );
    }
    match begun.backfill.total {
        0 => format!("{key} has no due time in this range"),
        _ => format!("{key}: backfill {backfill_id} has begun, of {}{}", many(begun), span(begun)),
    }
}

async fn stop(args: &Args, client: &Client, key: &DefinitionKey, backfill: &str) -> Outcome {
    let stopped = client.stop_backfill(key, backfill).await?;
    let mut printer = Printer::one(args.output.output);
    let name = show::name(key);
    match (printer.is_table(), stopped.changed) {
        (false, _) => printer.value(&name, &stopped)?,
        (true, true) => {
            printer.line(&format!("{key}: backfill {backfill} stopped, {}", progress(&stopped.backfill)))?
        }
        (true, false) => printer.line(&format!("{key}: backfill {backfill} had ended before"))?,
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// Prints how it has ended.
async fn wait(client: &Client, key: &DefinitionKey, id: &str, mut printer: Printer) -> Outcome {
    let query = BackfillQuery { namespace: key.namespace.clone(), definition_id: key.id.clone(), running: false };
    let mut watch = Watch::new();
    loop {
        let found = client.backfills(&query).await?.items.into_iter().find(|known| known.backfill_id == id);
        let Some(known) = found else {
            watch.done();
            return Err(Failure::new(Exit::NotFound, format!("backfill {id} of {key} is gone")));
        };
        if known.ended_at.is_some() {
            watch.done();
            print(&mut printer, std::slice::from_ref(&known), Utc::now())?;
            printer.finish()?;
            return Ok(if known.stopped { Exit::Failed } else { Exit::Ok });
        }
        watch.tell(&progress(&known));
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    #[test]
    fn a_range_has_two_ends_and_stopping_needs_none() {
        for (line, allowed) in [
            ("x --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z", true),
            ("x --from 2026-01-01T00:00:00Z", false),
            ("x", false),
            ("x --stop b", true),
            ("x --stop b --from 2026-01-01T00:00:00Z", false),
            ("x --from yesterday --to 2026-02-01T00:00:00Z", false),
            ("x --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --rate 0", false),
            ("x --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --order backwards", false),
            ("x --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z --order newest_first --overlap skip", true),
        ] {
            let words = std::iter::once("backfill").chain(line.split(' '));
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
