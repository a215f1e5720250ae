//! `flintwheel get ID...`, `flintwheel get calendars`, `flintwheel get calendar NAME...`.

use chrono::Utc;
use futures::{StreamExt, TryStreamExt, stream};

use super::{calendars, show};
use crate::config::Connection;
use crate::exit::{Exit, Outcome};
use crate::output::{OutputArgs, Printer};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID; or `calendar` and names of calendars; or `calendars` for all of the namespace
    #[arg(required = true)]
    names: Vec<String>,
    /// What any replica knows by now, also where a shard has no leader
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Calls under way at once.
const UNDER_WAY: usize = 16;

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?.reading(args.stale);
    if let Some(names) = calendars::meant(&args.names) {
        let format = args.output.output;
        let printer = if names.len() == 1 { Printer::one(format) } else { Printer::list(format) };
        return calendars::get(&session, names, printer).await;
    }
    let keys = session.keys(&args.names)?;
    let calls = keys.iter().map(|key| session.client.get(key));
    let records: Vec<_> = stream::iter(calls).buffered(UNDER_WAY).try_collect().await?;
    let format = args.output.output;
    let mut printer = if keys.len() == 1 { Printer::one(format) } else { Printer::list(format) };
    show::records(&mut printer, &records, Utc::now())?;
    printer.finish()?;
    Ok(Exit::Ok)
}
