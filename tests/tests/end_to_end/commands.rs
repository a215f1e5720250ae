//! The commands for definitions, each in each form: data on standard output, messages on standard error, exit codes as the manual has them.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::support::{Cli, Node, Said, text, texts};

fn definition(namespace: &str, id: &str, team: &str, cron: &str) -> String {
    format!(
        "apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\n\
        metadata: {{namespace: {namespace}, id: {id}, name: The {id}, labels: {{team: {team}}}}}\n\
        spec:\n  trigger: {{schedule: {{cron: \"{cron}\", timezone: Europe/Berlin}}}}\n  \
        start_workflow: {{type: W, task_queue: q, input: [{{day: \"{{{{ scheduled_for }}}}\"}}]}}\n"
    )
}

/// Three in files of two kinds, one of them in a folder below.
fn write_all(dir: &Path) {
    fs::create_dir_all(dir.join("defs/below")).expect("a folder");
    let two =
        format!("{}---\n{}", definition("shop", "a", "x", "0 9 * * *"), definition("shop", "b", "y", "0 10 * * *"));
    fs::write(dir.join("defs/two.yaml"), two).expect("written");
    let json = r#"{"apiVersion": "flintwheel.dev/v1", "kind": "ActivityDefinition", "metadata": {"id": "c", "labels": {"team": "x"}},
        "spec": {"startWorkflow": {"type": "W", "taskQueue": "q"}}}"#;
    fs::write(dir.join("defs/c.json"), json).expect("written");
    fs::write(dir.join("defs/below/d.yml"), definition("shop", "d", "x", "0 11 * * *")).expect("written");
    fs::write(dir.join("defs/readme.txt"), "no definition").expect("written");
}

pub(super) async fn scene() -> (tempfile::TempDir, Node, Cli) {
    let dir = tempfile::tempdir().expect("a folder");
    let node = Node::start("server", dir.path(), &["--sink=null"], &[]).await;
    write_all(dir.path());
    let cli = node.cli();
    (dir, node, cli)
}

/// Lines in turn: how each ends, what it prints, what it says. An empty text stands for nothing at all.
pub(super) async fn in_turn(cli: &Cli, steps: &[(&str, i32, &str, &str)]) {
    for (line, code, out, err) in steps {
        let said = cli.run(line).await;
        let as_expected = said.code == Some(*code) && holds(&said.out, out) && holds(&said.err, err);
        assert!(as_expected, "expected {code} {out:?} {err:?} of {said:#?}");
    }
}

fn holds(text: &str, part: &str) -> bool {
    if part.is_empty() { text.is_empty() } else { text.contains(part) }
}

#[tokio::test]
async fn definitions_are_applied_compared_and_pruned_as_the_manual_says() {
    let (dir, _node, cli) = scene().await;
    in_turn(
        &cli,
        &[
            ("diff -f defs -n shop", 1, "+++ given/shop/a", ""),
            ("apply -f defs -n shop --dry-run=client", 0, "activitydefinition/shop/a valid (client dry run)\n", ""),
            ("apply -f defs -n shop --dry-run", 0, "activitydefinition/shop/c valid (client dry run)\n", ""),
            ("apply -f defs -n shop --dry-run=server", 0, "activitydefinition/shop/b created (server dry run)", ""),
            ("list -A", 0, "", "no definitions in any namespace"),
            ("apply -f defs -n shop", 0, "activitydefinition/shop/a created   next ", ""),
            ("get shop/d", 3, "", "error: "),
            ("apply -R -f defs -n shop -o name", 0, "activitydefinition/shop/d\n", ""),
            ("apply -R -f defs -n shop", 0, "activitydefinition/shop/d unchanged\n", ""),
            ("diff -R -f defs -n shop", 0, "", ""),
        ],
    )
    .await;
    fs::write(dir.path().join("defs/two.yaml"), definition("shop", "a", "x", "0 8 * * *")).expect("written");
    in_turn(
        &cli,
        &[
            ("diff -f defs -n shop", 1, "-      - 0 9 * * *\n+      - 0 8 * * *\n", ""),
            ("diff -f nothing.yaml", 4, "", "nothing.yaml"),
            ("diff", 2, "", "nothing to compare"),
            ("diff -f defs --address 127.0.0.1:1 --timeout 1s", 5, "", "127.0.0.1:1"),
            ("apply --prune -f defs", 2, "", "--selector"),
            (
                "apply --prune -l team -f defs -n shop --dry-run=server",
                0,
                "activitydefinition/shop/d pruned (server dry run)\n",
                "",
            ),
            ("apply --prune -l team=x -f defs -n shop", 0, "activitydefinition/shop/a configured (version 1 -> 2)", ""),
            (
                "list -n shop -o name",
                0,
                "activitydefinition/shop/a\nactivitydefinition/shop/b\nactivitydefinition/shop/c\n",
                "",
            ),
        ],
    )
    .await;
    let bad =
        format!("{}---\n{}", definition("shop", "new", "x", "0 8 * * *"), definition("shop", "B!", "x", "61 8 * * *"));
    fs::write(dir.path().join("bad.yaml"), bad).expect("written");
    in_turn(&cli, &[("apply -f bad.yaml", 4, "", "nothing was changed"), ("get shop/new", 3, "", "shop/new")]).await;
    fs::write(dir.path().join("hash.yaml"), definition("shop", "hash", "x", "0 8 * * 5#3")).expect("written");
    let warning = "warning: spec.trigger.schedule.cron[0]: \"#3\" is a comment: for the nth weekday of a month set dialect to vixie or quartz\n \
                   --> hash.yaml:5:40\n";
    in_turn(&cli, &[("apply -f hash.yaml --dry-run=client", 0, "shop/hash valid (client dry run)\n", warning)]).await;
}

#[tokio::test]
async fn what_get_prints_can_be_applied_and_changes_nothing() {
    let (_dir, _node, cli) = scene().await;
    cli.done("apply -R -f defs -n shop").await;
    for line in ["get shop/a shop/b -o yaml", "list -n shop -o yaml", "get shop/c -o yaml", "get shop/c -o json"] {
        let shown = cli.done(line).await;
        let said = cli.words(&["apply", "-f", "-"], &shown).await;
        let unchanged = said.code == Some(0) && said.out.lines().all(|line| line.ends_with(" unchanged"));
        assert!(unchanged && said.err.is_empty(), "{line}: {said:?}\n{shown}");
    }
    let diff = cli.words(&["diff", "-f", "-"], &cli.done("get shop/a -o yaml").await).await.with_code(0);
    assert_eq!(diff.out, "");
}

#[tokio::test]
async fn definitions_are_shown_in_every_form_by_label_and_by_page() {
    let (_dir, _node, cli) = scene().await;
    cli.done("apply -R -f defs -n shop").await;
    in_turn(
        &cli,
        &[
            ("get shop/a", 0, "NAMESPACE", ""),
            ("get activitydefinition/shop/a -o wide", 0, "team=x", ""),
            ("get -n shop a b -o name", 0, "activitydefinition/shop/a\nactivitydefinition/shop/b\n", ""),
            ("get shop/a -o yaml", 0, "kind: ActivityDefinition\n", ""),
            ("get shop/a -o odd", 2, "", "odd"),
            ("get", 2, "", "<NAMES>"),
            ("get shop/A", 2, "", "an id has 1 to 200 characters"),
            ("get shop/none", 3, "", "shop/none"),
            ("list -n shop", 0, "LAST", ""),
            (
                "list -n shop --limit 2 -o name",
                0,
                "activitydefinition/shop/a\nactivitydefinition/shop/b\n",
                "there are more than these 2; --limit 0 lists all",
            ),
            ("list -n shop --limit 4 -o name", 0, "activitydefinition/shop/d\n", ""),
            ("list -A -l team=y -o name", 0, "activitydefinition/shop/b\n", ""),
            ("list -l team=x", 0, "", "no definitions in namespace default"),
            ("list -A -l =x", 4, "", "error: "),
            ("describe shop/a shop/c", 0, "Definition:  shop/c\n", ""),
            ("describe shop/a", 0, "Coming times:\n", ""),
            ("describe shop/none", 3, "", "shop/none"),
            ("next shop/a -n shop --count 2", 0, "shop/a", ""),
            ("next -f defs/below/d.yml -o yaml", 0, "nominal: ", ""),
            ("next shop/c", 0, "", "shop/c has no due time to come"),
            ("next", 2, "", "<NAME"),
        ],
    )
    .await;
    let one = cli.json("get shop/a").await;
    assert_eq!((text(&one["metadata"], "id"), &one["status"]["version"]), ("a", &1.into()));
    let selected =
        cli.words(&["list", "-n", "shop", "-l", "team in (x,z),team!=y", "-o", "json"], "").await.with_code(0).json();
    let ids: Vec<&str> = selected.as_array().expect("a list").iter().map(|one| text(&one["metadata"], "id")).collect();
    assert_eq!(ids, ["a", "c", "d"]);
    let next = cli.json("next shop/a --count 3 --after 2026-11-23T00:00:00Z").await;
    let times: Vec<&str> = next.as_array().expect("a list").iter().map(|time| text(time, "due")).collect();
    assert_eq!(times, ["2026-11-23T08:00:00Z", "2026-11-24T08:00:00Z", "2026-11-25T08:00:00Z"]);
}

#[tokio::test]
async fn definitions_are_paused_resumed_and_deleted_each_by_itself() {
    let (_dir, _node, cli) = scene().await;
    cli.done("apply -R -f defs -n shop").await;
    let noted = cli.words(&["pause", "shop/a", "shop/none", "shop/b", "--note", "incident 7"], "").await.with_code(3);
    assert_eq!(noted.out, "activitydefinition/shop/a paused\nactivitydefinition/shop/b paused\n");
    assert!(noted.err.contains("activitydefinition/shop/none"), "{noted:?}");
    in_turn(
        &cli,
        &[
            ("describe shop/a", 0, "incident 7", ""),
            ("pause shop/a --note again", 0, "activitydefinition/shop/a was paused before; now without an end\n", ""),
            ("next shop/a --count 1", 0, "shop/a", "shop/a is paused: none of these fires before it is resumed"),
            ("describe shop/a", 0, "Coming times (when it is resumed):\n", ""),
            ("list -n shop --paused -o name", 0, "activitydefinition/shop/a\nactivitydefinition/shop/b\n", ""),
            ("describe shop/a", 0, "again", ""),
            ("resume shop/a", 0, "activitydefinition/shop/a resumed\n", ""),
            ("resume shop/a", 4, "", "shop/a is not paused"),
            ("resume shop/b -o json", 0, "\"changed\": true", ""),
            ("pause shop/b -o name", 0, "activitydefinition/shop/b\n", ""),
            ("pause", 2, "", "<NAMES>"),
            ("pause shop/a --until 2h", 0, "activitydefinition/shop/a paused until 20", ""),
            ("list -n shop --paused", 0, "resumes", ""),
            ("describe shop/a", 0, ", until 20", ""),
            (
                "pause shop/a --until 2090-01-01T00:00:00Z",
                0,
                "activitydefinition/shop/a was paused before; now until 2090-01-01 00:00:00 +0000\n",
                "",
            ),
            ("pause shop/a --until yesterday", 2, "", "is a time such as"),
            ("pause shop/a --until 2020-01-01T00:00:00Z", 4, "", "until: 2020-01-01T00:00:00Z is over"),
            ("pause shop/a -l team=x", 2, "", "use one of them"),
            ("pause -n shop -l team=x --dry-run", 0, "3 definitions would be paused: shop/a, shop/c, shop/d\n", ""),
            ("pause -n shop -l team=x --until 2090-01-01T00:00:00Z", 0, "2 definitions paused, 1 as before\n", ""),
            ("pause -n shop -l team=x --note move", 0, "3 definitions paused\n", ""),
            ("pause -n shop -l team=x", 0, "", "nothing matches that is not so already; nothing was paused"),
            ("resume -n shop -l team=x -o name", 0, "activitydefinition/shop/c\nactivitydefinition/shop/d\n", ""),
            ("delete shop/a --dry-run", 0, "activitydefinition/shop/a deleted (client dry run)\n", ""),
            ("delete shop/a --dry-run=server", 0, "activitydefinition/shop/a deleted (server dry run)\n", ""),
            ("delete shop/a -o json", 0, "\"id\": \"a\"", ""),
            ("delete shop/a", 3, "", "not all of it was deleted"),
            ("delete shop/a --ignore-not-found", 0, "", ""),
            ("delete -A -l * --dry-run", 0, "3 definitions would be deleted: shop/b, shop/c, shop/d\n", ""),
            ("delete -l team=x -n shop --dry-run=server", 0, "2 definitions would be deleted: shop/c, shop/d\n", ""),
            ("delete -l team=x", 0, "", "nothing matches; nothing was deleted"),
            ("delete -l team=x -n shop -o name", 0, "activitydefinition/shop/c\nactivitydefinition/shop/d\n", ""),
            ("delete -l team=x -n shop", 0, "", "nothing matches; nothing was deleted"),
            ("apply -f defs -n other -o name", 0, "activitydefinition/other/c\n", ""),
            ("delete -A -l * -y", 0, "3 definitions deleted\n", ""),
            ("delete -f defs/two.yaml --ignore-not-found", 0, "", ""),
            ("delete", 2, "", "required"),
            ("list -A -o json", 0, "[]\n", "no definitions in any namespace"),
        ],
    )
    .await;
}

#[tokio::test]
async fn dry_runs_tell_programs_all_that_would_be_done() {
    let (_dir, _node, cli) = scene().await;
    let many: Vec<String> = (0..7).map(|n| definition("shop", &format!("m{n}"), "z", "0 9 * * *")).collect();
    cli.apply(&many.join("---\n")).await;
    let all: Vec<String> = (0..7).map(|n| format!("m{n}")).collect();
    for line in ["set -l team=z metadata.name=new", "pause -l team=z", "delete -l team=z", "delete -l team=z -A"] {
        let told = cli.list(&format!("{line} -n shop --dry-run")).await;
        assert_eq!(texts(&told, "id"), all, "{line}");
        let names = cli.done(&format!("{line} -n shop --dry-run -o name")).await;
        let expected: String = all.iter().map(|id| format!("activitydefinition/shop/{id}\n")).collect();
        assert_eq!(names, expected, "{line}");
    }
    assert_eq!(cli.list("list -n shop").await.len(), 7, "nothing was done");
    // Nobody is asked here: they need not be there.
    for (line, kind) in [("delete x y", Value::Null), ("delete calendar x y", Value::from("Calendar"))] {
        let told = cli.list(&format!("{line} --dry-run")).await;
        assert_eq!(texts(&told, "id"), ["x", "y"], "{line}");
        assert!(told.iter().all(|one| one["kind"] == kind && one["version"].is_null()), "{told:?}");
    }
    let told = cli.list("delete shop/m0 --dry-run=server").await;
    assert_eq!((texts(&told, "id"), &told[0]["version"]), (vec!["m0".to_owned()], &1.into()));
}

#[tokio::test]
async fn commands_that_ask_little_answer_in_every_form() {
    let (dir, _node, cli) = scene().await;
    in_turn(
        &cli,
        &[
            ("status", 0, "definitions 0 (0 paused, 0 armed)", ""),
            ("status -o wide", 0, "MEMORY", ""),
            ("status -o yaml", 0, "dead_letters: 0\n", ""),
            ("status -o name", 0, "cluster/", ""),
            ("version", 0, "time zones", ""),
            ("completion bash", 0, "_flintwheel", ""),
            ("completion tcsh", 2, "", "tcsh"),
            ("frobnicate", 2, "", "frobnicate"),
            ("list --timeout soon", 2, "", "soon"),
        ],
    )
    .await;
    assert_eq!(cli.json("status").await["shards"], serde_json::json!({"total": 4, "led": 4}));
    let alone = Cli::alone(dir.path());
    let schema: Value = serde_json::from_str(&alone.done("schema").await).expect("JSON");
    assert!(schema["$schema"].is_string(), "{schema}");
    assert!(alone.done("version --client").await.starts_with("flintwheel "));
    let away: Said = alone.run("status --address 127.0.0.1:1 --timeout 1s -o json").await.with_code(5);
    assert!(away.out.is_empty() && away.err.contains("`flintwheel dev` starts one"), "{away:?}");
    let by_variable = cli.with("FLINTWHEEL_OUTPUT", "json").done("status").await;
    assert!(by_variable.starts_with('{'), "{by_variable}");
}
