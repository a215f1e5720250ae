//! `flintwheel delete`, of definitions and of calendars.

use flintwheel_client::BulkAction;
use flintwheel_model::{Calendar, DefinitionKey};

use super::bulk::{Selection, Words};
use super::dry_run::DryRun;
use super::{calendars, prune};
use crate::config::{Connection, RequestArg, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, confirm, plural, say};
use crate::read::{Files, Input, Judge, calendar_key, key};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true)))]
pub struct Args {
    /// ID, or NAMESPACE/ID; or `calendar` and names of calendars
    #[arg(group = "which")]
    names: Vec<String>,
    #[command(flatten)]
    files: FilesArg,
    /// All of the namespace whose labels match, such as app=billing; * for every one
    #[arg(short = 'l', long, value_name = "LABELS", group = "which", conflicts_with_all = ["names", "filename"])]
    selector: Option<String>,
    /// With -l: of all namespaces
    #[arg(short = 'A', long, requires = "selector", conflicts_with_all = ["names", "filename"])]
    all_namespaces: bool,
    /// What is not there is no failure
    #[arg(long)]
    ignore_not_found: bool,
    /// Check only; with -l: tell how many that are, and which come first
    #[arg(long, value_enum, default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Don't ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    request: RequestArg,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// As in `apply`; only the names in the files matter.
#[derive(Clone, Debug, clap::Args)]
struct FilesArg {
    /// Those that stand in these files or directories, or in standard input (-); may be repeated
    #[arg(short = 'f', long = "filename", value_name = "FILE|DIR|-", group = "which")]
    filename: Vec<std::path::PathBuf>,
    /// Also read the directories below the given ones
    #[arg(short = 'R', long, requires = "filename")]
    recursive: bool,
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?.requesting(&args.request);
    let mut printer = Printer::list(args.output.output);
    if let Some(selector) = &args.selector {
        let labels = (selector.clone(), args.all_namespaces);
        let selection = Selection::of(labels, args.dry_run != DryRun::None, args.yes);
        let words = Words { ask: "Delete", doing: "deleting", done: "deleted" };
        return selection.run(&session, BulkAction::Delete, words, &args.request, printer).await;
    }
    let (keys, named) = chosen(&args, &session)?;
    if args.dry_run == DryRun::Client {
        for key in &keys {
            prune::print(&mut printer, key, None, "deleted", args.dry_run)?;
        }
        calendars::delete(&session.client, &named, args.dry_run, args.ignore_not_found, &mut printer).await?;
        printer.finish()?;
        return Ok(Exit::Ok);
    }
    let count = keys.len() + named.len();
    if count == 0 {
        say("nothing matches; nothing was deleted");
    }
    // One that was named is meant; many may surprise.
    if args.dry_run == DryRun::None && count > 1 {
        confirm(&format!("Delete {}, {}?", counted(&keys, &named), sample(&keys, &named)), args.yes)?;
    }
    let deleted =
        prune::delete(&session.client, &keys, args.dry_run, "deleted", args.ignore_not_found, &mut printer).await?;
    // After the definitions that use them.
    let gone = calendars::delete(&session.client, &named, args.dry_run, args.ignore_not_found, &mut printer).await?;
    printer.finish()?;
    Ok(if deleted == Exit::Ok { gone } else { deleted })
}

/// Definitions, and calendars: by their names, or as they stand in files.
fn chosen(args: &Args, session: &Session) -> Result<(Vec<DefinitionKey>, Vec<DefinitionKey>), Failure> {
    let (mut keys, mut named) = match calendars::meant(&args.names) {
        Some([]) => return Err(Failure::usage("which calendar? `flintwheel get calendars` lists them")),
        Some(names) => (Vec::new(), calendars::keys(session, names)?),
        None => (session.keys(&args.names)?, Vec::new()),
    };
    let files = Files { filename: args.files.filename.clone(), recursive: args.files.recursive };
    let input = Input::read(&files, &session.namespace, Judge::Server);
    let input = input.map_err(|faults| Failure::faults(&faults, "nothing was deleted"))?;
    keys.extend(input.definitions().map(key));
    // Those that refer to others go before them.
    let mut in_files: Vec<&Calendar> = input.calendars().collect();
    in_files = calendars::in_order(&in_files).into_iter().rev().map(|place| in_files[place]).collect();
    named.extend(in_files.into_iter().map(calendar_key));
    Ok((keys, named))
}

fn counted(keys: &[DefinitionKey], named: &[DefinitionKey]) -> String {
    let counts = [(keys.len(), "definition"), (named.len(), "calendar")];
    let some = counts.into_iter().filter(|(count, _)| *count > 0);
    some.map(|(count, what)| plural(count as u64, what)).collect::<Vec<_>>().join(" and ")
}

/// The first few, so that a slip is seen before it is confirmed.
fn sample(keys: &[DefinitionKey], named: &[DefinitionKey]) -> String {
    let all = keys.iter().map(ToString::to_string).chain(named.iter().map(calendars::name));
    let mut sample = all.take(3).collect::<Vec<_>>().join(", ");
    if keys.len() + named.len() > 3 {
        sample.push_str(" ...");
    }
    sample
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
    fn definitions_are_chosen_by_names_and_files_or_by_labels() {
        for (line, allowed) in [
            ("a b", true),
            ("a -f b.yaml", true),
            ("-l *", true),
            ("-A -l * --dry-run", true),
            ("-l team=x --dry-run=server -y", true),
            ("", false),
            ("-A", false),
            ("a -A", false),
            ("a -l *", false),
            ("-f b.yaml -l *", false),
        ] {
            let words = std::iter::once("delete").chain(line.split_whitespace());
            assert_eq!(Line::try_parse_from(words).is_ok(), allowed, "{line}");
        }
    }
}
