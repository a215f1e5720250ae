//! `cargo xtask lint`: format, clippy without a warning, the wire contracts, and licences and bans where cargo-deny is installed.

use crate::shell::{self, say};
use crate::{Result, proto, setup};

/// Runs all of them, cheap ones first.
pub fn run() -> Result<()> {
    let tools = setup::run()?;
    say("format");
    shell::run(tools.cargo().args(["fmt", "--all", "--check"]))
        .map_err(|error| format!("{error}; `cargo fmt --all` puts it right"))?;
    proto::check()?;
    if shell::succeeds(shell::cargo().args(["deny", "--version"])) {
        say("licences, bans, sources");
        let mut deny = tools.cargo();
        deny.args(["deny", "--log-level", "error", "--workspace", "check", "bans", "licenses", "sources"]);
        shell::run(&mut deny)?;
    } else {
        say("skipped: licences and bans (`cargo install cargo-deny` adds them)");
    }
    say("clippy");
    shell::run(tools.cargo().args(["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}
