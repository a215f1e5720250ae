//! `flintwheel history ID`: the versions of a definition that are kept, and what each has changed.

use chrono::Utc;
use flintwheel_client::DefinitionRecord;
use serde_json::Value;

use super::pages::Pages;
use super::show;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Zone, ago, say};
use crate::read::key;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    name: String,
    /// At most this many; 0 for all that are kept
    #[arg(long, default_value_t = 20)]
    limit: u64,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Fields that a row names.
const NAMED: usize = 3;

pub async fn run(args: Args) -> Outcome {
    if let Some(calendar) = args.name.strip_prefix("calendar/") {
        return Err(Failure::usage(no_history(calendar)));
    }
    let session = args.connection.open()?;
    let named = session.key(&args.name)?;
    let mut printer = Printer::list(args.output.output);
    // One more, to tell what the last one has changed.
    let wanted = if args.limit == 0 { 0 } else { args.limit + 1 };
    let (mut pages, mut records) = (Pages::new(wanted), Vec::new());
    while let Some(mut page) = pages.next(|page| session.client.versions(&named, page)).await? {
        records.append(&mut page);
    }
    let shown = if args.limit == 0 { records.len() } else { records.len().min(args.limit as usize) };
    if printer.is_table() {
        let now = Utc::now();
        let rows = records.iter().take(shown).enumerate().map(|(i, record)| {
            let status = &record.status;
            let made = format!("{} ({})", Zone::UTC.exact(status.updated_at), ago(status.updated_at, now));
            Ok(vec![status.version.to_string(), made, changed(record, records.get(i + 1))?])
        });
        let rows = rows.collect::<Result<Vec<_>, Failure>>()?;
        printer.rows(&["VERSION", "MADE", "CHANGED"], &rows)?;
    } else {
        for record in &records[..shown] {
            printer.value(&format!("{}@{}", show::name(&key(&record.definition)), record.status.version), record)?;
        }
    }
    printer.finish()?;
    if records.len() > shown || pages.has_more() {
        say("older versions are kept; --limit 0 shows all");
    }
    Ok(Exit::Ok)
}

fn no_history(calendar: &str) -> String {
    format!(
        "calendars have no history: their versions are counted, not kept; see `flintwheel get calendar {calendar} -o yaml`"
    )
}

/// What a version has changed of the one before, where that is kept.
fn changed(record: &DefinitionRecord, before: Option<&DefinitionRecord>) -> Result<String, Failure> {
    let Some(before) = before.filter(|before| before.status.version + 1 == record.status.version) else {
        return Ok(if record.status.version == 1 { "created" } else { "" }.to_owned());
    };
    let json = |record: &DefinitionRecord| {
        serde_json::to_value(&record.definition)
            .map_err(|error| Failure::new(Exit::Failed, format!("a version can't be compared: {error}")))
    };
    let mut paths = Vec::new();
    compare("", &json(before)?, &json(record)?, &mut paths);
    let more = paths.len().saturating_sub(NAMED);
    paths.truncate(NAMED);
    let more = if more > 0 { format!(" (+{more} more)") } else { String::new() };
    Ok(format!("{}{more}", paths.join(", ")))
}

/// The paths of what differs.
fn compare(path: &str, one: &Value, other: &Value, paths: &mut Vec<String>) {
    if one == other {
        return;
    }
    let (Value::Object(one), Value::Object(other)) = (one, other) else {
        paths.push(path.to_owned());
        return;
    };
    let names = one.keys().chain(other.keys().filter(|name| !one.contains_key(*name)));
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match (one.get(name), other.get(name)) {
            (Some(one), Some(other)) => compare(&path, one, other, paths),
            _ => paths.push(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::show::tests::record;

    fn at(version: u64, spec: Value) -> DefinitionRecord {
        let mut record = record(spec);
        record.status.version = version;
        record
    }

    #[test]
    fn a_version_names_the_fields_that_it_has_changed() {
        let first = at(1, json!({"trigger": {"schedule": {"cron": "0 9 * * *"}}}));
        let second = at(2, json!({"trigger": {"schedule": {"cron": "0 8 * * *", "timezone": "UTC"}}}));
        assert_eq!(changed(&first, None).expect("told"), "created");
        assert_eq!(changed(&second, None).expect("told"), "");
        let told = changed(&second, Some(&first)).expect("told");
        assert_eq!(told, "spec.trigger.schedule.cron, spec.trigger.schedule.timezone");
        let third = at(
            3,
            json!({"enabled": false, "trigger": {}, "start_workflow": {"type": "X", "task_queue": "r", "input": [1]}}),
        );
        assert!(changed(&third, Some(&second)).expect("told").ends_with(" (+2 more)"));
        assert_eq!(changed(&third, Some(&first)).expect("told"), "", "the one before is not kept");
    }
}
