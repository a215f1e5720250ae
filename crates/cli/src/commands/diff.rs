//! `flintwheel diff -f`: exit code 0 where nothing would change, 1 where something would, more where that could not be told.

use std::io::{self, Write};

use flintwheel_client::{Client, Code, convert};
use flintwheel_model::ActivityDefinition;
use futures::{StreamExt, TryStreamExt, stream};
use similar::TextDiff;

use crate::config::Connection;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::yaml;
use crate::read::{Files, Input, key};

#[derive(Debug, clap::Args)]
pub struct Args {
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
    if args.files.filename.is_empty() {
        return Err(Failure::usage("nothing to compare; name files with -f FILE, -f DIR, or -f - for standard input"));
    }
    let session = args.connection.open()?;
    let input = Input::read(&args.files, &session.namespace);
    let input = input.map_err(|faults| Failure::faults(&faults, "nothing was compared"))?;
    let client = &session.client;
    let pairs = input.definitions().map(|given| async move { Ok::<_, Failure>((live(client, given).await?, given)) });
    let mut pairs = stream::iter(pairs).buffered(UNDER_WAY);
    let mut exit = Exit::Ok;
    while let Some((live, given)) = pairs.try_next().await? {
        let diff = diff(live.as_ref(), given)?;
        if !diff.is_empty() {
            exit = Exit::Failed;
            io::stdout().write_all(diff.as_bytes())?;
        }
    }
    Ok(exit)
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
    let name = key(&given);
    let diff = TextDiff::from_lines(&old, &new);
    let unified = diff.unified_diff().header(&format!("live/{name}"), &format!("given/{name}")).to_string();
    Ok(unified)
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
    fn what_is_not_there_would_be_added_whole() {
        let given = record(json!({})).definition;
        let diff = diff(None, &given).expect("compared");
        assert!(diff.starts_with("--- live/billing/a\n+++ given/billing/a\n@@ -0,0 +1,"), "{diff}");
        assert!(diff.contains("\n+metadata:\n"), "{diff}");
    }
}
