//! Occurrences counted: how many ended how and why, and of how many definitions.

use std::collections::{BTreeMap, HashSet};

use flintwheel_client::Occurrence;
use flintwheel_model::DefinitionKey;
use serde::Serialize;

use crate::exit::Failure;
use crate::output::{Printer, grouped};

/// Counts by ending and reason.
#[derive(Debug, Default)]
pub struct Account(BTreeMap<(&'static str, String), Line>);

#[derive(Debug, Default)]
struct Line {
    count: u64,
    definitions: HashSet<DefinitionKey>,
}

/// As programs read it.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Counted {
    outcome: &'static str,
    reason: String,
    count: u64,
    definitions: u64,
}

impl Account {
    /// Adds some; a range of due times that was skipped as one counts as many.
    pub fn add(&mut self, occurrences: &[Occurrence]) {
        for one in occurrences {
            let line = self.0.entry((one.outcome.as_str(), one.reason.clone())).or_default();
            line.count += u64::from(one.count.max(1));
            line.definitions.insert(one.definition.clone());
        }
    }

    /// The most frequent ones first.
    pub fn print(&self, printer: &mut Printer) -> Result<(), Failure> {
        let lines = self.lines();
        if !printer.is_table() {
            return lines.iter().try_for_each(|line| printer.value(&format!("{}/{}", line.outcome, line.reason), line));
        }
        let row = |line: &Counted| {
            vec![line.outcome.to_owned(), line.reason.clone(), grouped(line.count), grouped(line.definitions)]
        };
        let rows: Vec<Vec<String>> = lines.iter().map(row).collect();
        printer.rows(&["ENDED", "REASON", "COUNT", "DEFINITIONS"], &rows)
    }

    fn lines(&self) -> Vec<Counted> {
        let mut lines: Vec<Counted> = self
            .0
            .iter()
            .map(|((outcome, reason), line)| Counted {
                outcome,
                reason: reason.clone(),
                count: line.count,
                definitions: line.definitions.len() as u64,
            })
            .collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.count));
        lines
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_client::Outcome;

    use super::*;

    fn occurrence(id: &str, outcome: Outcome, reason: &str, count: u32) -> Occurrence {
        let at = "2026-11-23T08:00:00Z".parse().expect("a time");
        Occurrence {
            definition: DefinitionKey::new("n", id),
            version: 1,
            firing_key: String::new(),
            outcome,
            reason: reason.into(),
            detail: String::new(),
            due: at,
            decided_at: at,
            started_at: None,
            workflow_id: String::new(),
            count,
            utc_offset_seconds: None,
        }
    }

    #[test]
    fn each_ending_is_counted_with_its_reason_and_its_definitions() {
        let mut account = Account::default();
        account.add(&[occurrence("a", Outcome::Skipped, "late", 7), occurrence("b", Outcome::Fired, "", 1)]);
        account.add(&[occurrence("a", Outcome::Skipped, "late", 1), occurrence("c", Outcome::Skipped, "paused", 1)]);
        account.add(&[occurrence("b", Outcome::Fired, "", 1)]);
        let line =
            |outcome, reason: &str, count, definitions| Counted { outcome, reason: reason.into(), count, definitions };
        assert_eq!(
            account.lines(),
            [line("skipped", "late", 8, 1), line("fired", "", 2, 1), line("skipped", "paused", 1, 1)]
        );
    }
}
