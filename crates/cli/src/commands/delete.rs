//! `flintwheel delete`.

use flintwheel_model::DefinitionKey;

use super::dry_run::DryRun;
use super::{prune, show};
use crate::config::{Connection, RequestArg, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, confirm, plural, say};
use crate::read::{Files, Input, key};

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("which").required(true).multiple(true)))]
pub struct Args {
    /// ID, or NAMESPACE/ID
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
    let keys = chosen(&args, &session).await?;
    let mut printer = Printer::list(args.output.output);
    if args.dry_run == DryRun::Client {
        for key in &keys {
            printer.line(&format!("{} deleted{}", show::name(key), args.dry_run.suffix()))?;
        }
        printer.finish()?;
        return Ok(Exit::Ok);
    }
    if keys.is_empty() {
        say("nothing matches; nothing was deleted");
    }
    // One that was named is meant; many, or what a selector found, may surprise.
    if args.dry_run == DryRun::None && (keys.len() > 1 || args.selector.is_some()) && !keys.is_empty() {
        confirm(&format!("Delete {}, {}?", plural(keys.len() as u64, "definition"), sample(&keys)), args.yes)?;
    }
    let deleted =
        prune::delete(&session.client, &keys, args.dry_run, "deleted", args.ignore_not_found, &mut printer).await?;
    printer.finish()?;
    Ok(deleted)
}

async fn chosen(args: &Args, session: &Session) -> Result<Vec<DefinitionKey>, Failure> {
    let mut keys = session.keys(&args.names)?;
    let files = Files { filename: args.files.filename.clone(), recursive: args.files.recursive };
    let input = Input::read(&files, &session.namespace);
    let input = input.map_err(|faults| Failure::faults(&faults, "nothing was deleted"))?;
    keys.extend(input.definitions().map(key));
    if let Some(selector) = &args.selector {
        keys.extend(prune::matching(&session.client, &session.namespace, selector).await?);
    }
    Ok(keys)
}

/// The first few, so that a slip is seen before it is confirmed.
fn sample(keys: &[DefinitionKey]) -> String {
    let mut sample = keys.iter().take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if keys.len() > 3 {
        sample.push_str(" ...");
    }
    sample
}
