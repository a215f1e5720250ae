//! `cargo xtask`: everything that is done with this repository, as commands.
//!
//! It knows the programs of the workspace only by their command lines, and compiles in seconds: it is built first of all.

mod before;
mod bench;
mod build_dir;
mod demo;
mod lint;
mod place;
mod proto;
mod prove;
mod python;
mod quickstart;
mod setup;
mod shell;
mod tests;

use std::process::ExitCode;

/// An error is a text for the person at the terminal: what went wrong, and what to do.
type Result<T> = std::result::Result<T, String>;

const USAGE: &str = "\
cargo xtask COMMAND

  setup            installs what builds and tests need (all other commands do that too)
  env              prints the variables for a shell that runs cargo itself: eval \"$(cargo xtask env)\"
  demo [--keep]    builds, starts Temporal and Flintwheel, applies examples/, and shows what fires;
                   --keep leaves it running until Ctrl-C
  test [--quick]   all tests; --quick: only those that start no server. More arguments go to the test runner
  lint             format, clippy, wire contracts, and licences where cargo-deny is installed
  prove NAME       shows one promise under load and faults: figures, then PASS or FAIL. `prove list` names them
  bench            micro benchmarks; more arguments go to them
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    match run(&command, &rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &str, rest: &[String]) -> Result<()> {
    match command {
        "setup" => setup::run().map(|_| ()),
        "env" => setup::print_env(),
        "demo" => demo::run(rest),
        "test" => tests::run(rest),
        "lint" => lint::run(),
        "prove" => prove::run(rest),
        "bench" => bench::run(rest),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(format!("there is no command `{other}`\n\n{USAGE}")),
    }
}
