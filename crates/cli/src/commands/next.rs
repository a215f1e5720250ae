//! `flintwheel next`.

use chrono::{DateTime, SubsecRound, Utc};
use flintwheel_client::{NextOf, NextTimes};
use flintwheel_model::{ActivityDefinition, Calendar, Span};

use super::due::Whose;
use super::show;
use crate::config::{Connection, Session};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{OutputArgs, Printer, Zone, compact, say};
use crate::read::{Files, Input, Judge, key};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID, of a stored definition
    #[arg(required_unless_present_any = ["filename", "all"], conflicts_with = "filename")]
    name: Option<String>,
    /// How much is due in each step of a span of time, over all definitions of the namespace
    #[arg(long, conflicts_with_all = ["name", "filename", "count", "after"])]
    all: bool,
    /// With --all: from when to when (RFC 3339), rather than the coming hour
    #[arg(long, requires = "all", num_args = 2, value_names = ["FROM", "UNTIL"])]
    between: Vec<DateTime<Utc>>,
    /// With --all: the length of each step
    #[arg(long, requires = "all", value_name = "TIME", default_value = "1m")]
    step: Span,
    #[command(flatten)]
    whose: Whose,
    #[command(flatten)]
    files: Files,
    /// How many times
    #[arg(short, long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    count: u32,
    /// After this time (RFC 3339) rather than after now
    #[arg(long, value_name = "TIME")]
    after: Option<DateTime<Utc>>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?;
    if args.all {
        return all(&args, &session).await;
    }
    if args.whose.is_given() {
        return Err(Failure::usage("-l and -A choose the definitions that --all counts; without it, name one"));
    }
    let mut printer = Printer::list(args.output.output);
    if let Some(name) = &args.name {
        let key = session.key(name)?;
        let next = session.client.next_times(NextOf::Stored(&key), args.count, args.after).await?;
        let record = session.client.get(&key).await?;
        match show::held(&record) {
            _ if next.times.is_empty() => tell_none(&record.definition),
            Some((how, until)) => say(format_args!("{key} is {how}: none of these fires before {until}")),
            None => {}
        }
        print(&mut printer, &key.to_string(), &next)?;
    }
    let input = Input::read(&args.files, &session.namespace, Judge::Server)
        .map_err(|faults| Failure::faults(&faults, "nothing was asked"))?;
    let calendars: Vec<Calendar> = input.calendars().cloned().collect();
    for definition in input.definitions() {
        let given = NextOf::Given(definition, &calendars);
        let next = session.client.next_times(given, args.count, args.after).await?;
        if next.times.is_empty() {
            tell_none(definition);
        }
        print(&mut printer, &key(definition).to_string(), &next)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// How much is due when.
async fn all(args: &Args, session: &Session) -> Outcome {
    const HOUR: std::time::Duration = std::time::Duration::from_secs(3600);
    let step = u32::try_from(args.step.secs()).ok().filter(|_| args.step.is_whole_secs());
    let step = step.ok_or_else(|| Failure::usage(format!("--step {}: whole seconds are counted", args.step)))?;
    let now = Utc::now().trunc_subsecs(0);
    let span = if let [from, until] = args.between[..] { (from, until) } else { (now, now + HOUR) };
    let due = args.whose.count(session, span, step, 0).await?;
    let mut printer = Printer::list(args.output.output);
    due.print(&mut printer, due.steps.values())?;
    printer.finish()?;
    Ok(Exit::Ok)
}

fn tell_none(definition: &ActivityDefinition) {
    say(format_args!("{} has no due time to come{}", key(definition), show::when_runs_end(definition)));
}

fn print(printer: &mut Printer, name: &str, next: &NextTimes) -> Result<(), Failure> {
    if !printer.is_table() {
        return next.times.iter().try_for_each(|time| printer.value(&time.nominal.to_rfc3339(), time));
    }
    let now = Utc::now();
    let head = ["DEFINITION", "DUE", "IN", "JITTER", "BECAUSE"];
    let columns = if has_causes(next) { head.len() } else { head.len() - 1 };
    printer.rows(&head[..columns], &rows(name, next, now))
}

/// Whether any of them is due because of another definition's run.
fn has_causes(next: &NextTimes) -> bool {
    next.times.iter().any(|time| !time.because.is_empty())
}

fn rows(name: &str, next: &NextTimes, now: DateTime<Utc>) -> Vec<Vec<String>> {
    let zone = Zone::named(&next.timezone).told(&next.offsets);
    let row = |time: &flintwheel_client::DueTime| {
        let away = (time.due - now).to_std().map(compact).unwrap_or_default();
        let jitter = (time.due - time.nominal).to_std().ok().filter(|jitter| !jitter.is_zero());
        let mut row = vec![name.to_owned(), zone.exact(time.nominal), away, jitter.map(compact).unwrap_or_default()];
        row.extend(has_causes(next).then(|| time.because.clone()));
        row
    };
    next.times.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use flintwheel_client::DueTime;

    use super::*;

    #[test]
    fn times_are_shown_in_the_schedules_zone_with_their_jitter() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let nominal = time("2026-11-24T08:00:00Z");
        let at = |due| DueTime { nominal, due, because: String::new() };
        let times = vec![at(nominal), at(time("2026-11-24T08:01:12Z"))];
        let mut next = NextTimes { times, timezone: "Europe/Berlin".into(), offsets: vec![] };
        let shown = rows("a/b", &next, time("2026-11-24T07:30:00Z"));
        assert_eq!(shown[0], ["a/b", "2026-11-24 09:00:00 +0100", "30m", ""]);
        assert_eq!(shown[1], ["a/b", "2026-11-24 09:00:00 +0100", "31m", "1m12s"]);
        next.times[1].because = "c t:1 succeeded".into();
        let shown = rows("a/b", &next, time("2026-11-24T07:30:00Z"));
        assert_eq!((shown[0].len(), shown[1][4].as_str()), (5, "c t:1 succeeded"));
        next.offsets = vec![flintwheel_client::ClockOffset { from: nominal, utc_offset_seconds: 7_200 }];
        let shown = rows("a/b", &next, time("2026-11-24T07:30:00Z"));
        assert_eq!(shown[0][1], "2026-11-24 10:00:00 +0200", "as the server counts");
    }
}
