//! `flintwheel pause` and `flintwheel resume`.

use chrono::{DateTime, Utc};
use flintwheel_client::{BulkAction, Client, Error, Switched};
use flintwheel_model::definition::OnResume;
use flintwheel_model::{DefinitionKey, Span};

use super::bulk::{Selection, Words};
use super::show;
use crate::config::{Connection, RequestArg};
use crate::exit::{Exit, Outcome, exit_of};
use crate::output::{OutputArgs, Printer, Zone, say};

#[derive(Debug, clap::Args)]
pub struct PauseArgs {
    /// When it goes on by itself: a time (RFC 3339), or a length of time from now, such as 2h
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<DateTime<Utc>>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    names: Vec<String>,
    #[command(flatten)]
    selection: Selection,
    /// Why, for those who wonder later
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    request: RequestArg,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// What becomes of due times that passed meanwhile: `drop`, `latest`, or `all` [default: as the definition says]
    #[arg(long, value_name = "WHICH")]
    missed: Option<OnResume>,
    #[command(flatten)]
    args: Args,
}

/// A time, or a length of time from now.
fn until(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = text.parse::<DateTime<Utc>>() {
        return Ok(time);
    }
    let span: Result<Span, _> = text.parse();
    let from_now = span.ok().and_then(|span| chrono::TimeDelta::from_std(span.into()).ok());
    let time = from_now.and_then(|from_now| Utc::now().checked_add_signed(from_now));
    time.ok_or_else(|| "is a time such as 2026-12-24T08:00:00Z, or a length of time such as 2h or 3d".to_owned())
}

pub async fn pause(PauseArgs { until, args }: PauseArgs) -> Outcome {
    let note = args.note.clone();
    let words = Words { ask: "Pause", doing: "pausing", done: "paused" };
    let action = BulkAction::Pause { note: note.clone(), until };
    switch(args, (action, words), paused, |client, key| {
        let note = note.clone();
        async move { client.pause_until(&key, &note, until).await }
    })
    .await
}

pub async fn resume(ResumeArgs { missed, args }: ResumeArgs) -> Outcome {
    let note = args.note.clone();
    let words = Words { ask: "Resume", doing: "resuming", done: "resumed" };
    let action = BulkAction::Resume { note: note.clone(), missed };
    switch(args, (action, words), resumed, |client, key| {
        let note = note.clone();
        async move { client.resume(&key, &note, missed).await }
    })
    .await
}

/// A pause that is there is given the end that was asked for, which may be none.
fn paused(switched: &Switched) -> String {
    let until = switched.status.paused.as_ref().and_then(|paused| paused.until);
    let until = until.map(|until| format!("until {}", Zone::UTC.exact(until)));
    match (switched.changed, until) {
        (true, Some(until)) => format!("paused {until}"),
        (true, None) => "paused".to_owned(),
        (false, Some(until)) => format!("was paused before; now {until}"),
        (false, None) => "was paused before; now without an end".to_owned(),
    }
}

fn resumed(switched: &Switched) -> String {
    if switched.changed { "resumed" } else { "was not paused" }.to_owned()
}

/// Each by itself: that one is not there does not keep the others from it.
async fn switch<F>(
    args: Args,
    (action, many): (BulkAction, Words),
    said: fn(&Switched) -> String,
    call: impl Fn(Client, DefinitionKey) -> F,
) -> Outcome
where
    F: Future<Output = Result<Switched, Error>>,
{
    let by_labels = args.selection.by_labels(&args.names)?.is_some();
    let session = args.connection.open()?.requesting(&args.request);
    let mut printer = Printer::list(args.output.output);
    if by_labels {
        return args.selection.run(&session, action, many, &args.request, printer).await;
    }
    let mut exit = Exit::Ok;
    for key in session.keys(&args.names)? {
        let name = show::name(&key);
        match call(session.client.clone(), key).await {
            Ok(switched) if printer.is_table() => {
                printer.line(&format!("{name} {}", said(&switched)))?;
            }
            Ok(switched) => printer.value(&name, &switched)?,
            Err(error) => {
                say(format_args!("error: {name}: {error}"));
                exit = exit_of(error.code);
            }
        }
    }
    printer.finish()?;
    Ok(exit)
}

#[cfg(test)]
mod tests {
    use flintwheel_client::Paused;
    use serde_json::json;

    use super::*;
    use crate::commands::show::tests::record;

    #[test]
    fn a_pause_says_until_when_it_lasts_also_where_it_was_there_before() {
        let end: DateTime<Utc> = "2026-12-24T08:00:00Z".parse().expect("a time");
        for (changed, until, expected) in [
            (true, None, "paused"),
            (true, Some(end), "paused until 2026-12-24 08:00:00 +0000"),
            (false, None, "was paused before; now without an end"),
            (false, Some(end), "was paused before; now until 2026-12-24 08:00:00 +0000"),
        ] {
            let mut status = record(json!({})).status;
            status.paused = Some(Paused { note: String::new(), at: status.updated_at, until });
            assert_eq!(paused(&Switched { status, changed }), expected);
        }
    }

    #[test]
    fn an_end_is_a_time_or_a_length_of_time() {
        assert_eq!(
            until("2026-12-24T08:00:00+01:00").map(|time| time.to_rfc3339()),
            Ok("2026-12-24T07:00:00+00:00".into())
        );
        let away = until("2h").expect("a length") - Utc::now();
        assert!((7190..=7200).contains(&away.num_seconds()), "{away}");
        for bad in ["", "soon", "2026-12-24", "-1h", "999999999d"] {
            assert!(until(bad).is_err(), "{bad}");
        }
    }
}
