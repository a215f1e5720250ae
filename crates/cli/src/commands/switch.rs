//! `flintwheel pause` and `flintwheel resume`.

use flintwheel_client::{Client, Error, Switched};
use flintwheel_model::DefinitionKey;

use super::show;
use crate::config::{Connection, RequestArg};
use crate::exit::{Exit, Outcome, exit_of};
use crate::output::{OutputArgs, Printer, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    #[arg(required = true)]
    names: Vec<String>,
    /// Why, for those who wonder later
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    request: RequestArg,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn pause(args: Args) -> Outcome {
    let note = args.note.clone();
    switch(args, ["paused", "was paused before"], |client, key| {
        let note = note.clone();
        async move { client.pause(&key, &note).await }
    })
    .await
}

pub async fn resume(args: Args) -> Outcome {
    let note = args.note.clone();
    switch(args, ["resumed", "was not paused"], |client, key| {
        let note = note.clone();
        async move { client.resume(&key, &note).await }
    })
    .await
}

/// Each by itself: that one is not there does not keep the others from it.
async fn switch<F>(args: Args, words: [&str; 2], call: impl Fn(Client, DefinitionKey) -> F) -> Outcome
where
    F: Future<Output = Result<Switched, Error>>,
{
    let session = args.connection.open()?.requesting(&args.request);
    let mut printer = Printer::list(args.output.output);
    let mut exit = Exit::Ok;
    for key in session.keys(&args.names)? {
        let name = show::name(&key);
        match call(session.client.clone(), key).await {
            Ok(switched) if printer.is_table() => {
                printer.line(&format!("{name} {}", words[usize::from(!switched.changed)]))?;
            }
            Ok(switched) => printer.value(&name, &switched)?,
            Err(error) => {
                say(format_args!("error: {name}: {error}"));
                exit = exit_of(error.code);
            }
        }
    }
    printer.finish()?;
    Ok(exit)
}
