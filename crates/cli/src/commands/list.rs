//! `flintwheel list`.

use chrono::Utc;
use flintwheel_client::ListQuery;

use super::{pages::Pages, show};
use crate::config::Connection;
use crate::exit::{Exit, Outcome};
use crate::output::{OutputArgs, Printer, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Only those whose labels match: k=v, k!=v, k in (a,b), k notin (a,b), k, !k; with commas between
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those that are paused
    #[arg(long)]
    paused: bool,
    /// At most this many; 0 for all
    #[arg(long, default_value_t = 500)]
    limit: u64,
    /// What any replica knows by now, also where a shard has no leader
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?.reading(args.stale);
    let query = ListQuery {
        namespace: if args.all_namespaces { String::new() } else { session.namespace.clone() },
        label_selector: args.selector,
        paused: args.paused.then_some(true),
    };
    let mut pages = Pages::new(args.limit);
    let mut printer = Printer::list(args.output.output);
    while let Some(records) = pages.next(|page| session.client.list(&query, page)).await? {
        show::records(&mut printer, &records, Utc::now())?;
    }
    let printed = printer.printed();
    printer.finish()?;
    if pages.has_more() {
        say(format_args!("there are more than these {printed}; --limit 0 lists all"));
    } else if printed == 0 {
        let place =
            if args.all_namespaces { "any namespace".to_owned() } else { format!("namespace {}", session.namespace) };
        say(format_args!("no definitions in {place}"));
    }
    Ok(Exit::Ok)
}
