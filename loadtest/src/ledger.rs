//! The ledger: holds what was asked for against what was started, and says what is missing, twice, early or unknown.
//!
//! It is independent of the engine: what was due comes from [`crate::rhythm`], what was started from the stand-in's record or from a
//! real Temporal. It never assumes that an unacknowledged request came to nothing: such firings may be started, once.

use std::collections::HashMap;
use std::fmt;

use chrono::DateTime;
use hdrhistogram::Histogram;

use crate::StartLine;

/// How many findings of a kind are kept in words.
const EXAMPLES: usize = 10;
const LONGEST_LAG_US: u64 = 24 * 3600 * 1_000_000;

/// One firing that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The id that its workflow must have.
    pub workflow_id: String,
    /// When it was due, or its event was sent: microseconds since the Unix epoch. Not before this it may start.
    pub due_us: i64,
    /// Whether it has to be started. Without an acknowledgement it may be, once.
    pub must: bool,
}

#[derive(Clone, Copy, Debug)]
struct Firing {
    due_us: i64,
    must: bool,
    starts: u32,
}

/// Firings of one kind of fault: all counted, the first few named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// All of them.
    pub count: u64,
    /// The first few.
    pub examples: Vec<String>,
}

impl Findings {
    fn add(&mut self, example: impl FnOnce() -> String) {
        self.count += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// Collects both sides; see [`Ledger::verdict`].
pub struct Ledger {
    firings: HashMap<String, Firing>,
    twice: Findings,
    early: Findings,
    unknown: Findings,
    repeats: u64,
    lag: Histogram<u64>,
}

/// What the ledger found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Firings that had to be started.
    pub due: u64,
    /// Firings that were started, of those that had to be or could be.
    pub started: u64,
    /// Had to be started and were not.
    pub missing: Findings,
    /// Started more than once: a second run, a second id for one firing, or a start with another request id.
    pub twice: Findings,
    /// Started before they were due.
    pub early: Findings,
    /// Started although nobody asked for them.
    pub unknown: Findings,
    /// Start calls sent again with the same ids: harmless, and expected after a kill.
    pub repeats: u64,
    /// From due to the arrival of the first start call, in microseconds.
    pub lag: Histogram<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            firings: HashMap::new(),
            twice: Findings::default(),
            early: Findings::default(),
            unknown: Findings::default(),
            repeats: 0,
            lag: Histogram::new_with_bounds(1, LONGEST_LAG_US, 3).expect("valid bounds"),
        }
    }
}

impl Ledger {
    /// One side: a firing that was asked for. Asked for twice, it is still one firing.
    pub fn expect(&mut self, expected: Expected) {
        let firing = Firing { due_us: expected.due_us, must: expected.must, starts: 0 };
        let known = self.firings.entry(expected.workflow_id).or_insert(firing);
        known.must |= firing.must;
        known.due_us = known.due_us.min(firing.due_us);
    }

    /// The other side: a workflow that was started. To be called when everything expected is known.
    pub fn saw(&mut self, line: &StartLine) {
        self.repeats += u64::from(line.calls.saturating_sub(1));
        if line.conflicts > 0 {
            let conflicts = line.conflicts;
            self.twice.add(|| format!("{}: {conflicts} starts with another request id", line.workflow_id));
        }
        let Some(firing) = self.firings.get_mut(&line.workflow_id) else { return self.saw_other(line) };
        firing.starts += 1;
        if firing.starts > 1 {
            return self.twice.add(|| format!("{}: run {}", line.workflow_id, firing.starts));
        }
        let lag = line.first_us - firing.due_us;
        if lag < 0 {
            return self.early.add(|| format!("{}: {} us before it was due", line.workflow_id, -lag));
        }
        self.lag.saturating_record(lag.unsigned_abs());
    }

    /// An id that nobody asked for: perhaps a second spelling of a firing.
    fn saw_other(&mut self, line: &StartLine) {
        self.unknown.add(|| line.workflow_id.clone());
        let Some(spelled) = canonical(&line.workflow_id) else { return };
        if let Some(firing) = self.firings.get_mut(&spelled) {
            firing.starts += 1;
            if firing.starts > 1 {
                self.twice.add(|| format!("{} and {spelled} are one firing", line.workflow_id));
            }
        }
    }

    /// The outcome.
    pub fn verdict(self) -> Verdict {
        let mut missing = Findings::default();
        let (mut due, mut started) = (0, 0);
        for (id, firing) in &self.firings {
            due += u64::from(firing.must);
            started += u64::from(firing.starts > 0);
            if firing.must && firing.starts == 0 {
                missing.add(|| format!("{id}: due {}", instant(firing.due_us)));
            }
        }
        Verdict {
            due,
            started,
            missing,
            twice: self.twice,
            early: self.early,
            unknown: self.unknown,
            repeats: self.repeats,
            lag: self.lag,
        }
    }
}

impl Verdict {
    /// Nothing missing, twice, early or unknown.
    pub fn is_clean(&self) -> bool {
        [&self.missing, &self.twice, &self.early, &self.unknown].iter().all(|findings| findings.count == 0)
    }

    /// A percentile of the lag in milliseconds.
    pub fn lag_ms(&self, percentile: f64) -> f64 {
        self.lag.value_at_percentile(percentile) as f64 / 1000.0
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "due {}  started {}  repeated calls {}", self.due, self.started, self.repeats)?;
        let kinds =
            [("missing", &self.missing), ("twice", &self.twice), ("early", &self.early), ("unknown", &self.unknown)];
        for (kind, findings) in kinds {
            writeln!(f, "{kind:>8} {}", findings.count)?;
            for example in &findings.examples {
                writeln!(f, "         - {example}")?;
            }
        }
        Ok(())
    }
}

/// The same id with its nominal time spelled as the contract says: UTC, whole seconds without a fraction.
fn canonical(workflow_id: &str) -> Option<String> {
    let (definition, time) = workflow_id.split_once(":t:")?;
    let due = DateTime::parse_from_rfc3339(time).ok()?;
    Some(format!("{definition}:t:{}", due.to_utc().format("%Y-%m-%dT%H:%M:%SZ")))
}

fn instant(us: i64) -> String {
    DateTime::from_timestamp_micros(us).map_or_else(|| format!("{us} us"), |time| time.to_rfc3339())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: i64 = 1_795_420_800_000_000;
    const ID: &str = "flintwheel:default:a:t:2026-11-23T08:00:00Z";

    fn expected(workflow_id: &str, must: bool) -> Expected {
        Expected { workflow_id: workflow_id.to_owned(), due_us: DUE, must }
    }

    fn started(workflow_id: &str, after_us: i64) -> StartLine {
        StartLine { workflow_id: workflow_id.to_owned(), first_us: DUE + after_us, calls: 1, ..StartLine::default() }
    }

    fn judge(asked: &[Expected], seen: &[StartLine]) -> Verdict {
        let mut ledger = Ledger::default();
        asked.iter().cloned().for_each(|expected| ledger.expect(expected));
        seen.iter().for_each(|line| ledger.saw(line));
        ledger.verdict()
    }

    /// Missing, twice, early, unknown.
    fn counts(verdict: &Verdict) -> [u64; 4] {
        [&verdict.missing, &verdict.twice, &verdict.early, &verdict.unknown].map(|findings| findings.count)
    }

    #[test]
    fn each_planted_fault_is_caught_and_nothing_else_is() {
        let must = || vec![expected(ID, true)];
        let may = || vec![expected(ID, false)];
        let on_time = || started(ID, 4_000);
        let repeated = StartLine { calls: 3, ..on_time() };
        let foreign = StartLine { conflicts: 1, ..on_time() };
        let respelled = started("flintwheel:default:a:t:2026-11-23T09:00:00.000+01:00", 0);
        let stranger = started("flintwheel:default:b:t:2026-11-23T08:00:00Z", 0);
        let off_beat = started("flintwheel:default:a:t:2026-11-23T08:00:01Z", 0);
        let cases = [
            ("all well", must(), vec![on_time()], [0, 0, 0, 0]),
            ("exactly on time", must(), vec![started(ID, 0)], [0, 0, 0, 0]),
            ("sent again with the same ids", must(), vec![repeated], [0, 0, 0, 0]),
            ("unacknowledged and not started", may(), vec![], [0, 0, 0, 0]),
            ("unacknowledged and started", may(), vec![on_time()], [0, 0, 0, 0]),
            ("lost", must(), vec![], [1, 0, 0, 0]),
            ("two runs", must(), vec![on_time(), on_time()], [0, 1, 0, 0]),
            ("unacknowledged, two runs", may(), vec![on_time(), on_time()], [0, 1, 0, 0]),
            ("another request id", must(), vec![foreign], [0, 1, 0, 0]),
            ("a microsecond early", must(), vec![started(ID, -1)], [0, 0, 1, 0]),
            ("a stranger", must(), vec![on_time(), stranger], [0, 0, 0, 1]),
            ("a time that was never due", must(), vec![on_time(), off_beat], [0, 0, 0, 1]),
            ("one firing under two ids", must(), vec![on_time(), respelled], [0, 1, 0, 1]),
        ];
        for (name, asked, seen, faults) in cases {
            let verdict = judge(&asked, &seen);
            assert_eq!(counts(&verdict), faults, "{name}: {verdict}");
            assert_eq!(verdict.is_clean(), faults == [0; 4], "{name}");
        }
    }

    #[test]
    fn what_is_acknowledged_once_is_due_however_often_it_was_asked() {
        let verdict = judge(&[expected(ID, false), expected(ID, true), expected(ID, false)], &[]);
        assert_eq!((verdict.due, verdict.missing.count), (1, 1));
    }

    #[test]
    fn one_lost_among_many_is_named() {
        let ids: Vec<String> = (0..20_000).map(|n| format!("flintwheel:default:a:e:{n}")).collect();
        let asked: Vec<_> = ids.iter().map(|id| expected(id, true)).collect();
        let seen: Vec<_> = ids.iter().filter(|id| !id.ends_with(":e:12345")).map(|id| started(id, 7)).collect();
        let verdict = judge(&asked, &seen);
        assert_eq!((verdict.due, verdict.started, verdict.missing.count), (20_000, 19_999, 1));
        assert!(verdict.missing.examples[0].starts_with("flintwheel:default:a:e:12345: due 2026-11-23T08:00:00"));
    }

    #[test]
    fn only_a_few_examples_are_kept() {
        let seen: Vec<_> = (0..1000).map(|n| started(&format!("x{n}"), 0)).collect();
        let unknown = judge(&[], &seen).unknown;
        assert_eq!((unknown.count, unknown.examples.len()), (1000, EXAMPLES));
    }

    #[test]
    fn lag_is_measured_from_due_to_the_first_call() {
        let asked: Vec<_> = (0..100).map(|n| expected(&format!("e{n}"), true)).collect();
        let seen: Vec<_> = (0..100).map(|n| started(&format!("e{n}"), (n + 1) * 1000)).collect();
        let verdict = judge(&asked, &seen);
        assert!((verdict.lag_ms(50.0) - 50.0).abs() < 0.1 && (verdict.lag_ms(99.0) - 99.0).abs() < 0.1, "{verdict}");
    }
}
