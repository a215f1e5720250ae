//! The commands by which operators change what is stored: single fields, older versions, many at once, due times of the past.

use flintwheel_loadtest::cluster::Cluster;
use flintwheel_loadtest::engine::Sink;

use super::commands::{in_turn, scene};
use super::support::{Cli, eventually, texts};

#[tokio::test]
async fn single_fields_are_set_and_versions_are_compared_and_gone_back_to() {
    let (_dir, _node, cli) = scene().await;
    cli.done("apply -f defs -n shop").await;
    let zone = "spec.trigger.schedule.timezone";
    in_turn(
        &cli,
        &[
            (&*format!("set shop/a {zone}=UTC"), 0, "activitydefinition/shop/a configured (version 1 -> 2)\n", ""),
            (&*format!("set shop/a {zone}=UTC"), 0, "activitydefinition/shop/a unchanged\n", ""),
            (&*format!("set shop/a --unset {zone} --expected-version 1"), 7, "", "has version 2, not 1"),
            (&*format!("set shop/a --unset {zone} -o json"), 0, "\"new_version\": 3", ""),
            ("set shop/a spec.cron=x", 4, "", "did you mean spec.trigger.schedule.cron?"),
            ("set shop/a spec.enabled=maybe", 4, "", "changes[0].value: spec.enabled"),
            ("set shop/a", 2, "", "nothing to change"),
            ("set spec.enabled=false", 2, "", "nothing is chosen"),
            ("set shop/none spec.enabled=false", 3, "", "does not exist"),
            (
                "set -n shop -l team=y metadata.labels.tier=gold --dry-run",
                0,
                "1 definition would be changed: shop/b\n",
                "",
            ),
            ("set -n shop -l team=y metadata.labels.tier=gold", 0, "1 definition changed\n", ""),
            ("list -n shop -l tier=gold -o name", 0, "activitydefinition/shop/b\n", ""),
            ("history shop/a", 0, "spec.trigger.schedule.timezone", ""),
            ("history shop/a --limit 1 -o name", 0, "activitydefinition/shop/a@3\n", "older versions are kept"),
            ("history shop/none", 3, "", "does not exist"),
            ("history calendar/shop/hol", 2, "", "calendars have no history: their versions are counted, not kept"),
            ("diff shop/a --from 1 --to 2", 1, "-      timezone: Europe/Berlin\n+      timezone: UTC\n", ""),
            ("diff shop/a", 1, "-      timezone: UTC\n", ""),
            ("diff shop/a --from 2 --to 2", 0, "", ""),
            ("diff shop/a --to 9", 3, "", "version 9 of shop/a is not kept"),
            ("diff shop/a -f defs", 2, "", "cannot be used with"),
            ("rollback shop/a --to 1 --dry-run", 0, "+      timezone: Europe/Berlin\n", ""),
            ("rollback shop/a --to 1", 0, "activitydefinition/shop/a configured (version 3 -> 4)   as version 1\n", ""),
            ("diff shop/a --from 1 --to 4", 0, "", ""),
            ("rollback shop/a --to 9", 4, "", "version 9 of shop/a is not kept; the newest that are: 4, 3, 2"),
        ],
    )
    .await;
}

#[tokio::test]
async fn due_times_of_the_past_are_counted_fired_watched_and_stopped() {
    let (_dir, _node, cli) = scene().await;
    cli.done("apply -f defs -n shop").await;
    let days = "backfill shop/a --from 2026-01-01T00:00:00Z --to 2026-01-11T00:00:00Z";
    let minutes = "spec.trigger.schedule.cron=[\"* * * * *\"]";
    in_turn(
        &cli,
        &[
            (&*format!("{days} --dry-run"), 0, "shop/a would fire 10 due times, 10 a second (1s), from 2026-01-01", ""),
            ("backfills -A", 0, "", "no backfills"),
        ],
    )
    .await;
    // How far it is stands on standard error.
    let waited = cli.run(&format!("{days} --rate 1000 --wait")).await.with_code(0);
    assert!(waited.out.contains("10 of 10 (100%)"), "{waited:?}");
    in_turn(
        &cli,
        &[
            (days, 0, "this backfill is there already (done)", ""),
            (&*format!("{days} --as more --order newest_first"), 0, "backfill more has begun, of 10 due times", ""),
        ],
    )
    .await;
    let ended = cli.json(&format!("{days} --rate 1000 --as told --wait")).await;
    assert_eq!(
        (&ended["backfill_id"], &ended["decided"], &ended["stopped"]),
        (&"told".into(), &10.into(), &false.into())
    );
    let named = cli.done(&format!("{days} --rate 1000 --as told --wait -o name")).await;
    assert_eq!(named, "backfill/shop/a/told\n");
    let watched = cli.run("backfills shop/a --watch").await.with_code(0);
    assert!(watched.out.contains("more") && !watched.out.contains("running"), "{watched:?}");
    in_turn(
        &cli,
        &[
            ("occurrences shop/a --reason backfill -o json", 0, "b:more:2026-01-10T08:00:00Z", ""),
            ("occurrences -A --reason backfil", 4, "", "reason: \"backfil\" is none; one of late, superseded, "),
            ("backfill shop/c --from 2026-01-01T00:00:00Z --to 2026-01-02T00:00:00Z", 4, "", "has no schedule"),
            ("backfill shop/a --from 2026-01-02T00:00:00Z --to 2026-01-01T00:00:00Z", 4, "", "is before from"),
            ("backfill shop/a --from 2026-01-01T00:00:00Z --to 2090-01-01T00:00:00Z", 4, "", "is to come"),
            ("backfill shop/a --from now", 2, "", "--from"),
        ],
    )
    .await;
    cli.words(&["set", "shop/b", minutes], "").await.with_code(0);
    let year = "backfill shop/b --from 2025-01-01T00:00:00Z --to 2026-01-01T00:00:00Z --as year --rate 1";
    in_turn(
        &cli,
        &[
            (year, 4, "", "would fire 525,601 due times"),
            (&*format!("{year} --yes"), 0, "backfill year has begun, of 525,601 due times", ""),
            ("backfills shop/b --running -o name", 0, "backfill/shop/b/year\n", ""),
            ("backfill shop/b --stop year", 0, "shop/b: backfill year stopped, ", ""),
            ("backfill shop/b --stop year", 0, "had ended before", ""),
            ("backfill shop/b --stop none", 4, "", "is no backfill of shop/b"),
            ("backfills shop/b --running", 0, "", "no backfill is under way"),
        ],
    )
    .await;
}

/// Enough that each of four shards has some.
const JOBS: usize = 8;
/// Due times of each: eight hours of minutes.
const TIMES: usize = 480;

fn job(id: &str) -> String {
    format!(
        "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{id: {id}}}
spec:
  trigger: {{schedule: {{cron: '* * * * *'}}}}
  start_workflow: {{type: Job, task_queue: nobody}}
"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn backfills_go_on_and_pauses_end_though_the_nodes_that_lead_are_killed() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let at = |cluster: &Cluster, node: usize| {
        Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[node % 3].grpc().to_string())
    };
    for number in 0..JOBS {
        let cli = at(&cluster, number);
        cli.apply(&job(&format!("job-{number}"))).await;
        cli.apply(&job(&format!("held-{number}"))).await;
        let range = "--from 2026-01-01T00:00:00Z --to 2026-01-01T07:59:00Z --rate 40 --as b";
        cli.done(&format!("backfill job-{number} {range}")).await;
        cli.done(&format!("pause held-{number} --until 10s")).await;
    }
    for _ in 0..2 {
        let gone = cluster.busiest().await.expect("at rest");
        let left = at(&cluster, gone + 1);
        let decided = async || {
            let all = left.list("backfills").await;
            all.iter().map(|one| one["decided"].as_u64().expect("a number")).sum::<u64>()
        };
        cluster.nodes[gone].kill().await.expect("killed");
        let before = decided().await;
        eventually("they go on", async || {
            (decided().await > before || left.list("backfills --running").await.is_empty()).then_some(())
        })
        .await;
        cluster.nodes[gone].start_again().await.expect("it starts");
    }
    let left = at(&cluster, 0);
    eventually("all have ended", async || left.list("backfills --running").await.is_empty().then_some(())).await;
    eventually("no pause is left", async || left.list("list --paused").await.is_empty().then_some(())).await;
    let minute = |at: usize| format!("b:b:2026-01-01T{:02}:{:02}:00Z", at / 60, at % 60);
    let expected: Vec<String> = (0..TIMES).map(minute).collect();
    for number in 0..JOBS {
        let line = format!("occurrences job-{number} --last 0 --outcome fired");
        let all = texts(&left.list(&line).await, "firing_key");
        let found: Vec<String> = all.into_iter().filter(|key| key.starts_with("b:")).collect();
        assert_eq!(found, expected, "job-{number}");
    }
}
