//! `flintwheel rollback ID --to VERSION`: a definition as it was, as a new version.

use flintwheel_client::ChangeOptions;

use super::{diff, set, show};
use crate::config::{Connection, RequestArg};
use crate::exit::{Exit, Outcome};
use crate::output::{OutputArgs, Printer, confirm};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    name: String,
    /// The version to go back to, as `history` shows it
    #[arg(long, value_name = "VERSION")]
    to: u64,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
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

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?.requesting(&args.request);
    let key = session.key(&args.name)?;
    let mut printer = Printer::one(args.output.output);
    let name = show::name(&key);
    let current = session.client.get(&key).await?;
    let version = current.status.version;
    let mut options = ChangeOptions { validate_only: args.dry_run, ..ChangeOptions::default() };
    if args.dry_run {
        // The server says whether it could be done.
        session.client.rollback(&key, args.to, options).await?;
        let older = session.client.get_at(&key, Some(args.to), Some(current.status.incarnation)).await?;
        let sides = [(&current.definition, version), (&older.definition, args.to)];
        let diff = diff::of_versions(&key, sides)?;
        printer.line(if diff.is_empty() { "nothing would change" } else { diff.trim_end() })?;
        printer.finish()?;
        return Ok(Exit::Ok);
    }
    // What was looked at is what is changed; a request id of one's own stands for that otherwise.
    options.expected_version = args.request.is_new().then_some(version);
    confirm(&format!("Roll {key} back from version {version} to {}?", args.to), args.yes)?;
    let applied = session.client.rollback(&key, args.to, options).await?;
    match printer.is_table() {
        true => printer.line(&format!("{name} {}   as version {}", set::what(&applied), args.to))?,
        false => printer.value(&name, &applied)?,
    }
    printer.finish()?;
    Ok(Exit::Ok)
}
