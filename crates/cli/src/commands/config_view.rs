//! `flintwheel config view`: each value of a server's configuration, and where it came from.

use std::io::{self, Write};

use clap::Subcommand;

use crate::exit::{Exit, Failure, Outcome};
use crate::serve::ServeArgs;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print each value and where it came from
    View(View),
}

#[derive(Debug, clap::Args)]
struct View {
    #[command(flatten)]
    serve: ServeArgs,
}

pub fn run(args: Args) -> Outcome {
    let Command::View(view) = args.command;
    let refused = |error: &dyn std::fmt::Display| Failure::new(Exit::Refused, error);
    let config = view.serve.load().map_err(|error| refused(&format_args!("{error:#}")))?;
    let mut out = io::stdout();
    for (key, setting) in config.view() {
        writeln!(out, "{:<26} {:<32} {}", key.name, format!("{:?}", setting.value), setting.origin)?;
    }
    for (name, own) in config.namespaces() {
        let pace = own.catch_up_pace.map(|pace| pace.to_string());
        for (key, value) in
            [("temporal_namespace", &own.temporal_namespace), ("task_queue", &own.task_queue), ("catch_up_pace", &pace)]
        {
            if let Some(value) = value {
                writeln!(out, "{:<26} {:?}", format!("namespaces.{name}.{key}"), value)?;
            }
        }
    }
    // All is shown first: what is wrong is seen beside what it stands in.
    config.settings().map_err(|error| refused(&error))?;
    Ok(Exit::Ok)
}
