//! How much is due when, over many definitions: what `next --all` and `hotspots` ask for, part by part.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use flintwheel_client::{DueCount, DueQuery, Error};

use crate::config::Session;
use crate::exit::Failure;
use crate::output::{Printer, Progress, Zone, grouped, plural, say};

/// Which definitions.
#[derive(Debug, clap::Args)]
pub struct Whose {
    /// Only those whose labels match: k=v, k!=v, k in (a,b), k notin (a,b), k, !k; with commas between
    #[arg(short = 'l', long, value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
}

/// All that is due in a span of time.
#[derive(Debug, Default)]
pub struct Due {
    /// By the begin of each step in which something is due.
    pub steps: BTreeMap<DateTime<Utc>, DueCount>,
    /// Definitions that were looked at.
    pub definitions: u64,
}

impl Whose {
    /// Anything else than all of the namespace is asked for.
    pub fn is_given(&self) -> bool {
        self.all_namespaces || !self.selector.is_empty()
    }

    /// Asks for all of it: a second for each twenty thousand definitions or so.
    pub async fn count(
        &self,
        session: &Session,
        (from, until): (DateTime<Utc>, DateTime<Utc>),
        step: u32,
        examples: u32,
    ) -> Result<Due, Failure> {
        let namespace = if self.all_namespaces { String::new() } else { session.namespace.clone() };
        let query = DueQuery { namespace, label_selector: self.selector.clone(), from, until, step, examples };
        let progress = Progress::open("definitions");
        let due = gather(session, &query, &progress).await;
        progress.done();
        Ok(due?)
    }
}

async fn gather(session: &Session, query: &DueQuery, progress: &Progress) -> Result<Due, Error> {
    let (mut due, mut token) = (Due::default(), String::new());
    loop {
        let part = session.client.count_due(query, &token).await?;
        progress.add(part.definitions);
        due.definitions += part.definitions;
        part.counts.into_iter().for_each(|count| due.add(count, query.examples));
        match part.next {
            Some(next) => token = next,
            None => return Ok(due),
        }
    }
}

impl Due {
    fn add(&mut self, more: DueCount, examples: u32) {
        let empty = DueCount { from: more.from, due: 0, steady: 0, examples: Vec::new() };
        let step = self.steps.entry(more.from).or_insert(empty);
        step.due += more.due;
        step.steady += more.steady;
        let room = (examples as usize).saturating_sub(step.examples.len());
        step.examples.extend(more.examples.into_iter().take(room));
    }

    /// Prints steps, and how much they are of what was looked at.
    pub fn print<'a>(
        &self,
        printer: &mut Printer,
        steps: impl Iterator<Item = &'a DueCount> + Clone,
    ) -> Result<(), Failure> {
        if !printer.is_table() {
            return steps.into_iter().try_for_each(|step| printer.value(&step.from.to_rfc3339(), step));
        }
        let has_examples = steps.clone().any(|step| !step.examples.is_empty());
        let head = ["FROM", "DUE", "WITHOUT JITTER", "OF THEM"];
        let columns = if has_examples { 4 } else { 3 };
        let rows: Vec<Vec<String>> = steps.map(|step| row(step).into_iter().take(columns).collect()).collect();
        printer.rows(&head[..columns], &rows)?;
        let due: u64 = self.steps.values().map(|step| step.due).sum();
        say(format_args!("{} in all, of {}", plural(due, "due time"), plural(self.definitions, "definition")));
        Ok(())
    }
}

fn row(step: &DueCount) -> Vec<String> {
    let shown: Vec<String> = step.examples.iter().map(ToString::to_string).collect();
    let more = if step.steady > shown.len() as u64 && !shown.is_empty() { ", ..." } else { "" };
    vec![Zone::UTC.exact(step.from), grouped(step.due), grouped(step.steady), format!("{}{more}", shown.join(", "))]
}

#[cfg(test)]
mod tests {
    use flintwheel_model::DefinitionKey;

    use super::*;

    fn count(from: &str, due: u64, examples: &[&str]) -> DueCount {
        let examples = examples.iter().map(|id| DefinitionKey::new("n", *id)).collect();
        DueCount { from: from.parse().expect("a time"), due, steady: due, examples }
    }

    #[test]
    fn parts_are_added_up() {
        let (nine, ten) = ("2026-11-02T09:00:00Z", "2026-11-02T10:00:00Z");
        let mut due = Due::default();
        for part in [count(nine, 2, &["a"]), count(ten, 1, &["b"]), count(nine, 1200, &["c", "d"])] {
            due.add(part, 2);
        }
        let steps: Vec<&DueCount> = due.steps.values().collect();
        assert_eq!(steps, [&count(nine, 1202, &["a", "c"]), &count(ten, 1, &["b"])]);
        assert_eq!(row(steps[0]), ["2026-11-02 09:00:00 +0000", "1,202", "1,202", "n/a, n/c, ..."]);
        assert_eq!(row(steps[1]), ["2026-11-02 10:00:00 +0000", "1", "1", "n/b"]);
    }
}
