//! `flintwheel hotspots`.

use chrono::{SubsecRound, Utc};
use flintwheel_client::DueCount;
use flintwheel_model::Span;

use super::due::Whose;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, say};

/// Definitions named for each second.
const EXAMPLES: u32 = 3;
/// The server counts at most so many steps.
const LONGEST_SECS: u64 = 20_000;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// How far ahead to look, at most 20000s
    #[arg(long, value_name = "TIME", default_value = "1h")]
    within: Span,
    /// How many seconds to show, the busiest first
    #[arg(long, default_value_t = 10)]
    top: usize,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    let seconds = args.within.secs();
    if seconds == 0 || seconds > LONGEST_SECS {
        return Err(Failure::usage(format!("--within {}: from 1s to {LONGEST_SECS}s can be looked at", args.within)));
    }
    let session = args.connection.open()?;
    let from = Utc::now().trunc_subsecs(0);
    let until = from + std::time::Duration::from_secs(seconds);
    let due = args.whose.count(&session, (from, until), 1, EXAMPLES).await?;
    let busiest = busiest(due.steps.values(), args.top);
    let mut printer = Printer::list(args.output.output);
    due.print(&mut printer, busiest.iter().copied())?;
    if printer.is_table() && busiest.iter().any(|second| second.steady > 1) {
        say("those without jitter can be spread: jitter: {window: 5m, mode: stable} gives each a time of its own");
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// The seconds in which most is due, of equal ones the earliest.
fn busiest<'a>(seconds: impl Iterator<Item = &'a DueCount>, top: usize) -> Vec<&'a DueCount> {
    let mut seconds: Vec<&DueCount> = seconds.collect();
    seconds.sort_by_key(|second| std::cmp::Reverse(second.due));
    seconds.truncate(top);
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_seconds_come_first() {
        let second = |n: i64, due| {
            let from = chrono::DateTime::from_timestamp(n, 0).expect("a time");
            DueCount { from, due, steady: 0, examples: Vec::new() }
        };
        let seconds = [second(1, 5), second(2, 9), second(3, 5), second(4, 1)];
        let shown: Vec<i64> = busiest(seconds.iter(), 3).iter().map(|second| second.from.timestamp()).collect();
        assert_eq!(shown, [2, 1, 3]);
    }
}
