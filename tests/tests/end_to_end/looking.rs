//! Looking at schedules: why a time is due or not, and how much comes when.

use chrono::{DateTime, Duration, DurationRound, Utc};

use super::support::{Cli, Node, eventually, text};

/// Applied to a node that starts nothing.
async fn scene(definitions: &str) -> (tempfile::TempDir, Node, Cli) {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    let cli = node.cli();
    cli.apply(definitions).await;
    (dir, node, cli)
}

fn definition(id: &str, labels: &str, schedule: &str) -> String {
    format!(
        "---\napiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {{namespace: shop, id: {id}, labels: {labels}}}\n\
         spec:\n  trigger: {{schedule: {schedule}}}\n  start_workflow: {{type: W, task_queue: q}}\n"
    )
}

#[tokio::test]
async fn a_time_is_explained_field_by_field_and_with_what_became_of_it() {
    let office = definition(
        "office",
        "{}",
        "{cron: [\"0 9 * * mon-fri\", \"30 2 * * *\"], timezone: Europe/Berlin, exclude: {dates: 2026-12-24}}",
    );
    let (_dir, _node, cli) = scene(&format!("{office}{}", definition("tick", "{}", "{interval: {every: 1s}}"))).await;
    for (at, code, lines) in [
        ("2027-01-04T09:00", 0, vec!["yes: 2027-01-04 09:00:00 +0100", "named by spec.trigger.schedule.cron[0]"]),
        (
            "2027-01-04T08:00:00Z",
            0,
            vec!["yes: 2027-01-04 09:00:00 +0100", "the due time before: 2027-01-04 02:30:00 +0100"],
        ),
        ("2027-01-03T09:00", 0, vec!["no: 2027-01-03 09:00:00 +0100", "no part of the schedule names it"]),
        ("2026-12-24T09:00", 0, vec!["no: 2026-12-24", "excluded by spec.trigger.schedule.exclude[0].dates[0]"]),
        (
            "2027-03-28T02:30",
            0,
            vec!["no: clocks never show 2027-03-28 02:30:00", "spec.trigger.schedule.cron[1] names it"],
        ),
        (
            "2026-10-25T02:30",
            0,
            vec!["+0200", "+0100", "the account holds nothing of it: this version did not count yet"],
        ),
        ("soon", 2, vec![]),
    ] {
        let said = cli.words(&["explain", "shop/office", "--at", at], "").await.with_code(code);
        assert!(lines.iter().all(|line| said.out.contains(line)), "{at}: {lines:?} in {said:#?}");
        assert!(code == 0 || said.err.contains("2026-11-19T09:00"), "{said:?}");
    }
    cli.run("explain shop/none --at 2027-01-04T09:00").await.with_code(3);

    let fired = eventually("it has fired", async || {
        let occurrences = cli.list("occurrences shop/tick --last 100").await;
        occurrences.into_iter().find(|occurrence| !occurrence["started_at"].is_null())
    })
    .await;
    let explained = cli.json(&format!("explain shop/tick --at {}", text(&fired, "due"))).await;
    let moment = &explained["moments"][0];
    assert_eq!(moment["is_nominal"], true);
    assert_eq!(text(&moment["occurrences"][0], "firing_key"), text(&fired, "firing_key"));
    assert_eq!(text(&moment["occurrences"][0], "workflow_id"), text(&fired, "workflow_id"));
    cli.done("pause shop/tick --note lunch").await;
    let said = cli.done(&format!("explain shop/tick --at {}", text(&fired, "due"))).await;
    assert!(
        said.contains("fired at ") && said.contains("the definition is paused since") && said.contains(": lunch"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_due_is_counted_by_minute_and_by_second() {
    let definitions = [
        definition("nine", "{team: a}", "{cron: \"0 9 * * *\"}"),
        definition("ten-past", "{team: a}", "{cron: \"10 9 * * *\"}"),
        definition("each-minute", "{team: b}", "{cron: \"* 9 * * *\"}"),
        definition("spread", "{team: b}", "{cron: \"0 9 * * *\", jitter: {window: 50s, mode: stable}}"),
    ];
    let (_dir, _node, cli) = scene(&definitions.concat()).await;
    let day = (Utc::now() + Duration::days(2)).duration_trunc(Duration::days(1)).expect("a day");
    let at =
        |minutes: i64| (day + Duration::minutes(9 * 60 + minutes)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let (nine, quarter) = (at(0), at(15));
    let line = |more: &str| format!("next -n shop --all --between {nine} {quarter}{more}");
    let counts = |steps: &[serde_json::Value]| -> Vec<(i64, u64, u64)> {
        let minute = |step: &serde_json::Value| {
            let from: DateTime<Utc> = text(step, "from").parse().expect("a time");
            (from - day).num_minutes() - 9 * 60
        };
        steps
            .iter()
            .map(|step| (minute(step), step["due"].as_u64().unwrap(), step["steady"].as_u64().unwrap()))
            .collect()
    };
    let every: Vec<_> = (0..15)
        .map(|minute| match minute {
            0 => (0, 3, 2),
            10 => (10, 2, 2),
            minute => (minute, 1, 1),
        })
        .collect();
    assert_eq!(counts(&cli.list(&line("")).await), every);
    assert_eq!(counts(&cli.list(&line(" -l team=a --step 5m")).await), [(0, 1, 1), (10, 1, 1)]);
    cli.done("pause shop/each-minute").await;
    assert_eq!(counts(&cli.list(&line(" --step 15m")).await), [(0, 3, 2)]);
    for (odd, why) in [
        (format!("next -n shop --all --between {quarter} {nine}"), "until: "),
        (line(" --step 500ms"), "--step 500ms: whole seconds are counted"),
        ("next shop/nine -l team=a".to_owned(), "-l and -A choose the definitions that --all counts"),
        ("hotspots --within 1d".to_owned(), "from 1s to 20000s"),
    ] {
        let said = cli.run(&odd).await;
        assert!(said.code != Some(0) && said.err.contains(why), "{said:?}");
    }

    let soon = (Utc::now() + Duration::minutes(30)).duration_trunc(Duration::seconds(1)).expect("a second");
    let soon = soon.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    let crowd: Vec<String> =
        (0..5).map(|n| definition(&format!("crowd-{n}"), "{}", &format!("{{at: {soon}}}"))).collect();
    cli.apply(&crowd.concat()).await;
    let hot = cli.list("hotspots -n shop --top 1").await;
    let soon: DateTime<Utc> = soon.parse().expect("a time");
    assert_eq!(text(&hot[0], "from").parse::<DateTime<Utc>>(), Ok(soon));
    assert!(hot[0]["due"].as_u64() >= Some(5) && hot[0]["examples"].as_array().unwrap().len() == 3, "{hot:?}");
    let said = cli.run("hotspots -A --top 1").await.with_code(0);
    assert!(said.out.contains("shop/crowd-0") && said.err.contains("those without jitter can be spread"), "{said:?}");
}
