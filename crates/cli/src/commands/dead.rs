//! `flintwheel dead list|retry|drop`.

use clap::Subcommand;
use flintwheel_client::{DeadLetter, DeadLetterFilter, DeadLetterSelection, Error, Settled};

use super::pages::Pages;
use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Zone, confirm, plural, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show firings that Temporal refused for good
    List(ListArgs),
    /// Send them again, with the same workflow id
    Retry(SettleArgs),
    /// Forget them
    Drop(SettleArgs),
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Only of this definition: ID, or NAMESPACE/ID
    #[arg(long, value_name = "NAME")]
    definition: Option<String>,
    /// Only those whose reason contains this text
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    reason: String,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "definition")]
    all_namespaces: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// At most this many; 0 for all
    #[arg(long, default_value_t = 100)]
    limit: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
struct SettleArgs {
    /// Ids, as `dead list` shows them
    #[arg(required_unless_present_any = ["all", "definition", "reason"], conflicts_with_all = ["all", "definition", "reason"])]
    ids: Vec<String>,
    /// All of the namespace
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Ids in one call, as the contract has it.
const IDS: usize = 1000;

pub async fn run(args: Args) -> Outcome {
    match args.command {
        Command::List(args) => list(args).await,
        Command::Retry(args) => retry(args).await,
        Command::Drop(args) => drop(args).await,
    }
}

fn filter(args: &Filter, session: &Session) -> Result<DeadLetterFilter, Failure> {
    let key = args.definition.as_deref().map(|name| session.key(name)).transpose()?;
    let namespace = match &key {
        Some(key) => key.namespace.clone(),
        None if args.all_namespaces => String::new(),
        None => session.namespace.clone(),
    };
    let definition_id = key.map(|key| key.id).unwrap_or_default();
    Ok(DeadLetterFilter { namespace, definition_id, reason_contains: args.reason.clone(), refused_before: None })
}

async fn list(args: ListArgs) -> Outcome {
    let session = args.connection.open()?;
    let filter = filter(&args.filter, &session)?;
    let mut printer = Printer::list(args.output.output);
    let mut pages = Pages::new(args.limit);
    while let Some(letters) = pages.next(|page| session.client.dead_letters(&filter, page)).await? {
        print(&mut printer, &letters)?;
    }
    if printer.printed() == 0 {
        say("no dead letters");
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

fn print(printer: &mut Printer, letters: &[DeadLetter]) -> Result<(), Failure> {
    if !printer.is_table() {
        return letters.iter().try_for_each(|letter| printer.value(&letter.id, letter));
    }
    let wide = printer.is_wide();
    let row = |letter: &DeadLetter| {
        let mut row = vec![
            letter.id.clone(),
            letter.definition.to_string(),
            Zone::UTC.exact(letter.due),
            Zone::UTC.exact(letter.refused_at),
            letter.reason.clone(),
        ];
        if wide {
            row.push(letter.workflow_id.clone());
        }
        row
    };
    let head = ["ID", "DEFINITION", "DUE", "REFUSED", "REASON", "WORKFLOW"];
    printer.rows(&head[..if wide { 6 } else { 5 }], &letters.iter().map(row).collect::<Vec<_>>())
}

async fn retry(args: SettleArgs) -> Outcome {
    let session = args.connection.open()?;
    let selections = selections(&args, &session)?;
    let client = &session.client;
    settle(selections, "retried", |selection| async move { client.retry_dead(&selection).await }).await
}

async fn drop(args: SettleArgs) -> Outcome {
    let session = args.connection.open()?;
    let selections = selections(&args, &session)?;
    if args.ids.is_empty() {
        confirm("Drop all dead letters that match? Their firings will never start.", args.yes)?;
    }
    let client = &session.client;
    settle(selections, "dropped", |selection| async move { client.drop_dead(&selection).await }).await
}

fn selections(args: &SettleArgs, session: &Session) -> Result<Vec<DeadLetterSelection>, Failure> {
    if args.ids.is_empty() {
        return Ok(vec![DeadLetterSelection::Filter(filter(&args.filter, session)?)]);
    }
    Ok(args.ids.chunks(IDS).map(|ids| DeadLetterSelection::Ids(ids.to_vec())).collect())
}

async fn settle<F>(selections: Vec<DeadLetterSelection>, word: &str, call: impl Fn(DeadLetterSelection) -> F) -> Outcome
where
    F: Future<Output = Result<Settled, Error>>,
{
    let mut all = Settled { count: 0, not_found: Vec::new() };
    for selection in selections {
        let settled = call(selection).await?;
        all.count += settled.count;
        all.not_found.extend(settled.not_found);
    }
    let mut printer = Printer::one(crate::output::Format::Table);
    printer.line(&format!("{} {word}", plural(all.count, "dead letter")))?;
    printer.finish()?;
    for id in &all.not_found {
        say(format_args!("error: there is no dead letter {id:?}"));
    }
    Ok(if all.not_found.is_empty() { Exit::Ok } else { Exit::NotFound })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        _dead: super::Args,
    }

    #[test]
    fn nothing_is_dropped_unless_it_was_chosen() {
        for (line, allowed) in [
            ("drop", false),
            ("drop -A", false),
            ("drop a b", true),
            ("drop --all", true),
            ("drop --all -A", true),
            ("drop --reason x", true),
            ("retry --definition x", true),
            ("drop a --all", false),
            ("drop a --reason x", false),
        ] {
            let words = std::iter::once("dead").chain(line.split(' '));
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
