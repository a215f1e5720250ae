//! `cargo xtask demo`: a Temporal dev server, `flintwheel dev` and a worker; the definitions of `examples/`; and what fires, as it happens.
//!
//! A script over the command lines of `flintwheel` and `temporal`: it does nothing that a user couldn't do by hand.

mod occurrence;
mod process;
mod script;
mod servers;
mod table;
mod time;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::shell::say;
use crate::{Result, setup};

use occurrence::Occurrence;
use script::Script;
use servers::Servers;

/// How long things fire before the sum is drawn: long enough for each schedule of `examples/` to come several times.
const WATCH: Duration = Duration::from_secs(40);

/// Runs it. With `--keep`, the servers stay until Ctrl-C.
pub fn run(args: &[String]) -> Result<()> {
    let keep = match args {
        [] => false,
        [flag] if flag == "--keep" => true,
        other => return Err(format!("`demo` knows no {other:?}; it takes `--keep` only")),
    };
    let tools = setup::run()?;
    tools.build_programs()?;
    let dir = std::env::temp_dir().join(format!("flintwheel-demo-{}", std::process::id()));
    fs::create_dir_all(&dir).map_err(|error| format!("create {}: {error}", dir.display()))?;
    let mut servers = Servers::start(&tools, &dir)?;
    let shown = show(&Script::new(&tools, &servers), &mut servers, &dir);
    if shown.is_ok() && keep {
        return servers.keep(&dir);
    }
    servers.stop();
    match shown {
        Ok(()) => fs::remove_dir_all(&dir).map_err(|error| format!("remove {}: {error}", dir.display())),
        Err(error) => Err(format!("{error}\nthe logs of all servers are in {}", dir.display())),
    }
}

fn show(script: &Script, servers: &mut Servers, dir: &Path) -> Result<()> {
    script.apply(dir)?;
    script.publish()?;
    say(&format!("what fires in the next {} seconds", WATCH.as_secs()));
    let mut seen = Vec::new();
    let begun = Instant::now();
    while begun.elapsed() < WATCH {
        servers.check()?;
        news(script, &mut seen)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    script.pause_all()?;
    settle(script, &mut seen)?;
    let workflows = script.workflows(&seen)?;
    table::print(&seen, &workflows)
}

/// Prints the occurrences that weren't there the last time, or weren't started then. The newest come last.
fn news(script: &Script, seen: &mut Vec<Occurrence>) -> Result<()> {
    for occurrence in script.occurrences()?.into_iter().rev() {
        if occurrence.waits() || seen.iter().any(|old| old.is(&occurrence)) {
            continue;
        }
        println!("{occurrence}");
        seen.push(occurrence);
    }
    Ok(())
}

/// Nothing new is decided any more; what is under way arrives.
fn settle(script: &Script, seen: &mut Vec<Occurrence>) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        news(script, seen)?;
        if script.occurrences()?.iter().all(|occurrence| !occurrence.waits()) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Err("some firings did not reach Temporal within 20 s".to_owned())
}
