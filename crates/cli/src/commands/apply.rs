//! `flintwheel apply -f`.

use chrono::{DateTime, Utc};
use flintwheel_client::{Applied, ApplyOutcome, Error};
use flintwheel_model::{ActivityDefinition, Calendar, DefinitionKey};
use serde::Serialize;

use super::dry_run::DryRun;
use super::{calendars, prune, show};
use crate::config::{Connection, RequestArg, Session};
use crate::exit::{Exit, Failure, Outcome, exit_of};
use crate::output::{OutputArgs, Printer, Progress, Zone, plural, say, when};
use crate::read::{Files, Input, Judge, calendar_key, key};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    files: Files,
    /// Check only
    #[arg(long, value_enum, default_value = "none", num_args = 0..=1, require_equals = true, default_missing_value = "client")]
    dry_run: DryRun,
    /// Delete what matches the selector in the namespaces of the given definitions, and is not among them
    #[arg(long, requires = "selector")]
    prune: bool,
    /// For --prune: labels, such as app=billing
    #[arg(short = 'l', long, value_name = "LABELS", requires = "prune")]
    selector: Option<String>,
    /// Don't ask before deleting
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    request: RequestArg,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

const NOTHING: &str = "nothing was changed";

pub async fn run(args: Args) -> Outcome {
    if args.files.filename.is_empty() {
        return Err(Failure::usage("nothing to apply; name files with -f FILE, -f DIR, or -f - for standard input"));
    }
    let session = args.connection.open()?.requesting(&args.request);
    let judge = if args.dry_run == DryRun::Client { Judge::Here } else { Judge::Server };
    let read = Input::read(&args.files, &session.namespace, judge);
    let input = read.map_err(|faults| Failure::faults(&faults, NOTHING))?;
    let definitions: Vec<ActivityDefinition> = input.definitions().cloned().collect();
    let mut printer = Printer::list(args.output.output);
    if args.dry_run == DryRun::Client {
        return check_only(&args, printer, &input);
    }
    // Before the definitions, which may name them.
    let how = (args.dry_run, &*args.request.id_or_new());
    if let Err(failure) = calendars::apply(&session, &input, how, &mut printer).await {
        printer.finish()?;
        return Err(failure);
    }
    let calendars: Vec<Calendar> = input.calendars().cloned().collect();
    let results = send(&session, &definitions, &calendars, args.dry_run).await;
    for (definition, result) in definitions.iter().zip(&results) {
        if let Ok(applied) = result {
            print(&mut printer, definition, applied, args.dry_run)?;
        }
    }
    printer.flush()?;
    if let Some(exit) = tell_failures(&input, &definitions, &results) {
        printer.finish()?;
        return Ok(exit);
    }
    if let Some(selector) = args.selector.as_deref().filter(|_| args.prune) {
        let keep: Vec<DefinitionKey> = definitions.iter().map(key).collect();
        prune::run(&session, selector, &keep, args.dry_run, args.yes, &mut printer).await?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

fn check_only(args: &Args, mut printer: Printer, input: &Input) -> Outcome {
    if args.prune {
        return Err(Failure::usage("--prune needs the server to know what there is; use --dry-run=server"));
    }
    for calendar in input.calendars() {
        let name = calendars::name(&calendar_key(calendar));
        match printer.is_table() {
            true => printer.line(&format!("{name} valid{}", args.dry_run.suffix()))?,
            false => printer.value(&name, calendar)?,
        }
    }
    for (index, definition) in input.definitions().enumerate() {
        let name = show::name(&key(definition));
        for warning in input.warnings(index) {
            say(warning.as_warning());
        }
        match printer.is_table() {
            true => printer.line(&format!("{name} valid{}", args.dry_run.suffix()))?,
            false => printer.value(&name, definition)?,
        }
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

async fn send(
    session: &Session,
    definitions: &[ActivityDefinition],
    calendars: &[Calendar],
    dry_run: DryRun,
) -> Vec<Result<Applied, Error>> {
    let progress = Progress::of(definitions.len() as u64, "applying");
    let mut count = |_: usize, _: &Result<Applied, Error>| progress.add(1);
    let results = match dry_run {
        DryRun::Server => session.client.try_many(definitions, calendars, &mut count).await,
        _ => session.client.apply_many(definitions, false, &mut count).await,
    };
    progress.done();
    results
}

/// One line of JSON output.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    definition: DefinitionKey,
    #[serde(flatten)]
    applied: &'a Applied,
}

fn print(
    printer: &mut Printer,
    definition: &ActivityDefinition,
    applied: &Applied,
    dry_run: DryRun,
) -> Result<(), Failure> {
    let definition_key = key(definition);
    let name = show::name(&definition_key);
    for warning in &applied.warnings {
        say(format_args!("warning: {definition_key}: {warning}"));
    }
    match printer.is_table() {
        true => {
            let zone = Zone::of(definition).told(&applied.offsets);
            printer.line(&line(&name, applied, dry_run, &zone, Utc::now()))
        }
        false => printer.value(&name, &Line { definition: definition_key, applied }),
    }
}

fn line(name: &str, applied: &Applied, dry_run: DryRun, zone: &Zone, now: DateTime<Utc>) -> String {
    let mut line = format!("{name} {}", applied.outcome.as_str());
    if applied.outcome == ApplyOutcome::Configured {
        line.push_str(&format!(" (version {} -> {})", applied.old_version, applied.new_version));
    }
    line.push_str(dry_run.suffix());
    if let Some(next) = applied.next_due.filter(|_| applied.outcome != ApplyOutcome::Unchanged) {
        line.push_str(&format!("   next {}", when(next, now, zone)));
    }
    line
}

/// What was not applied, with its place in the files, and how much was; none if all was.
fn tell_failures(
    input: &Input,
    definitions: &[ActivityDefinition],
    results: &[Result<Applied, Error>],
) -> Option<Exit> {
    let mut failures: Vec<(&Error, Vec<DefinitionKey>)> = Vec::new();
    for (index, (definition, result)) in definitions.iter().zip(results).enumerate() {
        let Err(error) = result else { continue };
        for violation in &error.violations {
            say(input.fault(index, violation));
        }
        // A whole call that failed is told once, not for each of its definitions.
        match failures.last_mut().filter(|(last, _)| *last == error) {
            Some((_, keys)) => keys.push(key(definition)),
            None => failures.push((error, vec![key(definition)])),
        }
    }
    for (error, keys) in failures.iter().filter(|(error, _)| error.violations.is_empty()) {
        say(format_args!("error: {}: {error}", several(keys)));
    }
    let (first, _) = failures.first()?;
    say(summary(results));
    Some(exit_of(first.code))
}

fn several(keys: &[DefinitionKey]) -> String {
    match keys {
        [] => String::new(),
        [one] => one.to_string(),
        [first, .., last] => format!("{} to {} ({})", first, last, plural(keys.len() as u64, "definition")),
    }
}

fn summary(results: &[Result<Applied, Error>]) -> String {
    let changed =
        |result: &&Result<Applied, Error>| result.as_ref().is_ok_and(|a| a.outcome != ApplyOutcome::Unchanged);
    let failed = results.iter().filter(|result| result.is_err()).count();
    match results.iter().filter(changed).count() {
        0 => NOTHING.to_owned(),
        changed => format!("{} not applied; {changed} changed", plural(failed as u64, "definition")),
    }
}

#[cfg(test)]
mod tests {
    use flintwheel_client::{Code, reason};

    use super::*;

    fn applied(outcome: ApplyOutcome, next: Option<&str>) -> Applied {
        Applied {
            outcome,
            old_version: 3,
            new_version: 4,
            next_due: next.map(|time| time.parse().expect("a time")),
            warnings: vec![],
            offsets: vec![],
        }
    }

    #[test]
    fn lines_say_what_became_of_it_and_when_it_is_due() {
        let now = "2026-11-23T18:00:00Z".parse().expect("a time");
        let berlin = Zone::named("Europe/Berlin");
        for (outcome, next, dry_run, expected) in [
            (
                ApplyOutcome::Created,
                Some("2026-11-24T08:00:00Z"),
                DryRun::None,
                "x created   next 2026-11-24 09:00 CET (in 14h)",
            ),
            (ApplyOutcome::Created, None, DryRun::Server, "x created (server dry run)"),
            (
                ApplyOutcome::Configured,
                Some("2026-11-23T18:00:12Z"),
                DryRun::None,
                "x configured (version 3 -> 4)   next in 12s",
            ),
            (ApplyOutcome::Unchanged, Some("2026-11-23T18:00:12Z"), DryRun::None, "x unchanged"),
        ] {
            assert_eq!(line("x", &applied(outcome, next), dry_run, &berlin, now), expected);
        }
    }

    #[test]
    fn the_last_line_says_whether_anything_was_changed() {
        let done = |outcome| Ok(applied(outcome, None));
        let failed = || Err(Error::new(Code::InvalidArgument, reason::INVALID_ARGUMENT, "no"));
        for (results, expected) in [
            (vec![failed()], "nothing was changed"),
            (vec![failed(), done(ApplyOutcome::Unchanged)], "nothing was changed"),
            (vec![done(ApplyOutcome::Created), failed(), failed()], "2 definitions not applied; 1 changed"),
        ] {
            assert_eq!(summary(&results), expected);
        }
    }
}
