//! What the outage proof makes of its samples and of the record: memory, order, and how the other namespace fared.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::outage::Way;
use super::scene::Asked;
use crate::StartLine;
use crate::ledger::{Ledger, Verdict};
use crate::report::{Kind, Report};

/// Memory that may come and go under load without being a backlog: RocksDB's buffers and the allocator's.
const SLACK_MIB: f64 = 64.0;
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
    pub(super) resident: u64,
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
    let highest = |from: i64, until: i64| {
        let within = samples.iter().filter(|sample| (from..until).contains(&sample.at_us));
        within.map(|sample| sample.resident).max().unwrap_or(0) as f64 / f64::from(1 << 20)
    };
    let before = highest(begun_us, outages[0].begun_us);
    let during = outages.iter().map(|outage| highest(outage.begun_us, outage.drained_us)).fold(0.0, f64::max);
    report.figure(format!("{what}: resident, before / during"), format!("{before:.0} / {during:.0} MiB"));
    report.at_most(Kind::Bar, &format!("{what}: MiB more than before"), during - before, SLACK_MIB);
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
