//! croniter and dateutil, in a process of Python. The environment of `cargo xtask` has both.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use chrono::DateTime;
use flintwheel_model::definition::ScheduleTrigger;
use flintwheel_schedule::Plan;
use rand::Rng;
use rand::rngs::StdRng;

use super::spec::Spec;
use super::{Tally, next, plan};

const CRONITER: &str = include_str!("croniter.py");
/// It makes the rules, too: as it does for the table of the tests.
const DATEUTIL: &str = include_str!("../../../../crates/schedule/tests/rules.py");
/// Times asked for of each line.
const TIMES: usize = 4;
/// 1971 to 2060: croniter searches 40 years ahead.
const AFTER: std::ops::Range<i64> = 31_536_000..2_840_140_800;

/// Beside croniter, so many lines, in UTC.
pub fn croniter(lines: u32, chance: &mut StdRng) -> Result<Tally> {
    let mut tally = Tally::new("croniter");
    let asked: Vec<(Spec, i64)> = (0..lines)
        .map(|_| {
            let with_seconds = chance.random_bool(0.3);
            (Spec::random(chance, with_seconds), chance.random_range(AFTER))
        })
        .collect();
    let line = |(spec, after): &(Spec, i64)| serde_json::json!([spec.six(), after, TIMES]).to_string();
    let input = asked.iter().map(line).collect::<Vec<_>>().join("\n");
    let output = python(CRONITER, &[], input)?;
    let answers: Vec<Vec<i64>> = output.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(answers.len() == asked.len(), "croniter answered {} of {} lines", answers.len(), asked.len());
    for ((spec, after), expected) in asked.iter().zip(answers) {
        if expected.len() < TIMES {
            tally.explain("croniter searches 40 years only");
            continue;
        }
        let plan = plan(&spec.seven(), "UTC");
        let times = plan.iter().flat_map(|plan| std::iter::successors(next(plan, *after), |time| next(plan, *time)));
        let found: Vec<i64> = times.take(TIMES).collect();
        tally.case(found == expected, || format!("{} after {after}: {expected:?}, found {found:?}", spec.six()));
    }
    Ok(tally)
}

/// Beside dateutil, so many recurrence rules.
pub fn dateutil(rules: u32, seed: u64) -> Result<Tally> {
    let mut tally = Tally::new("dateutil");
    let rows = python(DATEUTIL, &[rules.to_string(), seed.to_string()], String::new())?;
    for row in rows.lines() {
        let columns: Vec<_> = row.split(" | ").collect();
        let [rule, after, expected] = columns[..] else { anyhow::bail!("not three columns: {row}") };
        let after = DateTime::parse_from_rfc3339(after).with_context(|| row.to_owned())?.timestamp();
        let trigger = ScheduleTrigger { rrule: vec![rule.to_owned()], ..ScheduleTrigger::default() };
        let found = match Plan::compile(&trigger, "schedule", 0) {
            Ok(plan) => following(&plan, after, expected.split(' ').count()),
            Err(faults) => faults.to_string(),
        };
        tally.case(found == expected, || format!("{rule} after {after}: {expected}, found {found}"));
    }
    Ok(tally)
}

fn following(plan: &Plan, after: i64, count: usize) -> String {
    let times = std::iter::successors(Some(next(plan, after)), |time| time.map(|time| next(plan, time)));
    let shown = |time: Option<i64>| {
        time.and_then(|time| DateTime::from_timestamp(time, 0))
            .map_or("none".to_owned(), |time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    times.take(count).map(shown).collect::<Vec<_>>().join(" ")
}

/// What a script prints.
fn python(script: &str, arguments: &[String], input: String) -> Result<String> {
    let mut command = Command::new("python3");
    command.arg("-c").arg(script).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().context("start python3; `cargo xtask prove oracles` has the environment for it")?;
    let mut stdin = child.stdin.take().context("its standard input is a pipe")?;
    // Beside the reading: both pipes are small.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "python3 ended with {}", output.status);
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    Ok(String::from_utf8(output.stdout)?)
}
