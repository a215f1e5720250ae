//! Cron lines of others: which of our dialects reads them, and what in them we don't read.

use flintwheel_model::Violation;
use flintwheel_model::definition::{CronDialect, ScheduleTrigger};
use flintwheel_schedule::Plan;

/// The path of the line in the faults that are found.
const FIELD: &str = "cron";

/// A schedule of one line, as the cron of Linux and Kubernetes reads it. Faults have their place in the line, in bytes.
pub(crate) fn vixie(line: &str, timezone: Option<&str>) -> Result<ScheduleTrigger, Vec<Violation>> {
    let trigger = ScheduleTrigger {
        cron: vec![line.to_owned()],
        dialect: CronDialect::Vixie,
        timezone: timezone.map(str::to_owned),
        ..ScheduleTrigger::default()
    };
    match Plan::compile(&trigger, FIELD, 0) {
        Ok(_) => Ok(trigger),
        Err(faults) => Err(faults.0),
    }
}

/// Where the first of so many words ends, in bytes; none where there are fewer.
pub(crate) fn end_of_words(text: &str, count: usize) -> Option<usize> {
    let mut at = 0;
    for _ in 0..count {
        at += text[at..].len() - text[at..].trim_start().len();
        let word = text[at..].find(char::is_whitespace).unwrap_or(text.len() - at);
        if word == 0 {
            return None;
        }
        at += word;
    }
    Some(at)
}
