//! `cargo xtask prove NAME`: one promise, shown. All but `quickstart` and `simulate` are commands of `flintwheel-loadtest`.

use std::path::Path;

use crate::shell;
use crate::{Result, before, place, quickstart, setup};

/// Runs one of them, or lists them.
pub fn run(args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        None => Err("which one? `cargo xtask prove list` names them".to_owned()),
        Some("quickstart") => quickstart::run(),
        Some("simulate") => program("flintwheel-simulate", &args[1..], &[]),
        Some("list") => {
            println!("{:<12}both commands of a newcomer from a clean clone, in an empty HOME", "quickstart");
            println!(
                "{:<12}clusters from seeds, with faults without limit; --planted: bugs that must be found",
                "simulate"
            );
            loadtest(args)
        }
        Some("upgrade") => {
            let old = before::program()?;
            program("flintwheel-loadtest", &with_prove(args), &[("FLINTWHEEL_OLD_BIN", &old)])
        }
        Some(_) => loadtest(args),
    }
}

fn loadtest(args: &[String]) -> Result<()> {
    program("flintwheel-loadtest", &with_prove(args), &[])
}

fn with_prove(args: &[String]) -> Vec<String> {
    [&["prove".to_owned()], args].concat()
}

fn program(name: &str, args: &[String], environment: &[(&str, &Path)]) -> Result<()> {
    let tools = setup::run()?;
    tools.build_programs()?;
    shell::run(tools.command(place::program(name)).args(args).envs(environment.iter().copied()))
}
