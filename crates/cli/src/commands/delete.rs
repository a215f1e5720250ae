//! `flintwheel delete`, of definitions and of calendars.

use flintwheel_model::{Calendar, DefinitionKey};

use super::dry_run::DryRun;
use super::{calendars, prune, show};
use crate::config::{Connection, RequestArg, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, confirm, plural, say};
use crate::read::{Files, Input, calendar_key, key};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true)))]
pub struct Args {
    /// ID, or NAMESPACE/ID; or `calendar` and names of calendars
    #[arg(group = "which")]
    names: Vec<String>,
    #[command(flatten)]
    files: FilesArg,
    /// All of the namespace whose labels match, such as app=billing
    #[arg(short = 'l', long, value_name = "LABELS", group = "which", conflicts_with = "names")]
    selector: Option<String>,
    /// What is not there is no failure
    #[arg(long)]
    ignore_not_found: bool,
    /// Check only
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
    let (keys, named) = chosen(&args, &session).await?;
    let mut printer = Printer::list(args.output.output);
    if args.dry_run == DryRun::Client {
        for key in &keys {
            printer.line(&format!("{} deleted{}", show::name(key), args.dry_run.suffix()))?;
        }
        if args.selector.is_some() {
            say(format_args!("{} would be deleted", plural(keys.len() as u64, "definition")));
        }
        calendars::delete(&session.client, &named, args.dry_run, args.ignore_not_found, &mut printer).await?;
        printer.finish()?;
        return Ok(Exit::Ok);
    }
    let count = keys.len() + named.len();
    if count == 0 {
        say("nothing matches; nothing was deleted");
    }
    // One that was named is meant; many, or what a selector found, may surprise.
    if args.dry_run == DryRun::None && (count > 1 || args.selector.is_some()) && count > 0 {
        confirm(&format!("Delete {}, {}?", counted(&keys, &named), sample(&keys, &named)), args.yes)?;
    }
    let deleted =
        prune::delete(&session.client, &keys, args.dry_run, "deleted", args.ignore_not_found, &mut printer).await?;
    // After the definitions that use them.
    let gone = calendars::delete(&session.client, &named, args.dry_run, args.ignore_not_found, &mut printer).await?;
    printer.finish()?;
    Ok(if deleted == Exit::Ok { gone } else { deleted })
}

/// Definitions, and calendars.
async fn chosen(args: &Args, session: &Session) -> Result<(Vec<DefinitionKey>, Vec<DefinitionKey>), Failure> {
    let (mut keys, mut named) = match calendars::meant(&args.names) {
        Some([]) => return Err(Failure::usage("which calendar? `flintwheel get calendars` lists them")),
        Some(names) => (Vec::new(), calendars::keys(session, names)?),
        None => (session.keys(&args.names)?, Vec::new()),
    };
    let files = Files { filename: args.files.filename.clone(), recursive: args.files.recursive };
    let input = Input::read(&files, &session.namespace);
    let input = input.map_err(|faults| Failure::faults(&faults, "nothing was deleted"))?;
    keys.extend(input.definitions().map(key));
    // Those that refer to others go before them.
    let mut in_files: Vec<&Calendar> = input.calendars().collect();
    in_files = calendars::in_order(&in_files).into_iter().rev().map(|place| in_files[place]).collect();
    named.extend(in_files.into_iter().map(calendar_key));
    if let Some(selector) = &args.selector {
        keys.extend(prune::matching(&session.client, &session.namespace, selector).await?);
    }
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
