//! Deleting several definitions, for `apply --prune` and `delete`.

use std::collections::{BTreeSet, HashSet};

use flintwheel_client::{Client, Code, Error, ListQuery};
use flintwheel_model::DefinitionKey;
use futures::{StreamExt, stream};
use serde::Serialize;

use super::dry_run::DryRun;
use super::{pages::Pages, show};
use crate::config::Session;
use crate::exit::{Exit, Failure, exit_of};
use crate::output::{Printer, Progress, confirm, plural, say};
use crate::read::key;

/// Calls under way at once.
const UNDER_WAY: usize = 32;

/// Deletes what matches the selector, in the namespaces of what is to be kept, and is not among that.
pub async fn run(
    session: &Session,
    selector: &str,
    keep: &[DefinitionKey],
    dry_run: DryRun,
    yes: bool,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let namespaces: BTreeSet<&str> = keep.iter().map(|key| key.namespace.as_str()).collect();
    let keep: HashSet<&DefinitionKey> = keep.iter().collect();
    let mut gone = Vec::new();
    for namespace in namespaces {
        let found = matching(&session.client, namespace, selector).await?;
        gone.extend(found.into_iter().filter(|key| !keep.contains(key)));
    }
    if gone.is_empty() {
        return Ok(());
    }
    if dry_run == DryRun::None {
        confirm(&format!("Prune {}?", plural(gone.len() as u64, "definition")), yes)?;
    }
    match delete(&session.client, &gone, dry_run, "pruned", false, printer).await? {
        Exit::Ok => Ok(()),
        exit => Err(Failure { exit, text: String::new() }),
    }
}

/// What the server lists by; `*` stands for every one, as it does where many are paused or deleted, and nothing at all is more often a slip.
fn labels(selector: &str) -> Result<String, Failure> {
    match selector {
        "" => Err(Failure::usage(
            "-l is empty: the labels of those that are meant, such as team=billing, or * for every one",
        )),
        "*" => Ok(String::new()),
        labels => Ok(labels.to_owned()),
    }
}

/// The definitions of a namespace whose labels match.
async fn matching(client: &Client, namespace: &str, selector: &str) -> Result<Vec<DefinitionKey>, Failure> {
    let query =
        ListQuery { namespace: namespace.to_owned(), label_selector: labels(selector)?, ..ListQuery::default() };
    let (mut pages, mut keys) = (Pages::new(0), Vec::new());
    while let Some(records) = pages.next(|page| client.list(&query, page)).await? {
        keys.extend(records.iter().map(|record| key(&record.definition)));
    }
    Ok(keys)
}

/// What was deleted, for JSON.
#[derive(Serialize)]
struct Deleted<'a> {
    #[serde(flatten)]
    definition: &'a DefinitionKey,
    /// The last one; nobody was asked for it in a dry run of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// Deletes each by itself and tells what became of it. The first failure decides how the command ends.
pub async fn delete(
    client: &Client,
    keys: &[DefinitionKey],
    dry_run: DryRun,
    word: &str,
    ignore_missing: bool,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let progress = Progress::of(keys.len() as u64, "deleting");
    let calls = keys.iter().map(|key| async move { (key, client.delete(key, dry_run == DryRun::Server).await) });
    let mut done = stream::iter(calls).buffered(UNDER_WAY);
    let mut exit = Exit::Ok;
    while let Some((key, result)) = done.next().await {
        progress.add(1);
        match result {
            Ok(version) => print(printer, key, Some(version), word, dry_run)?,
            Err(error) if ignore_missing && error.code == Code::NotFound => {}
            Err(error) => {
                progress.say(format_args!("error: {}: {error}", show::name(key)));
                exit = first(exit, &error);
            }
        }
    }
    progress.done();
    if exit != Exit::Ok {
        say("not all of it was deleted");
    }
    Ok(exit)
}

fn first(exit: Exit, error: &Error) -> Exit {
    if exit == Exit::Ok { exit_of(error.code) } else { exit }
}

/// One that was deleted, or would be.
pub fn print(
    printer: &mut Printer,
    key: &DefinitionKey,
    version: Option<u64>,
    word: &str,
    dry_run: DryRun,
) -> Result<(), Failure> {
    let name = show::name(key);
    match printer.is_table() {
        true => printer.line(&format!("{name} {word}{}", dry_run.suffix())),
        false => printer.value(&name, &Deleted { definition: key, version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_one_is_said_by_a_star_and_by_nothing_else() {
        for (selector, expected) in [("*", Some("")), ("team=x", Some("team=x")), ("", None)] {
            assert_eq!(labels(selector).ok().as_deref(), expected, "{selector:?}");
        }
    }
}
