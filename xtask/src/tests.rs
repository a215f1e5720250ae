//! `cargo xtask test`: unit, property and documentation tests, and end to end with real processes and a real Temporal.

use crate::shell::{self, say};
use crate::{Result, setup};

/// Runs all tests; the runner's own summary is the last line.
pub fn run(args: &[String]) -> Result<()> {
    let quick = args.iter().any(|arg| arg == "--quick");
    let rest: Vec<&String> = args.iter().filter(|arg| *arg != "--quick").collect();
    let tools = setup::run()?;
    let nextest = shell::succeeds(shell::cargo().args(["nextest", "--version"]));
    if !quick {
        tools.build_programs()?;
        say("tests in the documentation");
        shell::run(tools.cargo().args(["test", "--workspace", "--doc", "--quiet"]))?;
    }
    say(if nextest { "tests" } else { "tests (cargo-nextest, where installed, runs them faster)" });
    let mut command = tools.cargo();
    command.args(if nextest { &["nextest", "run"][..] } else { &["test"] });
    command.args(["--workspace", "--no-fail-fast"]);
    if quick {
        command.args(["--lib", "--bins", "--test", "tidy", "--test", "crate_graph"]);
    }
    shell::run(command.args(rest))
}
