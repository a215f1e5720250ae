//! `cargo xtask bench`: the micro benchmarks.

use crate::shell;
use crate::{Result, setup};

/// Runs them in the profile of everything else, so that nothing is compiled anew for them.
pub fn run(args: &[String]) -> Result<()> {
    let tools = setup::run()?;
    shell::run(tools.cargo().args(["bench", "--package", "flintwheel-benches", "--profile", "dev", "--"]).args(args))
}
