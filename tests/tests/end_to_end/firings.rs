//! The commands for what fires: by hand, the account of one definition and of all, and what Temporal or a template has refused.

use super::support::{Cli, Scene, eventually, ids, payloads, text, texts};

const DEFINITIONS: &str = r#"
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: shop, id: hello}
spec:
  start_workflow: {type: Hello, task_queue: nobody, input: ["{{ input.name }}"]}
---
apiVersion: flintwheel.dev/v1
kind: ActivityDefinition
metadata: {namespace: ops, id: plain}
spec:
  trigger: {event: {types: com.example.plain}}
  start_workflow: {type: Plain, task_queue: nobody}
"#;

async fn dead(cli: &Cli, count: usize) -> Vec<serde_json::Value> {
    eventually(&format!("{count} dead letters"), async || {
        let letters = cli.list("dead list -A --limit 0").await;
        (letters.len() == count).then_some(letters)
    })
    .await
}

#[tokio::test]
async fn what_fires_by_hand_is_accounted_for_and_what_is_refused_can_be_retried_or_dropped() {
    let scene = Scene::open(&[]).await;
    let node = scene.node("server").await;
    let cli = node.cli();
    cli.apply(DEFINITIONS).await;
    by_hand(&cli).await;
    account(&cli).await;
    refused(&cli).await;
    let expected = ["flintwheel:ops:plain:m:p1", "flintwheel:shop:hello:m:good", "flintwheel:shop:hello:m:piped"];
    assert_eq!(ids(&scene.workflows("default", "flintwheel:", expected.len()).await), expected);
    assert_eq!(payloads(&scene.started("default", expected[1]).await["input"]), ["Ada"]);
}

async fn by_hand(cli: &Cli) {
    let good = ["trigger", "shop/hello", "--request-id", "good", "--input", r#"{"name": "Ada"}"#, "--wait"];
    let said = cli.words(&good, "").await.with_code(0);
    assert!(
        said.out.contains("triggered   workflow flintwheel:shop:hello:m:good\n") && said.out.ends_with(" started\n"),
        "{said:?}"
    );
    let again = cli.words(&[&good[..], &["-o", "json"]].concat(), "").await.with_code(0).json();
    assert_eq!((text(&again, "workflow_id"), &again["duplicate"]), ("flintwheel:shop:hello:m:good", &true.into()));
    let piped =
        ["trigger", "-n", "shop", "hello", "--request-id", "piped", "--input-file", "-", "--wait=30s", "-o", "name"];
    let said = cli.words(&piped, r#"{"name": "Grace"}"#).await.with_code(0);
    assert_eq!((said.out.as_str(), said.err.as_str()), ("activitydefinition/shop/hello\n", ""));
    assert!(cli.done("trigger ops/plain --request-id p1 -o yaml").await.contains("duplicate: false\n"));
    for (line, code, expected) in [
        ("trigger shop/none", 3, "shop/none"),
        ("trigger shop/hello --input {", 4, "not JSON"),
        ("trigger shop/hello --input-file nothing.json", 4, "nothing.json"),
        ("trigger", 2, "<NAME>"),
    ] {
        let said = cli.run(line).await.with_code(code);
        assert!(said.err.contains(expected) && said.out.is_empty(), "{said:?}");
    }
    let failed = cli.run("trigger shop/hello --request-id bad --wait").await.with_code(1);
    assert!(failed.out.contains("failed: refused"), "{failed:?}");
    cli.done("trigger shop/hello --request-id worse").await;
    dead(cli, 2).await;
}

async fn account(cli: &Cli) {
    cli.done("pause ops/plain").await;
    cli.done("publish -n ops --type com.example.plain --source s --id 1").await;
    for (line, keys) in [
        ("occurrences shop/hello", &["m:bad", "m:good", "m:piped", "m:worse"][..]),
        ("occurrences -n shop --outcome fired", &["m:good", "m:piped"]),
        ("occurrences -A --outcome failed --reason refused", &["m:bad", "m:worse"]),
        ("occurrences -A --outcome skipped --outcome fired", &["e:s|1", "m:good", "m:p1", "m:piped"]),
        ("occurrences -A --reason paused", &["e:s|1"]),
        (
            "occurrences -A --last 0 --since 2020-01-01T00:00:00Z",
            &["e:s|1", "m:bad", "m:good", "m:p1", "m:piped", "m:worse"],
        ),
        ("occurrences -A --until 2020-01-01T00:00:00Z", &[]),
        ("occurrences shop/hello --limit 1", &["m:worse"]),
    ] {
        assert_eq!(texts(&cli.list(line).await, "firing_key"), keys, "{line}");
    }
    let newest = cli.list("occurrences -A --last 1").await;
    let (newest, decided) = (&newest[0], text(&newest[0], "decided_at"));
    assert_eq!((text(newest, "outcome"), text(newest, "workflow_id")), ("skipped", ""));
    assert_eq!(cli.list(&format!("occurrences -A --since {decided}")).await.len(), 1);
    assert_eq!(cli.list(&format!("occurrences -A --until {decided}")).await.len(), 5);
    for (line, out, err) in [
        ("occurrences shop/hello", "flintwheel:shop:hello:m:good", ""),
        ("occurrences -A -o wide", "DEFINITION", ""),
        ("occurrences -A -o name", "occurrence/ops/plain/e:s|1\n", ""),
        ("occurrences -A -o yaml", "firing_key: e:s|1\n", ""),
        ("occurrences -n nowhere", "", "no occurrences"),
    ] {
        let said = cli.run(line).await.with_code(0);
        let (printed, told) = (said.out.contains(out), said.err.contains(err));
        assert!(
            printed && told && said.out.is_empty() == out.is_empty() && said.err.is_empty() == err.is_empty(),
            "{said:?}"
        );
    }
    cli.run("occurrences shop/none").await.with_code(3);
}

async fn refused(cli: &Cli) {
    let letters = dead(cli, 2).await;
    assert!(letters.iter().all(|letter| text(letter, "reason").contains("input[0]")), "{letters:?}");
    assert_eq!(texts(&letters, "workflow_id"), ["flintwheel:shop:hello:m:bad", "flintwheel:shop:hello:m:worse"]);
    assert_eq!(cli.json("status").await["dead_letters"], 2);
    let id = text(&letters[0], "dead_letter_id");
    for (line, code, out, err) in [
        ("dead list -n ops", 0, "", "no dead letters"),
        ("dead list -n shop", 0, "REASON", ""),
        ("dead list -n shop -o wide", 0, "flintwheel:shop:hello:m:worse", ""),
        ("dead list --definition shop/hello --reason input -o yaml", 0, "dead_letter_id: ", ""),
        ("dead list -A --limit 1 -o name", 0, id, ""),
        ("dead drop", 2, "", "<IDS>"),
        ("dead drop nonsense", 4, "", "such as 3-17"),
        ("dead drop 0-99999", 3, "0 dead letters dropped", "0-99999"),
        ("dead retry --definition shop/hello", 0, "2 dead letters retried\n", ""),
    ] {
        let said = cli.run(line).await.with_code(code);
        let (printed, told) = (said.out.contains(out), said.err.contains(err));
        assert!(
            printed && told && said.out.is_empty() == out.is_empty() && said.err.is_empty() == err.is_empty(),
            "{said:?}"
        );
    }
    // What refuses them has not changed, so they come back.
    let letters = dead(cli, 2).await;
    let one = format!("dead drop {}", text(&letters[0], "dead_letter_id"));
    assert_eq!(cli.done(&one).await, "1 dead letter dropped\n");
    assert_eq!(cli.done("dead drop --all -A").await, "1 dead letter dropped\n");
    dead(cli, 0).await;
    assert_eq!(cli.list("occurrences shop/hello --outcome dropped").await.len(), 2);
}
