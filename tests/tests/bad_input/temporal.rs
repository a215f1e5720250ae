//! Temporal that is not where it is said to be, that lacks the namespace, and inputs that it would not take.

use std::fs;
use std::path::Path;

use anyhow::{Result, bail};
use flintwheel_loadtest::engine::{Engine, Sink};
use flintwheel_loadtest::http;
use flintwheel_loadtest::process::{Process, own_binary};
use flintwheel_loadtest::temporal_dev::TemporalDev;

use serde_json::Value;

use super::support::{LOOK, Server, file_says, options};

/// Port 1 of this machine: nothing listens there.
const NOWHERE: &str = "127.0.0.1:1";

fn definition(namespace: &str, id: &str, input: &str) -> String {
    format!(
        "apiVersion: flintwheel.dev/v1\nkind: ActivityDefinition\nmetadata: {{namespace: {namespace}, id: {id}}}\n\
        spec:\n  trigger: {{event: {{types: t}}}}\n  start_workflow: {{type: T, task_queue: q, input: [{input}]}}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_temporal_refuses_stands_among_the_dead_letters_with_the_reason() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let temporal = TemporalDev::start(dir.path(), &[]).await?;
    fs::write(dir.path().join("routes.toml"), "[namespaces.good]\ntemporal_namespace = \"default\"\n")?;
    let sink = Sink::Temporal { address: temporal.address(), namespace: "nowhere".to_owned() };
    let mut options = options(dir.path(), sink);
    options.more.push(format!("--config={}", dir.path().join("routes.toml").display()));
    let mut server = Server { engine: Engine::start(options).await?, dir };
    let copies = ["\"{{ event.data }}\""; 12].join(", ");
    let event =
        format!(r#"{{"specversion":"1.0","id":"1","source":"/s","type":"t","data":"{}"}}"#, "x".repeat(200_000));
    server.write("a.yaml", definition("bad", "astray", "1"))?;
    server.write("b.yaml", definition("good", "bulky", &copies))?;
    server.write("event.jsonl", event)?;
    for line in ["apply -f a.yaml -f b.yaml", "publish -n bad -f event.jsonl", "publish -n good -f event.jsonl"] {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
    }
    for (namespace, words) in [
        ("bad", &["astray", "Namespace nowhere is not found"][..]),
        ("good", &["bulky", "the workflow's input has 2400024 bytes; at most 2031616"]),
    ] {
        dead_letter(&server, namespace, words).await?;
    }
    pages_end_with_the_last_letter_that_fits(&server).await?;
    server.engine.check_running()
}

/// There are two dead letters, one in each namespace.
async fn pages_end_with_the_last_letter_that_fits(server: &Server) -> Result<()> {
    let page = async |query: String| -> Result<(usize, String)> {
        let answer = http::get(server.engine.http(), &format!("/v1/dead-letters?page_size=1{query}")).await?.ok()?;
        let page: Value = serde_json::from_str(&answer)?;
        let letters = page["items"].as_array().map_or(0, Vec::len);
        Ok((letters, page["next_page_token"].as_str().unwrap_or_default().to_owned()))
    };
    for namespace in ["bad", "good"] {
        assert_eq!(page(format!("&namespace={namespace}")).await?, (1, String::new()));
    }
    let (letters, token) = page(String::new()).await?;
    assert!(letters == 1 && !token.is_empty(), "{letters} {token:?}");
    assert_eq!(page(format!("&page_token={token}")).await?, (1, String::new()));
    Ok(())
}

/// Waits until the account says so.
async fn dead_letter(server: &Server, namespace: &str, words: &[&str]) -> Result<()> {
    let mut last = String::new();
    for _ in 0..500 {
        last = server.command(&["dead", "list", "-n", namespace, "-o", "json"]).await?.text;
        if words.iter().all(|word| last.contains(word)) {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("no dead letter that says {words:?}: {last}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_temporal_that_is_not_there_is_told_with_its_address() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let sink = Sink::Temporal { address: NOWHERE.parse()?, namespace: "default".to_owned() };
    let mut server = Server { engine: Engine::start(options(dir.path(), sink)).await?, dir };
    server.write("a.yaml", definition("default", "waits", "1"))?;
    for line in ["apply -f a.yaml", "trigger waits"] {
        let said = server.command(&line.split(' ').collect::<Vec<_>>()).await?;
        assert_eq!(said.code, Some(0), "{line}: {said:?}");
    }
    file_says(&server.dir.path().join("data.log"), &["WARN", "the sink can't take starts", NOWHERE]).await?;
    for command in ["worker", "dev"] {
        let mut process = astray(command, server.dir.path())?;
        file_says(&server.dir.path().join(format!("{command}.log")), &["WARN", "try again", NOWHERE]).await?;
        process.check_running()?;
        process.kill().await?;
    }
    server.engine.check_running()
}

/// A process that looks for Temporal where it is not.
fn astray(command: &str, dir: &Path) -> Result<Process> {
    let mut arguments = vec![
        command.to_owned(),
        format!("--temporal-address={NOWHERE}"),
        format!("--data-dir={}", dir.join(format!("{command}-data")).display()),
    ];
    if command == "dev" {
        arguments.extend(["--grpc-listen=127.0.0.1:0".to_owned(), "--http-listen=127.0.0.1:0".to_owned()]);
    }
    Process::spawn(&own_binary("flintwheel", "FLINTWHEEL_BIN")?, arguments, &dir.join(format!("{command}.log")))
}
