//! The sum of the demo: what the account says beside what Temporal has.

use std::collections::{BTreeMap, BTreeSet};

use super::occurrence::Occurrence;
use crate::Result;

/// One line a definition.
#[derive(Default)]
struct Line {
    outcomes: BTreeMap<String, usize>,
    missing: Vec<String>,
    seen: usize,
    lags: Vec<f64>,
}

/// Prints it. An error where something fired that Temporal doesn't have, or where nothing fired.
pub fn print(occurrences: &[Occurrence], workflows: &BTreeSet<String>) -> Result<()> {
    let lines = sum(occurrences, workflows);
    println!("\n{:<26} {:<24} {:>9} {:>20}", "DEFINITION", "OCCURRENCES", "WORKFLOWS", "LAG median / worst");
    for (definition, line) in &lines {
        let outcomes: Vec<String> = line.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
        println!("{definition:<26} {:<24} {:>9} {:>20}", outcomes.join(", "), line.seen, lag(&line.lags));
    }
    println!("\nlag: from the due time, or the arrival of the event, until the start call that succeeded\n");
    let missing: Vec<&str> = lines.values().flat_map(|line| &line.missing).map(String::as_str).collect();
    if !missing.is_empty() {
        return Err(format!("fired, but not in Temporal: {}", missing.join(", ")));
    }
    if lines.len() < 5 { Err(format!("only {} of 5 definitions had an occurrence", lines.len())) } else { Ok(()) }
}

fn sum(occurrences: &[Occurrence], workflows: &BTreeSet<String>) -> BTreeMap<String, Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for occurrence in occurrences {
        let line = lines.entry(occurrence.definition.clone()).or_default();
        *line.outcomes.entry(occurrence.outcome.clone()).or_default() += 1;
        line.lags.extend(occurrence.lag_ms());
        match workflows.contains(&occurrence.workflow_id) {
            true => line.seen += 1,
            false if occurrence.fired() => line.missing.push(occurrence.workflow_id.clone()),
            false => {}
        }
    }
    lines
}

fn lag(lags: &[f64]) -> String {
    let mut lags = lags.to_vec();
    lags.sort_by(f64::total_cmp);
    match lags.last() {
        Some(worst) => format!("{:.1} / {worst:.1} ms", lags[lags.len() / 2]),
        None => String::new(),
    }
}
