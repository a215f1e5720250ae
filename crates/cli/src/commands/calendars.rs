//! Named calendars, in the commands that know them beside definitions: `apply`, `diff`, `get calendars`, `get calendar`, `delete calendar`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use flintwheel_client::{
    ApplyOptions, ApplyOutcome, CalendarApplied, CalendarRecord, Client, Code, DueMove, Error, reason,
};
use flintwheel_model::{Calendar, DefinitionKey};
use serde::Serialize;

use super::dry_run::DryRun;
use super::pages::Pages;
use crate::config::Session;
use crate::exit::{Exit, Failure, exit_of};
use crate::output::{Printer, Zone, ago, grouped, plural, say};
use crate::read::{Input, calendar_key};

/// What stands for them on the command line: one, or all of a namespace.
const WORDS: [&str; 2] = ["calendar", "calendars"];
/// For a change to come to all definitions. A hundred thousand take some seconds.
const PATIENCE: Duration = Duration::from_secs(600);
/// Until it is asked again whether it has.
const PAUSE: Duration = Duration::from_millis(250);

/// As `-o name` and messages write it.
pub fn name(key: &DefinitionKey) -> String {
    format!("calendar/{key}")
}

/// The names of calendars, where the first word says that calendars are meant; without any, all of the namespace are.
pub fn meant(names: &[String]) -> Option<&[String]> {
    let (first, rest) = names.split_first()?;
    WORDS.contains(&first.as_str()).then_some(rest)
}

/// Applies all calendars of the files, those first that others refer to. `Err` where one could not be: nothing is done after it.
pub async fn apply(
    session: &Session,
    input: &Input,
    (dry_run, request_id): (DryRun, &str),
    printer: &mut Printer,
) -> Result<(), Failure> {
    let calendars: Vec<&Calendar> = input.calendars().collect();
    let mut changed = 0;
    for place in in_order(&calendars) {
        let calendar = calendars[place];
        let result = match dry_run {
            DryRun::Server => session.client.try_calendar(calendar, &referred(calendar, &calendars)).await,
            _ => put(&session.client, calendar, request_id).await,
        };
        let applied = result.map_err(|error| failed(input, (place, calendar), &error, changed))?;
        changed += usize::from(dry_run == DryRun::None && applied.outcome != ApplyOutcome::Unchanged);
        print(printer, calendar, &applied, dry_run)?;
    }
    Ok(())
}

/// Waits until all definitions are due by it.
async fn put(client: &Client, calendar: &Calendar, request_id: &str) -> Result<CalendarApplied, Error> {
    let (begun, mut told) = (Instant::now(), false);
    loop {
        let options = ApplyOptions { request_id: request_id.to_owned(), ..ApplyOptions::default() };
        match client.apply_calendar(calendar, options).await {
            Err(error) if error.reason == reason::SPREADING && begun.elapsed() < PATIENCE => {
                if !told {
                    say(format_args!("{} is stored; its definitions are being moved", name(&calendar_key(calendar))));
                    told = true;
                }
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

fn failed(input: &Input, (place, calendar): (usize, &Calendar), error: &Error, changed: usize) -> Failure {
    for violation in &error.violations {
        say(input.calendar_fault(place, violation));
    }
    if error.violations.is_empty() {
        say(format_args!("error: {}: {error}", name(&calendar_key(calendar))));
    }
    let text = match changed {
        0 => "nothing was changed".to_owned(),
        changed => format!("{} changed, and nothing else", plural(changed as u64, "calendar")),
    };
    Failure { exit: exit_of(error.code), text }
}

/// Places of calendars, those first that others among them refer to. In a circle none comes first; whoever reads them has told of that.
pub fn in_order(calendars: &[&Calendar]) -> Vec<usize> {
    let places: BTreeMap<DefinitionKey, usize> =
        calendars.iter().enumerate().map(|(place, calendar)| (calendar_key(calendar), place)).collect();
    let refers = |place: usize| {
        let calendar = calendars[place];
        let key = |name: &String| DefinitionKey::new(&calendar.metadata.namespace, name);
        calendar.spec.calendars.iter().filter_map(|name| places.get(&key(name)).copied()).collect::<Vec<_>>()
    };
    let (mut order, mut done) = (Vec::with_capacity(calendars.len()), BTreeSet::new());
    while order.len() < calendars.len() {
        let before = order.len();
        for place in 0..calendars.len() {
            if !done.contains(&place) && refers(place).iter().all(|other| done.contains(other)) {
                done.insert(place);
                order.push(place);
            }
        }
        if order.len() == before {
            order.extend((0..calendars.len()).filter(|place| !done.contains(place)));
        }
    }
    order
}

/// The calendars among these that one refers to, at whatever distance.
fn referred(calendar: &Calendar, all: &[&Calendar]) -> Vec<Calendar> {
    let (mut open, mut found) = (calendar.spec.calendars.clone(), BTreeMap::new());
    while let Some(name) = open.pop() {
        let key = DefinitionKey::new(&calendar.metadata.namespace, &name);
        let known = all.iter().find(|other| calendar_key(other) == key && key != calendar_key(calendar));
        if let Some(other) = known.filter(|_| !found.contains_key(&name)) {
            open.extend(other.spec.calendars.iter().cloned());
            found.insert(name, (*other).clone());
        }
    }
    found.into_values().collect()
}

/// One line of JSON output.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    #[serde(flatten)]
    calendar: DefinitionKey,
    #[serde(flatten)]
    applied: &'a CalendarApplied,
}

fn print(
    printer: &mut Printer,
    calendar: &Calendar,
    applied: &CalendarApplied,
    dry_run: DryRun,
) -> Result<(), Failure> {
    let key = calendar_key(calendar);
    let name = name(&key);
    if !printer.is_table() {
        return printer.value(&name, &Line { kind: flintwheel_model::calendar::KIND, calendar: key, applied });
    }
    lines(&name, applied, dry_run).iter().try_for_each(|line| printer.line(line))
}

fn lines(name: &str, applied: &CalendarApplied, dry_run: DryRun) -> Vec<String> {
    let mut line = format!("{name} {}", applied.outcome.as_str());
    if applied.outcome == ApplyOutcome::Configured {
        line.push_str(&format!(" (version {} -> {})", applied.old_version, applied.new_version));
    }
    line.push_str(dry_run.suffix());
    if applied.outcome != ApplyOutcome::Unchanged && applied.definitions > 0 {
        let verb = if dry_run == DryRun::Server { "would move" } else { "moved" };
        let definitions = plural(applied.definitions, "definition");
        line.push_str(&format!("   {verb} the next time of {} of {definitions}", grouped(applied.moved)));
    }
    let mut lines = vec![line];
    lines.extend(applied.moves.iter().map(move_line));
    let more = applied.moved.saturating_sub(applied.moves.len() as u64);
    if more > 0 && !applied.moves.is_empty() {
        lines.push(format!("  and {} more", grouped(more)));
    }
    lines
}

fn move_line(one: &DueMove) -> String {
    let shown = |time: Option<DateTime<Utc>>| time.map_or("never".to_owned(), |time| Zone::UTC.short(time));
    format!("  {}   {} -> {}", one.definition, shown(one.before), shown(one.after))
}

/// Prints calendars by their names, or all of a namespace.
pub async fn get(session: &Session, names: &[String], mut printer: Printer) -> Result<Exit, Failure> {
    let mut records = Vec::new();
    for name in names {
        records.push(session.client.calendar(&key(session, name)?).await?);
    }
    let mut pages = Pages::new(0);
    while names.is_empty()
        && let Some(some) = pages.next(|page| session.client.calendars(&session.namespace, page)).await?
    {
        records.extend(some);
    }
    if printer.is_table() {
        let now = Utc::now();
        let rows: Vec<_> = records.iter().map(|record| row(record, now)).collect();
        printer.rows(&HEAD, &rows)?;
    } else {
        for record in &records {
            printer.value(&name(&calendar_key(&record.calendar)), record)?;
        }
    }
    printer.finish()?;
    if records.is_empty() {
        say(format_args!("no calendars in namespace {}", session.namespace));
    }
    Ok(Exit::Ok)
}

const HEAD: [&str; 7] = ["NAMESPACE", "NAME", "DAYS", "DEFINITIONS", "VERSION", "CHANGED", "STATE"];

fn row(record: &CalendarRecord, now: DateTime<Utc>) -> Vec<String> {
    let CalendarRecord { calendar, status } = record;
    let key = calendar_key(calendar);
    vec![
        key.namespace,
        key.id,
        days(calendar),
        grouped(status.definitions),
        status.version.to_string(),
        ago(status.updated_at, now),
        if status.spreading { "spreading" } else { "" }.to_owned(),
    ]
}

/// What its days come from, in one cell.
fn days(calendar: &Calendar) -> String {
    let spec = &calendar.spec;
    let mut parts = spec.weekdays.clone();
    match &spec.dates[..] {
        [] => {}
        [one] => parts.push(one.clone()),
        more => parts.push(format!("{} dates", more.len())),
    }
    parts.extend(spec.ical.iter().map(|_| "ical".to_owned()));
    parts.extend(spec.calendars.iter().cloned());
    parts.join(", ")
}

/// A calendar's name as it is given: `name`, `namespace/name`, or either after `calendar/`, as `-o name` prints it.
fn key(session: &Session, name: &str) -> Result<DefinitionKey, Failure> {
    session.key(name.strip_prefix("calendar/").unwrap_or(name))
}

/// What was deleted, for JSON.
#[derive(Serialize)]
struct Deleted<'a> {
    kind: &'static str,
    #[serde(flatten)]
    calendar: &'a DefinitionKey,
    /// The last one; nobody was asked for it in a dry run of the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
}

/// Calendars by their names on the command line.
pub fn keys(session: &Session, names: &[String]) -> Result<Vec<DefinitionKey>, Failure> {
    names.iter().map(|name| key(session, name)).collect()
}

/// Deletes calendars, each by itself, in an order in which none refers to one before it, if they are given so. The first failure decides how the
/// command ends.
pub async fn delete(
    client: &Client,
    keys: &[DefinitionKey],
    dry_run: DryRun,
    ignore_missing: bool,
    printer: &mut Printer,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Ok;
    for key in keys {
        if dry_run == DryRun::Client {
            print_deleted(printer, key, None, dry_run)?;
            continue;
        }
        match remove(client, key, dry_run == DryRun::Server).await {
            Ok(version) => print_deleted(printer, key, Some(version), dry_run)?,
            Err(error) if ignore_missing && error.code == Code::NotFound => {}
            Err(error) => {
                say(format_args!("error: {}: {error}", name(key)));
                exit = if exit == Exit::Ok { exit_of(error.code) } else { exit };
            }
        }
    }
    if exit != Exit::Ok {
        say("not all of it was deleted");
    }
    Ok(exit)
}

fn print_deleted(
    printer: &mut Printer,
    key: &DefinitionKey,
    version: Option<u64>,
    dry_run: DryRun,
) -> Result<(), Failure> {
    let (name, kind) = (name(key), flintwheel_model::calendar::KIND);
    match printer.is_table() {
        true => printer.line(&format!("{name} deleted{}", dry_run.suffix())),
        false => printer.value(&name, &Deleted { kind, calendar: key, version }),
    }
}

async fn remove(client: &Client, key: &DefinitionKey, validate_only: bool) -> Result<u64, Error> {
    let begun = Instant::now();
    // The same for all tries: while it is about to go, whoever asks again waits on.
    let client = client.with_request_id(&uuid::Uuid::now_v7().to_string());
    loop {
        match client.delete_calendar(key, validate_only).await {
            Err(error) if error.reason == reason::SPREADING && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn calendar(id: &str, spec: &Value) -> Calendar {
        let metadata = json!({"namespace": "ops", "id": id});
        serde_json::from_value(json!({
            "apiVersion": "flintwheel.dev/v1", "kind": "Calendar", "metadata": metadata, "spec": spec
        }))
        .expect("a calendar")
    }

    #[test]
    fn what_others_refer_to_comes_first() {
        let all = [
            calendar("c", &json!({"calendars": ["b", "elsewhere"]})),
            calendar("b", &json!({"calendars": ["a"]})),
            calendar("a", &json!({"weekdays": "sat"})),
            calendar("d", &json!({"weekdays": "sat"})),
        ];
        let all: Vec<&Calendar> = all.iter().collect();
        assert_eq!(in_order(&all), [2, 3, 1, 0]);
        let named = |place: usize| referred(all[place], &all).into_iter().map(|c| c.metadata.id).collect::<Vec<_>>();
        assert_eq!((named(0), named(1), named(2)), (vec!["a".into(), "b".into()], vec!["a".to_owned()], vec![]));
        let circle = [calendar("a", &json!({"calendars": ["b"]})), calendar("b", &json!({"calendars": ["a"]}))];
        assert_eq!(in_order(&circle.iter().collect::<Vec<_>>()), [0, 1], "it ends");
    }

    #[test]
    fn lines_say_what_became_of_it_and_who_has_moved() {
        let time = |text: &str| Some(text.parse().expect("a time"));
        let one = |id: &str, after| DueMove {
            definition: DefinitionKey::new("ops", id),
            before: time("2026-12-25T09:00:00Z"),
            after,
        };
        let applied = |outcome, definitions, moved, moves| CalendarApplied {
            outcome,
            old_version: 1,
            new_version: 2,
            definitions,
            moved,
            moves,
        };
        for (applied, dry_run, expected) in [
            (applied(ApplyOutcome::Created, 0, 0, vec![]), DryRun::None, &["x created"][..]),
            (applied(ApplyOutcome::Unchanged, 4, 0, vec![]), DryRun::None, &["x unchanged"]),
            (
                applied(ApplyOutcome::Configured, 4000, 1, vec![]),
                DryRun::None,
                &["x configured (version 1 -> 2)   moved the next time of 1 of 4,000 definitions"],
            ),
            (
                applied(ApplyOutcome::Configured, 4, 3, vec![one("a", time("2026-12-27T09:00:00Z")), one("b", None)]),
                DryRun::Server,
                &[
                    "x configured (version 1 -> 2) (server dry run)   would move the next time of 3 of 4 definitions",
                    "  ops/a   2026-12-25 09:00 UTC -> 2026-12-27 09:00 UTC",
                    "  ops/b   2026-12-25 09:00 UTC -> never",
                    "  and 1 more",
                ],
            ),
        ] {
            assert_eq!(lines("x", &applied, dry_run), expected);
        }
    }

    #[test]
    fn days_are_told_in_one_cell_and_the_first_word_says_that_calendars_are_meant() {
        let spec =
            json!({"weekdays": ["sat-sun"], "dates": ["12-24", "12-25"], "ical": "BEGIN:VCALENDAR", "calendars": "eu"});
        assert_eq!(days(&calendar("a", &spec)), "sat-sun, 2 dates, ical, eu");
        let names = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        for (given, expected) in [
            (&["calendars"][..], Some(&[][..])),
            (&["calendar", "a", "b"], Some(&["a", "b"])),
            (&["a", "calendar"], None),
            (&["ops/calendar"], None),
            (&[], None),
        ] {
            let found = meant(&names(given)).map(<[String]>::to_vec);
            assert_eq!(found, expected.map(names), "{given:?}");
        }
    }
}
