//! `flintwheel completion SHELL`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use super::Cli;
use crate::exit::{Exit, Outcome};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// For which shell; for bash: source <(flintwheel completion bash)
    shell: Shell,
}

pub fn run(args: &Args) -> Outcome {
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "flintwheel", &mut script);
    io::stdout().write_all(&script)?;
    Ok(Exit::Ok)
}
