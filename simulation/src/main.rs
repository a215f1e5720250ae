//! `flintwheel-simulate`: clusters from seeds, many of them, one again, or with bugs planted. Prints figures.

use clap::Parser;
use flintwheel_simulation::{Planted, Report, TOTALS, campaign, run};
use std::io;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A planted bug must be found within so many seeds.
const WITHIN: u64 = 200;
/// Of a campaign: how often it says how far it is.
const TELL: u64 = 500;

/// Whole clusters in one process, each from a seed: faults without limit, then none, and what must hold is looked at all the time.
#[derive(Parser)]
struct Options {
    /// How many seeds
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    first: u64,
    /// This seed alone, twice: both runs must be the same
    #[arg(long)]
    seed: Option<u64>,
    /// With this bug planted
    #[arg(long)]
    plant: Option<Planted>,
    /// Plant one bug after the other, and show how many seeds it takes to find it
    #[arg(long)]
    planted: bool,
    /// Runs at a time; all cores if not given
    #[arg(long)]
    threads: Option<usize>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match (options.seed, options.planted) {
        (Some(seed), _) => one(seed, options.plant),
        (None, true) => all_planted(threads(&options)),
        (None, false) => many(&options),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("a run can't be made: {error}");
            ExitCode::FAILURE
        }
    }
}

fn threads(options: &Options) -> usize {
    options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

fn one(seed: u64, planted: Option<Planted>) -> io::Result<bool> {
    let (first, second) = (run(seed, planted)?, run(seed, planted)?);
    println!("{first:#?}");
    if first != second {
        println!("the same seed again gave another run: {second:#?}");
        return Ok(false);
    }
    Ok(first.violation.is_none())
}

fn many(options: &Options) -> io::Result<bool> {
    let (begun, done) = (Instant::now(), AtomicU64::new(0));
    let told = |_: &Report| {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        if done.is_multiple_of(TELL) {
            println!("{done} seeds, {:.0} s", begun.elapsed().as_secs_f64());
        }
    };
    let seeds = options.first..options.first + options.seeds;
    let campaign = campaign(seeds, options.plant, threads(options), told)?;
    let took = begun.elapsed().as_secs_f64();
    println!("{:<32}{}", "seeds", campaign.runs);
    println!("{:<32}{:.0}", "seeds a minute", campaign.runs as f64 * 60.0 / took);
    println!("{:<32}{:.0}", "simulated seconds a second", campaign.time.as_secs_f64() / took);
    for (name, total) in TOTALS.iter().zip(campaign.totals) {
        println!("{name:<32}{total}");
    }
    if let Some(failed) = &campaign.failed {
        tell(failed, options.plant);
    }
    println!("{}", if campaign.failed.is_none() { "no violation" } else { "VIOLATION" });
    Ok(campaign.failed.is_none())
}

fn tell(failed: &Report, planted: Option<Planted>) {
    if let Some(violation) = &failed.violation {
        println!("seed {} at {:?}: {}: {}", failed.seed, violation.at, violation.property, violation.what);
    }
    let plant = planted.map(|bug| format!(" --plant {}", bug.name())).unwrap_or_default();
    println!("to see it again: cargo xtask prove simulate --seed {}{plant}", failed.seed);
}

fn all_planted(threads: usize) -> io::Result<bool> {
    let mut all = true;
    println!("{:<28}{:>6}  property", "planted bug", "seed");
    for bug in Planted::all() {
        let campaign = campaign(1..WITHIN + 1, Some(*bug), threads, |_| ())?;
        let found =
            campaign.failed.as_ref().and_then(|failed| Some((failed.seed, failed.violation.as_ref()?.property)));
        match found {
            Some((seed, property)) => println!("{:<28}{seed:>6}  {property}", bug.name()),
            None => println!("{:<28}{:>6}  not found", bug.name(), format!("> {WITHIN}")),
        }
        all &= found.is_some();
    }
    Ok(all)
}
