//! What is said about one schedule, to people and to programs.

use chrono::{DateTime, SecondsFormat};
use flintwheel_import::temporal::{Difference, Times, Translation, compare};
use flintwheel_import::{Finding, Weight};
use flintwheel_model::DefinitionKey;
use flintwheel_temporal::Described;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Printer, plural};

const SECONDS_OF_YEAR: i64 = 365 * 86_400;

/// What became of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// It means the same here.
    Equal,
    /// It means something else here, in part.
    Differs,
    /// Something of it can't be carried over, and was not allowed to be left out.
    Lost,
    /// Its definition is in a file.
    Written,
    /// Its definition is stored, not enabled.
    Stored,
    /// It is paused there, and its definition fires.
    Moved,
    /// It had moved before.
    MovedBefore,
    /// It acts there again, and its definition is paused.
    Back,
    /// It has not moved, so it can't come back.
    NotMoved,
    /// A call went wrong.
    Failed,
}

/// One line of the report.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Temporal's id.
    pub schedule: String,
    /// Its definition.
    pub definition: DefinitionKey,
    /// What became of it.
    pub outcome: Word,
    /// More about that, for people.
    pub detail: String,
    /// What is to be said about its fields.
    pub findings: Vec<Finding>,
}

impl Word {
    /// As it is printed.
    pub fn text(self) -> &'static str {
        match self {
            Self::Equal => "equal",
            Self::Differs => "differs",
            Self::Lost => "can't be carried over",
            Self::Written => "written",
            Self::Stored => "stored, not enabled",
            Self::Moved => "moved",
            Self::MovedBefore => "had moved before",
            Self::Back => "back in Temporal",
            Self::NotMoved => "has not moved",
            Self::Failed => "failed",
        }
    }
}

impl Line {
    /// Prints it; `wide` shows what is the same but looks otherwise, too.
    pub fn print(&self, printer: &mut Printer) -> Result<(), Failure> {
        if !printer.is_table() {
            return printer.value(&format!("activitydefinition/{}", self.definition), self);
        }
        let detail = if self.detail.is_empty() { String::new() } else { format!("   {}", self.detail) };
        printer.line(&format!("{} -> {}: {}{detail}", self.schedule, self.definition, self.outcome.text()))?;
        let wide = printer.is_wide();
        let shown = self.findings.iter().filter(|one| wide || one.weight != Weight::Note);
        for finding in shown {
            let name = if finding.weight == Weight::Lost { format!(" ({})", finding.name) } else { String::new() };
            printer.line(&format!("  {finding}{name}"))?;
        }
        Ok(())
    }
}

/// Adds how due times differ, for so many years from `now` (microseconds) on.
pub fn compare_times(described: &Described, translation: &mut Translation, now: i64, years: u32) {
    let (Some(times), Some(plan)) = (Times::new(&described.schedule.spec), &translation.plan) else { return };
    let from = now.div_euclid(1_000_000);
    let found = compare(&times, plan, from, from + i64::from(years) * SECONDS_OF_YEAR);
    translation.findings.extend(found.map(|found| difference(&found)));
}

fn difference(found: &Difference) -> Finding {
    let first = DateTime::from_timestamp(found.first, 0).unwrap_or_default();
    let side = if found.first_is_here { "here" } else { "there" };
    let causes: Vec<&str> = found.causes.iter().map(|cause| cause.text()).collect();
    let until = DateTime::from_timestamp(found.until, 0).unwrap_or_default().format("%Y-%m-%d");
    let counted = [(found.only_there, "only there"), (found.only_here, "only here")]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, side)| format!("{} {side}", plural(count as u64, "due time")));
    let message = format!(
        "until {until}, {}; the first one, only {side}, is {}: {}",
        counted.collect::<Vec<_>>().join(" and "),
        first.to_rfc3339_opts(SecondsFormat::Secs, true),
        causes.join("; ")
    );
    Finding { weight: Weight::Differs, name: "due_times", field: "spec".to_owned(), message }
}
