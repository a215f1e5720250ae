//! Every parser of what a definition, a calendar or a crontab says about time, fed with texts that come near to good ones: none panics,
//! none takes longer than a bar, memory stays, faults point into the text, and what is accepted has times that follow each other.

mod mutate;
mod others;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::Result;
use rand::SeedableRng;
use rand::rngs::StdRng;

use super::{Scale, progress};
use crate::process::own_peak_bytes;
use crate::report::{Kind, Report, number};
use others::OTHERS;
use targets::{TARGETS, Target};

/// How long one text may take, to be read and to be asked for some times.
const LONGEST: Duration = Duration::from_millis(10);
/// A text that took longer than all before is tried so often again.
const AGAIN: u32 = 3;
/// If set: only parsers with this in their names.
const ONLY: &str = "FLINTWHEEL_FUZZ";
/// Of one parser: the most that the process may grow.
const MEMORY: u64 = 16 << 20;

pub(super) async fn run(scale: Scale, seed: u64) -> Result<Report> {
    let length = Duration::from_secs(scale.pick(600, 5));
    // It computes for long: not on a thread that others wait for.
    tokio::task::spawn_blocking(move || all(length, seed)).await?
}

fn all(length: Duration, seed: u64) -> Result<Report> {
    let mut report = Report::new("fuzz", "no text makes a parser of schedules panic, hang or grow");
    report.figure("seed", seed);
    let only = std::env::var(ONLY).unwrap_or_default();
    let targets = TARGETS.iter().chain(&OTHERS).enumerate().filter(|(_, target)| target.name.contains(&only));
    for (number, target) in targets {
        let found = one(target, length, seed.wrapping_add(number as u64))?;
        progress(format!(
            "{}: {} texts, slowest {:?}: {:?}",
            target.name, found.texts, found.slowest.0, found.slowest.1
        ));
        let figures = format!(
            "{} texts, {} accepted, slowest {:.2?}, {} KiB more",
            number_of(found.texts),
            number_of(found.accepted),
            found.slowest.0,
            number_of(found.grown / 1024)
        );
        report.figure(target.name, figures);
        report.check(
            Kind::Bar,
            format!("{}: {} texts at fault", target.name, found.faulty.len()),
            found.faulty.is_empty(),
        );
        let within = found.slowest.0 <= LONGEST;
        report.check(Kind::Bar, format!("{}: slowest {:.2?} <= {LONGEST:?}", target.name, found.slowest.0), within);
        if !within {
            report.note(format!("slowest of {}: {:?}", target.name, found.slowest.1));
        }
        let grown = format!("{}: grows by {} KiB <= {} KiB", target.name, found.grown / 1024, MEMORY / 1024);
        report.check(Kind::Bar, grown, found.grown <= MEMORY);
        for fault in found.faulty.iter().take(3) {
            report.note(format!("{}: {fault}", target.name));
        }
    }
    Ok(report)
}

fn number_of(count: u64) -> String {
    number(count as f64)
}

#[derive(Default)]
struct Found {
    texts: u64,
    accepted: u64,
    slowest: (Duration, String),
    /// What is wrong, with the text.
    faulty: Vec<String>,
    grown: u64,
}

/// What one text leads to, `Err` if to a panic, and how long that takes.
fn timed(target: &Target, text: &str, chance: &mut StdRng) -> (std::thread::Result<Result<bool, String>>, Duration) {
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.run)(text, chance)));
    (outcome, started.elapsed())
}

fn one(target: &Target, length: Duration, seed: u64) -> Result<Found> {
    const KEPT: usize = 100;
    let mut chance = StdRng::seed_from_u64(seed);
    let (mut found, begun, before) = (Found::default(), Instant::now(), own_peak_bytes()?);
    while begun.elapsed() < length && found.faulty.len() < KEPT {
        let text = mutate::text(target.seeds, target.words, &mut chance);
        let again = chance.clone();
        let (outcome, mut took) = timed(target, &text, &mut chance);
        // Another process may have had the core: a text that is slow by itself is so each time.
        for _ in 0..AGAIN {
            if took > found.slowest.0 {
                took = took.min(timed(target, &text, &mut again.clone()).1);
            }
        }
        if took > found.slowest.0 {
            found.slowest = (took, text.clone());
        }
        found.texts += 1;
        match outcome {
            Ok(Ok(accepted)) => found.accepted += u64::from(accepted),
            Ok(Err(why)) => found.faulty.push(format!("{why}: {text:?}")),
            Err(_) => found.faulty.push(format!("it panics: {text:?}")),
        }
    }
    found.grown = own_peak_bytes()?.saturating_sub(before);
    Ok(found)
}
