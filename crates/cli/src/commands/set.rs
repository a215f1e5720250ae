//! `flintwheel set ID PATH=VALUE...`: single fields of stored definitions.

use flintwheel_client::{Applied, ApplyOutcome, BulkAction, ChangeOptions, FieldChange};
use serde_json::Value;

use super::bulk::{Selection, Words};
use super::show;
use crate::config::{Connection, RequestArg};
use crate::exit::{Exit, Failure, Outcome, exit_of};
use crate::output::{OutputArgs, Printer, say};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID or NAMESPACE/ID, and fields with their new values: PATH=VALUE. A value is a text, or JSON where it can be read as that
    #[arg(value_name = "NAMES|PATH=VALUE")]
    words: Vec<String>,
    /// Remove a field, which leaves it at its default; may be repeated
    #[arg(long, value_name = "PATH")]
    unset: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// Only if this is the stored version
    #[arg(long, value_name = "VERSION", conflicts_with = "selector")]
    expected_version: Option<u64>,
    #[command(flatten)]
    request: RequestArg,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    // No name holds a `=`.
    let (fields, names): (Vec<_>, Vec<_>) = args.words.iter().cloned().partition(|word| word.contains('='));
    let changes = changes(&fields, &args.unset)?;
    let by_labels = args.selection.by_labels(&names)?.is_some();
    let session = args.connection.open()?.requesting(&args.request);
    let mut printer = Printer::list(args.output.output);
    if by_labels {
        let words = Words { ask: "Change", doing: "changing", done: "changed" };
        return args.selection.run(&session, BulkAction::Update(changes), words, &args.request, printer).await;
    }
    let options = ChangeOptions { expected_version: args.expected_version, ..ChangeOptions::default() };
    let mut exit = Exit::Ok;
    for key in session.keys(&names)? {
        let name = show::name(&key);
        match session.client.update(&key, &changes, options.clone()).await {
            Ok(applied) if printer.is_table() => printer.line(&format!("{name} {}", what(&applied)))?,
            Ok(applied) => printer.value(&name, &applied)?,
            Err(error) => {
                say(format_args!("error: {name}: {error}"));
                exit = exit_of(error.code);
            }
        }
    }
    printer.finish()?;
    Ok(exit)
}

/// As `apply` says it.
pub fn what(applied: &Applied) -> String {
    let Applied { outcome, old_version, new_version, .. } = applied;
    let versions = match outcome {
        ApplyOutcome::Configured => format!(" (version {old_version} -> {new_version})"),
        ApplyOutcome::Created | ApplyOutcome::Unchanged => String::new(),
    };
    format!("{}{versions}", outcome.as_str())
}

fn changes(fields: &[String], unset: &[String]) -> Result<Vec<FieldChange>, Failure> {
    let mut changes = Vec::with_capacity(fields.len() + unset.len());
    for field in fields {
        let (path, text) = field.split_once('=').unwrap_or((field, ""));
        changes.push(FieldChange { path: path.to_owned(), value: Some(value(path, text)?) });
    }
    changes.extend(unset.iter().map(|path| FieldChange { path: path.clone(), value: None }));
    if changes.is_empty() {
        let message = "nothing to change: name a field and its value, such as spec.trigger.schedule.timezone=Europe/Berlin, or --unset PATH";
        return Err(Failure::usage(message));
    }
    Ok(changes)
}

/// JSON where it is JSON; what begins like a list or a map may be YAML; all else is a text, whatever it holds.
fn value(path: &str, text: &str) -> Result<Value, Failure> {
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    if !text.starts_with(['[', '{']) {
        return Ok(Value::String(text.to_owned()));
    }
    serde_saphyr::from_str(text).map_err(|error| Failure::usage(format!("{path}: {text:?} is no list or map: {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_texts_or_json() {
        for (text, expected) in [
            ("Europe/Berlin", json!("Europe/Berlin")),
            ("* * * * *", json!("* * * * *")),
            ("", json!("")),
            ("a=b", json!("a=b")),
            ("true", json!(true)),
            ("5", json!(5)),
            ("\"5\"", json!("5")),
            ("5m", json!("5m")),
            ("null", json!(null)),
            ("[\"a\", 1]", json!(["a", 1])),
            ("[mon, tue]", json!(["mon", "tue"])),
            ("{gap: shift}", json!({"gap": "shift"})),
        ] {
            assert_eq!(value("p", text).expect("a value"), expected, "{text}");
        }
        assert!(value("p", "[a").is_err());
    }

    #[test]
    fn fields_are_set_and_removed() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let changes = changes(&texts(&["a=1", "b=c=d"]), &texts(&["e"])).expect("changes");
        let shown: Vec<_> = changes.into_iter().map(|change| (change.path, change.value)).collect();
        let expected = [("a", Some(json!(1))), ("b", Some(json!("c=d"))), ("e", None)];
        assert_eq!(shown, expected.map(|(path, value)| (path.to_owned(), value)));
        assert!(super::changes(&[], &[]).is_err());
    }
}
