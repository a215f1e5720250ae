//! What the outage proof makes of its samples and of the record: memory, order, and how the other namespace fared.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::outage::Way;
use super::scene::Asked;
use crate::StartLine;
use crate::ledger::{Ledger, Verdict};
use crate::report::{Kind, Report};

/// Memory that may come with an outage: the firings that are kept ready, and what the allocator holds.
const SLACK_MIB: f64 = 64.0;
/// The databases' buffers are given back to the system some ten seconds after they are written out. A backlog stays for as long as the outage.
const PASSING_US: i64 = 15_000_000;
/// A firing that failed in the moment of the outage waits for its own next try; later ones may pass it by so much.
const OVERTAKEN_SECONDS: f64 = 5.0;

/// One outage, in microseconds since the Unix epoch.
pub(super) struct Outage {
    pub(super) way: Way,
    pub(super) begun_us: i64,
    pub(super) healed_us: i64,
    pub(super) drained_us: i64,
}

/// The engine's memory at one moment.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) at_us: i64,
    /// Bytes.
    pub(super) resident: u64,
    /// Of them, in the databases' buffers and cache, which are bounded and fill under any load.
    pub(super) buffers: u64,
}

pub(super) fn tell_verdict(report: &mut Report, what: &str, verdict: &Verdict) {
    report.figure(format!("{what}: firings due / started"), format!("{} / {}", verdict.due, verdict.started));
    let clean = verdict.is_clean() && verdict.due > 0;
    report.check(Kind::Bar, format!("{what}: nothing missing, twice, early or unknown"), clean);
    if !clean {
        report.note(format!("{what}: {verdict}"));
    }
}

pub(super) fn tell_memory(report: &mut Report, what: &str, samples: &[Sample], outages: &[Outage], begun_us: i64) {
    for outage in outages {
        let seconds = (outage.drained_us - outage.healed_us) as f64 / 1e6;
        report.figure(format!("{what}, {:?}: drained after it was back", outage.way), format!("{seconds:.1} s"));
    }
    let between = |from: i64, until: i64| -> Vec<Sample> {
        samples.iter().filter(|sample| (from..until).contains(&sample.at_us)).copied().collect()
    };
    let before = between(begun_us, outages[0].begun_us);
    let during: Vec<_> = outages.iter().map(|outage| between(outage.begun_us, outage.drained_us)).collect();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let resident = |samples: &[Sample]| mib(samples.iter().map(|sample| sample.resident).max().unwrap_or(0));
    let own = |samples: &[Sample]| mib(lasting(samples));
    let highest = |of: &dyn Fn(&[Sample]) -> f64| during.iter().map(|samples| of(samples)).fold(0.0, f64::max);
    report.figure(
        format!("{what}: resident, before / during"),
        format!("{:.0} / {:.0} MiB", resident(&before), highest(&resident)),
    );
    report.figure(
        format!("{what}: of it beside the databases' buffers, lasting, before / during"),
        format!("{:.0} / {:.0} MiB", own(&before), highest(&own)),
    );
    let figure = format!("{what}: lasting MiB more than before, beside the databases' buffers");
    report.at_most(Kind::Bar, &figure, highest(&own) - own(&before), SLACK_MIB);
}

/// The most memory beside the databases' buffers that did not go away within [`PASSING_US`].
pub(super) fn lasting(samples: &[Sample]) -> u64 {
    let Some(last) = samples.last() else { return 0 };
    let own = |sample: &Sample| sample.resident.saturating_sub(sample.buffers);
    let least = |begin: usize| {
        let end_us = samples[begin].at_us + PASSING_US;
        samples[begin..].iter().take_while(|sample| sample.at_us <= end_us).map(own).min().unwrap_or(0)
    };
    let whole = |begin: &usize| *begin == 0 || samples[*begin].at_us + PASSING_US <= last.at_us;
    (0..samples.len()).filter(whole).map(least).max().unwrap_or(0)
}

/// How far firings were overtaken by later ones while the outbox drained.
pub(super) fn tell_order(report: &mut Report, what: &str, started: &[StartLine], asked: &Asked, outages: &[Outage]) {
    let due: HashMap<String, i64> =
        asked.expected(asked.end_us).map(|expected| (expected.workflow_id, expected.due_us)).collect();
    for outage in outages {
        let overtaken = overtaken(started, &due, outage);
        let [p50, p99] = [50.0, 99.0].map(|p| overtaken.value_at_percentile(p) as f64 / 1e6);
        report.figure(
            format!("{what}, {:?}: overtaken by later ones, p50 / p99", outage.way),
            format!("{p50:.1} / {p99:.1} s of {} firings", overtaken.len()),
        );
        let figure = format!("{what}, {:?}: seconds overtaken, p99", outage.way);
        report.at_most(Kind::Bar, &figure, p99, OVERTAKEN_SECONDS);
    }
}

fn overtaken(started: &[StartLine], due: &HashMap<String, i64>, outage: &Outage) -> Histogram<u64> {
    let mut drained: Vec<(&str, i64, i64)> = started
        .iter()
        .filter(|line| (outage.healed_us..outage.drained_us).contains(&line.first_us))
        .filter_map(|line| due.get(&line.workflow_id).map(|due| (line.namespace.as_str(), line.first_us, *due)))
        .collect();
    // Namespaces drain beside each other; order is kept within each.
    drained.sort_unstable();
    let mut histogram = Histogram::new(3).expect("three digits are allowed");
    let mut latest = ("", i64::MIN);
    for (namespace, _, due) in drained {
        let before = if latest.0 == namespace { latest.1 } else { i64::MIN };
        latest = (namespace, before.max(due));
        histogram.saturating_record((latest.1 - due).unsigned_abs());
    }
    histogram
}

/// The namespace that is spared: its firings start as soon during such outages as outside of any.
pub(super) fn tell_other(
    report: &mut Report,
    what: &str,
    other: &str,
    started: &[StartLine],
    asked: &Asked,
    outages: &[Outage],
) {
    let theirs = || started.iter().filter(|line| line.namespace == other);
    let outside = theirs().filter(|line| !outages.iter().any(|o| (o.begun_us..o.drained_us).contains(&line.first_us)));
    let outside = lag_p99_ms(asked, outside);
    for outage in outages.iter().filter(|outage| outage.way.spares_other()) {
        let during = theirs().filter(|line| (outage.begun_us..outage.healed_us).contains(&line.first_us));
        let during = lag_p99_ms(asked, during);
        report.figure(
            format!("{what}, {:?}: other namespace, lag p99, during / outside", outage.way),
            format!("{during:.1} / {outside:.1} ms"),
        );
        // Half as much again, or a few milliseconds: below that the machine's own noise is seen.
        let figure = format!("{what}, {:?}: other namespace, p99 in ms", outage.way);
        report.at_most(Kind::Bar, &figure, during, (outside * 1.5).max(20.0));
    }
}

fn lag_p99_ms<'a>(asked: &Asked, lines: impl Iterator<Item = &'a StartLine>) -> f64 {
    let mut ledger = Ledger::default();
    asked.expected(asked.end_us).for_each(|expected| ledger.expect(expected));
    lines.for_each(|line| ledger.saw(line));
    ledger.verdict().lag_ms(99.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(namespace: &str, id: &str, first_us: i64) -> StartLine {
        StartLine { namespace: namespace.to_owned(), workflow_id: id.to_owned(), first_us, ..StartLine::default() }
    }

    #[test]
    fn memory_that_passes_is_told_from_memory_that_stays() {
        let sample = |second: i64, resident| Sample { at_us: second * 1_000_000, resident, buffers: 5 };
        let spike = |at| if (20..30).contains(&at) { 100 } else { 10 };
        let backlog = |at| if (20..40).contains(&at) { 100 } else { 10 };
        let of = |resident: &dyn Fn(i64) -> u64| lasting(&(0..60).map(|n| sample(n, resident(n))).collect::<Vec<_>>());
        assert_eq!((of(&spike), of(&backlog)), (5, 95));
        assert_eq!((lasting(&[]), lasting(&[sample(0, 7)])), (0, 2));
    }

    #[test]
    fn only_what_later_ones_pass_within_its_namespace_counts_as_overtaken() {
        let outage = Outage { way: Way::Stopped, begun_us: 0, healed_us: 100, drained_us: 200 };
        let due: HashMap<String, i64> =
            [("a", 10), ("b", 20), ("c", 30), ("x", 5)].map(|(id, due)| (id.to_owned(), due)).into();
        let in_order = [line("n", "a", 100), line("n", "b", 101), line("n", "c", 102), line("m", "x", 150)];
        assert_eq!(overtaken(&in_order, &due, &outage).max(), 0);
        let swapped = [line("n", "c", 100), line("n", "a", 101), line("n", "b", 102), line("n", "x", 250)];
        let overtaken = overtaken(&swapped, &due, &outage);
        assert_eq!((overtaken.len(), overtaken.max()), (3, 20));
    }
}
