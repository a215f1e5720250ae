//! `flintwheel schema`.

use std::io::{self, Write};

use clap::ValueEnum;
use flintwheel_model::schema;

use crate::exit::{Exit, Outcome};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Of what
    #[arg(value_enum, default_value = "definition")]
    kind: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    Definition,
    Calendar,
}

pub fn run(args: &Args) -> Outcome {
    let schema = match args.kind {
        Kind::Definition => schema::definition(),
        Kind::Calendar => schema::calendar(),
    };
    writeln!(io::stdout(), "{schema:#}")?;
    Ok(Exit::Ok)
}
