//! A proof's outcome: figures, bars that must hold, aims that are told of, and a row for `docs/evidence.md`.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

/// Whether a figure must be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It must; the proof fails otherwise.
    Bar,
    /// It is aimed at; a miss is told and explained.
    Aim,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Self::Bar => "bar",
            Self::Aim => "aim",
        })
    }
}

#[derive(Clone, Debug)]
struct Check {
    kind: Kind,
    what: String,
    met: bool,
}

/// Collects what a proof finds.
#[derive(Clone, Debug)]
pub struct Report {
    name: &'static str,
    shows: &'static str,
    figures: Vec<(String, String)>,
    checks: Vec<Check>,
    notes: Vec<String>,
}

impl Report {
    /// Of the proof of this name, which shows this.
    pub fn new(name: &'static str, shows: &'static str) -> Self {
        Self { name, shows, figures: Vec::new(), checks: Vec::new(), notes: Vec::new() }
    }

    /// A figure for the table.
    pub fn figure(&mut self, what: impl Into<String>, value: impl fmt::Display) {
        self.figures.push((what.into(), value.to_string()));
    }

    /// Something that must be so, or is aimed at.
    pub fn check(&mut self, kind: Kind, what: impl Into<String>, met: bool) {
        self.checks.push(Check { kind, what: what.into(), met });
    }

    /// `figure >= limit`.
    pub fn at_least(&mut self, kind: Kind, what: &str, figure: f64, limit: f64) {
        self.check(kind, format!("{what} {} >= {}", number(figure), number(limit)), figure >= limit);
    }

    /// `figure <= limit`.
    pub fn at_most(&mut self, kind: Kind, what: &str, figure: f64, limit: f64) {
        self.check(kind, format!("{what} {} <= {}", number(figure), number(limit)), figure <= limit);
    }

    /// What limits a figure, or how it came about.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Whether every bar holds.
    pub fn passed(&self) -> bool {
        self.checks.iter().all(|check| check.met || check.kind == Kind::Aim)
    }

    /// One line of the table in `docs/evidence.md`: the proof and what it shows, bars and aims, other figures, date and machine.
    pub fn evidence_row(&self, date: &str, machine: &str) -> String {
        let checks = self.checks.iter().map(|check| format!("{} ({}) {}", verdict(check), check.kind, check.what));
        let figures = self.figures.iter().map(|(what, value)| format!("{what}: {value}"));
        let cells =
            [format!("`{}`: {}", self.name, self.shows), lines(checks), lines(figures), format!("{date}, {machine}")];
        format!("| {} |", cells.join(" | "))
    }
}

/// Several lines of a cell.
fn lines(lines: impl Iterator<Item = String>) -> String {
    let clean = |line: String| line.trim().replace('|', "\\|").replace('\n', " ");
    lines.map(clean).collect::<Vec<_>>().join("<br>")
}

fn verdict(check: &Check) -> &'static str {
    match (check.met, check.kind) {
        (true, _) => "PASS",
        (false, Kind::Bar) => "FAIL",
        (false, Kind::Aim) => "MISS",
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let width = self.figures.iter().map(|(what, _)| what.chars().count()).max().unwrap_or(0);
        writeln!(f, "\nproof: {} ({})", self.name, self.shows)?;
        for (what, value) in &self.figures {
            writeln!(f, "  {what:<width$}  {value}")?;
        }
        for check in &self.checks {
            writeln!(f, "{} ({}) {}", verdict(check), check.kind, check.what)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        Ok(())
    }
}

/// A number as people read it: thousands apart, few digits behind the point.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let text = format!("{value:.2}");
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) && !text.ends_with('-') {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// This machine in a few words.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let gib = kib.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) / 1024.0 / 1024.0;
    let mut text = String::new();
    // Writing to a String can't fail.
    let _infallible = write!(text, "{cores} cores, {gib:.0} GiB, {}", std::env::consts::ARCH);
    text
}

/// Adds a row to a file of evidence.
pub fn append_evidence(path: &Path, row: &str) -> Result<()> {
    let mut file =
        fs::File::options().create(true).append(true).open(path).with_context(|| format!("open {}", path.display()))?;
    Ok(writeln!(file, "{row}")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_bar_fails_and_a_missed_aim_does_not() {
        let mut report = Report::new("x", "it works");
        report.at_least(Kind::Aim, "rate", 5.0, 10.0);
        assert!(report.passed());
        report.at_most(Kind::Bar, "lost", 1.0, 0.0);
        assert!(!report.passed());
        let text = report.to_string();
        assert!(text.contains("MISS (aim) rate 5 >= 10") && text.contains("FAIL (bar) lost 1 <= 0"), "{text}");
    }

    #[test]
    fn the_evidence_row_is_one_line_of_four_cells() {
        let mut report = Report::new("x", "it works");
        report.figure("rate", "1|2\n");
        report.figure("cores", 1);
        report.at_least(Kind::Bar, "rate", 2.0, 1.0);
        let row = "| `x`: it works | PASS (bar) rate 2 >= 1 | rate: 1\\|2<br>cores: 1 | d, m |";
        assert_eq!(report.evidence_row("d", "m"), row);
    }

    #[test]
    fn numbers_as_people_read_them() {
        for (value, text) in [
            (0.954, "0.95"),
            (3.0, "3"),
            (15_000.4, "15,000"),
            (1_234_567.0, "1,234,567"),
            (-1000.0, "-1,000"),
            (100.0, "100"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
