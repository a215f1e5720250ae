//! `flintwheel explain`.

use chrono::{DateTime, Utc};
use flintwheel_client::{AskedTime, Explanation, LeftOut, Moment, Occurrence, Outcome as Ended};

use crate::config::Connection;
use crate::exit::{Exit, Outcome};
use crate::output::{OutputArgs, Printer, Zone};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// ID, or NAMESPACE/ID
    name: String,
    /// An instant (2026-11-19T08:00:00Z), or a time as the clocks of the schedule's zone show it (2026-11-19T09:00)
    #[arg(long, value_name = "TIME")]
    at: AskedTime,
    /// What any replica knows by now, also where the shard has no leader
    #[arg(long)]
    stale: bool,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    connection: Connection,
}

pub async fn run(args: Args) -> Outcome {
    let session = args.connection.open()?.reading(args.stale);
    let key = session.key(&args.name)?;
    let explanation = session.client.explain(&key, args.at).await?;
    let mut printer = Printer::one(args.output.output);
    if printer.is_table() {
        let asked = match args.at {
            AskedTime::Instant(_) => String::new(),
            AskedTime::Local(local) => local.format("%Y-%m-%d %H:%M:%S").to_string(),
        };
        lines(&explanation, &asked, Utc::now()).iter().try_for_each(|line| printer.line(line))?;
    } else {
        printer.value(&key.to_string(), &explanation)?;
    }
    printer.finish()?;
    Ok(Exit::Ok)
}

/// For people; `asked` is the local time, if one was asked about.
fn lines(explanation: &Explanation, asked: &str, now: DateTime<Utc>) -> Vec<String> {
    if explanation.timezone.is_empty() {
        return vec!["no: the definition has no schedule".to_owned()];
    }
    let zone = &Zone::named(&explanation.timezone).told(&explanation.offsets);
    let mut lines = Vec::new();
    if let Some(left_out) = &explanation.left_out {
        lines.extend(of_left_out(left_out, asked, zone));
    }
    for moment in &explanation.moments {
        lines.extend(of_moment(moment, zone));
        lines.extend(became(moment, explanation, zone, now));
    }
    lines.extend(standing(explanation, zone, now));
    let neighbour = |word: &str, time: Option<DateTime<Utc>>| Some(format!("  {word} {}", zone.exact(time?)));
    lines.extend(neighbour("the due time before:", explanation.before));
    lines.extend(neighbour("the due time after: ", explanation.after));
    lines
}

fn of_left_out(left_out: &LeftOut, asked: &str, zone: &Zone) -> Vec<String> {
    let mut lines = vec![format!(
        "no: clocks never show {asked}: they go forward by {} at {}",
        crate::output::compact(std::time::Duration::from_secs(left_out.forward.into())),
        zone.exact(left_out.change)
    )];
    lines.push(match (left_out.named_by.is_empty(), left_out.moves_to) {
        (true, _) => "  no part of the schedule names it".to_owned(),
        (false, None) => format!("  {} names it; dst.gap is skip", left_out.named_by.join(", ")),
        (false, Some(to)) => {
            format!("  {} names it; dst.gap moves it to {}", left_out.named_by.join(", "), zone.exact(to))
        }
    });
    lines
}

/// Whether it is due, and each reason.
fn of_moment(moment: &Moment, zone: &Zone) -> Vec<String> {
    let at = zone.exact(moment.instant);
    let is_due = moment.is_nominal || moment.jittered_from.is_some();
    let mut lines = vec![format!("{}: {at}", if is_due { "yes" } else { "no" })];
    let mut say = |line: String| lines.push(format!("  {line}"));
    if let Some(nominal) = moment.jittered_from {
        say(format!("jitter moves {} to it", zone.exact(nominal)));
    }
    if !moment.named_by.is_empty() {
        say(format!("named by {}", moment.named_by.join(", ")));
    } else if moment.is_other_of_fold {
        say("clocks show it twice, and dst.fold counts the other one".to_owned());
    } else if !is_due {
        say("no part of the schedule names it".to_owned());
    }
    if !moment.closed_by.is_empty() && !moment.named_by.is_empty() {
        say(format!("excluded by {}", moment.closed_by.join(", ")));
    }
    if let Some(to) = moment.rolls_to {
        say(format!("moves to {}, being on a closed day", zone.exact(to)));
    }
    for from in &moment.rolled_from {
        say(format!("{} moves to it, being on a closed day", zone.exact(*from)));
    }
    if moment.before_start {
        say("it is before start".to_owned());
    }
    if moment.after_end {
        say("it is after end".to_owned());
    }
    if let Some(due) = moment.due.filter(|due| *due != moment.instant) {
        say(format!("jitter moves it to {}", zone.exact(due)));
    }
    lines
}

/// What became of it, if its time has come.
fn became(moment: &Moment, explanation: &Explanation, zone: &Zone, now: DateTime<Utc>) -> Vec<String> {
    let is_due = moment.is_nominal || moment.jittered_from.is_some();
    if moment.occurrences.is_empty() && is_due && moment.due.unwrap_or(moment.instant) < now {
        if let Some(to) = explanation.looked_back_to {
            let to = zone.exact(to);
            let ask = "flintwheel occurrences ID --since TIME --until TIME";
            return vec![format!(
                "  the account was looked at back to {to} only, and holds nothing of it there: {ask}"
            )];
        }
        let before = moment.instant < explanation.version_since;
        let why = if before { ": this version did not count yet" } else { " (any more)" };
        return vec![format!("  the account holds nothing of it{why}")];
    }
    moment.occurrences.iter().map(|occurrence| format!("  {}", told(occurrence, zone))).collect()
}

fn told(occurrence: &Occurrence, zone: &Zone) -> String {
    let fired = occurrence.outcome == Ended::Fired;
    let word = if fired && occurrence.started_at.is_none() { "pending" } else { occurrence.outcome.as_str() };
    let mut line = format!("{word} at {}", zone.exact(occurrence.started_at.unwrap_or(occurrence.decided_at)));
    let parts = [&occurrence.reason, &occurrence.detail, &occurrence.workflow_id];
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        line.push_str("  ");
        line.push_str(part);
    }
    if occurrence.count > 1 {
        line.push_str(&format!("  ({} due times as one)", occurrence.count));
    }
    line
}

/// How the definition stands, where that keeps it from firing.
fn standing(explanation: &Explanation, zone: &Zone, now: DateTime<Utc>) -> Vec<String> {
    let mut lines = Vec::new();
    if !explanation.enabled {
        lines.push("  the definition is disabled: nothing fires".to_owned());
    }
    if let Some(paused) = &explanation.paused {
        let note = if paused.note.is_empty() { String::new() } else { format!(": {}", paused.note) };
        lines.push(format!("  the definition is paused since {}{note}", zone.exact(paused.at)));
    }
    let is_past =
        explanation.moments.iter().any(|moment| moment.instant < explanation.version_since && moment.instant < now);
    if is_past {
        let since = zone.exact(explanation.version_since);
        lines.push(format!("  this is what version {} says, which was applied at {since}", explanation.version));
    }
    lines
}

#[cfg(test)]
mod tests {
    use flintwheel_client::Paused;
    use flintwheel_model::DefinitionKey;

    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time")
    }

    fn explanation(moment: Moment) -> Explanation {
        Explanation {
            timezone: "Europe/Berlin".into(),
            moments: vec![moment],
            before: Some(time("2026-11-18T08:00:00Z")),
            after: Some(time("2026-11-20T08:00:00Z")),
            enabled: true,
            version: 2,
            version_since: time("2026-10-01T08:00:00Z"),
            ..Explanation::default()
        }
    }

    fn named() -> Moment {
        Moment { instant: time("2026-11-19T08:00:00Z"), named_by: vec!["cron[0]".into()], ..Moment::default() }
    }

    fn shown(explanation: &Explanation) -> Vec<String> {
        lines(explanation, "", time("2026-11-25T08:00:00Z"))
    }

    #[test]
    fn each_reason_has_its_line() {
        let at = time("2026-11-19T08:00:00Z");
        let excluded = Moment { closed_by: vec!["exclude[0].dates[0]".into()], ..named() };
        for (moment, expected) in [
            (
                Moment { is_nominal: true, ..named() },
                vec![
                    "yes: 2026-11-19 09:00:00 +0100",
                    "  named by cron[0]",
                    "  the account holds nothing of it (any more)",
                ],
            ),
            (
                Moment { instant: at, ..Moment::default() },
                vec!["no: 2026-11-19 09:00:00 +0100", "  no part of the schedule names it"],
            ),
            (
                Moment { rolls_to: Some(time("2026-11-20T08:00:00Z")), ..excluded },
                vec![
                    "no: 2026-11-19 09:00:00 +0100",
                    "  named by cron[0]",
                    "  excluded by exclude[0].dates[0]",
                    "  moves to 2026-11-20 09:00:00 +0100, being on a closed day",
                ],
            ),
            (
                Moment { instant: at, is_other_of_fold: true, ..Moment::default() },
                vec!["no: 2026-11-19 09:00:00 +0100", "  clocks show it twice, and dst.fold counts the other one"],
            ),
            (
                Moment { after_end: true, ..named() },
                vec!["no: 2026-11-19 09:00:00 +0100", "  named by cron[0]", "  it is after end"],
            ),
        ] {
            let lines = shown(&explanation(moment));
            assert_eq!(lines[..lines.len() - 2], expected);
            assert_eq!(
                lines[lines.len() - 2..],
                [
                    "  the due time before: 2026-11-18 09:00:00 +0100",
                    "  the due time after:  2026-11-20 09:00:00 +0100"
                ]
            );
        }
    }

    #[test]
    fn what_became_of_it_and_how_the_definition_stands_are_told() {
        let occurrence = Occurrence {
            definition: DefinitionKey::new("a", "b"),
            version: 2,
            firing_key: "t:2026-11-19T08:00:00Z".into(),
            outcome: Ended::Skipped,
            reason: "overlap".into(),
            detail: "run 7f3a is open".into(),
            due: time("2026-11-19T08:00:00Z"),
            decided_at: time("2026-11-19T08:00:01Z"),
            started_at: None,
            workflow_id: String::new(),
            count: 3,
            utc_offset_seconds: None,
        };
        let moment = Moment { is_nominal: true, occurrences: vec![occurrence], ..named() };
        let mut explained = explanation(moment);
        explained.paused = Some(Paused { note: "holidays".into(), at: time("2026-11-20T08:00:00Z"), until: None });
        explained.version_since = time("2026-11-24T08:00:00Z");
        let lines = shown(&explained);
        assert!(
            lines.contains(
                &"  skipped at 2026-11-19 09:00:01 +0100  overlap  run 7f3a is open  (3 due times as one)".to_owned()
            ),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"  the definition is paused since 2026-11-20 09:00:00 +0100: holidays".to_owned()),
            "{lines:?}"
        );
        assert!(
            lines.contains(&"  this is what version 2 says, which was applied at 2026-11-24 09:00:00 +0100".to_owned()),
            "{lines:?}"
        );
    }

    #[test]
    fn a_time_that_clocks_never_show_says_so() {
        let left_out = LeftOut {
            change: time("2027-03-28T01:00:00Z"),
            forward: 3600,
            named_by: vec!["cron[0]".into()],
            moves_to: Some(time("2027-03-28T01:30:00Z")),
        };
        let explained = Explanation { left_out: Some(left_out), moments: Vec::new(), ..explanation(Moment::default()) };
        let lines = lines(&explained, "2027-03-28 02:30:00", time("2026-11-25T08:00:00Z"));
        assert_eq!(
            lines[..2],
            [
                "no: clocks never show 2027-03-28 02:30:00: they go forward by 1h at 2027-03-28 03:00:00 +0200",
                "  cron[0] names it; dst.gap moves it to 2027-03-28 03:30:00 +0200",
            ]
        );
    }
}
