//! `flintwheel diff -f`, and `flintwheel diff ID --from 3 --to 5`: exit code 0 where nothing would change or differs, 1 where something would or
//! does, more where that could not be told.

use std::io::{self, Write};

use flintwheel_client::{Client, Code, convert};
use flintwheel_model::{ActivityDefinition, DefinitionKey};
use futures::{StreamExt, TryStreamExt, stream};
use similar::TextDiff;

use super::calendars;
use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::yaml;
use crate::read::{Files, Input, Judge, calendar_key, key};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID, whose versions are compared
    #[arg(conflicts_with = "filename")]
    name: Option<String>,
    /// With a name: this version [default: the one before the other]
    #[arg(long, value_name = "VERSION", requires = "name")]
    from: Option<u64>,
    /// With a name: with this one [default: the current one]
    #[arg(long, value_name = "VERSION", requires = "name")]
    to: Option<u64>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    connection: Connection,
}

/// Calls under way at once.
const UNDER_WAY: usize = 16;

pub async fn run(args: Args) -> Outcome {
    compare(&args).await.map_err(|failure| match failure.exit {
        // 1 says "different", and only that.
        Exit::Failed => Failure { exit: Exit::Usage, ..failure },
        _ => failure,
    })
}

async fn compare(args: &Args) -> Outcome {
    if let Some(name) = &args.name {
        return versions(args, name).await;
    }
    if args.files.filename.is_empty() {
        return Err(Failure::usage(
            "nothing to compare; name files with -f FILE, -f DIR, or -f - for standard input, or a definition whose versions are meant",
        ));
    }
    let session = args.connection.open()?;
    let input = Input::read(&args.files, &session.namespace, Judge::Server);
    let input = input.map_err(|faults| Failure::faults(&faults, "nothing was compared"))?;
    let client = &session.client;
    let pairs = input.definitions().map(|given| async move { Ok::<_, Failure>((live(client, given).await?, given)) });
    let mut pairs = stream::iter(pairs).buffered(UNDER_WAY);
    let mut exit = Exit::Ok;
    for given in input.calendars() {
        let live = match client.calendar(&calendar_key(given)).await {
            Ok(record) => yaml(&record.calendar)?,
            Err(error) if error.code == Code::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let diff = unified(&live, &yaml(given)?, &calendars::name(&calendar_key(given)));
        if !diff.is_empty() {
            exit = Exit::Failed;
            io::stdout().write_all(diff.as_bytes())?;
        }
    }
    while let Some((live, given)) = pairs.try_next().await? {
        let diff = diff(live.as_ref(), given)?;
        if !diff.is_empty() {
            exit = Exit::Failed;
            io::stdout().write_all(diff.as_bytes())?;
        }
    }
    Ok(exit)
}

async fn versions(args: &Args, name: &str) -> Outcome {
    let session = args.connection.open()?;
    let (key, client) = (session.key(name)?, &session.client);
    let current = client.get(&key).await?;
    let (current_version, incarnation) = (current.status.version, current.status.incarnation);
    let to = args.to.unwrap_or(current_version);
    let from = args.from.unwrap_or_else(|| to.saturating_sub(1));
    if from == 0 {
        return Err(Failure::usage(format!("there is no version before version {to}: name two with --from and --to")));
    }
    // First the one that was named: the other may follow from it.
    let other = client.get_at(&key, Some(to), Some(incarnation)).await.map_err(|e| not_kept(e, &key, to))?;
    let one = client.get_at(&key, Some(from), Some(incarnation)).await.map_err(|e| not_kept(e, &key, from))?;
    let diff = of_versions(&key, [(&one.definition, from), (&other.definition, to)])?;
    io::stdout().write_all(diff.as_bytes())?;
    Ok(if diff.is_empty() { Exit::Ok } else { Exit::Failed })
}

fn not_kept(error: flintwheel_client::Error, key: &DefinitionKey, version: u64) -> Failure {
    if error.code == Code::NotFound {
        let message = format!("version {version} of {key} is not kept; `flintwheel history {key}` shows which are");
        return Failure::new(Exit::NotFound, message);
    }
    error.into()
}

/// A unified diff of two versions as YAML; empty if they are the same.
pub fn of_versions(key: &DefinitionKey, sides: [(&ActivityDefinition, u64); 2]) -> Result<String, Failure> {
    let [(one, from), (other, to)] = sides;
    let (old, new) = (yaml(one)?, yaml(other)?);
    let diff = TextDiff::from_lines(&old, &new);
    Ok(diff.unified_diff().header(&format!("{key}@{from}"), &format!("{key}@{to}")).to_string())
}

async fn live(client: &Client, given: &ActivityDefinition) -> Result<Option<ActivityDefinition>, Failure> {
    match client.get(&key(given)).await {
        Ok(record) => Ok(Some(record.definition)),
        Err(error) if error.code == Code::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A unified diff of both as YAML; empty if they are the same.
fn diff(live: Option<&ActivityDefinition>, given: &ActivityDefinition) -> Result<String, Failure> {
    let given = convert::definition::canonical(given).map_err(flintwheel_client::Error::from)?;
    let old = live.map(yaml).transpose()?.unwrap_or_default();
    let new = yaml(&given)?;
    Ok(unified(&old, &new, &key(&given).to_string()))
}

fn unified(old: &str, new: &str, name: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    diff.unified_diff().header(&format!("live/{name}"), &format!("given/{name}")).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::show::tests::record;

    #[test]
    fn the_same_has_no_diff_and_numbers_are_compared_by_value() {
        let live = record(json!({"start_workflow": {"type": "W", "task_queue": "q", "input": [1]}})).definition;
        let given = record(json!({"start_workflow": {"type": "W", "task_queue": "q", "input": [1.0]}})).definition;
        assert_eq!(diff(Some(&live), &given).expect("compared"), "");
    }

    #[test]
    fn what_would_change_is_shown_with_what_surrounds_it() {
        let live = record(json!({"trigger": {"schedule": {"cron": "0 9 * * *"}}})).definition;
        let given = record(json!({"trigger": {"schedule": {"cron": "0 8 * * *"}}})).definition;
        let expected = "\
--- live/billing/a
+++ given/billing/a
@@ -10,7 +10,7 @@
   trigger:
     schedule:
       cron:
-      - 0 9 * * *
+      - 0 8 * * *
   start_workflow:
     type: W
     task_queue: q
";
        assert_eq!(diff(Some(&live), &given).expect("compared"), expected);
    }

    #[test]
    fn versions_are_named_by_their_numbers() {
        let one = record(json!({"trigger": {"schedule": {"cron": "0 9 * * *"}}})).definition;
        let other = record(json!({"trigger": {"schedule": {"cron": "0 8 * * *"}}})).definition;
        let key = key(&one);
        let diff = of_versions(&key, [(&one, 3), (&other, 5)]).expect("compared");
        assert!(diff.starts_with("--- billing/a@3\n+++ billing/a@5\n"), "{diff}");
        assert!(diff.contains("\n-      - 0 9 * * *\n+      - 0 8 * * *\n"), "{diff}");
        assert_eq!(of_versions(&key, [(&one, 3), (&one, 4)]).expect("compared"), "");
    }

    #[test]
    fn what_is_not_there_would_be_added_whole() {
        let given = record(json!({})).definition;
        let diff = diff(None, &given).expect("compared");
        assert!(diff.starts_with("--- live/billing/a\n+++ given/billing/a\n@@ -0,0 +1,"), "{diff}");
        assert!(diff.contains("\n+metadata:\n"), "{diff}");
    }
}
