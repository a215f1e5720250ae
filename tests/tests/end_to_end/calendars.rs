//! Named calendars: one that changes moves all definitions that use it, on every shard, whatever happens meanwhile.

use flintwheel_loadtest::cluster::Cluster;
use flintwheel_loadtest::engine::Sink;
use serde_json::Value;

use super::support::{Cli, Node, eventually, text};

/// Enough that each of four shards has some.
const DEFINITIONS: usize = 12;
/// Far from now: no test comes near it.
const FIRST: &str = "2090-01-01T09:00:00Z";
const SECOND: &str = "2090-01-02T09:00:00Z";

fn calendar(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: flintwheel.dev/v1\nkind: Calendar\nmetadata: {{namespace: ops, id: {name}}}\nspec: {spec}\n---\n"
    )
}

fn definition(id: &str, schedule: &str) -> String {
    format!(
        "
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {{namespace: ops, id: {id}}}
spec:
  trigger: {{schedule: {schedule}}}
  start_workflow: {{type: Daily, task_queue: nobody}}
---
"
    )
}

/// Those of the days of January 2090 that are not closed.
fn definitions() -> String {
    let schedule = "{cron: '0 9 * 1 * 2090', exclude: {calendar_name: closed}}";
    (0..DEFINITIONS).map(|number| definition(&format!("d{number}"), schedule)).collect()
}

/// A calendar that closes a day, by way of another one.
fn closing(day: &str) -> String {
    [calendar("closed", "{dates: 2090-06-01, calendars: holidays}"), calendar("holidays", &format!("{{dates: {day}}}"))]
        .concat()
}

/// When each of them is due next, as a server tells.
async fn due(cli: &Cli) -> Vec<String> {
    let all = cli.list("list -n ops -l !other").await;
    assert_eq!(all.len(), DEFINITIONS);
    all.iter().map(|record| text(&record["status"], "next_due").to_owned()).collect()
}

fn all_at(time: &str) -> Vec<String> {
    vec![time.to_owned(); DEFINITIONS]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_that_changes_moves_all_that_use_it_and_says_before_which() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    let cli = node.cli();
    let apply = ["apply", "-f", "-"];
    cli.apply(&calendar("close", "{dates: 2090-01-01}")).await;
    let said = cli.words(&apply, &definitions()).await.with_code(4);
    let place = "exclude[0].calendar_name[0]: there is no calendar \"closed\"; namespace ops has close;";
    assert!(said.err.contains(place) && said.err.contains("nothing was changed"), "{said:?}");
    let all = [closing("2090-03-01"), definitions()].concat();
    let tried = cli.words(&["apply", "--dry-run=server", "-f", "-"], &all).await.with_code(0).out;
    assert!(
        tried.contains("calendar/ops/closed created (server dry run)") && tried.contains("2090-01-01 09:00"),
        "{tried}"
    );
    assert_eq!(cli.list("list -n ops").await, [] as [Value; 0]);
    let created = cli.apply(&all).await;
    let order = created.find("calendar/ops/holidays created").zip(created.find("calendar/ops/closed created"));
    assert!(order.is_some_and(|(first, then)| first < then), "what is referred to comes first: {created}");
    assert_eq!(due(&cli).await, all_at(FIRST));
    let change = calendar("holidays", "{dates: 2090-01-01}");
    let tried = cli.words(&["apply", "--dry-run=server", "-f", "-"], &change).await.with_code(0).out;
    let says = "(version 1 -> 2) (server dry run)   would move the next time of 12 of 12 definitions\n  ops/d0   2090-01-01 09:00 UTC -> 2090-01-02 09:00 UTC\n";
    assert!(tried.contains(says), "{tried}");
    assert_eq!(due(&cli).await, all_at(FIRST), "nothing was changed");
    let done = cli.apply(&change).await;
    assert!(done.contains("(version 1 -> 2)   moved the next time of 12 of 12 definitions"), "{done}");
    assert_eq!(due(&cli).await, all_at(SECOND));
    let next = cli.list("next ops/d0 -c 2").await;
    assert_eq!(next[0]["nominal"], SECOND, "{next:?}");
    node.kill().await;
    node.start_again().await;
    assert_eq!(due(&cli).await, all_at(SECOND), "after a restart");
    assert!(cli.apply(&change).await.contains("calendar/ops/holidays unchanged"));
    cli.apply(&closing("2090-03-01")).await;
    assert_eq!(due(&cli).await, all_at(FIRST), "and back");
    let diff = cli.words(&["diff", "-f", "-"], &change).await.with_code(1).out;
    assert!(diff.contains("-  - \"2090-03-01\"\n+  - \"2090-01-01\""), "{diff}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_calendar_is_shown_with_who_uses_it_and_goes_when_nobody_does() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    let cli = node.cli();
    cli.apply(&[closing("2090-03-01"), definitions()].concat()).await;
    let all = cli.list("get calendars -n ops").await;
    let shown: Vec<_> = all.iter().map(|one| (text(&one["metadata"], "id"), &one["status"]["definitions"])).collect();
    assert_eq!(shown, [("closed", &DEFINITIONS.into()), ("holidays", &0.into())]);
    let one = cli.json("get calendar ops/holidays").await;
    assert_eq!(
        (&one["status"]["referred_by"], &one["spec"]["dates"]),
        (&vec!["closed"].into(), &vec!["2090-03-01"].into())
    );
    let yaml = cli.done("get calendar closed holidays -n ops -o yaml").await;
    assert!(cli.apply(&yaml).await.contains("calendar/ops/closed unchanged"));
    for (line, says) in [
        ("delete calendar ops/holidays", "calendar ops/holidays is referred to by closed: change them first"),
        ("delete calendar ops/closed", "calendar ops/closed is used by 12 definitions: ops/d"),
        ("delete calendar ops/closed --dry-run=server", " and 9 more; change them first"),
    ] {
        let said = cli.run(line).await.with_code(4);
        assert!(said.err.contains(says), "{said:?}");
    }
    cli.run("get calendar ops/other").await.with_code(3);
    cli.run("delete calendar ops/other").await.with_code(3);
    cli.done("delete calendar ops/other --ignore-not-found").await;
    let deleted = cli
        .words(
            &["delete", "--yes", "-f", "-"],
            &[closing("x"), definitions()].concat().replace("{dates: x}", "{dates: 12-24}"),
        )
        .await;
    assert!(deleted.with_code(0).out.ends_with("calendar/ops/closed deleted\ncalendar/ops/holidays deleted\n"));
    assert_eq!(cli.list("get calendars -n ops").await, [] as [Value; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_calendar_closed_fires_as_soon_as_it_is_open() {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    let cli = node.cli();
    let tick = definition("tick", "{interval: {every: 1s}, exclude: {calendar_name: always}}");
    cli.apply(&[calendar("always", "{dates: 2020-01-01/2098-12-31}"), tick].concat()).await;
    assert_eq!(cli.json("get ops/tick").await["status"]["next_due"], "2099-01-01T00:00:00Z");
    cli.apply(&calendar("always", "{dates: 2020-01-01}")).await;
    eventually("it fires", async || {
        let fired = cli.list("occurrences ops/tick --outcome fired").await;
        (fired.len() >= 2).then_some(())
    })
    .await;
    cli.apply(&calendar("always", "{dates: 2020-01-01/2098-12-31}")).await;
    let fired = cli.list("occurrences ops/tick").await.len();
    assert_eq!(cli.json("get ops/tick").await["status"]["next_due"], "2099-01-01T00:00:00Z");
    // Another definition fires meanwhile; this one does not.
    cli.apply(&definition("other", "{interval: {every: 1s}}")).await;
    eventually("the other one fires", async || {
        let fired = cli.list("occurrences ops/other --outcome fired").await;
        (fired.len() >= 2).then_some(())
    })
    .await;
    assert_eq!(cli.list("occurrences ops/tick").await.len(), fired);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_node_takes_a_change_and_all_know_it_also_when_one_is_lost() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::start(dir.path(), &Sink::Null, 3, 4).await.expect("three nodes, at rest");
    let cli = |node: usize| Cli::alone(dir.path()).with("FLINTWHEEL_ADDRESS", &cluster.nodes[node].grpc().to_string());
    let clis = [cli(0), cli(1), cli(2)];
    clis[0].apply(&[closing("2090-03-01"), definitions()].concat()).await;
    for cli in &clis {
        assert_eq!(due(cli).await, all_at(FIRST));
    }
    clis[1].apply(&closing("2090-01-01")).await;
    for cli in &clis {
        assert_eq!(due(cli).await, all_at(SECOND), "acknowledged by one node, true on all");
    }
    let gone = cluster.busiest().await.expect("at rest");
    let other = &clis[(gone + 1) % 3];
    cluster.nodes[gone].kill().await.expect("killed");
    // Shards elect new leaders meanwhile: whoever asks waits.
    eventually("the change is everywhere", async || {
        let said = other.words(&["apply", "-f", "-"], &closing("2090-03-01")).await;
        (said.code == Some(0)).then_some(())
    })
    .await;
    assert_eq!(due(other).await, all_at(FIRST));
    cluster.nodes[gone].start_again().await.expect("it starts");
    cluster.settle().await.expect("at rest");
    assert_eq!(due(&clis[gone]).await, all_at(FIRST));
    let shown = clis[gone].json("get calendar ops/holidays").await;
    assert_eq!(shown["status"]["spreading"], false, "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_calendars_and_moves_what_uses_them_in_the_new_cluster() {
    let (dir, new) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    let cli = node.cli();
    cli.apply(&[closing("2090-01-01"), definitions()].concat()).await;
    let copy = dir.path().join("copy");
    cli.done(&format!("backup create {}", copy.display())).await;
    let restored = Node::start("server", new.path(), &["--sink=null"], &[]).await;
    let other = restored.cli();
    other.done(&format!("backup restore {} --yes", copy.display())).await;
    eventually("the calendars are everywhere", async || {
        let all = other.list("get calendars -n ops").await;
        (all.len() == 2 && all.iter().all(|one| one["status"]["spreading"] == false)).then_some(())
    })
    .await;
    assert_eq!(due(&other).await, all_at(SECOND));
    let done = other.apply(&calendar("holidays", "{dates: 2090-03-01}")).await;
    assert!(done.contains("moved the next time of 12 of 12 definitions"), "{done}");
    assert_eq!(due(&other).await, all_at(FIRST));
}
